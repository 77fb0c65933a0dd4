package gige

import (
	"encoding/binary"
	"fmt"

	"github.com/light-in-the-loop/opu/camera/genicam"
)

// What a packet of the stream carries.
const (
	contentLeader  = 1
	contentTrailer = 2
	contentPayload = 3
)

const (
	shortHeader    = 8
	extendedHeader = 20
	extendedFlag   = 1 << 31

	// networkHeaders are those of IP and UDP, which a packet size counts.
	networkHeaders = 20 + 8

	leaderLength  = 36
	trailerLength = 8

	payloadImage = 1
	payloadKind  = 0x3fff // without the bits of what is appended
)

// A packet of the stream.
type packet struct {
	status   Status
	extended bool
	content  byte
	block    uint64 // number of the frame, from 1 on; 0 is never used
	id       uint32 // number within the frame: the leader has 0
	body     []byte
}

// parsePacket reads a packet. The body is that of data.
func parsePacket(data []byte) (packet, error) {
	if len(data) < shortHeader {
		return packet{}, errShort
	}
	word := binary.BigEndian.Uint32(data[4:])
	p := packet{
		status:   Status(binary.BigEndian.Uint16(data)),
		extended: word&extendedFlag != 0,
		content:  byte(word >> 24 & 0x7f),
		block:    uint64(binary.BigEndian.Uint16(data[2:])),
		id:       word & 0xffffff,
		body:     data[shortHeader:],
	}
	if p.extended {
		if len(data) < extendedHeader {
			return packet{}, errShort
		}
		p.block, p.id, p.body = binary.BigEndian.Uint64(data[8:]), binary.BigEndian.Uint32(data[16:]), data[extendedHeader:]
	}
	if p.block == 0 {
		return packet{}, fmt.Errorf("frame 0 is none")
	}
	return p, nil
}

// header is how long the headers of a stream's packets are.
func header(extended bool) int {
	if extended {
		return networkHeaders + extendedHeader
	}
	return networkHeaders + shortHeader
}

// A leader says what the frame will be.
type leader struct {
	kind          uint16
	ticks         uint64
	format        genicam.Format
	width, height uint32
	paddingX      uint16 // bytes at the end of each row
}

func parseLeader(body []byte) (leader, error) {
	if len(body) < leaderLength {
		return leader{}, errShort
	}
	return leader{
		kind:   binary.BigEndian.Uint16(body[2:]) & payloadKind,
		ticks:  binary.BigEndian.Uint64(body[4:]),
		format: genicam.Format(binary.BigEndian.Uint32(body[12:])),
		width:  binary.BigEndian.Uint32(body[16:]), height: binary.BigEndian.Uint32(body[20:]),
		paddingX: binary.BigEndian.Uint16(body[32:]),
	}, nil
}

// parseTrailer returns how many rows came.
func parseTrailer(body []byte) (rows uint32, err error) {
	if len(body) < trailerLength {
		return 0, errShort
	}
	return binary.BigEndian.Uint32(body[4:]), nil
}

// is says whether the frame is what was asked for.
func (l leader) is(image genicam.Image) bool {
	return l.kind == payloadImage && l.format == image.Format && l.paddingX == 0 && l.width == uint32(image.Width) && l.height == uint32(image.Height)
}

// A gap is a range of packets of a frame that did not come.
type gap struct {
	block       uint64
	extended    bool
	first, last uint32
}

// appendResend appends the body of the command that asks for a gap, and returns its flags.
func (g gap) appendResend(to []byte) (body []byte, flags byte) {
	to = binary.BigEndian.AppendUint16(to, 0) // channel
	if !g.extended {
		to = binary.BigEndian.AppendUint16(to, uint16(g.block))
	} else {
		to = binary.BigEndian.AppendUint16(to, 0)
		flags = extendedIDs
	}
	to = binary.BigEndian.AppendUint32(to, g.first)
	to = binary.BigEndian.AppendUint32(to, g.last)
	if g.extended {
		to = binary.BigEndian.AppendUint64(to, g.block)
	}
	return to, flags
}
