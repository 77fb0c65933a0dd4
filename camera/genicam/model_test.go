package genicam

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
)

// A model is a camera as memory: every feature is a word of it.
type model struct {
	text   strings.Builder // of its description
	words  map[uint64]uint32
	places map[string]uint64
	stuck  map[string]bool // writing it does nothing
	wrote  []string        // NAME=VALUE, in order
	fail   error
	failAt string // writing this one fails; "": all fails
}

func newModel() *model {
	return &model{words: map[uint64]uint32{}, places: map[string]uint64{}, stuck: map[string]bool{}}
}

func (m *model) word(name string, value uint32) string {
	at := uint64(0x1000 + 16*len(m.places)) // room for what is selected
	m.places[name] = at
	m.words[at] = value
	return fmt.Sprintf(`<Address>%d</Address><Length>4</Length><AccessMode>RW</AccessMode><pPort>Device</pPort><Endianess>BigEndian</Endianess>`, at)
}

func (m *model) integer(name string, value uint32, limits string) {
	fmt.Fprintf(&m.text, `<Integer Name="%s"><pValue>%sReg</pValue>%s</Integer><IntReg Name="%sReg">%s</IntReg>`+"\n", name, name, limits, name, m.word(name, value))
}

func (m *model) float(name string, value uint32, limits string) {
	fmt.Fprintf(&m.text, `<Float Name="%s"><pValue>%sReg</pValue>%s</Float><IntReg Name="%sReg">%s</IntReg>`+"\n", name, name, limits, name, m.word(name, value))
}

// enumeration has entries of the values 0, 1 and so on, or those given as NAME=VALUE.
func (m *model) enumeration(name string, value uint32, entries ...string) {
	m.selected(name, value, "", entries...)
}

// selected is an enumeration that there is once for each value of a selector.
func (m *model) selected(name string, value uint32, selector string, entries ...string) {
	fmt.Fprintf(&m.text, `<Enumeration Name="%s"><pValue>%sReg</pValue>`, name, name)
	for i, e := range entries {
		entry, number, ok := strings.Cut(e, "=")
		if !ok {
			number = fmt.Sprint(i)
		}
		fmt.Fprintf(&m.text, `<EnumEntry Name="%s"><Value>%s</Value></EnumEntry>`, entry, number)
	}
	index := ""
	if selector != "" {
		index = `<pIndex Offset="4">` + selector + `</pIndex>`
	}
	fmt.Fprintf(&m.text, `</Enumeration><IntReg Name="%sReg">%s%s</IntReg>`+"\n", name, m.word(name, value), index)
}

func (m *model) boolean(name string, value uint32) {
	fmt.Fprintf(&m.text, `<Boolean Name="%s"><pValue>%sReg</pValue></Boolean><IntReg Name="%sReg">%s</IntReg>`+"\n", name, name, name, m.word(name, value))
}

func (m *model) command(name string) {
	fmt.Fprintf(&m.text, `<Command Name="%s"><pValue>%sReg</pValue><CommandValue>1</CommandValue></Command><IntReg Name="%sReg">%s</IntReg>`+"\n", name, name, name, m.word(name, 0))
}

// value is what a feature holds; of a selected one, for the entry i of its selector.
func (m *model) value(name string, i int) uint32 { return m.words[m.places[name]+uint64(4*i)] }

func (m *model) name(address uint64) string {
	for name, at := range m.places {
		if address >= at && address < at+16 {
			if address > at {
				return fmt.Sprintf("%s[%d]", name, (address-at)/4)
			}
			return name
		}
	}
	return ""
}

func (m *model) ReadAt(_ context.Context, p []byte, address uint64) error {
	if m.fail != nil && m.failAt == "" {
		return m.fail
	}
	if len(p) != 4 || m.name(address) == "" {
		return fmt.Errorf("cannot read %d bytes at %#x: %w", len(p), address, camera.ErrRefused)
	}
	binary.BigEndian.PutUint32(p, m.words[address])
	return nil
}

func (m *model) WriteAt(_ context.Context, p []byte, address uint64) error {
	name := m.name(address)
	if m.fail != nil && (m.failAt == "" || m.failAt == name) {
		return m.fail
	}
	if len(p) != 4 || name == "" {
		return fmt.Errorf("cannot write %d bytes at %#x: %w", len(p), address, camera.ErrRefused)
	}
	value := binary.BigEndian.Uint32(p)
	m.wrote = append(m.wrote, fmt.Sprintf("%s=%d", name, value))
	if !m.stuck[name] {
		m.words[address] = value
	}
	return nil
}

// whole is a camera with everything, in a bad state.
func whole() *model {
	m := newModel()
	m.integer("Width", 100, "<Min>16</Min><Max>648</Max><Inc>8</Inc>") // 16 + 79 * 8
	m.integer("OffsetX", 20, "<Min>0</Min><Max>632</Max><Inc>4</Inc>")
	m.integer("Height", 100, "<Min>2</Min><Max>481</Max><Inc>2</Inc>")
	m.integer("OffsetY", 0, "<Min>0</Min><Max>479</Max><Inc>1</Inc>")
	m.enumeration("PixelFormat", 0x01080009, "BayerRG8=0x01080009", "Mono8=0x01080001", "Mono10p=0x010A0046", "Mono12=0x01100005", "Mono12Packed=0x010C0006", "Mono12p=0x010C0047")
	m.float("ExposureTime", 5000, "<Min>12</Min><Max>1000000</Max>")
	m.enumeration("ExposureAuto", 1, "Off", "Continuous")
	m.boolean("AcquisitionFrameRateEnable", 1)
	m.float("AcquisitionFrameRate", 30, "<Min>1</Min><Max>200</Max>")
	m.enumeration("GainAuto", 2, "Off", "Once", "Continuous")
	m.boolean("GammaEnable", 1)
	m.float("Gamma", 2, "<Min>1</Min><Max>4</Max>")
	m.boolean("LUTEnable", 1)
	m.enumeration("NoiseReduction", 1, "Off", "On")
	m.float("BlackLevel", 0, "<Min>0</Min><Max>1023</Max>")
	m.enumeration("SensorShutterMode", 1, "Global", "Rolling")
	m.enumeration("AcquisitionMode", 1, "Continuous", "SingleFrame")
	m.enumeration("TriggerSelector", 0, "AcquisitionStart", "FrameStart", "FrameEnd")
	m.selected("TriggerMode", 1, "TriggerSelectorReg", "Off", "On")
	m.selected("TriggerSource", 0, "TriggerSelectorReg", "Software", "Line1", "Line2")
	m.selected("TriggerActivation", 1, "TriggerSelectorReg", "RisingEdge", "FallingEdge")
	m.float("TriggerDelay", 7, "<Min>0</Min><Max>1000</Max>")
	m.enumeration("LineSelector", 0, "Line0", "Line1", "Line2")
	m.selected("LineMode", 1, "LineSelectorReg", "Input", "Output")
	m.integer("TLParamsLocked", 1, "<Min>0</Min><Max>1</Max>")
	m.command("AcquisitionStart")
	m.command("AcquisitionStop")
	return m
}

// without leaves features out of a model's description.
func (m *model) without(names ...string) *model {
	kept := slices.DeleteFunc(strings.Split(m.text.String(), "\n"), func(line string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(line, `Name="`+name+`"`) })
	})
	m.text.Reset()
	m.text.WriteString(strings.Join(kept, "\n"))
	return m
}

func (m *model) open(t testing.TB, o Options) (*Camera, error) {
	t.Helper()
	nodes, err := genapi.New([]byte("<a>"+m.text.String()+`<Port Name="Device"/></a>`), m)
	if err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), nodes, camera.Info{Model: "model", Serial: "7"}, o)
}

func (m *model) mustOpen(t testing.TB, o Options) *Camera {
	t.Helper()
	c, err := m.open(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var errLink = errors.New("the link broke")
