package usbip

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Messages of USB/IP once a device is attached. Everything is big endian but the setup packet,
// which is as on the bus.
const (
	submit      = 1
	unlink      = 2
	submitted   = 3
	unlinked    = 4
	messageSize = 48
)

// maxTransfer bounds what a message may carry; the kernel's transfers are far smaller.
const maxTransfer = 16 << 20

// request is a message of the kernel.
type request struct {
	command  uint32 // submit or unlink
	number   uint32
	endpoint uint32
	in       bool
	length   int    // of the transfer
	setup    Setup  // of endpoint 0
	victim   uint32 // the number of the request that unlink takes back
	out      []byte // what the host sends
}

// readRequest reads a message. io.EOF is the end of the conversation.
func readRequest(r io.Reader) (request, error) {
	var m [messageSize]byte
	if _, err := io.ReadFull(r, m[:]); err != nil {
		return request{}, err
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(m[4*i:]) }
	q := request{command: word(0), number: word(1), in: word(3) != 0, endpoint: word(4)}
	switch q.command {
	case unlink:
		q.victim = word(5)
		return q, nil
	case submit:
	default:
		return request{}, fmt.Errorf("cannot answer the kernel: command %d is unknown", q.command)
	}
	if packets := word(8); packets != 0 && packets != 0xffffffff {
		return request{}, fmt.Errorf("cannot answer the kernel: isochronous transfers are not done")
	}
	if q.endpoint > 15 {
		return request{}, fmt.Errorf("cannot answer the kernel: there is no endpoint %d", q.endpoint)
	}
	if word(6) > maxTransfer {
		return request{}, fmt.Errorf("cannot answer the kernel: a transfer of %d bytes is longer than %d", word(6), maxTransfer)
	}
	q.length = int(word(6))
	s := m[40:]
	q.setup = Setup{s[0], s[1], binary.LittleEndian.Uint16(s[2:]), binary.LittleEndian.Uint16(s[4:]), binary.LittleEndian.Uint16(s[6:])}
	if !q.in {
		q.out = make([]byte, q.length)
		if _, err := io.ReadFull(r, q.out); err != nil {
			return request{}, fmt.Errorf("cannot read what the kernel sends: %w", err)
		}
	}
	return q, nil
}

// appendReply appends the answer to a request: its status, 0 or a negative error number, and
// how much was transferred, with the data if it went to the host.
func appendReply(b []byte, command, number uint32, status int32, transferred int, in []byte) []byte {
	var m [messageSize]byte
	for i, v := range []uint32{command, number, 0, 0, 0, uint32(status), uint32(transferred)} {
		binary.BigEndian.PutUint32(m[4*i:], v)
	}
	return append(append(b, m[:]...), in...)
}
