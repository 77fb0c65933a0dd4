package dlpc900

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// USB identity (DLPU018F, USB communication; DLPU018J the same).
const (
	VendorID  = 0x0451
	ProductID = 0xC900
)

// ReportSize is the length of a HID report in either direction, in bytes. Reports have
// no number.
const ReportSize = 64

// Layout of a message (DLPU018F and J, USB transaction sequence): flags, sequence
// number, length of what follows the header, then the command and its data, all
// little-endian, padded with zeros to whole reports. Only the first report has the header.
const (
	headerSize  = 4
	commandSize = 2
	bufferSize  = 512 // of the controller, for both directions, header included
	maxData     = bufferSize - headerSize - commandSize
	maxReply    = ReportSize - headerSize // a reply's first report; TI's program reads no more either
)

// Flags of the first byte. Destination 0, the projector's control, is the only one used.
const (
	flagRead  = 0x80
	flagReply = 0x40
	flagError = 0x20 // in replies: the command failed or is unknown
)

// mode says whether a command answers, and with what.
type mode byte

const (
	silent       mode = 0                    // a write without reply
	acknowledged mode = flagReply            // a write with an empty reply
	read         mode = flagRead | flagReply // a read
)

// command is a command code (DLPU018F, command tables).
type command uint16

const (
	cmdErrorCode      command = 0x0100
	cmdErrorText      command = 0x0101
	cmdPower          command = 0x0200
	cmdIdle           command = 0x0201
	cmdVersions       command = 0x0205
	cmdIdentity       command = 0x0206
	cmdPark           command = 0x0609
	cmdHardware       command = 0x1A0A
	cmdSystem         command = 0x1A0B
	cmdMain           command = 0x1A0C
	cmdMode           command = 0x1A1B
	cmdTriggerOut1    command = 0x1A1D
	cmdTriggerOut2    command = 0x1A1E
	cmdRun            command = 0x1A24
	cmdInit1          command = 0x1A2A
	cmdData1          command = 0x1A2B
	cmdInit2          command = 0x1A2C
	cmdData2          command = 0x1A2D
	cmdInvert         command = 0x1A30
	cmdConfigure      command = 0x1A31
	cmdReorder        command = 0x1A32
	cmdDefine         command = 0x1A34
	cmdTriggerIn1     command = 0x1A35
	cmdTriggerIn2     command = 0x1A36
	cmdBlocks         command = 0x1A40
	cmdMinExposures   command = 0x1A42
	cmdConnectionFlaw command = 0x1A49
)

var commandNames = map[command]string{
	cmdErrorCode: "error code", cmdErrorText: "error text", cmdPower: "power mode", cmdIdle: "idle mode",
	cmdVersions: "versions", cmdIdentity: "DMD type and firmware", cmdPark: "park", cmdHardware: "hardware status",
	cmdSystem: "system status", cmdMain: "main status", cmdMode: "display mode", cmdTriggerOut1: "trigger output 1",
	cmdTriggerOut2: "trigger output 2", cmdRun: "start or stop", cmdInit1: "begin of an image", cmdData1: "data of an image",
	cmdInit2: "begin of an image, second controller", cmdData2: "data of an image, second controller",
	cmdInvert: "inversion", cmdConfigure: "configuration of the LUT", cmdReorder: "order of the LUT", cmdDefine: "entry of the LUT",
	cmdTriggerIn1: "trigger input 1", cmdTriggerIn2: "trigger input 2", cmdBlocks: "active blocks",
	cmdMinExposures: "shortest exposures", cmdConnectionFlaw: "connection of the DMD",
}

func (c command) String() string {
	if name := commandNames[c]; name != "" {
		return fmt.Sprintf("0x%04X (%s)", uint16(c), name)
	}
	return fmt.Sprintf("0x%04X", uint16(c))
}

// appendMessage appends a command in whole reports. Data beyond maxData would not fit into
// the controller's buffer and panics: callers cut it.
func appendMessage(dst []byte, m mode, seq byte, c command, data ...[]byte) []byte {
	n := 0
	for _, d := range data {
		n += len(d)
	}
	if n > maxData {
		panic(fmt.Sprintf("dlpc900: %d bytes of data for command %v exceed the %d of the controller's buffer", n, c, maxData))
	}
	start := len(dst)
	dst = append(dst, byte(m), seq)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(commandSize+n))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(c))
	for _, d := range data {
		dst = append(dst, d...)
	}
	if over := (len(dst) - start) % ReportSize; over != 0 {
		dst = append(dst, make([]byte, ReportSize-over)...)
	}
	return dst
}

// errStray is a report that answers some other command: an older one, mostly.
var errStray = errors.New("a reply to another command")

// errFailed is the error bit of a reply; 0x0100 knows more.
var errFailed = errors.New("the command failed")

// parseReply returns the data of a reply to the command with the flags and sequence number
// given; they alias the report. A reply does not repeat the command's code. Longer data than
// one report holds are cut, as TI's own program does (only 0x0101 has such).
func parseReply(report []byte, m mode, seq byte) ([]byte, error) {
	if len(report) != ReportSize {
		return nil, fmt.Errorf("a report of %d bytes instead of %d", len(report), ReportSize)
	}
	if report[1] != seq || report[0]&^flagError != byte(m) {
		return nil, errStray
	}
	if report[0]&flagError != 0 {
		return nil, errFailed
	}
	n := int(binary.LittleEndian.Uint16(report[2:]))
	if n > bufferSize-headerSize {
		return nil, fmt.Errorf("a reply that claims %d bytes, more than the controller's buffer", n)
	}
	return report[headerSize : headerSize+min(n, maxReply)], nil
}
