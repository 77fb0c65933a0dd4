// Package wire is what a program and its GenTL helper say to each other.
//
// There are three descriptors. Over the first go requests and replies, one JSON object
// a line, strictly in turn: what a person may read in a trace, and nothing that happens
// once per frame. Over the second, a socket that keeps messages apart, go records of
// frames to the program and releases of buffers to the helper, of fixed size and without
// allocation. The third is the memory that the frames are in.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version of what is said. A helper of another version is refused.
const Version = 1

// The descriptors that a helper is started with.
const (
	ControlFD = 3 + iota
	FramesFD
	MemoryFD
)

// Variable is set for a helper, to Version: a person who starts it by hand is told what it is.
const Variable = "OPU_GENTL_VERSION"

// What a request asks for.
const (
	Load    = "load"    // Path; answers Producer
	List    = "list"    // answers Devices
	Open    = "open"    // Interface, Device; answers Opened
	URLs    = "urls"    // Port; answers URLs
	Read    = "read"    // Port, Address, Size; answers Data, which may be shorter
	Write   = "write"   // Port, Address, Data
	Payload = "payload" // answers Payload
	Start   = "start"   // Run, Buffers, Size; the buffers lie Size apart from the start of the memory
	Stop    = "stop"    // answers Counts
)

// The modules of a device that have registers.
const (
	Remote = "camera" // the camera itself
	Device = "device"
	Stream = "stream"
	Link   = "interface"
	System = "system"
)

// Request is a line to the helper.
type Request struct {
	ID        uint64 `json:"id"`
	Do        string `json:"do"`
	Path      string `json:"path,omitempty"`
	Interface string `json:"interface,omitempty"`
	Device    string `json:"device,omitempty"`
	Port      string `json:"port,omitempty"`
	Address   uint64 `json:"address,omitempty"`
	Data      []byte `json:"data,omitempty"`
	Size      int    `json:"size,omitempty"`
	Buffers   int    `json:"buffers,omitempty"`
	Run       uint32 `json:"run,omitempty"`
}

// Reply is a line from the helper. Code is that of the producer, 0 if all went well.
type Reply struct {
	ID       uint64     `json:"id"`
	Code     int32      `json:"code,omitempty"`
	Error    string     `json:"error,omitempty"`
	Producer *Producer  `json:"producer,omitempty"`
	Devices  []Found    `json:"devices,omitempty"`
	Notes    []string   `json:"notes,omitempty"` // what could not be looked at
	Opened   *Opened    `json:"opened,omitempty"`
	URLs     []string   `json:"urls,omitempty"`
	Data     []byte     `json:"data,omitempty"`
	Payload  *NeedsSize `json:"payload,omitempty"`
	Counts   *Counts    `json:"counts,omitempty"`
}

// Producer is what a library says of itself.
type Producer struct {
	Vendor, Model, Version, Type string
	Major, Minor                 int // of GenTL; 0 if it does not say
}

// Found is a device that an interface lists.
type Found struct {
	Interface, Device           string // ids
	InterfaceName, Type         string
	Vendor, Model, Serial, User string
	Access                      int // 0 unknown, 1 free, 2 to read, 3 none, 4 busy, 5 and 6 open
}

// Opened is what is known of a device once it is open.
type Opened struct {
	TicksPerSecond uint64 // of time stamps; 0 if it does not say
	Type           string // of the transport layer: GEV, U3V, CXP ...
	Shared         bool   // another program may read its registers
}

// NeedsSize is what the buffers of a stream must be.
type NeedsSize struct {
	Size      uint64 // bytes; 0: the stream does not say
	Least     int    // buffers to announce
	Alignment int    // bytes; 0: it does not say
}

// Counts are those of a stream since it began; Known tells which it keeps.
type Counts struct {
	Started, Delivered, Underrun uint64
	Known                        bool
}

// Kinds of records.
const (
	Frame  = 1 // a frame, or one part of a buffer with several
	Failed = 2 // the stream will give no more; Code says why
	Ended  = 3 // the run was stopped; no record of it follows
)

// Flags of a frame.
const (
	Incomplete  = 1 << iota
	TooLarge    // there was more than the buffer holds
	Nanoseconds // Time is in ns, not in ticks
	HasID
	NotImage // the part holds something else
)

// Record tells of a frame.
type Record struct {
	Kind          uint32
	Run           uint32
	Buffer        uint32
	Part, Parts   uint16 // of the buffer, from 0; Parts is at least 1
	Flags         uint32
	Code          int32
	ID            uint64
	Time          uint64
	Offset        uint64 // of the first pixel in the buffer
	Filled        uint64 // bytes from there on
	Width, Height uint32 // 0: unknown
	Format        uint64
	Namespace     uint32 // 1 GEV, 3 and 4 PFNC in 16 and 32 bits
	PadX          uint32 // bytes after each row
}

// RecordSize is the bytes of a record.
const RecordSize = 80

// ErrRecord is wrapped by errors of Decode.
var ErrRecord = errors.New("bad record")

// Encode writes a record into b, which must hold RecordSize bytes.
func (r *Record) Encode(b []byte) {
	le := binary.LittleEndian
	_ = b[RecordSize-1]
	le.PutUint32(b, r.Kind)
	le.PutUint32(b[4:], r.Run)
	le.PutUint32(b[8:], r.Buffer)
	le.PutUint16(b[12:], r.Part)
	le.PutUint16(b[14:], r.Parts)
	le.PutUint32(b[16:], r.Flags)
	le.PutUint32(b[20:], uint32(r.Code))
	le.PutUint64(b[24:], r.ID)
	le.PutUint64(b[32:], r.Time)
	le.PutUint64(b[40:], r.Offset)
	le.PutUint64(b[48:], r.Filled)
	le.PutUint32(b[56:], r.Width)
	le.PutUint32(b[60:], r.Height)
	le.PutUint64(b[64:], r.Format)
	le.PutUint32(b[72:], r.Namespace)
	le.PutUint32(b[76:], r.PadX)
}

// Decode reads a record.
func (r *Record) Decode(b []byte) error {
	if len(b) != RecordSize {
		return fmt.Errorf("cannot read a record of %d bytes, they have %d: %w", len(b), RecordSize, ErrRecord)
	}
	le := binary.LittleEndian
	*r = Record{
		Kind: le.Uint32(b), Run: le.Uint32(b[4:]), Buffer: le.Uint32(b[8:]),
		Part: le.Uint16(b[12:]), Parts: le.Uint16(b[14:]), Flags: le.Uint32(b[16:]), Code: int32(le.Uint32(b[20:])),
		ID: le.Uint64(b[24:]), Time: le.Uint64(b[32:]), Offset: le.Uint64(b[40:]), Filled: le.Uint64(b[48:]),
		Width: le.Uint32(b[56:]), Height: le.Uint32(b[60:]), Format: le.Uint64(b[64:]),
		Namespace: le.Uint32(b[72:]), PadX: le.Uint32(b[76:]),
	}
	switch {
	case r.Kind < Frame || r.Kind > Ended:
		return fmt.Errorf("cannot read a record of kind %d: %w", r.Kind, ErrRecord)
	case r.Kind == Frame && r.Part >= r.Parts:
		return fmt.Errorf("cannot read a record of part %d of %d: %w", r.Part, r.Parts, ErrRecord)
	}
	return nil
}

// ReleaseSize is the bytes of a release.
const ReleaseSize = 8

// EncodeRelease gives a buffer of a run back to the helper.
func EncodeRelease(b []byte, run, buffer uint32) {
	_ = b[ReleaseSize-1]
	binary.LittleEndian.PutUint32(b, run)
	binary.LittleEndian.PutUint32(b[4:], buffer)
}

// DecodeRelease reads one; ok is false if it is none.
func DecodeRelease(b []byte) (run, buffer uint32, ok bool) {
	if len(b) != ReleaseSize {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), true
}
