package gigecam

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// What can be asked of a camera, by number; the answer to each has the next number.
const (
	opDiscovery = 0x0002
	opResend    = 0x0040
	opReadReg   = 0x0080
	opWriteReg  = 0x0082
	opReadMem   = 0x0084
	opWriteMem  = 0x0086
)

// handle answers one question. It returns nothing where no answer is wanted.
func (c *Camera) handle(from netip.AddrPort, message []byte) []byte {
	if len(message) < 8 || message[0] != 0x42 {
		return nil
	}
	flags, op := message[1], binary.BigEndian.Uint16(message[2:])
	n, id := int(binary.BigEndian.Uint16(message[4:])), binary.BigEndian.Uint16(message[6:])
	if len(message) < 8+n || id == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Commands++
	if from == c.master {
		c.heard = time.Now()
	}
	status, body := c.perform(from, op, flags, message[8:8+n])
	if flags&1 == 0 || op == opResend {
		return nil
	}
	answer := binary.BigEndian.AppendUint16(nil, status)
	answer = binary.BigEndian.AppendUint16(answer, op+1)
	answer = binary.BigEndian.AppendUint16(answer, uint16(len(body)))
	answer = binary.BigEndian.AppendUint16(answer, id)
	return append(answer, body...)
}

// perform does what a message asks for.
func (c *Camera) perform(from netip.AddrPort, op uint16, flags byte, body []byte) (status uint16, answer []byte) {
	word := func(i int) uint32 { return binary.BigEndian.Uint32(body[4*i:]) }
	switch {
	case op == opDiscovery && len(body) == 0:
		for address := uint32(0); address < 0xF8; address += 4 {
			answer = binary.BigEndian.AppendUint32(answer, c.memory[address])
		}
		return good, answer
	case op == opReadReg && len(body) >= 4 && len(body)%4 == 0:
		for i := range len(body) / 4 {
			value, status := c.read(word(i))
			if status != good {
				return status, nil
			}
			answer = binary.BigEndian.AppendUint32(answer, value)
		}
		return good, answer
	case op == opWriteReg && len(body) >= 8 && len(body)%8 == 0:
		for i := range len(body) / 8 {
			if status := c.change(from, word(2*i), word(2*i+1)); status != good {
				return status, []byte{0, 0, byte(i >> 8), byte(i)}
			}
		}
		return good, []byte{0, 0, 0, byte(len(body) / 8)}
	case op == opReadMem && len(body) == 8:
		address, n := word(0), int(binary.BigEndian.Uint16(body[6:]))
		if n == 0 || n > 512 || n%4 != 0 {
			return badAlignment, nil
		}
		answer = binary.BigEndian.AppendUint32(nil, address)
		for i := 0; i < n; i += 4 {
			value, status := c.read(address + uint32(i))
			if status != good {
				return status, nil
			}
			answer = binary.BigEndian.AppendUint32(answer, value)
		}
		return good, answer
	case op == opWriteMem && len(body) > 4 && len(body)%4 == 0 && len(body) <= 4+512:
		for i := 1; i < len(body)/4; i++ {
			if status := c.change(from, word(0)+uint32(4*(i-1)), word(i)); status != good {
				return status, []byte{0, 0, byte(4 * (i - 1) >> 8), byte(4 * (i - 1))}
			}
		}
		n := len(body) - 4
		return good, []byte{0, 0, byte(n >> 8), byte(n)}
	case op == opResend && from.Addr() == c.master.Addr(): // it may come from the port of the stream
		c.resend(flags, body)
		return good, nil
	case op == opDiscovery || op == opReadReg || op == opWriteReg || op == opReadMem || op == opWriteMem || op == opResend:
		return invalidParameter, nil
	}
	return notImplemented, nil
}

// change writes a word, if whoever asks is the master, or becomes it.
func (c *Camera) change(from netip.AddrPort, address, value uint32) uint16 {
	mine := c.master == from
	if address == regPrivilege {
		switch {
		case c.master.IsValid() && !mine:
			return accessDenied
		case value&3 == 0:
			c.dropMaster()
		default:
			c.master, c.heard = from, time.Now()
			c.memory[regPrivilege] = value
		}
		return good
	}
	if !mine {
		return accessDenied
	}
	return c.write(address, value)
}

// dropMaster forgets who the master is; without one nothing streams.
func (c *Camera) dropMaster() {
	c.stop()
	c.master = netip.AddrPort{}
	c.memory[regPrivilege], c.memory[regStreamPort], c.memory[addrLocked] = 0, 0, 0
}
