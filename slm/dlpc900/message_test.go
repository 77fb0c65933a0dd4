package dlpc900

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The frames that the guide's tables give, worked out by hand.
func TestFrames(t *testing.T) {
	entry0 := entry{timing: timing{exposure: 105 * time.Microsecond}, depth: 1, clear: true}
	entry61 := entry0
	entry61.wait, entry61.image, entry61.plane = true, 2, 13
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"read hardware status", appendMessage(nil, read, 7, cmdHardware), "C0 07 02 00 0A 1A"},
		{"stop", appendMessage(nil, acknowledged, 0, cmdRun, []byte{sequenceStop}), "40 00 03 00 24 1A 00"},
		{"on the fly", appendMessage(nil, acknowledged, 1, cmdMode, []byte{modeOnTheFly}), "40 01 03 00 1B 1A 03"},
		{"LUT entry 0", appendMessage(nil, acknowledged, 2, cmdDefine, entry0.append(nil, 0)), "40 02 0E 00 34 1A 00 00 69 00 00 71 00 00 00 00 00 00"},
		{"LUT entry 61", appendMessage(nil, acknowledged, 3, cmdDefine, entry61.append(nil, 61)), "40 03 0E 00 34 1A 3D 00 69 00 00 F1 00 00 00 00 02 68"},
		{"24 entries, endless", appendMessage(nil, acknowledged, 4, cmdConfigure, appendCount(nil, 24, 0)), "40 04 08 00 31 1A 18 00 00 00 00 00"},
		{"24 entries, one pass", appendMessage(nil, acknowledged, 4, cmdConfigure, appendCount(nil, 24, 24)), "40 04 08 00 31 1A 18 00 18 00 00 00"},
		{"begin of image 1", appendMessage(nil, acknowledged, 5, cmdInit1, appendInit(nil, 1, 6057)), "40 05 08 00 2A 1A 01 00 A9 17 00 00"},
		{"data of 9", appendMessage(nil, silent, 7, cmdData1, []byte{9, 0}, make([]byte, 9)), "00 07 0D 00 2B 1A 09 00"},
		{"data of 504", appendMessage(nil, silent, 6, cmdData1, []byte{0xF8, 1}, make([]byte, 504)), "00 06 FC 01 2B 1A F8 01"},
	} {
		want := unhex(t, c.want)
		if !bytes.HasPrefix(c.got, want) || len(bytes.TrimRight(c.got[len(want):], "\x00")) > 0 {
			t.Errorf("%s: got % X, want % X", c.name, c.got[:min(len(c.got), 32)], want)
		}
		if len(c.got)%ReportSize != 0 {
			t.Errorf("%s: %d bytes are no whole reports", c.name, len(c.got))
		}
	}
	if n := len(appendMessage(nil, silent, 6, cmdData1, []byte{0xF8, 1}, make([]byte, 504))); n != 8*ReportSize {
		t.Errorf("a full block of data takes %d bytes, want 8 reports", n)
	}
}

// An order that fills the controller's buffer is the longest.
func TestLongestReorder(t *testing.T) {
	if maxReorder != 250 {
		t.Errorf("a reorder command holds %d entries, want 250", maxReorder)
	}
	defer func() {
		if recover() == nil {
			t.Error("a command larger than the controller's buffer was made")
		}
	}()
	appendMessage(nil, silent, 0, cmdReorder, make([]byte, 6+2*maxReorder))
	appendMessage(nil, silent, 0, cmdReorder, make([]byte, 6+2*(maxReorder+1)))
}

func TestParseReply(t *testing.T) {
	report := func(s string) []byte { return append(unhex(t, s), make([]byte, ReportSize-len(unhex(t, s)))...) }
	for _, c := range []struct {
		name   string
		report []byte
		mode   mode
		seq    byte
		want   string
		err    error
	}{
		{"hardware status", report("C0 07 01 00 01"), read, 7, "01", nil},
		{"the guide's reply", report("C0 11 06 00 FF 01 FF 01 FF 01"), read, 0x11, "FF01FF01FF01", nil},
		{"acknowledgement", report("40 05 00 00"), acknowledged, 5, "", nil},
		{"refusal", report("60 03"), acknowledged, 3, "", errFailed},
		{"refused read", report("E0 03"), read, 3, "", errFailed},
		{"an older reply", report("40 04"), acknowledged, 5, "", errStray},
		{"an acknowledgement for a read", report("40 05"), read, 5, "", errStray},
	} {
		got, err := parseReply(c.report, c.mode, c.seq)
		if !errors.Is(err, c.err) || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: got % X, %v", c.name, got, err)
		}
	}
	// 128 bytes of text do not fit a report; what fits is taken.
	if got, err := parseReply(report("C0 01 80 00 41"), read, 1); err != nil || len(got) != maxReply {
		t.Errorf("a long reply: %d bytes, %v", len(got), err)
	}
	if _, err := parseReply(report("C0 01 FF FF"), read, 1); err == nil {
		t.Error("a reply of 65535 bytes passes")
	}
	if _, err := parseReply(make([]byte, 63), read, 0); err == nil {
		t.Error("a short report passes")
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add([]byte{0xC0, 7, 1, 0, 1}, byte(7), true)
	f.Add([]byte{0x60, 3}, byte(3), false)
	f.Fuzz(func(t *testing.T, b []byte, seq byte, isRead bool) {
		m := acknowledged
		if isRead {
			m = read
		}
		for _, report := range [][]byte{b, append(bytes.Clone(b), make([]byte, ReportSize)...)[:ReportSize]} {
			data, err := parseReply(report, m, seq)
			if err == nil && (len(report) != ReportSize || report[1] != seq || report[0] != byte(m) || len(data) > maxReply) {
				t.Errorf("% X passes as reply %d to %X", report, seq, m)
			}
			parseText(data)
			if len(data) >= 16 {
				parseVersions(data)
			}
		}
	})
}

func TestParseText(t *testing.T) {
	for in, want := range map[string]string{
		"DLP6500\x00\x00": "DLP6500", "short\x00 tail of an older text": "short", "": "", "a\x1b[31mb\xff": "a[31mb",
	} {
		if got := parseText([]byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestParseVersions(t *testing.T) {
	v := parseVersions(unhex(t, "03 00 02 06  01 00 00 05  00 01 00 00  04 00 03 02"))
	want := Versions{Version{6, 2, 3}, Version{5, 0, 1}, Version{0, 0, 256}, Version{2, 3, 4}}
	if v != want {
		t.Errorf("got %v, want %v", v, want)
	}
	if v.Application.String() != "6.2.3" || !v.API.before(5, 1) || v.API.before(5, 0) || v.API.before(4, 9) {
		t.Error("versions are not compared as they should be")
	}
}

// What healthy and broken boards show, and the bits that are not to be trusted.
func TestHardware(t *testing.T) {
	for _, c := range []struct {
		status      Hardware
		controllers int
		want        string
	}{
		{0x01, 1, ""}, {0x11, 2, ""}, {0x61, 1, ""}, {0x71, 2, ""},
		{0x00, 1, "initialisation"}, {0x03, 1, "do not fit"}, {0x05, 1, "reset controller"}, {0x09, 1, "forced swap"},
		{0x01, 2, "second controller is missing"}, {0x11, 1, "none is expected"}, {0x81, 1, "sequencer"},
	} {
		err := c.status.Check(c.controllers)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, slm.ErrRefused)) {
			t.Errorf("0x%02X with %d controllers: %v, want %q", byte(c.status), c.controllers, err, c.want)
		}
	}
}

func TestTriggerSettings(t *testing.T) {
	us := time.Microsecond
	for _, c := range []struct {
		output int
		t      TriggerOut
		want   string // the bytes; "" is a refusal
	}{
		{2, TriggerOut{Rising: 0, Falling: 20 * us}, "00 0000 1400"},
		{1, TriggerOut{Rising: -20 * us, Falling: 0}, "00 ECFF 0000"},
		{1, TriggerOut{}, "00 0000 0000"},
		{1, TriggerOut{Inverted: true, Rising: 20000 * us, Falling: 5 * us}, "01 204E 0500"},
		{2, TriggerOut{}, ""},
		{2, TriggerOut{Rising: 20 * us, Falling: 30 * us}, ""},
		{2, TriggerOut{Rising: 100 * us, Falling: 0}, ""},
		{1, TriggerOut{Inverted: true, Rising: 0, Falling: 1 * us}, ""},
		{1, TriggerOut{Rising: -21 * us, Falling: 50 * us}, ""},
		{1, TriggerOut{Rising: 0, Falling: 20001 * us}, ""},
		{1, TriggerOut{Rising: 0, Falling: 1500}, ""},
		{3, TriggerOut{Rising: 0, Falling: 20 * us}, ""},
	} {
		err := c.t.check(c.output, 105*us)
		if (err != nil) != (c.want == "") || err != nil && !errors.Is(err, slm.ErrInput) {
			t.Errorf("output %d, %+v: %v", c.output, c.t, err)
		}
		if got := c.t.append(nil); c.want != "" && !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("output %d, %+v: % X, want %s", c.output, c.t, got, c.want)
		}
	}
	for d, ok := range map[time.Duration]bool{105 * us: true, 104 * us: true, 103 * us: false, 65535 * us: true, 65536 * us: false, 104500: false, 0: false} {
		if err := (TriggerIn{Delay: d}).check(); (err == nil) != ok {
			t.Errorf("input delay %v: %v", d, err)
		}
	}
}

func TestPlan(t *testing.T) {
	us := time.Microsecond
	for _, c := range []struct {
		run            slm.Run
		exposure, dark time.Duration // 0: a refusal
	}{
		{slm.Run{}, 105 * us, 0},
		{slm.Run{Period: 667 * us}, 667 * us, 0},
		{slm.Run{Period: 666*us + 700}, 667 * us, 0},
		{slm.Run{Period: 500 * us, Exposure: 105 * us}, 105 * us, 395 * us},
		{slm.Run{Period: 500*us + 1, Exposure: 200*us + 1}, 201 * us, 300 * us},
		{slm.Run{Exposure: 105 * us}, 105 * us, 0},
		{slm.Run{Period: 500 * us, Exposure: 50 * us}, 0, 0},
		{slm.Run{Period: 17 * time.Second}, 0, 0},
		{slm.Run{Period: 18 * time.Second, Exposure: time.Second}, 0, 0},
	} {
		got, err := dmds[1].plan(c.run, 105*us)
		if (err != nil) != (c.exposure == 0) || err != nil && !errors.Is(err, slm.ErrInput) {
			t.Errorf("%+v: %v", c.run, err)
		} else if err == nil && (got != timing{exposure: c.exposure, dark: c.dark}) {
			t.Errorf("%+v: got %+v", c.run, got)
		}
	}
}

// The tables of exposures, at places that a slip of the pen would change.
func TestDMDs(t *testing.T) {
	for kind, d := range dmds {
		if err := d.check(); err != nil {
			t.Errorf("type %d: %v", kind, err)
		}
		if len(d.MinExposures) != 8 {
			t.Errorf("%s has %d exposures by depth", d.Name, len(d.MinExposures))
		}
		all, _ := d.MinBlockExposure(len(d.BlockExposures))
		if all != d.MinExposures[0] {
			t.Errorf("%s: all blocks take %v, the whole chip %v", d.Name, all, d.MinExposures[0])
		}
		for _, table := range [][]time.Duration{d.MinExposures, d.BlockExposures} {
			for i := 1; i < len(table); i++ {
				if table[i] < table[i-1] {
					t.Errorf("%s: exposure %v after %v", d.Name, table[i], table[i-1])
				}
			}
		}
	}
	for _, c := range []struct {
		kind          byte
		depth, us     int
		blocks, block int
		columns       int
	}{{1, 3, 394, 15, 105, 1920}, {2, 8, 4046, 16, 105, 1280}, {3, 1, 100, 4, 33, 1358}, {4, 8, 2263, 5, 34, 1024}} {
		d := dmds[c.kind]
		exposure, err := d.MinExposure(c.depth)
		block, err2 := d.MinBlockExposure(c.blocks)
		if err != nil || err2 != nil || exposure != micros(c.us)[0] || block != micros(c.block)[0] || d.half() != c.columns {
			t.Errorf("%s: %v, %v, %d columns", d.Name, exposure, block, d.half())
		}
	}
	for _, depth := range []int{0, 9} {
		if _, err := dmds[1].MinExposure(depth); !errors.Is(err, slm.ErrInput) {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	if _, err := dmds[4].MinBlockExposure(13); !errors.Is(err, slm.ErrInput) {
		t.Errorf("block 13: %v", err)
	}
}

func TestAdvisory(t *testing.T) {
	for _, c := range []struct {
		kind     byte
		v        Version
		stuck    bool
		hopeless bool
	}{
		{1, Version{4, 0, 0}, false, true}, {1, Version{4, 1, 0}, true, false}, {2, Version{4, 2, 7}, true, false},
		{2, Version{5, 0, 0}, true, false}, {2, Version{5, 0, 1}, false, false}, {1, Version{3, 9, 0}, false, false},
		{3, Version{4, 1, 0}, false, false}, {1, Version{6, 0, 0}, false, false}, {0, Version{4, 1, 0}, true, false},
	} {
		stuck, err := sticks(c.kind, c.v)
		if stuck != c.stuck || (err != nil) != c.hopeless {
			t.Errorf("type %d, firmware %v: %t, %v", c.kind, c.v, stuck, err)
		}
	}
}
