package u3vcam

import (
	"context"
	"encoding/binary"
)

// Control packets, little endian: prefix, flags or status, command, length, id.
const (
	prefixControl = 0x43563355 // "U3VC"

	commandRead  = 0x0800
	commandWrite = 0x0802
	ackPending   = 0x0805
	flagAck      = 0x4000
)

// Statuses of acknowledgements.
const (
	statusOK             = 0
	statusNotImplemented = 0x8001
	statusInvalidParam   = 0x8002
	statusInvalidAddress = 0x8003
	statusWriteProtect   = 0x8004
	statusBadAlignment   = 0x8005
	statusAccessDenied   = 0x8006
	statusBusy           = 0x8007
	statusHeader         = 0x800E
	statusInconsistent   = 0xA004
)

// Command takes what the host sends to the control interface.
func (c *Camera) Command(ctx context.Context, packet []byte) error {
	select {
	case <-c.gone:
		return ErrGone
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed()
	f := &c.faults
	switch {
	case f.Stalls > 0:
		f.Stalls--
		return ErrStall
	case f.Silent > 0:
		f.Silent--
		return nil
	}
	le := binary.LittleEndian
	if len(packet) < 12 || le.Uint32(packet) != prefixControl || int(le.Uint16(packet[8:])) != len(packet)-12 {
		return ErrStall
	}
	code, id, data := le.Uint16(packet[6:]), le.Uint16(packet[10:]), packet[12:]
	if f.Strange > 0 {
		f.Strange--
		c.reply(statusOK, commandRead+1, id-1, []byte{1, 2, 3, 4})
	}
	if f.Pending > 0 {
		c.reply(statusOK, ackPending, id, le.AppendUint16([]byte{0, 0}, uint16(f.Pending)))
	}
	if f.Busy > 0 {
		f.Busy--
		c.reply(statusBusy, code+1, id, nil)
		return nil
	}
	status, answer := c.execute(code, data)
	if le.Uint16(packet[4:])&flagAck != 0 {
		c.reply(status, code+1, id, answer)
	}
	return nil
}

// reply queues an acknowledgement.
func (c *Camera) reply(status, code, id uint16, data []byte) {
	le := binary.LittleEndian
	p := le.AppendUint32(nil, prefixControl)
	p = le.AppendUint16(p, status)
	p = le.AppendUint16(p, code)
	p = le.AppendUint16(p, uint16(len(data)))
	p = le.AppendUint16(p, id)
	c.answers = append(c.answers, answer{packet: append(p, data...)})
}

// execute does what a command says.
func (c *Camera) execute(code uint16, data []byte) (status uint16, answer []byte) {
	le := binary.LittleEndian
	switch code {
	case commandRead:
		if len(data) != 12 {
			return statusHeader, nil
		}
		address, n := le.Uint64(data), int(le.Uint16(data[10:]))
		switch {
		case n == 0 || n > mostAck-12:
			return statusInvalidParam, nil
		case address%4 != 0 || n%4 != 0 && address < addressXML:
			return statusBadAlignment, nil
		}
		answer, ok := c.memory.read(address, n)
		if !ok {
			return statusInvalidAddress, nil
		}
		return statusOK, answer
	case commandWrite:
		if len(data) <= 8 || len(data) > mostCommand-12 {
			return statusHeader, nil
		}
		address := le.Uint64(data)
		if address%4 != 0 || len(data)%4 != 0 {
			return statusBadAlignment, nil
		}
		status := c.write(address, data[8:])
		return status, le.AppendUint16([]byte{0, 0}, uint16(len(data)-8))
	}
	return statusNotImplemented, nil
}

// Answer gives the host what the control interface has for it, at most n bytes.
func (c *Camera) Answer(ctx context.Context, n int) (data []byte, err error) {
	err2 := c.await(ctx, func() bool {
		if len(c.answers) == 0 {
			return false
		}
		data = c.answers[0].packet
		c.answers = c.answers[1:]
		return true
	})
	if err2 != nil {
		return nil, err2
	}
	return data[:min(n, len(data))], nil
}
