package u3v

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
)

// unhex reads bytes as Wireshark shows them; its dissector reads these as the tests do.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// script is a link on which every command must be the next of a conversation.
type script struct {
	t       *testing.T
	turns   []turn
	answers [][]byte
}

type turn struct {
	command string
	answers []string
}

func (s *script) Send(_ context.Context, packet []byte) error {
	if len(s.turns) == 0 {
		s.t.Fatalf("a command too many: % x", packet)
	}
	if want := unhex(s.t, s.turns[0].command); !bytes.Equal(packet, want) {
		s.t.Errorf("the command is\n% x, want\n% x", packet, want)
	}
	for _, a := range s.turns[0].answers {
		s.answers = append(s.answers, unhex(s.t, a))
	}
	s.turns = s.turns[1:]
	return nil
}

func (s *script) Receive(ctx context.Context, p []byte) (int, error) {
	if len(s.answers) == 0 {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	n := copy(p, s.answers[0])
	s.answers = s.answers[1:]
	return n, nil
}

func (s *script) Recover(context.Context) error                  { return nil }
func (s *script) Stream(context.Context, int, int) (Pipe, error) { return nil, errors.ErrUnsupported }
func (s *script) PacketSize() int                                { return 1024 }
func (s *script) Close() error                                   { return nil }

func TestCommands(t *testing.T) {
	s := &script{t: t, turns: []turn{
		{"55 33 56 43 | 00 40 | 00 08 | 0c 00 | 01 00 | d8 01 00 00 00 00 00 00 | 00 00 | 08 00",
			[]string{"55 33 56 43 | 00 00 | 01 08 | 08 00 | 01 00 | 00 00 01 00 00 00 00 00"}},
		{"55 33 56 43 00 40 00 08 0c 00 02 00 04 00 00 00 00 00 00 00 00 00 40 00",
			[]string{"55 33 56 43 00 00 01 08 40 00 02 00" + strings.Repeat("41", 64)}},
		{"55 33 56 43 00 40 00 08 0c 00 03 00 20 00 01 00 00 00 00 00 00 00 08 00",
			[]string{"55 33 56 43 00 00 01 08 08 00 03 00 00 00 02 00 00 00 00 00"}},
		{"55 33 56 43 | 00 40 | 02 08 | 0c 00 | 04 00 | 04 00 02 00 00 00 00 00 | 01 00 00 00", []string{
			"55 33 56 43 | 00 00 | 05 08 | 04 00 | 04 00 | 00 00 | 2c 01", // pending, 300 ms
			"55 33 56 43 | 00 00 | 03 08 | 04 00 | 04 00 | 00 00 | 04 00"}},
		{"55 33 56 43 | 00 40 | 02 08 | 0c 00 | 05 00 | 04 00 02 00 00 00 00 00 | 01 00 00 00",
			[]string{"55 33 56 43 | 04 80 | 03 08 | 04 00 | 05 00 | 00 00 | 00 00"}}, // write protected
	}}
	c := newControl(s)
	var p [64]byte
	if err := c.ReadAt(t.Context(), p[:8], 0x1D8); err != nil || !bytes.Equal(p[:8], []byte{0, 0, 1, 0, 0, 0, 0, 0}) {
		t.Errorf("% x, %v", p[:8], err)
	}
	if err := c.ReadAt(t.Context(), p[:], 4); err != nil || string(p[:]) != strings.Repeat("A", 64) {
		t.Errorf("%q, %v", p, err)
	}
	if err := c.ReadAt(t.Context(), p[:8], 0x10020); err != nil {
		t.Error(err)
	}
	if err := c.WriteAt(t.Context(), []byte{1, 0, 0, 0}, 0x20004); err != nil {
		t.Error(err)
	}
	err := c.WriteAt(t.Context(), []byte{1, 0, 0, 0}, 0x20004)
	if !errors.Is(err, camera.ErrRefused) || !strings.Contains(err.Error(), "write protected") {
		t.Errorf("a write that is refused: %v", err)
	}
}

// What does not fit into a packet goes in several.
func TestLongAccess(t *testing.T) {
	s := &script{t: t, turns: []turn{
		{"55335643 0040 0008 0c00 0100 0001000000000000 0000 0800", []string{"55335643 0000 0108 0800 0100 0102030405060708"}},
		{"55335643 0040 0008 0c00 0200 0801000000000000 0000 0400", []string{"55335643 0000 0108 0400 0200 090a0b0c"}},
		{"55335643 0040 0208 0c00 0300 0002000000000000 01020304", []string{"55335643 0000 0308 0000 0300"}},
		{"55335643 0040 0208 0c00 0400 0402000000000000 05060708", []string{"55335643 0000 0308 0400 0400 0000 0400"}},
	}}
	c := newControl(s)
	if err := c.limit(headerSize+addressSize+4, headerSize+8, 0); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 12)
	if err := c.ReadAt(t.Context(), p, 0x100); err != nil || !bytes.Equal(p, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}) {
		t.Errorf("% x, %v", p, err)
	}
	if err := c.WriteAt(t.Context(), p[:8], 0x200); err != nil {
		t.Error(err)
	}
	for _, l := range [][2]uint32{{20, 100}, {100, 12}, {0, 0}} {
		if err := c.limit(l[0], l[1], 0); !errors.Is(err, camera.ErrProtocol) {
			t.Errorf("packets of %d: %v", l, err)
		}
	}
}

func TestNonsense(t *testing.T) {
	for name, answer := range map[string]string{
		"short":          "55 33 56 43",
		"other prefix":   "55 33 56 44 00 00 01 08 00 00 01 00",
		"too long":       "55 33 56 43 00 00 01 08 09 00 01 00 00 00 00 00",
		"other command":  "55 33 56 43 00 00 03 08 00 00 01 00",
		"less than that": "55 33 56 43 00 00 01 08 03 00 01 00 00 00 00",
	} {
		s := &script{t: t, turns: []turn{{"55335643 0040 0008 0c00 0100 0000000000000000 0000 0400", []string{answer}}}}
		if err := newControl(s).ReadAt(t.Context(), make([]byte, 4), 0); !errors.Is(err, camera.ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeaderAndTrailer(t *testing.T) {
	b := unhex(t, "55 33 56 4c 00 00 34 00 07 00 00 00 00 00 00 00 00 00 01 00 14 1a 99 be 1c 00 00 00 01 00 08 01 00 04 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
	if !isLeader(b) || isTrailer(b) {
		t.Fatal("it is no leader")
	}
	if got, want := parseLeader(b), (leader{id: 7, payload: payloadImage, time: 123456789012, format: 0x01080001, width: 1024, height: 1024}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	b = unhex(t, "55 33 56 54 00 00 20 00 07 00 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 00 00 00 04 00 00")
	if !isTrailer(b) || isLeader(b) {
		t.Fatal("it is no trailer")
	}
	if got, want := parseTrailer(b), (trailer{id: 7, valid: 1 << 20}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for n := range b {
		if isLeader(b[:n]) || isTrailer(b[:n]) {
			t.Errorf("%d bytes of a trailer are taken for something", n)
		}
	}
}

// The examples are those of open drivers, where those agree.
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		payload         uint64
		transfer        int
		size, count     int
		final           int
		leader, trailer int
	}{
		{1 << 20, 1 << 20, 1 << 20, 1, 0, 1024, 1024},
		{1280 * 800, 65536, 65536, 15, 40960, 1024, 1024},
		{1000 * 1000, 65536, 65536, 15, 17408, 1024, 1024},
		{3000, 65536, 3072, 0, 3072, 1024, 1024},
		{3072, 65536, 3072, 1, 0, 1024, 1024},
		{10, 65536, 1024, 0, 1024, 1024, 1024},
	} {
		p, err := newPlan(c.payload, leaderSize, trailerSize, 10<<24, Options{Transfer: c.transfer, InFlight: 6 << 20}, 1024)
		if err != nil || p.size != c.size || p.count != c.count || p.final != c.final || p.leader != c.leader || p.trailer != c.trailer {
			t.Errorf("%d bytes are cut into %+v, %v; want %+v", c.payload, p, err, c)
		}
		if p.count*p.size+p.final < p.payload {
			t.Errorf("%d bytes do not fit into %+v", c.payload, p)
		}
	}
	o := Options{Transfer: 65536, InFlight: 6 << 20}
	if p, err := newPlan(5000, 0, 0, 0, o, 512); err != nil || p.alignment != 512 || p.leader != 512 || p.size != 5120 {
		t.Errorf("a camera that says nothing: %+v, %v", p, err)
	}
	for _, c := range []struct {
		payload               uint64
		leader, trailer, info uint32
	}{{0, 52, 32, 0}, {1 << 62, 52, 32, 0}, {100, 1 << 30, 32, 0}, {100, 52, 1 << 31, 0}, {100, 52, 32, 40 << 24}} {
		if p, err := newPlan(c.payload, c.leader, c.trailer, c.info, o, 1024); !errors.Is(err, camera.ErrProtocol) {
			t.Errorf("%+v is cut into %+v, %v", c, p, err)
		}
	}
}

func TestParseReference(t *testing.T) {
	serial, o, err := ParseReference("A-17,buffers=4,transfer=64,inflight=1024,source=Line2,edge=falling,packed")
	if err != nil || serial != "A-17" || o.Buffers != 4 || o.Transfer != 65536 || o.InFlight != 1<<20 || o.Camera.Source != "Line2" || !o.Camera.Falling || !o.Camera.Packed {
		t.Errorf("%q, %+v, %v", serial, o, err)
	}
	if serial, o, err := ParseReference(""); serial != "" || o != (Options{}) || err != nil {
		t.Errorf("%q, %+v, %v", serial, o, err)
	}
	for _, text := range []string{"A,", "A,buffers=0", "A,buffers=1000", "A,transfer=1", "A,transfer=many", "A,inflight=9999999999", "A,edge=both", "A,colour"} {
		if _, _, err := ParseReference(text); !errors.Is(err, camera.ErrInput) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever comes is an acknowledgement within its bytes, or an error.
func FuzzAck(f *testing.F) {
	f.Add([]byte{0x55, 0x33, 0x56, 0x43, 0, 0, 1, 8, 4, 0, 1, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAck(b)
		if err == nil && len(a.data) > len(b)-headerSize {
			t.Errorf("%d bytes in %d", len(a.data), len(b))
		}
		if isLeader(b) {
			parseLeader(b)
		}
		if isTrailer(b) {
			parseTrailer(b)
		}
	})
}
