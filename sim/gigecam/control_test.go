package gigecam

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

func model(t testing.TB, c Config) *Camera {
	t.Helper()
	bench := sim.Good(1)
	bench.Width, bench.Height, bench.Chip = 32, 24, slm.Geometry{Width: 70, Height: 9}
	b, err := sim.New(bench)
	if err != nil {
		t.Fatal(err)
	}
	c.Sensor = b.Camera()
	for range 20 {
		c.Address = fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, rand.IntN(255), 2+rand.IntN(250))
		var m *Camera
		if m, err = New(c); err == nil {
			t.Cleanup(func() { m.Close() })
			return m
		}
	}
	t.Fatal(err)
	return nil
}

var master, other = netip.MustParseAddrPort("127.0.0.1:4000"), netip.MustParseAddrPort("127.0.0.1:4001")

// asks sends a message and expects an answer that begins so.
func asks(t *testing.T, m *Camera, from netip.AddrPort, message, answer string) {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(message, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString(m.handle(from, data))
	if want := strings.ReplaceAll(answer, " ", ""); !strings.HasPrefix(got, want) || want == "" && got != "" {
		t.Errorf("%s is answered by %s, want %s", message, got, want)
	}
}

// The messages are those of Aravis's programs and camera, recorded.
func TestAnswers(t *testing.T) {
	m := model(t, Config{})
	asks(t, m, other, "42 11 0002 0000 0001", "0000 0003 00f8 0001")
	asks(t, m, master, "42 01 0080 0004 0002 00000a00", "0000 0081 0004 0002 00000000")
	asks(t, m, master, "42 01 0082 0008 0003 00000a00 00000002", "0000 0083 0004 0003 00000001")
	asks(t, m, other, "42 01 0082 0008 0004 00000a00 00000002", "8006 0083") // it has a master
	asks(t, m, other, "42 01 0082 0008 0004 00010000 00000010", "8006 0083")
	asks(t, m, other, "42 01 0080 0004 0005 00000a00", "0000 0081 0004 0005 00000002")
	asks(t, m, master, "42 01 0084 0008 0006 00000200 00000040", "0000 0085 0044 0006 00000200 4c6f63616c3a") // Local:
	asks(t, m, master, "42 01 0086 0008 0007 00010000 00000010", "0000 0087 0004 0007 00000004")
	asks(t, m, master, "42 01 0080 0008 0008 00010000 00010014", "0000 0081 0008 0008 00000010 00000180") // 16x24 pixels
	for status, message := range map[string]string{
		"8003": "42 01 0080 0004 0009 fffffff0", "8005": "42 01 0080 0004 0009 00000001", "8004": "42 01 0082 0008 0009 00000048 00000000",
		"8002": "42 01 0082 0008 0009 00010000 00000100", // wider than the sensor
		"8001": "42 01 00c0 0000 0009",
	} {
		asks(t, m, master, message, status)
	}
	for _, message := range []string{"", "42", "42 01 0080 0004 000a", "43 01 0080 0004 000a 00000a00", "42 01 0080 0004 0000 00000a00", "42 00 0080 0004 000a 00000a00"} {
		asks(t, m, master, message, "")
	}
	asks(t, m, master, "42 01 0082 0008 000b 00000a00 00000000", "0000")
	asks(t, m, other, "42 01 0082 0008 000c 00000a00 00000002", "0000") // it is free again
}

// Pixels are packed as the formats are defined, of which two examples are worked out by hand.
func TestPack(t *testing.T) {
	f := &camera.Frame{Pix: []byte{0xBC, 0x0A, 0x23, 0x01}, Width: 2, Height: 1, Stride: 4, BitDepth: 12}
	for name, want := range map[string]string{"Mono12": "bc0a2301", "Mono12p": "bc3a12", "Mono12Packed": "ab3c12"} {
		for _, format := range formats[12] {
			if got := hex.EncodeToString(pack(f, format)); format.name == name && got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
}

func FuzzHandle(f *testing.F) {
	f.Add([]byte{0x42, 1, 0, 0x82, 0, 8, 0, 3, 0, 0, 0x0a, 0, 0, 0, 0, 2})
	f.Add([]byte{0x42, 1, 0, 0x84, 0, 8, 0, 3, 0, 0x10, 0, 0, 0, 0, 2, 0})
	m := model(f, Config{})
	f.Fuzz(func(t *testing.T, message []byte) {
		m.handle(master, []byte{0x42, 1, 0, 0x82, 0, 8, 0, 3, 0, 0, 0x0a, 0, 0, 0, 0, 2})
		answer := m.handle(master, message)
		if answer != nil && (len(answer) < 8 || len(answer) != 8+int(binary.BigEndian.Uint16(answer[4:])) || len(answer) > max(8+4+512, len(message))) {
			t.Errorf("%x is answered by %x", message, answer)
		}
	})
}
