package gigecam

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// The registers that every camera has, as far as this one needs them.
const (
	regVersion       = 0x000
	regDeviceMode    = 0x004
	regMACHigh       = 0x008
	regMACLow        = 0x00C
	regIPSupported   = 0x010
	regIPCurrent     = 0x014
	regAddress       = 0x024
	regMask          = 0x034
	regURL           = 0x200
	regInterfaces    = 0x600
	regStreams       = 0x904
	regCapability    = 0x934
	regHeartbeat     = 0x938
	regTickRateLow   = 0x940
	regTickLatch     = 0x944
	regTicksHigh     = 0x948
	regTicksLow      = 0x94C
	regPrivilege     = 0xA00
	regStreamPort    = 0xD00
	regPacketSize    = 0xD04
	regPacketDelay   = 0xD08
	regStreamAddress = 0xD18

	bootstrapEnd = 0x1000
)

// tickRate is that of the camera's clock: 8 ns.
const tickRate = 125_000_000

// Status codes of answers.
const (
	good             = 0
	notImplemented   = 0x8001
	invalidParameter = 0x8002
	invalidAddress   = 0x8003
	writeProtected   = 0x8004
	badAlignment     = 0x8005
	accessDenied     = 0x8006
	unavailable      = 0x800C
)

// A place is a range of the camera's memory.
type place struct {
	first, end uint32
	writable   bool
}

// The memory that there is, beside the description.
var places = []place{
	{0, bootstrapEnd, false},
	{regHeartbeat, regHeartbeat + 4, true}, {regTickLatch, regTickLatch + 4, true}, {regPrivilege, regPrivilege + 4, true},
	{regStreamPort, regPacketDelay + 4, true}, {regStreamAddress, regStreamAddress + 4, true},
	{addrWidth, addrPayload, true}, {addrPayload, addrExposure, false},
	{addrExposure, addrExposureMin, true}, {addrExposureMin, addrExposureMax + 8, false},
	{addrStart, addrMode + 4, true},
	{addrTrigger, addrTrigger + 0x40, true},
	{addrGainAuto, addrBlackLevel + 4, true}, {addrShutter, addrShutter + 4, false}, {addrExposureAuto, addrRateEnable + 4, true},
}

// reset gives all registers the values that they have after the power was switched on.
func (c *Camera) reset() {
	c.memory = map[uint32]uint32{}
	put := func(address, value uint32) { c.memory[address] = value }
	text := func(address uint32, s string, n int) {
		b := make([]byte, n)
		copy(b[:n-1], s)
		for i := 0; i < n; i += 4 {
			put(address+uint32(i), binary.BigEndian.Uint32(b[i:]))
		}
	}
	put(regVersion, 1<<16|2)
	if c.config.Extended {
		put(regVersion, 2<<16)
	}
	put(regDeviceMode, 1<<31|1) // big-endian, UTF-8
	put(regMACHigh, 0x0200)     // of no vendor
	put(regMACLow, 0x0A000000|uint32(c.address.As4()[3]))
	put(regIPSupported, 1<<2)
	put(regIPCurrent, 1<<2)
	a := c.address.As4()
	put(regAddress, binary.BigEndian.Uint32(a[:]))
	put(regMask, 0xFF000000)
	text(0x48, c.config.Vendor, 32)
	text(0x68, c.config.Model, 32)
	text(0x88, "1", 32)
	text(0xA8, "simulated", 48)
	text(0xD8, c.config.Serial, 16)
	text(0xE8, c.config.Name, 16)
	text(regURL, c.url(), 512)
	put(regInterfaces, 1)
	put(regStreams, 1)
	capability := uint32(1<<31 | 1<<30 | 1<<1) // names, serial, WRITEMEM
	if !c.config.NoResend {
		capability |= 1 << 2
	}
	put(regCapability, capability)
	put(regHeartbeat, uint32(c.config.Heartbeat.Milliseconds()))
	put(regTickRateLow, tickRate)
	put(regPacketSize, 1<<30|uint32(min(1400, c.config.MTU)))

	info := c.config.Sensor.Info()
	put(addrSensorWidth, uint32(info.Width))
	put(addrSensorHeight, uint32(info.Height))
	c.putFloat(addrExposureMin, float64(info.MinExposure)/1000)
	c.putFloat(addrExposureMax, float64(info.MaxExposure)/1000)
	// Factory settings, none of which is good for measurements.
	put(addrGainAuto, 2)
	put(addrGain, math.Float32bits(1))
	put(addrSwitches, 3)
	put(addrGamma, math.Float32bits(2.2))
	put(addrExposureAuto, 1)
	put(addrFrameRate, math.Float32bits(100))
	put(addrRateEnable, 1)
	if c.config.Rolling {
		put(addrShutter, 1)
	}
	c.format = c.offered()[0]
	c.remember(c.settings)
}

// offered are the pixel formats that it has.
func (c *Camera) offered() (all []pixelFormat) {
	for _, depth := range c.config.Sensor.Info().BitDepths {
		all = append(all, formats[depth]...)
	}
	return all
}

func (c *Camera) putFloat(address uint32, x float64) {
	word := math.Float64bits(x)
	c.memory[address], c.memory[address+4] = uint32(word>>32), uint32(word)
}

// remember shows the sensor's settings in the registers.
func (c *Camera) remember(s camera.Config) {
	c.settings = s
	c.memory[addrWidth], c.memory[addrHeight] = uint32(s.ROI.Width), uint32(s.ROI.Height)
	c.memory[addrOffsetX], c.memory[addrOffsetY] = uint32(s.ROI.U), uint32(s.ROI.V)
	c.memory[addrPixelFormat] = c.format.code
	c.memory[addrPayload] = uint32(c.payload())
	c.putFloat(addrExposure, float64(s.Exposure)/1000)
}

// payload is how many bytes a frame has.
func (c *Camera) payload() int {
	bits := int(c.format.code >> 16 & 0xff)
	return (c.settings.ROI.Width*c.settings.ROI.Height*bits + 7) / 8
}

// find says whether a word is in memory, and may be written.
func (c *Camera) find(address uint32) (there, writable bool) {
	if address >= addrDescription && address-addrDescription < uint32(len(c.description)+3)&^3 {
		return true, false
	}
	for _, p := range places {
		if address >= p.first && address < p.end {
			there, writable = true, writable || p.writable
		}
	}
	return there, writable
}

// read returns a word of memory.
func (c *Camera) read(address uint32) (uint32, uint16) {
	if address%4 != 0 {
		return 0, badAlignment
	}
	if there, _ := c.find(address); !there {
		return 0, invalidAddress
	}
	if address >= addrDescription {
		var word [4]byte
		copy(word[:], c.description[address-addrDescription:])
		return binary.BigEndian.Uint32(word[:]), good
	}
	return c.memory[address], good
}

// write changes a word of memory, and does what that means.
func (c *Camera) write(address, value uint32) uint16 {
	if address%4 != 0 {
		return badAlignment
	}
	there, writable := c.find(address)
	switch {
	case !there:
		return invalidAddress
	case !writable:
		return writeProtected
	}
	roi := c.settings.ROI
	switch address {
	case regHeartbeat:
		value = max(value, 100)
	case regPacketSize:
		size := value & 0xffff
		if size < 576 || size%4 != 0 {
			return invalidParameter
		}
		if value>>31 != 0 {
			c.testPacket(int(size))
			value &^= 1 << 31
		}
		value = value&^0xffff | min(size, uint32(c.config.MTU))
	case regTickLatch:
		ticks := uint64(time.Since(c.began)) / (uint64(time.Second) / tickRate)
		c.memory[regTicksHigh], c.memory[regTicksLow] = uint32(ticks>>32), uint32(ticks)
		return good
	case addrWidth:
		roi.Width = int(value)
		return c.configure(camera.Config{ROI: roi})
	case addrHeight:
		roi.Height = int(value)
		return c.configure(camera.Config{ROI: roi})
	case addrOffsetX:
		roi.U = int(value)
		return c.configure(camera.Config{ROI: roi})
	case addrOffsetY:
		roi.V = int(value)
		return c.configure(camera.Config{ROI: roi})
	case addrPixelFormat:
		return c.setFormat(value)
	case addrExposure:
		c.memory[address] = value // the other half follows
		return good
	case addrExposure + 4:
		us := math.Float64frombits(uint64(c.memory[addrExposure])<<32 | uint64(value))
		if !(us > 0 && us < 1e9) {
			return invalidParameter
		}
		return c.configure(camera.Config{Exposure: time.Duration(math.Round(us * 1000))})
	case addrStart:
		return c.start()
	case addrStop:
		c.stop()
		return good
	}
	c.memory[address] = value
	return good
}

// configure sets the sensor up; it may round.
func (c *Camera) configure(s camera.Config) uint16 {
	if c.streaming != nil {
		return accessDenied
	}
	got, err := c.config.Sensor.Configure(c.life, s)
	if err != nil {
		return invalidParameter
	}
	c.remember(got)
	return good
}

func (c *Camera) setFormat(code uint32) uint16 {
	for depth, these := range formats {
		for _, f := range these {
			if f.code != code {
				continue
			}
			before := c.format
			c.format = f
			status := c.configure(camera.Config{BitDepth: depth})
			if status != good {
				c.format = before
			}
			return status
		}
	}
	return invalidParameter
}
