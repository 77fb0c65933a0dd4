package u3vcam

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Features, by their place behind addressFeatures. Numbers have 32 bits, those with a fraction
// are double.
const (
	featureWidth              = 0x00
	featureHeight             = 0x04
	featureOffsetX            = 0x08
	featureOffsetY            = 0x0C
	featurePixelFormat        = 0x10
	featurePayloadSize        = 0x14
	featureSensorWidth        = 0x18
	featureSensorHeight       = 0x1C
	featureExposureTime       = 0x20
	featureExposureAuto       = 0x28
	featureGainAuto           = 0x2C
	featureGamma              = 0x30
	featureBlackLevel         = 0x38
	featureSensorShutterMode  = 0x40
	featureAcquisitionMode    = 0x44
	featureAcquisitionStart   = 0x48
	featureAcquisitionStop    = 0x4C
	featureTriggerMode        = 0x50
	featureTriggerSource      = 0x54
	featureTriggerActivation  = 0x58
	featureTLParamsLocked     = 0x5C
	featureCounterEventSource = 0x60
	featureCounterReset       = 0x64
	featureCounterValue       = 0x68
	featureLUTEnable          = 0x6C
	featuresEnd               = 0x70
)

// Pixel formats of the PFNC.
const (
	mono8   = 0x01080001
	mono12  = 0x01100005
	mono12p = 0x010C0047
)

// Events that the counter counts.
const (
	counterTrigger  = 1
	counterExposure = 2
)

// Limits of features.
const (
	leastWidth, stepWidth   = 8, 4
	leastHeight, stepHeight = 8, 2
	leastExposure           = 10 // us
	mostExposure            = 1e6
)

func (m *memory) resetFeatures() {
	m.set(featureWidth, uint32(m.config.Width))
	m.set(featureHeight, uint32(m.config.Height))
	m.set(featureSensorWidth, uint32(m.config.Width))
	m.set(featureSensorHeight, uint32(m.config.Height))
	m.set(featurePixelFormat, mono8)
	m.setFloat(featureExposureTime, 1000)
	m.set(featureExposureAuto, 2) // automatic, as cameras come
	m.set(featureGainAuto, 2)
	m.setFloat(featureGamma, 1)
}

// writeFeature writes features, if they can be what is written.
func (c *Camera) writeFeature(at int, r, data []byte) uint16 {
	m := &c.memory
	before := append([]byte(nil), r...)
	if m.get(featureTLParamsLocked) != 0 && at < featurePayloadSize {
		return statusAccessDenied
	}
	if at >= featurePayloadSize && at < featureExposureTime || at == featureCounterValue {
		return statusWriteProtect
	}
	copy(r, data)
	if !m.sane() {
		copy(r, before)
		return statusInvalidParam
	}
	switch value := binary.LittleEndian.Uint32(data); {
	case at == featureExposureTime:
		m.setFloat(featureExposureTime, float64(int64(m.float(featureExposureTime)))) // whole microseconds
	case at == featureAcquisitionStart && value == 1:
		m.set(featureAcquisitionStart, 0) // done
		c.startAcquisition()
	case at == featureAcquisitionStop && value == 1:
		m.set(featureAcquisitionStop, 0)
		c.stopAcquisition()
	case at == featureCounterReset && value == 1:
		m.set(featureCounterReset, 0)
		m.set(featureCounterValue, 0)
	}
	return statusOK
}

// sane tells whether all features are within their limits.
func (m *memory) sane() bool {
	w, h := int(m.get(featureWidth)), int(m.get(featureHeight))
	u, v := int(m.get(featureOffsetX)), int(m.get(featureOffsetY))
	format, exposure := m.get(featurePixelFormat), m.float(featureExposureTime)
	return w >= leastWidth && h >= leastHeight && u >= 0 && v >= 0 && w+u <= m.config.Width && h+v <= m.config.Height &&
		w%stepWidth == 0 && u%stepWidth == 0 && h%stepHeight == 0 && v%stepHeight == 0 &&
		(format == mono8 || format == mono12 || format == mono12p) &&
		exposure >= leastExposure && exposure <= mostExposure
}

// description is the camera's own, in XML.
func description(c Config) []byte {
	var b strings.Builder
	var names []string
	register := func(kind, name string, at, length int, access, cachable string) {
		fmt.Fprintf(&b, "<%s Name=\"%sReg\"><Address>0x%X</Address><Length>%d</Length><AccessMode>%s</AccessMode><pPort>Device</pPort>%s", kind, name, addressFeatures+at, length, access, cachable)
		if kind == "IntReg" {
			b.WriteString("<Sign>Unsigned</Sign>")
		}
		fmt.Fprintf(&b, "<Endianess>LittleEndian</Endianess></%s>\n", kind)
	}
	integer := func(name string, at int, access, limits string) {
		names = append(names, name)
		fmt.Fprintf(&b, "<Integer Name=\"%s\" NameSpace=\"Standard\"><pValue>%sReg</pValue>%s</Integer>\n", name, name, limits)
		register("IntReg", name, at, 4, access, "<Cachable>NoCache</Cachable>")
	}
	float := func(name string, at int, limits string) {
		names = append(names, name)
		fmt.Fprintf(&b, "<Float Name=\"%s\" NameSpace=\"Standard\"><pValue>%sReg</pValue>%s</Float>\n", name, name, limits)
		register("FloatReg", name, at, 8, "RW", "<Cachable>NoCache</Cachable>")
	}
	enumeration := func(name string, at int, locked string, entries ...any) {
		names = append(names, name)
		fmt.Fprintf(&b, "<Enumeration Name=\"%s\" NameSpace=\"Standard\">", name)
		for i := 0; i < len(entries); i += 2 {
			fmt.Fprintf(&b, "<EnumEntry Name=\"%s\"><Value>%d</Value></EnumEntry>", entries[i], entries[i+1])
		}
		fmt.Fprintf(&b, "%s<pValue>%sReg</pValue></Enumeration>\n", locked, name)
		register("IntReg", name, at, 4, "RW", "")
	}
	command := func(name string, at int) {
		names = append(names, name)
		fmt.Fprintf(&b, "<Command Name=\"%s\" NameSpace=\"Standard\"><pValue>%sReg</pValue><CommandValue>1</CommandValue></Command>\n", name, name)
		register("IntReg", name, at, 4, "RW", "<Cachable>NoCache</Cachable>")
	}
	text := func(name string, at int) {
		names = append(names, name)
		fmt.Fprintf(&b, "<StringReg Name=\"%s\" NameSpace=\"Standard\"><Address>0x%X</Address><Length>64</Length><AccessMode>RO</AccessMode><pPort>Device</pPort></StringReg>\n", name, at)
	}
	rest := func(name, all, other string) {
		fmt.Fprintf(&b, "<IntSwissKnife Name=\"%s\"><pVariable Name=\"ALL\">%sReg</pVariable><pVariable Name=\"OTHER\">%sReg</pVariable><Formula>ALL - OTHER</Formula></IntSwissKnife>\n", name, all, other)
	}
	const locked = "<pIsLocked>TLParamsLocked</pIsLocked>"
	text("DeviceVendorName", 0x004)
	text("DeviceModelName", 0x044)
	text("DeviceSerialNumber", 0x144)
	integer("SensorWidth", featureSensorWidth, "RO", "")
	integer("SensorHeight", featureSensorHeight, "RO", "")
	rest("WidthRest", "SensorWidth", "OffsetX")
	rest("HeightRest", "SensorHeight", "OffsetY")
	rest("OffsetXRest", "SensorWidth", "Width")
	rest("OffsetYRest", "SensorHeight", "Height")
	integer("Width", featureWidth, "RW", locked+fmt.Sprintf("<Min>%d</Min><pMax>WidthRest</pMax><Inc>%d</Inc>", leastWidth, stepWidth))
	integer("Height", featureHeight, "RW", locked+fmt.Sprintf("<Min>%d</Min><pMax>HeightRest</pMax><Inc>%d</Inc>", leastHeight, stepHeight))
	integer("OffsetX", featureOffsetX, "RW", locked+fmt.Sprintf("<Min>0</Min><pMax>OffsetXRest</pMax><Inc>%d</Inc>", stepWidth))
	integer("OffsetY", featureOffsetY, "RW", locked+fmt.Sprintf("<Min>0</Min><pMax>OffsetYRest</pMax><Inc>%d</Inc>", stepHeight))
	enumeration("PixelFormat", featurePixelFormat, locked, "Mono8", mono8, "Mono12", mono12, "Mono12p", mono12p)
	integer("PayloadSize", featurePayloadSize, "RO", "")
	float("ExposureTime", featureExposureTime, fmt.Sprintf("<Min>%d</Min><Max>%d</Max><Unit>us</Unit>", leastExposure, int(mostExposure)))
	enumeration("ExposureAuto", featureExposureAuto, "", "Off", 0, "Once", 1, "Continuous", 2)
	enumeration("GainAuto", featureGainAuto, "", "Off", 0, "Once", 1, "Continuous", 2)
	float("Gamma", featureGamma, "<Min>0.25</Min><Max>4</Max>")
	float("BlackLevel", featureBlackLevel, "<Min>0</Min><Max>64</Max>")
	enumeration("LUTEnable", featureLUTEnable, "", "Off", 0, "On", 1)
	enumeration("SensorShutterMode", featureSensorShutterMode, "", "Global", 0, "Rolling", 1)
	enumeration("AcquisitionMode", featureAcquisitionMode, "", "Continuous", 0)
	command("AcquisitionStart", featureAcquisitionStart)
	command("AcquisitionStop", featureAcquisitionStop)
	fmt.Fprintf(&b, "<Enumeration Name=\"TriggerSelector\" NameSpace=\"Standard\"><EnumEntry Name=\"FrameStart\"><Value>0</Value></EnumEntry><Value>0</Value></Enumeration>\n")
	enumeration("TriggerMode", featureTriggerMode, "", "Off", 0, "On", 1)
	enumeration("TriggerSource", featureTriggerSource, "", "Line0", 0, "Software", 9)
	enumeration("TriggerActivation", featureTriggerActivation, "", "RisingEdge", 0, "FallingEdge", 1)
	integer("TLParamsLocked", featureTLParamsLocked, "RW", "<Min>0</Min><Max>1</Max>")
	fmt.Fprintf(&b, "<Enumeration Name=\"CounterSelector\" NameSpace=\"Standard\"><EnumEntry Name=\"Counter0\"><Value>0</Value></EnumEntry><Value>0</Value></Enumeration>\n")
	enumeration("CounterEventSource", featureCounterEventSource, "", "Off", 0, "FrameTrigger", counterTrigger, "ExposureStart", counterExposure)
	command("CounterReset", featureCounterReset)
	integer("CounterValue", featureCounterValue, "RO", "")

	var root strings.Builder
	for _, name := range append(names, "TriggerSelector", "CounterSelector") {
		fmt.Fprintf(&root, "<pFeature>%s</pFeature>", name)
	}
	return []byte(fmt.Sprintf(`<?xml version="1.0" encoding="utf-8"?>
<RegisterDescription ModelName="%s" VendorName="%s" StandardNameSpace="USB" SchemaMajorVersion="1" SchemaMinorVersion="1" SchemaSubMinorVersion="0" MajorVersion="1" MinorVersion="0" SubMinorVersion="0" ToolTip="" ProductGuid="5b1d5a40-0000-4000-8000-000000000001" VersionGuid="5b1d5a40-0000-4000-8000-000000000002" xmlns="http://www.genicam.org/GenApi/Version_1_1">
<Category Name="Root" NameSpace="Standard">%s</Category>
%s<Port Name="Device" NameSpace="Standard"/>
</RegisterDescription>
`, c.Model, c.Vendor, root.String(), b.String()))
}
