package gige

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/light-in-the-loop/opu/camera"
)

// controlPort is the UDP port of every camera.
const controlPort = 3956

// Commands; the answer to each has the next number.
const (
	discoveryCommand = 0x0002
	resendCommand    = 0x0040 // has no answer
	readRegCommand   = 0x0080
	writeRegCommand  = 0x0082
	readMemCommand   = 0x0084
	writeMemCommand  = 0x0086
	pendingAnswer    = 0x0089 // the answer will take longer
)

// Flags of a command.
const (
	wantAnswer     = 0x01
	allowBroadcast = 0x10 // of discovery: the answer may be a broadcast
	extendedIDs    = 0x10 // of resending: the block number has 64 bits
)

const (
	headerLength = 8
	// maxMemory is what one READMEM or WRITEMEM carries.
	maxMemory = 512
	// maxControl is the largest packet of control.
	maxControl = 576
)

// Registers that every camera has (bootstrap registers).
const (
	regURLs         = 0x200 // two of 512 bytes
	regCapability   = 0x934
	regHeartbeat    = 0x938 // ms
	regTickRateHigh = 0x93C // ticks in a second
	regTickRateLow  = 0x940
	regPrivilege    = 0xA00 // control channel privilege
	regStreamPort   = 0xD00
	regPacketSize   = 0xD04
	regStreamAddr   = 0xD18
)

const (
	urlLength = 512

	canWriteMemory = 1 << 1 // of regCapability
	canResend      = 1 << 2

	privilegeControl = 1 << 1
	privilegeAny     = 3 // exclusive, or control

	fireTestPacket = 1 << 31 // of regPacketSize
	doNotFragment  = 1 << 30
)

// Status is what a camera answers that did not do what it was told.
type Status uint16

var statusNames = map[Status]string{
	0x8001: "not implemented", 0x8002: "invalid parameter", 0x8003: "invalid address", 0x8004: "write-protected",
	0x8005: "bad alignment", 0x8006: "access denied", 0x8007: "busy", 0x8008: "local problem", 0x8009: "message mismatch",
	0x800A: "invalid protocol", 0x800B: "no message", 0x800C: "packet unavailable", 0x800D: "data overrun", 0x800E: "invalid header",
	0x800F: "wrong configuration", 0x8010: "packet not yet available", 0x8011: "packet and its predecessors no longer in memory",
	0x8012: "packet no longer in memory", 0x8013: "no reference time", 0x8014: "packet temporarily unavailable", 0x8015: "overflow",
	0x8016: "action late", 0x8017: "leader or trailer too large", 0x8FFF: "error",
}

const (
	statusAccessDenied = 0x8006
	statusBusy         = 0x8007
)

func (s Status) Error() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status %#04x", uint16(s))
}

// Is makes a status a refusal.
func (s Status) Is(target error) bool { return target == camera.ErrRefused }

// appendCommand appends a packet of control.
func appendCommand(to []byte, flags byte, command, id uint16, body ...byte) []byte {
	to = append(to, 0x42, flags)
	to = binary.BigEndian.AppendUint16(to, command)
	to = binary.BigEndian.AppendUint16(to, uint16(len(body)))
	to = binary.BigEndian.AppendUint16(to, id)
	return append(to, body...)
}

// An answer is a camera's packet of control.
type answer struct {
	status Status // 0: done
	code   uint16
	id     uint16
	body   []byte // of the packet that was parsed
}

var errShort = errors.New("it is cut off")

// parseAnswer reads a packet. What is behind the length that it tells is ignored.
func parseAnswer(packet []byte) (answer, error) {
	if len(packet) < headerLength {
		return answer{}, errShort
	}
	a := answer{
		status: Status(binary.BigEndian.Uint16(packet)),
		code:   binary.BigEndian.Uint16(packet[2:]),
		id:     binary.BigEndian.Uint16(packet[6:]),
	}
	n := int(binary.BigEndian.Uint16(packet[4:]))
	if len(packet) < headerLength+n {
		return answer{}, errShort
	}
	a.body = packet[headerLength : headerLength+n]
	return a, nil
}
