package piezo_test

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/shifter"
	"github.com/light-in-the-loop/opu/shifter/piezo"
	"github.com/light-in-the-loop/opu/shifter/shiftertest"
	model "github.com/light-in-the-loop/opu/sim/piezo"
)

// controller makes a model.
func controller(t testing.TB, c model.Config) *model.Controller {
	t.Helper()
	m, err := model.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// open opens a model in memory.
func open(t testing.TB, c model.Config, o piezo.Options) (*piezo.Device, *model.Controller) {
	t.Helper()
	m := controller(t, c)
	d, err := piezo.Open(t.Context(), m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, m
}

// expect fails the test unless err wraps want, and says what to do.
func expect(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "cannot ") {
		t.Errorf("%s: got error %v, want one that wraps %q", what, err, want)
	}
}

// kinds are the controllers and what drives them.
var kinds = map[string]struct {
	model model.Config
	kind  string
}{
	"MDT694B": {model.Config{MeterOffset: 0.17}, ""},
	"MDT693B": {model.Config{Model: "MDT693B", Switch: 150, Hysteresis: 5}, "mdt69xb"},
	"MDT693A": {model.Config{Model: "MDT693A", Switch: 100, Compatible: true}, "mdt69xa"},
}

func TestConformance(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			models := map[shifter.Device]*model.Controller{}
			shiftertest.Run(t, shiftertest.Harness{
				Open: func(t *testing.T) shifter.Device {
					d, m := open(t, k.model, piezo.Options{Kind: k.kind, Name: "memory"})
					models[d] = m
					return d
				},
				Output: func(d shifter.Device) float64 { return models[d].Volts() },
				Silence: func(d shifter.Device) {
					models[d].Fault(func(string, string) (string, time.Duration) { return "", 0 })
				},
				Around: synctest.Test,
			})
		})
	}
}

// Who it is, and the narrowest of all limits.
func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			model model.Config
			o     piezo.Options
			want  shifter.Info
		}{
			{model.Config{}, piezo.Options{Name: "p"}, shifter.Info{Model: "MDT694B", Serial: "140421-07", Max: 75}},
			{model.Config{Switch: 150}, piezo.Options{Name: "p"}, shifter.Info{Model: "MDT694B", Serial: "140421-07", Max: 75}},
			{model.Config{Switch: 150}, piezo.Options{Max: 120, Min: 10}, shifter.Info{Model: "MDT694B", Serial: "140421-07", Min: 10, Max: 120}},
			{model.Config{Switch: 100}, piezo.Options{Max: 120}, shifter.Info{Model: "MDT694B", Serial: "140421-07", Max: 100}},
			{model.Config{Serial: "0"}, piezo.Options{Max: 20}, shifter.Info{Model: "MDT694B", Serial: "0", Max: 20}},
			{model.Config{Model: "MDT693A", Compatible: true}, piezo.Options{Kind: "mdt69xa", Name: "p"}, shifter.Info{Model: "MDT693A", Serial: "p", Max: 75}},
		} {
			d, m := open(t, c.model, c.o)
			c.want.Resolution, c.want.Settle = 0.5, 50*time.Millisecond
			if got := d.Info(); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if lo, hi := m.Extremes(); lo != 0 || hi != 0 {
				t.Errorf("opening moved the piezo: %g V to %g V", lo, hi)
			}
		}
		// A user's own limit of the axis counts, too.
		m := controller(t, model.Config{})
		for _, command := range []string{"xmax=30\r", "xmin=2\r", "half a com"} {
			io.WriteString(m, command)
		}
		d, err := piezo.Open(t.Context(), m, piezo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if i := d.Info(); i.Min != 2 || i.Max != 30 {
			t.Errorf("limits %g V to %g V, want 2 V to 30 V", i.Min, i.Max)
		}
	})
}

func TestBadOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, o := range map[string]piezo.Options{
			"kind": {Kind: "mdt"}, "axis": {Axis: "w"}, "no range": {Min: 75}, "NaN": {Max: math.NaN()}, "too high": {Max: 1000},
			"step": {Step: -1}, "pause": {Pause: -1}, "settle": {Settle: time.Hour}, "tolerance": {Tolerance: 100}, "radians": {RadiansPerVolt: math.Inf(1)},
		} {
			m := controller(t, model.Config{})
			_, err := piezo.Open(t.Context(), m, o)
			expect(t, name, err, shifter.ErrInput)
			if m.Commands() > 0 {
				t.Errorf("%s: something was sent", name)
			}
		}
	})
}

// The voltage goes in steps, whose size and pace are kept.
func TestRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		var volts []float64
		d, _ := open(t, model.Config{RadiansPerVolt: 1, Moved: func(v float64) {
			at, volts = append(at, time.Now()), append(volts, v)
		}}, piezo.Options{Step: 2, Pause: 30 * time.Millisecond, Settle: time.Second})
		start := time.Now()
		if err := d.Set(t.Context(), 9); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 4*30*time.Millisecond+time.Second {
			t.Errorf("took %v", took)
		}
		if len(volts) != 5 || volts[4] != 9 {
			t.Fatalf("went by %g V, want 5 steps to 9 V", volts)
		}
		for k, v := range volts {
			if math.Abs(v-9*float64(k+1)/5) > 1e-3 || at[k].Sub(start) != time.Duration(k)*30*time.Millisecond {
				t.Errorf("step %d: %g V after %v", k, v, at[k].Sub(start))
			}
		}
		// A context that ends on the way leaves it there.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		expect(t, "Set that was cut short", d.Set(ctx, 75), context.DeadlineExceeded)
		if v, err := d.Read(t.Context()); err != nil || v < 10 || v > 14 {
			t.Errorf("it is at %g V (%v), want it where the time ended", v, err)
		}
	})
}

// Somebody turned the knob.
func TestReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := open(t, model.Config{}, piezo.Options{Max: 50})
		m.Turn(60)
		if v, err := d.Read(t.Context()); err != nil || v != 60 {
			t.Errorf("%g V, %v", v, err)
		}
		if err := d.Set(t.Context(), 49); err != nil || m.Volts() != 49 {
			t.Errorf("back from outside the limits: %g V, %v", m.Volts(), err)
		}
		d, _ = open(t, model.Config{MeterOffset: 3}, piezo.Options{})
		expect(t, "Set beside an external input", d.Set(t.Context(), 20), shifter.ErrRefused)
	})
}

// The axis's limit was lowered behind our back: the controller refuses.
func TestRefusal(t *testing.T) {
	for name, k := range kinds {
		synctest.Test(t, func(t *testing.T) {
			d, m := open(t, k.model, piezo.Options{Kind: k.kind})
			lower := "xmax=30\r"
			if k.model.Compatible {
				lower = "XH30\r"
			}
			io.WriteString(m, lower)
			expect(t, name, d.Set(t.Context(), 40), shifter.ErrRefused)
			if err := d.Set(t.Context(), 10); err != nil {
				t.Errorf("%s: afterwards: %v", name, err)
			}
		})
	}
}

// once makes the answer to the first command that begins so a faulty one.
func once(begin string, f func(answer string) (string, time.Duration)) func(string, string) (string, time.Duration) {
	var done sync.Once
	return func(command, answer string) (changed string, late time.Duration) {
		changed = answer
		if strings.HasPrefix(command, begin) {
			done.Do(func() { changed, late = f(answer) })
		}
		return changed, late
	}
}

// One answer goes wrong, in each way: the right voltage is read all the same, and none of
// what came late or broken is ever taken for it.
func TestOneFault(t *testing.T) {
	for name, f := range map[string]func(string) (string, time.Duration){
		"lost":              func(string) (string, time.Duration) { return "", 0 },
		"late by a second":  func(a string) (string, time.Duration) { return a, 1100 * time.Millisecond },
		"late by 1.9 s":     func(a string) (string, time.Duration) { return a, 1900 * time.Millisecond },
		"without a prompt":  func(a string) (string, time.Duration) { return strings.TrimRight(a, ">*"), 0 },
		"cut":               func(a string) (string, time.Duration) { return a[:len(a)/2], 0 },
		"twice":             func(a string) (string, time.Duration) { return a + a, 0 },
		"bytes of noise":    func(a string) (string, time.Duration) { return "\x00\xfe" + a, 0 },
		"another's":         func(string) (string, time.Duration) { return "[Echo Off]\r>", 0 },
		"a prompt too many": func(a string) (string, time.Duration) { return ">" + a, 0 },
		"NaN":               func(string) (string, time.Duration) { return "[NaN]\r>", 0 },
	} {
		synctest.Test(t, func(t *testing.T) {
			d, m := open(t, model.Config{}, piezo.Options{})
			if err := d.Set(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
			m.Fault(once("xvoltage?", f))
			if v, err := d.Read(t.Context()); err != nil || v != 10 {
				t.Errorf("%s: %g V, %v", name, v, err)
			}
			m.Turn(33) // what is still on the line says 10 V
			for range 3 {
				if v, err := d.Read(t.Context()); err != nil || v != 33 {
					t.Errorf("%s: then %g V, %v", name, v, err)
				}
			}
			if s := d.Stats(); s.Retries+s.Strays == 0 {
				t.Errorf("%s: nobody counted it: %+v", name, s)
			}
		})
	}
}

// Whatever answers are lost, late or broken, a voltage that is read is the voltage.
func TestManyFaults(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			d, m := open(t, model.Config{}, piezo.Options{})
			m.Fault(func(_, a string) (string, time.Duration) {
				switch random.IntN(8) {
				case 0:
					return "", 0
				case 1:
					return a, time.Duration(random.IntN(3000)) * time.Millisecond
				case 2:
					return a[:random.IntN(len(a)+1)], 0
				case 3:
					return a + "[  12.3]\r>", 0
				}
				return a, 0
			})
			good := 0
			for k := range 40 {
				volts := float64(10 + k)
				m.Turn(volts)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(100+random.IntN(3000))*time.Millisecond)
				v, err := d.Read(ctx)
				cancel()
				switch {
				case err == nil && v == volts:
					good++
				case err == nil:
					t.Errorf("seed %d: read %g V, it is at %g V", seed, v, volts)
				}
			}
			t.Logf("seed %d: %d of 40 read, %+v", seed, good, d.Stats())
		})
	}
}

// A device that is no such controller, or none at all.
func TestWrongDevice(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(command string) string
		want   error
	}{
		"silent":     {func(string) string { return "" }, shifter.ErrTimeout},
		"echo":       {func(c string) string { return c + "\r" }, shifter.ErrProtocol},
		"modem":      {func(string) string { return "\r\nERROR\r\n" }, shifter.ErrProtocol},
		"noise":      {func(string) string { return "\x80\x00\xff>" }, shifter.ErrProtocol},
		"shell":      {func(c string) string { return c + "\r\nsh: not found\r\n>" }, shifter.ErrProtocol},
		"flood":      {func(string) string { return strings.Repeat("data ", 2000) }, shifter.ErrProtocol},
		"filter":     {func(string) string { return "Command error CMD_NOT_DEFINED\r> " }, shifter.ErrRefused},
		"other kind": {func(string) string { return "!" }, shifter.ErrProtocol},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := controller(t, model.Config{})
			m.Fault(func(command, _ string) (string, time.Duration) { return c.answer(command), 0 })
			start := time.Now()
			_, err := piezo.Open(t.Context(), m, piezo.Options{Name: "/dev/ttyS9"})
			expect(t, name, err, c.want)
			if !strings.Contains(err.Error(), "/dev/ttyS9") {
				t.Errorf("%s: the error does not name the port: %v", name, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: took %v", name, took)
			}
			if _, err := m.Write([]byte("x")); err == nil {
				t.Errorf("%s: the port is still open", name)
			}
			t.Log(err)
		})
	}
}

// A controller that falls silent is given up in time, and is used again when it is back.
func TestSilenceAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m, again *model.Controller
		d, m := open(t, model.Config{}, piezo.Options{Reopen: func(context.Context) (piezo.Port, error) {
			if again == nil {
				return nil, shifter.ErrUnplugged
			}
			return again, nil
		}})
		if err := d.Set(t.Context(), 12); err != nil {
			t.Fatal(err)
		}
		m.Fault(func(string, string) (string, time.Duration) { return "", 0 })
		start := time.Now()
		_, err := d.Read(t.Context())
		expect(t, "silent", err, shifter.ErrTimeout)
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
		_, err = d.Read(t.Context())
		expect(t, "gone", err, shifter.ErrUnplugged)
		again = controller(t, model.Config{})
		if v, err := d.Read(t.Context()); err != nil || v != 0 {
			t.Errorf("back: %g V, %v", v, err)
		}
		if err := d.Set(t.Context(), 12); err != nil || again.Volts() != 12 {
			t.Errorf("back: %v", err)
		}
		again.Close()
		again = controller(t, model.Config{Serial: "other"})
		_, err = d.Read(t.Context())
		expect(t, "cable pulled", err, shifter.ErrUnplugged)
		_, err = d.Read(t.Context())
		expect(t, "another controller", err, shifter.ErrRefused)
		if again.Volts() != 0 {
			t.Error("another controller was moved")
		}
	})
}

// The cable is pulled while the piezo is on its way.
func TestCablePulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := open(t, model.Config{}, piezo.Options{Step: 1})
		time.AfterFunc(100*time.Millisecond, func() { m.Close() })
		start := time.Now()
		expect(t, "Set", d.Set(t.Context(), 70), shifter.ErrUnplugged)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		_, err := d.Read(t.Context())
		expect(t, "Read", err, shifter.ErrUnplugged)
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// stuck is a line that takes nothing.
type stuck struct{ closed chan struct{} }

func (s stuck) Read([]byte) (int, error)  { <-s.closed; return 0, io.EOF }
func (s stuck) Write([]byte) (int, error) { <-s.closed; return 0, io.EOF }
func (s stuck) Close() error              { close(s.closed); return nil }

func TestStuckLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := piezo.Open(t.Context(), stuck{make(chan struct{})}, piezo.Options{})
		expect(t, "Open", err, shifter.ErrTimeout)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// The piezo is never driven beyond its limit: random calls, random faults, random
// cancellations, and the controller watches its own output. It itself would take more.
func TestNeverBeyondTheLimit(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			lo, hi := 5+random.Float64(), 40+random.Float64()
			last := lo
			step := 1 + 5*random.Float64()
			d, m := open(t, model.Config{Switch: 150, RadiansPerVolt: 1, MeterOffset: 0.17 * (2*random.Float64() - 1), Moved: func(v float64) {
				if math.Abs(v-last) > step+0.5 { // the meter, from which the way begins, is that far off
					t.Errorf("seed %d: a step from %g V to %g V, larger than %g V", seed, last, v, step)
				}
				last = v
			}}, piezo.Options{Min: lo, Max: hi, Step: step, RadiansPerVolt: 0.2})
			m.Turn(lo) // it begins within its limits
			low := min(0, lo)
			lied := false
			m.Fault(func(_, a string) (string, time.Duration) {
				switch random.IntN(20) {
				case 0:
					return "", 0
				case 1:
					return a, 1500 * time.Millisecond
				case 2:
					if lied = !lied; lied { // not twice in a row
						return "[ 140.0]\r>", 0
					}
				}
				return a, 0
			})
			for range 50 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(5000))*time.Millisecond)
				switch random.IntN(4) {
				case 0:
					d.Read(ctx)
				case 1:
					shifter.SetPhase(ctx, d, 30*random.NormFloat64())
				case 2:
					d.Set(ctx, []float64{lo, hi, math.NaN(), math.Inf(1), -1, 150, math.Nextafter(hi, 99)}[random.IntN(7)])
				case 3:
					d.Set(ctx, lo+(hi-lo)*random.Float64())
				}
				cancel()
				if v := m.Volts(); v < lo || v > hi {
					t.Fatalf("seed %d: at %g V, the limits are %g V to %g V", seed, v, lo, hi)
				}
			}
			if l, h := m.Extremes(); l < low || h > hi {
				t.Errorf("seed %d: the output was at %g V to %g V, the limits are %g V to %g V", seed, l, h, lo, hi)
			}
		})
	}
}
