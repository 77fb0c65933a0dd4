package genapi

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// everything is the camera of testdata, and its memory from 0x100 on.
func everything(t testing.TB) (*Map, *device) {
	t.Helper()
	text, err := os.ReadFile("testdata/camera.xml")
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(0x100, 0x80)
	binary.BigEndian.PutUint32(d.data[0x00:], 320)
	binary.BigEndian.PutUint32(d.data[0x04:], 0x01080001)
	binary.LittleEndian.PutUint64(d.data[0x10:], 5000)
	m, err := New(text, d)
	if err != nil {
		t.Fatal(err)
	}
	return m, d
}

// reads expects values, as text.
func reads(t *testing.T, m *Map, name, want string) {
	t.Helper()
	if got, err := m.Text(t.Context(), name); err != nil || got != want {
		t.Errorf("%s is %q, %v, want %q", name, got, err, want)
	}
}

// sets writes a value, as text.
func sets(t *testing.T, m *Map, name, value string) {
	t.Helper()
	if err := m.SetText(t.Context(), name, value); err != nil {
		t.Errorf("%s = %q: %v", name, value, err)
	}
}

func fails(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestReadAndWrite(t *testing.T) {
	m, d := everything(t)
	at := func(address, length int, want ...byte) {
		t.Helper()
		if got := d.data[address-0x100:][:length]; !cmp.Equal(got, want) {
			t.Errorf("memory at %#x holds % x, want % x", address, got, want)
		}
	}
	reads(t, m, "Width", "320")
	sets(t, m, "Width", "636")
	at(0x100, 4, 0, 0, 2, 0x7c)
	reads(t, m, "Width", "636")
	sets(t, m, "Width", "0x10")
	reads(t, m, "Width", "16")

	reads(t, m, "PixelFormat", "Mono8")
	sets(t, m, "DeepBit", "1") // bit 15 of a big-endian register is its least significant
	at(0x108, 2, 0, 1)
	sets(t, m, "PixelFormat", "Mono12")
	at(0x104, 4, 1, 0x10, 0, 5)
	if v, err := m.Int(t.Context(), "PixelFormat"); err != nil || v != 0x01100005 {
		t.Errorf("the value of PixelFormat is %#x, %v", v, err)
	}

	reads(t, m, "Gamma", "false") // its bits hold neither value yet
	sets(t, m, "Gamma", "true")
	at(0x108, 2, 0, 5<<1|1) // bits 11 to 14 are the four above the least
	reads(t, m, "Gamma", "true")
	sets(t, m, "SignedBits", "-3")
	at(0x108, 2, 0xd0, 5<<1|1)
	reads(t, m, "SignedBits", "-3")
	sets(t, m, "Secret", "9") // cannot be read, so nothing else of it is kept
	at(0x10b, 1, 0x90)

	reads(t, m, "ExposureTime", "100") // 5000 ticks of 20 ns
	if err := m.SetFloat(t.Context(), "ExposureTimeAbs", 123.4567); err != nil {
		t.Error(err)
	}
	reads(t, m, "ExposureTicks", "6173")
	reads(t, m, "ExposureTime", "123.46")
	if err := m.SetFloat(t.Context(), "Gain", 1.5); err != nil {
		t.Error(err)
	}
	at(0x118, 4, 0x3f, 0xc0, 0, 0)
	reads(t, m, "Gain", "1.5")
	sets(t, m, "Offset", "-2")
	at(0x120, 8, 0, 0, 0, 0, 0, 0, 0, 0xc0)
	reads(t, m, "Offset", "-2")
	reads(t, m, "Falling", "90")
	sets(t, m, "Falling", "75")
	reads(t, m, "Small", "25")

	if err := m.Execute(t.Context(), "AcquisitionStart"); err != nil {
		t.Error(err)
	}
	at(0x128, 4, 3, 0, 0, 0)
	sets(t, m, "DeviceUserID", "left arm")
	reads(t, m, "DeviceUserID", "left arm")
	reads(t, m, "Raw", "6c656674")
	reads(t, m, "Note", "für")
	sets(t, m, "Note", "")
	reads(t, m, "Note", "")

	for i := range 3 {
		binary.LittleEndian.PutUint32(d.data[0x40+8*i:], uint32(100+i)) // at 0x140 and every 8 bytes
	}
	for i, entry := range []string{"First", "Second", "Third"} {
		sets(t, m, "Selector", entry)
		reads(t, m, "Selected", []string{"100", "101", "102"}[i])
		reads(t, m, "SelectedClosely", []string{"100", "0", "101"}[i])
		reads(t, m, "Indexed", []string{"11", "25", "33"}[i])
	}
	reads(t, m, "Knife", "671.5") // 640 + (25 + 30)/2 + 1 + 3
}

func TestLimits(t *testing.T) {
	m, d := everything(t)
	limits := func(name string, want Limits) {
		t.Helper()
		if got, err := m.Limits(t.Context(), name); err != nil || got != want {
			t.Errorf("the limits of %s are %+v, %v, want %+v", name, got, err, want)
		}
	}
	limits("Width", Limits{16, 640, 4})
	sets(t, m, "Binning", "2")
	limits("Width", Limits{16, 320, 4})
	limits("WidthReg", Limits{0, 1<<32 - 1, 1})
	limits("SignedBits", Limits{-8, 7, 1})
	limits("GammaBits", Limits{0, 15, 1})
	limits("ExposureReg", Limits{0, math.MaxInt64, 1})
	limits("ExposureTime", Limits{10, 1e6, 0})
	limits("ExposureTimeAbs", Limits{10, 1e6, 0})
	limits("Falling", Limits{70, 100, 1})
	limits("Gamma", Limits{0, 1, 1})
	before := d.writes
	for name, values := range map[string][]string{
		"Width": {"12", "322", "17", "324", "640", "-1"}, "SignedBits": {"8", "-9"}, "ExposureTime": {"9.9", "1000001", "NaN", "1e300"},
		"Falling": {"69", "101"}, "DeviceUserID": {strings.Repeat("x", 17), "a\x00"}, "PixelFormat": {"Mono16", "Mono12", "mono8", ""},
		"Gamma": {"1", "yes"}, "Binning": {"0", "five"}, "Selector": {"Fourth"},
	} {
		for _, v := range values {
			fails(t, name+" = "+v, m.SetText(t.Context(), name, v), ErrRange)
		}
	}
	fails(t, "an entry's value that no entry has", m.SetInt(t.Context(), "PixelFormat", 5), ErrRange)
	if d.writes != before {
		t.Errorf("%d values that are out of range were written", d.writes-before)
	}
	got, err := m.Choices(t.Context(), "PixelFormat")
	if want := []string{"Mono8"}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("the pixel formats are %v, %v", got, err)
	}
	sets(t, m, "DeepBit", "1")
	if got, err = m.Choices(t.Context(), "PixelFormat"); err != nil || !cmp.Equal(got, []string{"Mono8", "Mono12"}) {
		t.Errorf("the pixel formats are %v, %v", got, err)
	}
}

func TestAccess(t *testing.T) {
	m, d := everything(t)
	for name, want := range map[string]Access{
		"Width": ReadWrite, "SensorWidth": ReadOnly, "WidthMax": ReadOnly, "AcquisitionStart": WriteOnly, "Counter": ReadOnly,
		"ChunkFrame": Unavailable, "NoSuchFeature": Absent, "Gamma": ReadWrite, "ExposureTimeAbs": ReadWrite, "Image": ReadOnly,
	} {
		if got, err := m.Access(t.Context(), name); err != nil || got != want {
			t.Errorf("%s is %v, %v, want %v", name, got, err, want)
		}
	}
	d.data[0x0a] = 0x80 // locked, and the camera did so by itself
	if got, err := m.Access(t.Context(), "Gamma"); err != nil || got != ReadOnly {
		t.Errorf("a locked feature is %v, %v", got, err)
	}
	fails(t, "writing what is locked", m.SetText(t.Context(), "Gamma", "true"), ErrAccess)
	fails(t, "writing what is computed", m.SetInt(t.Context(), "WidthMax", 1), ErrAccess)
	fails(t, "reading a command", func() error { _, err := m.Int(t.Context(), "AcquisitionStart"); return err }(), ErrAccess)
	fails(t, "reading what is not there", func() error { _, err := m.Int(t.Context(), "Nothing"); return err }(), ErrAbsent)
	fails(t, "reading data after frames", func() error { _, err := m.Int(t.Context(), "ChunkFrame"); return err }(), ErrAccess)
	fails(t, "a text as a number", func() error { _, err := m.Int(t.Context(), "DeviceUserID"); return err }(), ErrKind)
	fails(t, "a number as a command", m.Execute(t.Context(), "Width"), ErrKind)
	fails(t, "choices of a number", func() error { _, err := m.Choices(t.Context(), "Width"); return err }(), ErrKind)
	fails(t, "limits of a text", func() error { _, err := m.Limits(t.Context(), "Note"); return err }(), ErrKind)
	fails(t, "the text of a category", func() error { _, err := m.Text(t.Context(), "Image"); return err }(), ErrKind)
}

// A value that no entry has is an error, not an empty name.
func TestStrangeEntry(t *testing.T) {
	m, d := everything(t)
	d.data[0x07] = 99
	_, err := m.Text(t.Context(), "PixelFormat")
	fails(t, "an unknown entry", err, ErrRange)
}

func TestCache(t *testing.T) {
	m, d := everything(t)
	reading := func(want int, name string) {
		t.Helper()
		before := d.reads
		if _, err := m.Text(t.Context(), name); err != nil {
			t.Error(err)
		}
		if got := d.reads - before; got != want {
			t.Errorf("%s cost %d reads, want %d", name, got, want)
		}
	}
	reading(1, "Width")
	reading(0, "Width")
	reading(1, "Follower")
	reading(0, "Follower")
	reading(1, "Counter")
	reading(1, "Counter") // changes by itself
	reading(0, "Follower")
	d.data[0x60]++ // it did
	reading(1, "Counter")
	reading(1, "Follower")
	reading(0, "Follower")

	// A write may change anything, and what was written is read back.
	d.wrote = func(uint64) { binary.BigEndian.PutUint32(d.data, 624) }
	sets(t, m, "Width", "628")
	reads(t, m, "Width", "624")
	reading(1, "Follower")
	if err := m.Forget(t.Context()); err != nil {
		t.Error(err)
	}
	reading(1, "Width")
}

// What makes no sense is an error of the call, and of no other.
func TestBadNodes(t *testing.T) {
	m, _ := everything(t)
	for _, name := range []string{"CircleA", "CircleB", "Fan", "Fans", "Own", "Dangling", "TooLong", "BadBits", "BadFormula"} {
		_, err := m.Int(t.Context(), name)
		fails(t, name, err, ErrDescription)
		if name != "Fan" && name != "Fans" && name != "Own" && name != "BadFormula" {
			fails(t, "writing "+name, m.SetInt(t.Context(), name, 1), ErrDescription)
		}
	}
	_, err := m.Int(t.Context(), "Unmapped")
	fails(t, "Unmapped", err, errUnmapped)
	reads(t, m, "Width", "320")
}

func TestPortErrors(t *testing.T) {
	m, d := everything(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	_, err := m.Int(ctx, "Width")
	fails(t, "a call whose context has ended", err, cause)
	if d.reads != 0 {
		t.Error("it touched the device")
	}
	gone := errors.New("gone")
	d.fail = gone
	_, err = m.Int(t.Context(), "Width")
	fails(t, "a read that fails", err, gone)
	fails(t, "a write that fails", m.SetInt(t.Context(), "Width", 64), gone)
	d.fail = nil
	reads(t, m, "Width", "320")
}

// A call that waits for another ends when its own context does.
func TestCallsWait(t *testing.T) {
	m, d := everything(t)
	inside, release := make(chan struct{}), make(chan struct{})
	d.wrote = func(uint64) { close(inside); <-release }
	done := make(chan error)
	go func() { done <- m.SetInt(context.Background(), "Width", 32) }()
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := m.Int(ctx, "Width")
	fails(t, "a call that waits", err, context.DeadlineExceeded)
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	reads(t, m, "Width", "32")
}

func TestFeatures(t *testing.T) {
	m, _ := everything(t)
	want := []Feature{
		{"Width", "Image", Integer, ""}, {"PixelFormat", "Image", Enumeration, ""}, {"Gamma", "Image", Boolean, ""},
		{"ExposureTime", "Acquisition", Float, "us"}, {"AcquisitionStart", "Acquisition", Command, ""}, {"DeviceUserID", "Acquisition", String, ""},
	}
	if got := m.Features(); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestNoDescription(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "no XML": "hello", "no nodes": "<a></a>", "an open element": "<a><Integer Name='x'>",
		"too deep": strings.Repeat("<Group>", 50) + strings.Repeat("</Group>", 50), "a strange encoding": "<?xml version='1.0' encoding='EBCDIC'?><a/>",
		"two roots, the first of them empty": "<a/><Integer Name='x'/>",
	} {
		_, err := New([]byte(text), newDevice(0, 1))
		fails(t, name, err, ErrDescription)
	}
}

// Whatever a description says, every call on every node ends soon and does not panic, and
// what can be read and written is the same when it is read back from plain memory.
func FuzzDescription(f *testing.F) {
	text, err := os.ReadFile("testdata/camera.xml")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) { // small ones are fuzzed faster
		if seed := "<a>" + line + "</a>"; !strings.Contains(line, "Fan") {
			if _, err := New([]byte(seed), newDevice(0, 1)); err == nil {
				f.Add([]byte(seed), []byte{1, 2, 3, 4})
			}
		}
	}
	f.Add([]byte(`<a><Integer Name="Root"><pValue>r</pValue></Integer><IntReg Name="r"><Address>1</Address><Length>8</Length><AccessMode>RW</AccessMode></IntReg></a>`), []byte{0xff})
	f.Fuzz(func(t *testing.T, text, memory []byte) {
		d := newDevice(0x100, 0x80)
		copy(d.data, memory)
		m, err := New(text, d)
		if err != nil {
			if !errors.Is(err, ErrDescription) {
				t.Fatal(err)
			}
			return
		}
		m.Features()
		ctx := t.Context()
		calls := 0
		for name, n := range m.nodes {
			if calls++; calls > 10 {
				break
			}
			m.Access(ctx, name)
			m.Limits(ctx, name)
			m.Choices(ctx, name)
			m.Float(ctx, name)
			m.Text(ctx, name)
			i, err := m.Int(ctx, name)
			if err == nil && n.form == register && n.kind == Integer && m.SetInt(ctx, name, i) == nil {
				if again, err := m.Int(ctx, name); err != nil || again != i {
					t.Errorf("%s was %d and is %d, %v, after that was written", name, i, again, err)
				}
			}
			m.SetText(ctx, name, "1")
			m.Execute(ctx, name)
		}
	})
}
