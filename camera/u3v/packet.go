package u3v

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/light-in-the-loop/opu/camera"
)

// Packets begin with one of these, read as little endian: "U3VC", "U3VL", "U3VT".
const (
	magicControl = 0x43563355
	magicLeader  = 0x4C563355
	magicTrailer = 0x54563355
)

// Commands of GenCP, and what acknowledges them.
const (
	readMem     = 0x0800
	readMemAck  = 0x0801
	writeMem    = 0x0802
	writeMemAck = 0x0803
	pendingAck  = 0x0805
)

const (
	headerSize   = 12     // of control packets
	wantAck      = 0x4000 // flag of commands
	addressSize  = 8
	readArgument = 12 // address, two reserved bytes, count
)

// appendCommand appends a command to b.
func appendCommand(b []byte, code, id uint16, data []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, magicControl)
	b = le.AppendUint16(b, wantAck)
	b = le.AppendUint16(b, code)
	b = le.AppendUint16(b, uint16(len(data)))
	b = le.AppendUint16(b, id)
	return append(b, data...)
}

// ack is an acknowledgement.
type ack struct {
	status status
	code   uint16
	id     uint16
	data   []byte
}

var errPacket = errors.New("bad packet")

// parseAck reads an acknowledgement; data is a part of b.
func parseAck(b []byte) (ack, error) {
	if len(b) < headerSize {
		return ack{}, fmt.Errorf("%d bytes are no acknowledgement: %w", len(b), errPacket)
	}
	le := binary.LittleEndian
	if m := le.Uint32(b); m != magicControl {
		return ack{}, fmt.Errorf("an acknowledgement begins with %08x, not with U3VC: %w", m, errPacket)
	}
	n := int(le.Uint16(b[8:]))
	if n > len(b)-headerSize {
		return ack{}, fmt.Errorf("an acknowledgement of %d bytes came with %d: %w", n, len(b)-headerSize, errPacket)
	}
	return ack{status(le.Uint16(b[4:])), le.Uint16(b[6:]), le.Uint16(b[10:]), b[headerSize : headerSize+n]}, nil
}

// status is how a command, or a frame, ended.
type status uint16

// Statuses of GenCP, and those of USB3 Vision from 0xA000 on.
var statuses = map[status]string{
	0x8001: "not implemented", 0x8002: "invalid parameter", 0x8003: "invalid address", 0x8004: "write protected",
	0x8005: "bad alignment", 0x8006: "access denied", 0x8007: "busy", 0x8008: "local problem", 0x8009: "message mismatch",
	0x800A: "invalid protocol", 0x800B: "message timed out", 0x800E: "invalid header", 0x800F: "wrong configuration", 0x8FFF: "error",
	0xA001: "resending not supported", 0xA002: "stream endpoint halted", 0xA003: "payload size not aligned",
	0xA004: "streaming registers inconsistent", 0xA005: "event endpoint halted", 0xA100: "data discarded", 0xA101: "data overrun",
}

const (
	success       status = 0
	statusBusy    status = 0x8007
	statusLost    status = 0xA100
	statusOverrun status = 0xA101
)

func (s status) String() string {
	if text, ok := statuses[s]; ok {
		return fmt.Sprintf("%s (0x%04x)", text, uint16(s))
	}
	return fmt.Sprintf("status 0x%04x", uint16(s))
}

// condition is what callers act on.
func (s status) condition() error {
	if s == 0x800A || s == 0x800E || s == 0x8009 {
		return camera.ErrProtocol
	}
	return camera.ErrRefused
}

// Sizes of the leader and the trailer of an image.
const (
	leaderSize  = 52
	trailerSize = 32
)

// leader says what follows.
type leader struct {
	id      uint64
	payload uint16 // what kind
	time    uint64 // ns
	format  uint32 // PFNC
	width   uint32
	height  uint32
	padX    uint16 // bytes after each row
}

// payloadImage is an image without anything behind it.
const payloadImage = 0x0001

// isLeader and isTrailer look at the first bytes and the size alone.
func isLeader(b []byte) bool {
	return len(b) >= leaderSize && binary.LittleEndian.Uint32(b) == magicLeader && int(binary.LittleEndian.Uint16(b[6:])) <= len(b)
}

func isTrailer(b []byte) bool {
	return len(b) >= trailerSize && binary.LittleEndian.Uint32(b) == magicTrailer && int(binary.LittleEndian.Uint16(b[6:])) <= len(b)
}

// parseLeader reads one that isLeader.
func parseLeader(b []byte) leader {
	le := binary.LittleEndian
	return leader{
		id: le.Uint64(b[8:]), payload: le.Uint16(b[18:]), time: le.Uint64(b[20:]), format: le.Uint32(b[28:]),
		width: le.Uint32(b[32:]), height: le.Uint32(b[36:]), padX: le.Uint16(b[48:]),
	}
}

// trailer says what came.
type trailer struct {
	id     uint64
	status status
	valid  uint64 // bytes
}

// parseTrailer reads one that isTrailer.
func parseTrailer(b []byte) trailer {
	le := binary.LittleEndian
	return trailer{id: le.Uint64(b[8:]), status: status(le.Uint16(b[16:])), valid: le.Uint64(b[20:])}
}
