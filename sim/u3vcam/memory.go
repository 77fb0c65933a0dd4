package u3vcam

import (
	"encoding/binary"
	"math"
	"time"
)

// Where things are in the camera's memory.
const (
	addressSBRM     = 0x10000
	addressSIRM     = 0x20000
	addressManifest = 0x30000
	addressFeatures = 0x40000
	addressXML      = 0x100000
)

// The largest packets.
const (
	mostCommand = 280
	mostAck     = 536
)

// alignment is what the sizes of transfers are multiples of, as a power of two.
const alignment = 10

// memory is the camera's memory.
type memory struct {
	config   Config
	abrm     [0x250]byte
	sbrm     [0x44]byte
	sirm     [0x30]byte
	manifest [8 + 64]byte
	features [featuresEnd]byte
	xml      []byte
}

func (m *memory) reset(c Config) {
	m.config = c
	le := binary.LittleEndian
	le.PutUint32(m.abrm[0x000:], 1<<16|2) // GenCP 1.2
	copy(m.abrm[0x004:], c.Vendor)
	copy(m.abrm[0x044:], c.Model)
	copy(m.abrm[0x144:], c.Serial)
	le.PutUint64(m.abrm[0x1C4:], 1<<3|1<<9|1<<11) // time, SBRM, written length
	le.PutUint32(m.abrm[0x1CC:], 200)             // ms
	le.PutUint64(m.abrm[0x1D0:], addressManifest)
	le.PutUint64(m.abrm[0x1D8:], addressSBRM)
	le.PutUint64(m.abrm[0x1FC:], 1)

	le.PutUint32(m.sbrm[0x00:], 1<<16|1) // USB3 Vision 1.1
	le.PutUint64(m.sbrm[0x04:], 1)       // SIRM
	le.PutUint32(m.sbrm[0x14:], mostCommand)
	le.PutUint32(m.sbrm[0x18:], mostAck)
	le.PutUint32(m.sbrm[0x1C:], 1)
	le.PutUint64(m.sbrm[0x20:], addressSIRM)
	le.PutUint32(m.sbrm[0x28:], uint32(len(m.sirm)))
	le.PutUint32(m.sbrm[0x40:], 1<<3) // SuperSpeed

	le.PutUint32(m.sirm[0x00:], alignment<<24)

	m.xml = description(c)
	le.PutUint64(m.manifest[0:], 1)
	le.PutUint32(m.manifest[8:], 1<<24)             // version 1.0.0
	le.PutUint32(m.manifest[12:], 1<<24|1<<16|0<<0) // schema 1.1, plain, of the device
	le.PutUint64(m.manifest[16:], addressXML)
	le.PutUint64(m.manifest[24:], uint64(len(m.xml)))

	m.resetFeatures()
}

// region finds the memory behind an address.
func (m *memory) region(address uint64, n int) []byte {
	for _, r := range []struct {
		at    uint64
		bytes []byte
	}{
		{0, m.abrm[:]}, {addressSBRM, m.sbrm[:]}, {addressSIRM, m.sirm[:]}, {addressManifest, m.manifest[:]},
		{addressFeatures, m.features[:]}, {addressXML, m.xml},
	} {
		if address >= r.at && address-r.at < uint64(len(r.bytes)) && uint64(n) <= uint64(len(r.bytes))-(address-r.at) {
			return r.bytes[address-r.at:][:n]
		}
	}
	return nil
}

func (m *memory) read(address uint64, n int) ([]byte, bool) {
	m.derive()
	r := m.region(address, n)
	return append([]byte(nil), r...), r != nil
}

// derive sets the registers that follow from others.
func (m *memory) derive() {
	le := binary.LittleEndian
	size := m.payload()
	le.PutUint64(m.sirm[0x08:], uint64(size))
	le.PutUint32(m.sirm[0x10:], leaderSize)
	le.PutUint32(m.sirm[0x14:], trailerSize)
	m.set(featurePayloadSize, uint32(size))
}

func (m *memory) get(feature int) uint32    { return binary.LittleEndian.Uint32(m.features[feature:]) }
func (m *memory) set(feature int, x uint32) { binary.LittleEndian.PutUint32(m.features[feature:], x) }
func (m *memory) float(feature int) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(m.features[feature:]))
}
func (m *memory) setFloat(feature int, x float64) {
	binary.LittleEndian.PutUint64(m.features[feature:], math.Float64bits(x))
}

// payload is the bytes of a frame.
func (m *memory) payload() int {
	pixels := int(m.get(featureWidth) * m.get(featureHeight))
	return (pixels*int(m.get(featurePixelFormat)>>16&0xff) + 7) / 8
}

// settings is how frames are taken.
func (m *memory) settings() Settings {
	s := Settings{
		U: int(m.get(featureOffsetX)), V: int(m.get(featureOffsetY)), Width: int(m.get(featureWidth)), Height: int(m.get(featureHeight)),
		BitDepth: 8, Exposure: time.Duration(m.float(featureExposureTime) * 1000), Triggered: m.triggered(),
	}
	switch m.get(featurePixelFormat) {
	case mono12:
		s.BitDepth = 12
	case mono12p:
		s.BitDepth, s.Packed = 12, true
	}
	return s
}

func (m *memory) triggered() bool { return m.get(featureTriggerMode) == 1 }

// count lets the counter see an event.
func (m *memory) count(event uint32) {
	if m.get(featureCounterEventSource) == event {
		m.set(featureCounterValue, m.get(featureCounterValue)+1)
	}
}

// write writes registers, and does what that causes.
func (c *Camera) write(address uint64, data []byte) uint16 {
	m := &c.memory
	r := m.region(address, len(data))
	switch {
	case r == nil:
		return statusInvalidAddress
	case c.faults.Stuck != 0 && address == c.faults.Stuck:
		return statusOK
	case address >= addressSIRM && address < addressSIRM+uint64(len(m.sirm)):
		return c.writeStream(int(address-addressSIRM), r, data)
	case address >= addressFeatures && address < addressFeatures+featuresEnd:
		return c.writeFeature(int(address-addressFeatures), r, data)
	}
	return statusWriteProtect
}

// writeStream writes a register of the stream.
func (c *Camera) writeStream(at int, r, data []byte) uint16 {
	le := binary.LittleEndian
	m := &c.memory
	m.derive()
	switch {
	case at < 0x04 || at > 0x04 && at < 0x18:
		return statusWriteProtect
	case at == 0x04 && len(data) == 4:
		on := le.Uint32(data)&1 != 0
		if on && !m.consistent() {
			return statusInconsistent
		}
		copy(r, data)
		if !on {
			c.sending, c.stalled = nil, false
		}
		return statusOK
	case le.Uint32(m.sirm[0x04:])&1 != 0:
		return statusAccessDenied // while it sends
	}
	copy(r, data)
	return statusOK
}

// consistent tells whether frames fit into the transfers that the host takes.
func (m *memory) consistent() bool {
	le := binary.LittleEndian
	word := func(at int) int { return int(le.Uint32(m.sirm[at:])) }
	room := 0
	for _, at := range []int{0x1C, 0x24, 0x28} {
		if word(at)%(1<<alignment) != 0 {
			return false
		}
		room += word(at) * map[int]int{0x1C: word(0x20), 0x24: 1, 0x28: 1}[at]
	}
	return word(0x18) >= leaderSize && word(0x2C) >= trailerSize && room >= m.payload()
}

// streams tells whether frames are sent.
func (m *memory) streams() bool { return binary.LittleEndian.Uint32(m.sirm[0x04:])&1 != 0 }
