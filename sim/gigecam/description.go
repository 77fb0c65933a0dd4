package gigecam

import (
	"fmt"
	"strings"
)

// The addresses of the features.
const (
	addrWidth        = 0x10000
	addrHeight       = 0x10004
	addrOffsetX      = 0x10008
	addrOffsetY      = 0x1000C
	addrPixelFormat  = 0x10010
	addrPayload      = 0x10014
	addrSensorWidth  = 0x10018
	addrSensorHeight = 0x1001C
	addrExposure     = 0x10020 // three reals of 64 bits: now, least, most
	addrExposureMin  = 0x10028
	addrExposureMax  = 0x10030
	addrStart        = 0x10040
	addrStop         = 0x10044
	addrMode         = 0x10048
	addrTrigger      = 0x10060 // mode, source and activation of each trigger, 0x20 bytes apart
	addrGainAuto     = 0x10100
	addrGain         = 0x10104
	addrSwitches     = 0x10108
	addrGamma        = 0x1010C
	addrBlackLevel   = 0x10110
	addrShutter      = 0x10114
	addrExposureAuto = 0x10118
	addrLocked       = 0x1011C
	addrFrameRate    = 0x10120
	addrRateEnable   = 0x10124

	addrDescription = 0x100000
)

// The pixel formats, by bit depth, in the order in which they are offered.
var formats = map[int][]pixelFormat{
	8:  {{"Mono8", 0x01080001}},
	10: {{"Mono10", 0x01100003}, {"Mono10p", 0x010A0046}, {"Mono10Packed", 0x010C0004}},
	12: {{"Mono12", 0x01100005}, {"Mono12p", 0x010C0047}, {"Mono12Packed", 0x010C0006}},
	14: {{"Mono14", 0x01100025}},
	16: {{"Mono16", 0x01100007}},
}

type pixelFormat struct {
	name string
	code uint32
}

// describe writes the camera's description of itself.
func (c *Camera) describe() []byte {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	register := func(kind, name string, address, length int, access, more string) {
		p(`<%s Name="%s"><Address>0x%X</Address><Length>%d</Length><AccessMode>%s</AccessMode><pPort>Device</pPort>%s</%[1]s>`, kind, name, address, length, access, more)
	}
	const big = `<Endianess>BigEndian</Endianess>`
	integer := func(name string, address int, access, limits string) {
		p(`<Integer Name="%s"><pValue>%sReg</pValue>%s</Integer>`, name, name, limits)
		register("IntReg", name+"Reg", address, 4, access, `<Sign>Unsigned</Sign>`+big)
	}
	enumeration := func(name string, address int, access, more string, entries ...pixelFormat) {
		p(`<Enumeration Name="%s">`, name)
		for _, e := range entries {
			p(`<EnumEntry Name="%s"><Value>%d</Value></EnumEntry>`, e.name, e.code)
		}
		p(`<pValue>%sReg</pValue></Enumeration>`, name)
		register("IntReg", name+"Reg", address, 4, access, more+`<Sign>Unsigned</Sign>`+big)
	}
	named := func(names ...string) (entries []pixelFormat) {
		for i, name := range names {
			entries = append(entries, pixelFormat{name, uint32(i)})
		}
		return entries
	}
	command := func(name string, address int) {
		p(`<Command Name="%s"><pValue>%sReg</pValue><CommandValue>1</CommandValue></Command>`, name, name)
		register("IntReg", name+"Reg", address, 4, "WO", `<Sign>Unsigned</Sign>`+big)
	}
	boolean := func(name string, bit int) {
		p(`<Boolean Name="%s"><pValue>%sReg</pValue></Boolean>`, name, name)
		register("MaskedIntReg", name+"Reg", addrSwitches, 4, "RW", fmt.Sprintf(`<Bit>%d</Bit><Sign>Unsigned</Sign>`, bit)+big)
	}
	category := func(name string, features ...string) {
		p(`<Category Name="%s" NameSpace="Standard"><pFeature>%s</pFeature></Category>`, name, strings.Join(features, "</pFeature><pFeature>"))
	}

	p(`<?xml version="1.0" encoding="utf-8"?>`)
	p(`<RegisterDescription ModelName="SimulatedCamera" VendorName="opu" ToolTip="A model" StandardNameSpace="GEV" SchemaMajorVersion="1" SchemaMinorVersion="1" SchemaSubMinorVersion="0" MajorVersion="1" MinorVersion="0" SubMinorVersion="0" ProductGuid="0" VersionGuid="0" xmlns="http://www.genicam.org/GenApi/Version_1_1">`)
	category("Root", "DeviceControl", "ImageFormatControl", "AcquisitionControl", "AnalogControl", "LUTControl", "TransportLayerControl")
	category("DeviceControl", "DeviceVendorName", "DeviceModelName", "DeviceVersion", "DeviceSerialNumber", "DeviceID")
	category("ImageFormatControl", "SensorWidth", "SensorHeight", "Width", "Height", "OffsetX", "OffsetY", "PixelFormat")
	category("AcquisitionControl", "AcquisitionMode", "AcquisitionStart", "AcquisitionStop", "AcquisitionFrameRate", "AcquisitionFrameRateEnable", "ExposureTime", "ExposureAuto",
		"TriggerSelector", "TriggerMode", "TriggerSource", "TriggerActivation", "SensorShutterMode")
	category("AnalogControl", "Gain", "GainAuto", "BlackLevel", "GammaEnable", "Gamma")
	category("LUTControl", "LUTEnable")
	category("TransportLayerControl", "PayloadSize", "TLParamsLocked", "GevSCPSPacketSize", "GevSCPD", "GevHeartbeatTimeout", "GevTimestampTickFrequency")

	for name, at := range map[string][2]int{
		"DeviceVendorName": {0x48, 32}, "DeviceModelName": {0x68, 32}, "DeviceVersion": {0x88, 32}, "DeviceSerialNumber": {0xD8, 16}, "DeviceID": {0xD8, 16},
	} {
		register("StringReg", name, at[0], at[1], "RO", "")
	}
	info, step := c.config.Sensor.Info(), c.config.Step
	integer("SensorWidth", addrSensorWidth, "RO", "")
	integer("SensorHeight", addrSensorHeight, "RO", "")
	for _, side := range []struct {
		size, offset     string
		sizeAt, offsetAt int
	}{{"Width", "OffsetX", addrWidth, addrOffsetX}, {"Height", "OffsetY", addrHeight, addrOffsetY}} {
		room := func(of, less string) string {
			p(`<IntSwissKnife Name="%sMax"><pVariable Name="SENSOR">Sensor%s</pVariable><pVariable Name="LESS">%s</pVariable><Formula>SENSOR - LESS</Formula></IntSwissKnife>`, of, side.size, less)
			return of + "Max"
		}
		lock := `<pIsLocked>TLParamsLocked</pIsLocked>`
		integer(side.size, side.sizeAt, "RW", fmt.Sprintf(`%s<Min>%d</Min><pMax>%s</pMax><Inc>%d</Inc>`, lock, step, room(side.size, side.offset), step))
		integer(side.offset, side.offsetAt, "RW", fmt.Sprintf(`<Min>0</Min><pMax>%s</pMax><Inc>%d</Inc>`, room(side.offset, side.size), step))
	}
	var offered []pixelFormat
	for _, depth := range info.BitDepths {
		offered = append(offered, formats[depth]...)
	}
	enumeration("PixelFormat", addrPixelFormat, "RW", "", offered...)
	integer("PayloadSize", addrPayload, "RO", "")

	p(`<Float Name="ExposureTime"><pValue>ExposureTimeReg</pValue><pMin>ExposureMinReg</pMin><pMax>ExposureMaxReg</pMax><Unit>us</Unit></Float>`)
	register("FloatReg", "ExposureTimeReg", addrExposure, 8, "RW", big)
	register("FloatReg", "ExposureMinReg", addrExposureMin, 8, "RO", big)
	register("FloatReg", "ExposureMaxReg", addrExposureMax, 8, "RO", big)
	enumeration("ExposureAuto", addrExposureAuto, "RW", "", named("Off", "Continuous")...)
	p(`<Float Name="AcquisitionFrameRate"><pValue>AcquisitionFrameRateReg</pValue><Min>0.1</Min><Max>10000</Max><Unit>Hz</Unit></Float>`)
	register("FloatReg", "AcquisitionFrameRateReg", addrFrameRate, 4, "RW", big)
	p(`<Boolean Name="AcquisitionFrameRateEnable"><pValue>RateEnableReg</pValue></Boolean>`)
	register("IntReg", "RateEnableReg", addrRateEnable, 4, "RW", big)
	enumeration("AcquisitionMode", addrMode, "RW", "", named("Continuous", "SingleFrame")...)
	command("AcquisitionStart", addrStart)
	command("AcquisitionStop", addrStop)

	p(`<Enumeration Name="TriggerSelector"><EnumEntry Name="FrameStart"><Value>0</Value></EnumEntry><EnumEntry Name="AcquisitionStart"><Value>1</Value></EnumEntry><pValue>TriggerIndex</pValue></Enumeration>`)
	p(`<Integer Name="TriggerIndex"><Value>0</Value><Min>0</Min><Max>1</Max></Integer>`)
	const selected = `<pIndex Offset="0x20">TriggerIndex</pIndex>`
	enumeration("TriggerMode", addrTrigger, "RW", selected, named("Off", "On")...)
	enumeration("TriggerSource", addrTrigger+4, "RW", selected, named("Software", "Line1", "Line2")...)
	enumeration("TriggerActivation", addrTrigger+8, "RW", selected, named("RisingEdge", "FallingEdge")...)

	register("FloatReg", "Gain", addrGain, 4, "RW", big)
	enumeration("GainAuto", addrGainAuto, "RW", "", named("Off", "Once", "Continuous")...)
	integer("BlackLevel", addrBlackLevel, "RW", `<Min>0</Min><Max>255</Max>`)
	boolean("GammaEnable", 31) // counted from the most significant bit
	boolean("LUTEnable", 30)
	register("FloatReg", "Gamma", addrGamma, 4, "RW", big)
	enumeration("SensorShutterMode", addrShutter, "RO", "", named("Global", "Rolling")...)
	integer("TLParamsLocked", addrLocked, "RW", `<Min>0</Min><Max>1</Max>`)

	p(`<Integer Name="GevSCPSPacketSize"><pValue>PacketSizeReg</pValue><Min>576</Min><Max>%d</Max><Inc>4</Inc></Integer>`, c.config.MTU)
	register("MaskedIntReg", "PacketSizeReg", regPacketSize, 4, "RW", `<LSB>31</LSB><MSB>16</MSB><Sign>Unsigned</Sign>`+big)
	integer("GevSCPD", regPacketDelay, "RW", "")
	integer("GevHeartbeatTimeout", regHeartbeat, "RW", `<Min>100</Min><Max>600000</Max>`)
	integer("GevTimestampTickFrequency", regTickRateLow, "RO", "")
	p(`<Port Name="Device"/>`)
	p(`</RegisterDescription>`)
	return []byte(b.String())
}
