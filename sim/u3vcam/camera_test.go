package u3vcam

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newCamera(t *testing.T, c Config) *Camera {
	t.Helper()
	cam, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cam.Unplug)
	return cam
}

// ask sends a command and returns the first answer.
func ask(t *testing.T, c *Camera, packet []byte) []byte {
	t.Helper()
	if err := c.Command(t.Context(), packet); err != nil {
		t.Fatal(err)
	}
	b, err := c.Answer(t.Context(), 1024)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write writes a register, whatever the answer.
func write(t *testing.T, c *Camera, address uint64, value uint32) uint16 {
	t.Helper()
	le := binary.LittleEndian
	p := unhex(t, "55335643 0040 0208 0c00 0900")
	p = le.AppendUint32(le.AppendUint64(p, address), value)
	return le.Uint16(ask(t, c, p)[4:])
}

// Commands and answers, as Wireshark's dissector understands them.
func TestVectors(t *testing.T) {
	c := newCamera(t, Config{})
	for _, x := range []struct{ command, answer string }{
		{"55335643 0040 0008 0c00 0100 d801000000000000 0000 0800", "55335643 0000 0108 0800 0100 0000010000000000"},
		{"55335643 0040 0008 0c00 0300 2000010000000000 0000 0800", "55335643 0000 0108 0800 0300 0000020000000000"},
		{"55335643 0040 0208 0c00 0400 0400000000000000 01000000", "55335643 0480 0308 0400 0400 0000 0400"}, // write protected
		{"55335643 0040 0008 0c00 0500 0000990000000000 0000 0400", "55335643 0380 0108 0000 0500"},          // no such address
		{"55335643 0040 0008 0c00 0600 0100000000000000 0000 0400", "55335643 0580 0108 0000 0600"},          // alignment
		{"55335643 0040 0608 0000 0700", "55335643 0180 0708 0000 0700"},                                     // not implemented
	} {
		if got, want := ask(t, c, unhex(t, x.command)), unhex(t, x.answer); !bytes.Equal(got, want) {
			t.Errorf("% x is answered\n% x, want\n% x", unhex(t, x.command), got, want)
		}
	}
	for _, packet := range []string{"", "5533", "55335644 0040 0008 0000 0100", "55335643 0040 0008 0900 0100"} {
		if err := c.Command(t.Context(), unhex(t, packet)); !errors.Is(err, ErrStall) {
			t.Errorf("%q: %v, want a stall", packet, err)
		}
	}
}

// A frame of 64x48 pixels, in transfers of 1024 bytes.
func TestFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t, Config{})
		for i, value := range []uint32{1024, 1024, 3, 0, 0, 1024} {
			if status := write(t, c, addressSIRM+0x18+uint64(4*i), value); status != 0 {
				t.Fatalf("register %d: status %x", i, status)
			}
		}
		write(t, c, addressFeatures+featureTriggerMode, 1)
		if status := write(t, c, addressSIRM+4, 1); status != 0 {
			t.Fatalf("status %x", status)
		}
		if status := write(t, c, addressSIRM+0x1C, 2048); status != statusAccessDenied {
			t.Errorf("a size is changed while frames are sent: status %x", status)
		}
		c.Trigger(1) // for nobody
		write(t, c, addressFeatures+featureAcquisitionStart, 1)
		c.Trigger(1)
		var got []byte
		for _, want := range []int{52, 1024, 1024, 1024, 32} {
			b, err := c.Stream(t.Context(), 1024)
			if err != nil || len(b) != want {
				t.Fatalf("%d bytes, %v; want %d", len(b), err, want)
			}
			if want == 52 {
				if want := unhex(t, "5533564c 0000 3400 0000000000000000 0000 0100"); !bytes.Equal(b[:20], want) {
					t.Errorf("the leader begins with % x, want % x", b[:20], want)
				}
				if want := unhex(t, "01000801 40000000 30000000 00000000 00000000 0000 0000"); !bytes.Equal(b[28:], want) {
					t.Errorf("the leader ends with % x, want % x", b[28:], want)
				}
			}
			if want == 32 {
				if want := unhex(t, "55335654 0000 2000 0000000000000000 0000 0000 000c000000000000 30000000"); !bytes.Equal(b, want) {
					t.Errorf("the trailer is % x, want % x", b, want)
				}
			}
			got = append(got, b...)
		}
		if p := got[52:]; p[0] != 0 || p[1] != 1 || p[64] != 2 {
			t.Errorf("the pixels begin with % x", p[:4])
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.Stream(ctx, 1024); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a frame: %v", err)
		}
	})
}

// A request goes on over transfers that end with full packets, as on the bus.
func TestFullPackets(t *testing.T) {
	c := newCamera(t, Config{})
	c.sending = [][]byte{make([]byte, 2048), make([]byte, 32), make([]byte, 100)}
	for _, want := range []int{2080, 100} {
		b, err := c.Stream(t.Context(), 4096)
		if err != nil || len(b) != want {
			t.Errorf("%d bytes, %v; want %d", len(b), err, want)
		}
	}
}

// Sizes that no frame fits into are refused.
func TestInconsistentSizes(t *testing.T) {
	for _, sizes := range [][6]uint32{{1024, 1024, 2, 0, 0, 1024}, {0, 1024, 3, 0, 0, 1024}, {1024, 1000, 4, 0, 0, 1024}, {1024, 1024, 3, 0, 0, 16}} {
		c := newCamera(t, Config{})
		for i, value := range sizes {
			write(t, c, addressSIRM+0x18+uint64(4*i), value)
		}
		if status := write(t, c, addressSIRM+4, 1); status != statusInconsistent {
			t.Errorf("%v: status %x", sizes, status)
		}
	}
}

func TestLimits(t *testing.T) {
	c := newCamera(t, Config{})
	for _, w := range []struct {
		at    int
		value uint32
		want  uint16
	}{
		{featureWidth, 60, 0}, {featureWidth, 61, statusInvalidParam}, {featureWidth, 68, statusInvalidParam}, {featureWidth, 4, statusInvalidParam},
		{featureOffsetX, 4, 0}, {featureOffsetX, 8, statusInvalidParam}, {featurePixelFormat, 7, statusInvalidParam},
		{featurePayloadSize, 1, statusWriteProtect}, {featureTLParamsLocked, 1, 0}, {featureWidth, 32, statusAccessDenied},
	} {
		if got := write(t, c, addressFeatures+uint64(w.at), w.value); got != w.want {
			t.Errorf("feature %x = %d: status %x, want %x", w.at, w.value, got, w.want)
		}
	}
	for _, bad := range []Config{{Width: 7, Height: 8}, {Width: 66, Height: 48}, {Width: 1 << 20, Height: 8}, {Serial: strings.Repeat("x", 64)}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v is a camera", bad)
		}
	}
}

// The description is well-formed.
func TestDescription(t *testing.T) {
	c := newCamera(t, Config{})
	d := xml.NewDecoder(bytes.NewReader(c.memory.xml))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
