package controller_test

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

// us are microseconds.
func us(n int) time.Duration { return time.Duration(n) * time.Microsecond }

// number is a number in n bytes, low byte first, in hexadecimal.
func number(x, n int) string {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(x))
	return hex.EncodeToString(b[:n])
}

// message is a write that wants a reply.
func message(code int, data string) string {
	return "4001" + number(2+len(data)/2, 2) + number(code, 2) + data
}

// line is an entry of the table as a person thinks of it.
type line struct {
	exposure, dark int // us
	wait, silent   bool
	image, bit     int
}

func (h host) define(index int, l line) {
	h.Helper()
	h.accept(definition(index, l))
}

func definition(index int, l line) string {
	flags, more := 0x70, 0
	if l.wait {
		flags |= 0x80
	}
	if l.silent {
		more = 1
	}
	return message(0x1A34, number(index, 2)+number(l.exposure, 3)+number(flags, 1)+number(l.dark, 3)+number(more, 1)+number(l.bit<<11|l.image, 2))
}

// upload loads an image of raw pixel words, the same for each pixel of row v: rows[v].
func (h host) upload(g slm.Geometry, image int, pixel func(u, v int) uint32) {
	h.Helper()
	h.uploadTo(0x1A2A, g, image, pixel)
}

func (h host) uploadTo(initCode int, g slm.Geometry, image int, pixel func(u, v int) uint32) {
	h.Helper()
	data := "53706c64" + number(g.Width, 2) + number(g.Height, 2) + number(0, 4) + "ffffffffffffffff" + number(0, 4) + "01000100" + "0001" + number(0, 8) + number(0, 8) + number(0, 2)
	for v := range g.Height {
		row := ""
		for u := range g.Width {
			x := pixel(u, v)
			row += number(int(x>>16), 1) + number(int(x>>8)&255, 1) + number(int(x)&255, 1)
		}
		for len(row)%32 != 0 {
			row += "00"
		}
		data += row
	}
	h.accept(message(initCode, number(image, 2)+number(len(data)/2, 4)))
	for len(data) > 0 {
		n := min(len(data), 2*504)
		h.accept(message(initCode+1, number(n/2, 2)+data[:n]))
		data = data[n:]
	}
}

// seen is an exposure without its pattern.
type seen struct {
	Entry, Position       int
	Trigger               bool
	Start, Exposure, Dark time.Duration
}

func withoutPatterns(shown []controller.Exposure) []seen {
	var out []seen
	for _, x := range shown {
		out = append(out, seen{x.Entry, int(x.Position), x.Trigger, x.Start, x.Exposure, x.Dark})
	}
	return out
}

// What a random sequence shows, and when, is what a few plain lines say.
func TestSequencesAgainstOracle(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 60 {
		var shown []controller.Exposure
		c := small()
		c.Restart = us(random.IntN(20000))
		c.Report = us(random.IntN(2) * 1000)
		c.Show = func(x []controller.Exposure) { shown = append(shown, x...) }
		h := connect(t, c)
		h.accept(message(0x1A1B, "03"))
		planes := [2][24]int{} // what each plane shows: a number that its mirrors spell
		for image := range planes {
			for bit := range planes[image] {
				planes[image][bit] = random.IntN(1 << 24)
			}
			h.upload(c.DMD.Geometry, image, func(u, v int) (x uint32) {
				for bit, number := range planes[image] {
					x |= uint32(number>>(v*8+u)&1) << bit
				}
				return x
			})
		}
		lines := make([]line, 1+random.IntN(30))
		for i := range lines {
			lines[i] = line{exposure: 105 + random.IntN(3000), dark: random.IntN(2) * random.IntN(500), silent: random.IntN(8) == 0,
				wait: random.IntN(10) == 0, image: random.IntN(2), bit: random.IntN(24)}
			h.define(i, lines[i])
		}
		total := len(lines)
		h.accept(message(0x1A31, number(len(lines), 2)+number(total, 4)))
		order := make([]int, len(lines))
		for i := range order {
			order[i] = i
		}
		if random.IntN(2) == 0 {
			order = order[:0]
			indices := ""
			for range 1 + random.IntN(250) {
				order = append(order, random.IntN(len(lines)))
				indices += number(order[len(order)-1], 2)
			}
			total = 1 + random.IntN(2*len(order))
			h.accept(message(0x1A32, number(len(order), 2)+number(total, 4)+indices))
		}

		const delay, patience = 105, 777 // of the trigger, and how long it is waited for
		var want []seen
		var spelled []int
		started := h.board.Now() + c.Report // when the board has the command
		now := started + c.Restart
		h.send(message(0x1A24, "02"))
		for k := range total {
			i := order[k%len(order)]
			l := lines[i]
			if l.wait {
				h.board.Advance(max(0, now-h.board.Now()) + us(patience))
				now = h.board.Now() + us(delay)
				h.board.Trigger()
			}
			want = append(want, seen{i, k, !l.silent, now, us(l.exposure), us(l.dark)})
			spelled = append(spelled, planes[l.image][l.bit])
			now += us(l.exposure + l.dark)
			if lines[(i+1)%len(lines)].wait {
				want = append(want, seen{-1, k, false, now, us(105), 0})
				spelled = append(spelled, 0)
				now += us(105)
			}
		}
		if diff := cmp.Diff(want, withoutPatterns(shown)); diff != "" {
			t.Fatalf("%d lines, order %v (want -, got +):\n%s", len(lines), order, diff)
		}
		for k, x := range shown {
			got := 0
			for v := range 3 {
				got |= int(x.Pattern.Row(v)[0]) << (8 * v)
			}
			if got != spelled[k] {
				t.Fatalf("exposure %d of entry %d shows %06x, want %06x", k, x.Entry, got, spelled[k])
			}
		}
		if got := h.board.Now(); got != now {
			t.Errorf("the board's clock is at %v, want %v", got, now)
		}
		if got := h.ask("C0 01 02 00 0C 1A"); got[4] != 0 {
			t.Errorf("after the sequence the main status is %#x", got[4])
		}
	}
}

// An endless sequence goes on for as long as time does, and pauses where it is told to.
func TestEndless(t *testing.T) {
	var shown []controller.Exposure
	c := small()
	c.Show = func(x []controller.Exposure) { shown = append(shown, x...) }
	h := connect(t, c)
	h.accept(message(0x1A1B, "03"))
	h.define(0, line{exposure: 1000})
	h.define(1, line{exposure: 1000, dark: 500, bit: 1})
	h.accept(message(0x1A31, "0200"+number(0, 4)))
	h.accept(message(0x1A24, "02"))
	if len(shown) != 0 {
		t.Error("something was shown in no time")
	}
	h.board.Advance(us(3700))
	h.accept(message(0x1A24, "01"))
	h.board.Advance(us(10000))
	h.accept(message(0x1A24, "02"))
	h.board.Advance(us(1000))
	h.accept(message(0x1A24, "00"))
	want := []seen{
		{0, 0, true, 0, us(1000), 0}, {1, 1, true, us(1000), us(1000), us(500)}, {0, 2, true, us(2500), us(1000), 0},
		{1, 3, true, us(3500), us(200), 0},   // paused
		{1, 3, true, us(13700), us(1000), 0}, // the same again, cut in the dark
	}
	if diff := cmp.Diff(want, withoutPatterns(shown)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	h.refuse(message(0x1A24, "03"), 6)
}

// A sequence of an hour is not played when it is started.
func TestLongSequenceTakesItsTime(t *testing.T) {
	shown := 0
	c := small()
	c.Show = func(x []controller.Exposure) { shown += len(x) }
	h := connect(t, c)
	h.accept(message(0x1A1B, "03"))
	h.define(0, line{exposure: 105})
	h.accept(message(0x1A31, "0100ffffffff"))
	h.accept(message(0x1A24, "02"))
	if got := h.ask("C0 01 02 00 0C 1A"); got[4] != 2 {
		t.Errorf("main status %#x, want running", got[4])
	}
	h.board.Advance(time.Minute)
	if want := int(time.Minute / us(105)); shown != want {
		t.Errorf("%d patterns in a minute, want %d", shown, want)
	}
}

// Each half of a chip with two controllers has its own bytes; one that was not loaded
// shows the picture that was there before.
func TestTwoControllers(t *testing.T) {
	var shown []controller.Exposure
	d := controller.Custom(slm.Geometry{Width: 2 * 70, Height: 3})
	d.Controllers = 2
	h := connect(t, controller.Config{DMD: d, Show: func(x []controller.Exposure) { shown = x }})
	half := slm.Geometry{Width: 70, Height: 3}
	on := func(u, v int) bool { return (u*u+v)%3 == 0 }
	h.accept(message(0x1A1B, "03"))
	h.uploadTo(0x1A2C, half, 0, func(u, v int) uint32 {
		if on(70+u, v) {
			return 1 << 5
		}
		return 0
	})
	h.define(0, line{exposure: 105, bit: 5})
	h.accept(message(0x1A31, "010001000000"))
	h.accept(message(0x1A24, "02"))
	left, right := 0, 0
	count := func() {
		left, right = 0, 0
		for v := range 3 {
			for u := range 140 {
				if shown[0].Pattern.On(u, v) == on(u, v) {
					if u < 70 {
						left++
					} else {
						right++
					}
				}
			}
		}
	}
	if count(); right != 210 || left == 210 {
		t.Errorf("with one half loaded, %d and %d of 210 mirrors are right", left, right)
	}
	h.upload(half, 0, func(u, v int) uint32 {
		if on(u, v) {
			return 1 << 5
		}
		return 0
	})
	h.accept(message(0x1A24, "02"))
	if count(); left+right != 420 {
		t.Errorf("with both halves loaded, %d and %d of 210 mirrors are right", left, right)
	}
	h = connect(t, small())
	h.accept(message(0x1A1B, "03"))
	h.refuse(message(0x1A2C, "000040000000"), 5) // there is no second controller
}

// Deeper patterns are several planes.
func TestDepth(t *testing.T) {
	var shown []controller.Exposure
	c := small()
	c.DMD.MinExposure[3] = us(394)
	c.Show = func(x []controller.Exposure) { shown = x }
	h := connect(t, c)
	h.accept(message(0x1A1B, "03"))
	h.upload(c.DMD.Geometry, 0, func(u, v int) uint32 { return uint32(u) << 4 })
	h.refuse(message(0x1A34, "0000"+number(393, 3)+"04"+number(0, 3)+"00"+number(4<<11, 2)), 14)
	h.refuse(message(0x1A34, "0000"+number(4046, 3)+"06"+number(0, 3)+"00"+number(4<<11, 2)), 16)
	h.refuse(message(0x1A34, "0000"+number(394, 3)+"04"+number(0, 3)+"00"+number(22<<11, 2)), 10)
	h.accept(message(0x1A34, "0000"+number(394, 3)+"04"+number(0, 3)+"00"+number(4<<11, 2)))
	h.accept(message(0x1A31, "010001000000"))
	h.accept(message(0x1A24, "02"))
	all := append([]*slm.Pattern{shown[0].Pattern}, shown[0].Upper...)
	for u := range 8 {
		got := 0
		for k, p := range all {
			if p.On(u, 1) {
				got |= 1 << k
			}
		}
		if got != u {
			t.Errorf("column %d shows %d", u, got)
		}
	}
}

// The limits of the table, each with its own error.
func TestTableLimits(t *testing.T) {
	h := connect(t, controller.Config{DMD: controller.DLP6500()})
	h.refuse(definition(0, line{exposure: 105}), 5) // video mode
	h.accept(message(0x1A1B, "03"))
	h.refuse(definition(400, line{exposure: 105}), 15)
	h.refuse(definition(0, line{exposure: 104}), 14)
	h.refuse(definition(0, line{exposure: 105, image: 18}), 17)
	h.refuse(message(0x1A24, "02"), 7)
	h.refuse(message(0x1A32, "0100010000000000"), 7)
	for i := range 400 {
		h.define(i, line{exposure: 105, image: i / 24, bit: i % 24})
	}
	h.refuse(message(0x1A31, number(0, 2)+number(0, 4)), 15)
	h.refuse(message(0x1A31, number(401, 2)+number(0, 4)), 15)
	h.accept(message(0x1A31, number(400, 2)+number(0, 4)))
	order := func(n, index int) string {
		indices := ""
		for range n {
			indices += number(index, 2)
		}
		return message(0x1A32, number(n, 2)+number(0, 4)+indices)
	}
	h.refuse(order(1, 400), 15)
	h.accept(order(250, 399))
	h.refuse(message(0x1A32, number(2, 2)+number(0, 4)+"0000"), 6) // an index is missing
	h.accept(message(0x1A24, "02"))
	for _, m := range []string{message(0x1A31, "010000000000"), message(0x1A32, "0100000000000000"), message(0x1A1B, "03"),
		message(0x1A2A, "000040000000"), message(0x1A1D, "0000000000"), message(0x0201, "01"), message(0x0609, "01")} {
		h.refuse(m, 5) // during a sequence
	}
	h.accept(message(0x1A24, "00"))
	h.accept(message(0x1A31, "010000000000"))

	old := connect(t, controller.Config{DMD: controller.DLP6500(), Firmware: controller.Version{Major: 4, Minor: 2}})
	old.accept(message(0x1A1B, "03"))
	old.refuse(message(0x1A32, "0100000000000000"), 3)

	shallow := controller.DLP6500()
	shallow.Capacity = 24
	h = connect(t, controller.Config{DMD: shallow})
	h.accept(message(0x1A1B, "03"))
	for i := range 25 {
		h.define(i, line{exposure: 105, image: i / 24, bit: i % 24})
	}
	h.accept(message(0x1A31, number(24, 2)+number(0, 4)))
	h.refuse(message(0x1A31, number(25, 2)+number(0, 4)), 8)
}

func TestTriggerLimits(t *testing.T) {
	h := connect(t, controller.Config{DMD: controller.DLP6500()})
	edges := func(invert, rising, falling int) string {
		return number(invert, 1) + number(rising, 2) + number(falling, 2)
	}
	h.accept(message(0x1A1D, edges(0, 0, 0)))
	h.refuse(message(0x1A1E, edges(0, 0, 0)), 13)
	h.accept(message(0x1A1E, edges(0, 0, 20)))
	h.refuse(message(0x1A1E, edges(1, 0, 20)), 13)
	h.accept(message(0x1A1E, edges(1, 20, 0)))
	h.accept(message(0x1A1D, edges(0, -20, 20000)))
	h.refuse(message(0x1A1D, edges(0, -21, 0)), 13)
	h.refuse(message(0x1A1D, edges(0, 0, 20001)), 13)
	h.accept(message(0x1A40, "0001")) // with one block of mirrors, 24 us
	h.refuse(message(0x1A1D, edges(0, -20, 0)), 13)
	h.accept(message(0x1A1D, edges(0, -19, 0)))
	h.refuse(message(0x1A35, number(103, 2)+"00"), 13)
	h.accept(message(0x1A35, number(104, 2)+"01"))
	h.refuse(message(0x1A35, number(104, 2)+"02"), 6)
	h.expect("C0 01 02 00 35 1A", "C0 01 03 00 68 00 01")
}

// Idle mode, parking and standby forbid what they forbid.
func TestPower(t *testing.T) {
	h := connect(t, small())
	h.refuse(message(0x0201, "01"), 5) // video mode
	h.accept(message(0x1A1B, "03"))
	h.define(0, line{exposure: 105})
	h.accept(message(0x1A31, "010001000000"))
	h.accept(message(0x0201, "01"))
	h.refuse(message(0x1A24, "02"), 5)
	h.accept(message(0x0201, "00"))
	h.accept(message(0x0609, "01"))
	if got := h.ask("C0 01 02 00 0C 1A"); got[4] != 1 {
		t.Errorf("main status %#x, want parked", got[4])
	}
	h.refuse(message(0x1A24, "02"), 5)
	h.accept(message(0x0609, "00"))
	h.refuse(message(0x1A24, "02"), 7) // the configuration must be sent again
	h.accept(message(0x1A31, "010001000000"))
	h.accept(message(0x1A24, "02"))
	h.accept(message(0x0200, "01"))
	h.refuse(message(0x1A24, "00"), 5)
	h.refuse(message(0x0200, "00"), 5) // too early
	h.board.Advance(123 * time.Second)
	h.accept(message(0x0200, "00"))
	h.accept(message(0x0802, "01")) // reset
	h.expect("C0 01 02 00 1B 1A", "C0 01 01 00 00")
}

// Each quirk does what it says.
func TestQuirks(t *testing.T) {
	with := func(q controller.Quirks) host {
		c := small()
		c.Quirks = q
		return connect(t, c)
	}
	with(controller.Quirks{LatchedAbort: true, ReservedBit: true}).expect("C0 01 02 00 0A 1A", "C0 01 01 00 61")
	with(controller.Quirks{EmptyErrorCode: true}).expect("C0 01 02 00 00 01", "C0 01 00 00")

	h := with(controller.Quirks{LongReplies: true})
	h.ask("C0 01 02 00 01 01")
	rest := make([]byte, 64)
	for range 2 {
		if err := h.board.Read(h.ctx(), rest); err != nil {
			t.Fatal(err)
		}
	}

	h = with(controller.Quirks{SlowReadBack: true})
	h.accept(message(0x1A1B, "03"))
	h.expect("C0 01 02 00 1B 1A", "C0 01 01 00 00")
	h.expect("C0 01 02 00 1B 1A", "C0 01 01 00 03")

	h = with(controller.Quirks{IdleRuns: true})
	h.accept(message(0x1A1B, "03"))
	h.accept(message(0x0201, "01"))
	h.expect("C0 01 02 00 0C 1A", "C0 01 01 00 02")

	h = with(controller.Quirks{LocksUp: true})
	h.accept(message(0x1A1B, "03"))
	h.define(0, line{exposure: 105})
	h.accept(message(0x1A31, "010000000000"))
	h.accept(message(0x1A24, "02"))
	h.send(message(0x1A1B, "00"))
	h.send("C0 01 02 00 0A 1A")
	h.board.PowerCycle()
	h.expect("C0 02 02 00 0A 1A", "C0 02 01 00 01") // and nothing of before
}

// Mirrors of revision B hold after a change of mode, until they are parked and unparked;
// newer firmware does not let them.
func TestStuckMirrors(t *testing.T) {
	for _, c := range []struct {
		firmware controller.Version
		park     bool
		stuck    bool
	}{
		{controller.Version{Major: 4, Minor: 1}, false, true}, {controller.Version{Major: 4, Minor: 1}, true, false},
		{controller.Version{Major: 5}, false, true}, {controller.Version{Major: 6}, false, false},
	} {
		var shown []controller.Exposure
		h := connect(t, controller.Config{DMD: small().DMD, Firmware: c.firmware, Quirks: controller.Quirks{StuckMirrors: true},
			Show: func(x []controller.Exposure) { shown = x }})
		h.accept(message(0x1A1B, "03"))
		if c.park {
			h.accept(message(0x0609, "01"))
			h.accept(message(0x0609, "00"))
		}
		h.upload(small().DMD.Geometry, 0, func(u, v int) uint32 { return 0 })
		h.define(0, line{exposure: 105})
		h.accept(message(0x1A31, "010001000000"))
		h.accept(message(0x1A24, "02"))
		if got := shown[0].Pattern.Count() > 0; got != c.stuck {
			t.Errorf("firmware %v, parked: %t: mirrors hold: %t", c.firmware, c.park, got)
		}
	}
}

// Inversion, flips and blocks change what the mirrors do, not what is stored.
func TestOrientation(t *testing.T) {
	var shown []controller.Exposure
	d := controller.Custom(slm.Geometry{Width: 8, Height: 6})
	d.Blocks = []time.Duration{us(24), us(45), us(105)}
	corner := func(u, v int) bool { return u == 1 && v == 0 }
	for name, c := range map[string]struct {
		set  string
		want func(u, v int) bool
	}{
		"as it is":   {message(0x1008, "00"), corner},
		"inverted":   {message(0x1A30, "01"), func(u, v int) bool { return !corner(u, v) }},
		"long axis":  {message(0x1008, "01"), func(u, v int) bool { return corner(7-u, v) }},
		"short axis": {message(0x1009, "01"), func(u, v int) bool { return corner(u, 5-v) }},
		"two blocks": {message(0x1A40, "0102"), func(int, int) bool { return false }},
	} {
		h := connect(t, controller.Config{DMD: d, Show: func(x []controller.Exposure) { shown = x }})
		h.accept(message(0x1A1B, "03"))
		h.accept(c.set)
		h.upload(d.Geometry, 0, func(u, v int) uint32 {
			if corner(u, v) {
				return 1
			}
			return 0
		})
		h.define(0, line{exposure: 105})
		h.accept(message(0x1A31, "010001000000"))
		h.accept(message(0x1A24, "02"))
		for i := range 48 {
			if u, v := i%8, i/8; shown[0].Pattern.On(u, v) != c.want(u, v) {
				t.Errorf("%s: mirror (%d, %d) is wrong", name, u, v)
			}
		}
	}
}

// FuzzReports looks for reports on which a board panics or never ends, and asks it
// afterwards who it is.
func FuzzReports(f *testing.F) {
	for _, m := range []string{"C0 07 02 00 0A 1A", message(0x1A1B, "03"), definition(0, line{exposure: 105}), message(0x1A31, "010001000000"),
		message(0x1A24, "02"), message(0x1A2A, "000040000000"), message(0x1A2B, "f801"+number(0, 8)), message(0x1A32, "0100010000000000")} {
		f.Add(padded(unhex(f, m)))
	}
	setup := slices.Concat(padded(unhex(f, message(0x1A1B, "03"))), padded(unhex(f, definition(0, line{exposure: 105}))), padded(unhex(f, message(0x1A31, "010001000000"))))
	f.Fuzz(func(t *testing.T, reports []byte) {
		h := connect(t, small())
		for _, bytes := range [][]byte{setup, reports[:len(reports)/64*64]} {
			if err := h.board.Write(h.ctx(), bytes); err != nil {
				t.Fatal(err)
			}
		}
		h.board.Advance(time.Millisecond)
		h.board.Trigger()
		h.board.Plug()
		h.expect("C0 01 02 00 0B 1A", "C0 01 01 00 01")
	})
}
