package dlpc900

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/internal/pause"
	"github.com/light-in-the-loop/opu/slm"
)

// Contact is the list of what documents and users say differently of boards, or do not say
// at all, put to a board as questions.
type Contact struct {
	// Ask asks the person at the bench, who may answer with an empty line; nil: nobody is
	// there, and what only eyes and instruments can tell is ignored.
	Ask func(ctx context.Context, question string) (answer string, err error)

	Tell func(what string) // of each question, before it is put; may be nil
	Only []string          // names of questions; nil: all of ContactQuestions
	Look time.Duration     // how long the planes are shown; 0: ten seconds
}

// Verdict is what became of a question.
type Verdict string

const (
	Success Verdict = "SUCCESS" // the board does what the driver relies on
	Failure Verdict = "FAILURE" // it does not
	Ignored Verdict = "IGNORED" // nobody could tell
)

// Check is a question and what was found.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Value   float64 `json:"value,omitempty"` // what was measured, in Unit
	Unit    string  `json:"unit,omitempty"`
}

// contactQuestions are the questions in their order.
var contactQuestions = []struct {
	name string
	put  func(*contact, context.Context) (Check, error)
}{
	{"descriptors", (*contact).descriptors},
	{"status", (*contact).status},
	{"upload with replies", func(c *contact, ctx context.Context) (Check, error) { return c.upload(ctx, acknowledged) }},
	{"upload without replies", func(c *contact, ctx context.Context) (Check, error) { return c.upload(ctx, silent) }},
	{"error text", (*contact).errorText},
	{"patterns of a start", (*contact).patternsOfAStart},
	{"longest order", (*contact).longestOrder},
	{"restart", (*contact).restart},
	{"planes", (*contact).planes},
	{"silent entries", (*contact).silentEntries},
	{"trigger input", (*contact).triggerInput},
	{"video lock", (*contact).videoLock},
	{"line", (*contact).line},
}

// ContactQuestions are the names of all questions, in their order.
func ContactQuestions() []string {
	var names []string
	for _, q := range contactQuestions {
		names = append(names, q.name)
	}
	return names
}

// Contact puts the questions to the board, one after the other; it takes about a minute, and
// what is in the slots is lost. What the board refuses, or answers wrongly, is a Failure; an
// error is what ends the talk: ctx, or a board that went away. The checks made until then are
// returned with it.
func (d *Device) Contact(ctx context.Context, c Contact) ([]Check, error) {
	if i := slices.IndexFunc(c.Only, func(name string) bool { return !slices.Contains(ContactQuestions(), name) }); i >= 0 {
		return nil, fmt.Errorf("cannot ask %q of %s; the questions are %s: %w", c.Only[i], name(d.options), strings.Join(ContactQuestions(), ", "), slm.ErrInput)
	}
	if c.Look == 0 {
		c.Look = 10 * time.Second
	}
	talk := &contact{Contact: c, d: d}
	if err := talk.prepare(ctx); err != nil {
		return nil, err
	}
	var checks []Check
	for _, q := range contactQuestions {
		if c.Only != nil && !slices.Contains(c.Only, q.name) {
			continue
		}
		if c.Tell != nil {
			c.Tell(q.name)
		}
		check, err := q.put(talk, ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, slm.ErrUnplugged) || errors.Is(err, slm.ErrClosed) || errors.Is(err, errNoAnswer) {
				return checks, err
			}
			check = Check{Verdict: Failure, Found: err.Error()}
		}
		check.Name = q.name
		checks = append(checks, check)
	}
	return checks, nil
}

// contact is a talk with a board.
type contact struct {
	Contact
	d      *Device
	slots  []int
	before LineStats
}

func success(format string, args ...any) Check {
	return Check{Verdict: Success, Found: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) Check {
	return Check{Verdict: Failure, Found: fmt.Sprintf(format, args...)}
}

func ignored(format string, args ...any) Check {
	return Check{Verdict: Ignored, Found: fmt.Sprintf(format, args...)}
}

// measured adds what was measured.
func (c Check) measured(value float64, unit string) Check {
	c.Value, c.Unit = value, unit
	return c
}

var errNoAnswer = errors.New("no answer from the person at the bench")

// asked asks, if somebody is there.
func (c *contact) asked(ctx context.Context, question string) (string, error) {
	if c.Ask == nil {
		return "", nil
	}
	answer, err := c.Ask(ctx, question)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return strings.TrimSpace(answer), nil
}

// prepare sends a bar for each plane of an image, each further to the right.
func (c *contact) prepare(ctx context.Context) error {
	g := c.d.info.Geometry
	n := min(planes, c.d.info.Capacity)
	patterns := make([]*slm.Pattern, n)
	c.slots = make([]int, n)
	for k := range patterns {
		c.slots[k], patterns[k] = k, slm.NewPattern(g)
		for v := range g.Height {
			for u := k * g.Width / n; u < (k+1)*g.Width/n; u++ {
				patterns[k].Set(u, v, true)
			}
		}
	}
	if err := c.d.Load(ctx, c.slots, patterns); err != nil {
		return err
	}
	s, err := c.d.Stats(ctx)
	c.before = s.Line
	return err
}

// raw talks to a board that is programmed and stopped. What it does to the LUT and the images
// is undone by the next run.
func (c *contact) raw(ctx context.Context, what string, f func(ctx context.Context, l *line) error) error {
	d := c.d
	return d.while(ctx, what, func(ctx context.Context) error {
		if err := d.quieten(ctx); err != nil {
			return err
		}
		if err := d.program(ctx, d.layout(d.last)); err != nil {
			return err
		}
		d.known.defined, d.known.configured = nil, 0
		clear(d.known.images[:])
		d.known.stopped = false
		return f(ctx, d.line)
	})
}

func (c *contact) descriptors(ctx context.Context) (check Check, err error) {
	err = c.raw(ctx, "read the descriptors", func(_ context.Context, l *line) error {
		link, ok := l.link.(describer)
		if !ok {
			check = ignored("this link has no USB descriptors")
			return nil
		}
		u, err := link.describe()
		if err != nil {
			return err
		}
		in, out, numbered := reportBits(u.Report)
		fits := in == 8*ReportSize && out == 8*ReportSize && !numbered
		if len(u.Report) == 0 { // libusb does not have it
			fits = len(u.Endpoints) == 2
		}
		check = success("%v", u)
		if !fits {
			check = failed("%v: no unnumbered reports of %d bytes both ways", u, ReportSize)
		}
		return nil
	})
	return check, err
}

func (c *contact) status(ctx context.Context) (Check, error) {
	s, err := c.d.Status(ctx)
	if err != nil {
		return Check{}, err
	}
	if s.System&1 == 0 {
		return failed("system status 0x%02X: the memory test did not pass", s.System), nil
	}
	return success("hardware 0x%02X, system 0x%02X, main 0x%02X", byte(s.Hardware), s.System, byte(s.Main)),
		s.Hardware.Check(c.d.dmd.Controllers)
}

// upload sends 24 patterns of random squares of 8x8 mirrors, which take some 130 kB.
func (c *contact) upload(ctx context.Context, m mode) (check Check, err error) {
	d := c.d
	random := rand.New(rand.NewPCG(1, 8))
	im := new(image)
	for k := range im {
		im[k] = slm.NewPattern(d.info.Geometry)
		for v := 0; v < d.info.Geometry.Height; v += squareSide {
			for u := 0; u < d.info.Geometry.Width; u += squareSide {
				if random.IntN(2) == 0 {
					fillSquare(im[k], u, v)
				}
			}
		}
	}
	err = c.raw(ctx, "measure uploads", func(ctx context.Context, l *line) error {
		bytes, took := 0, time.Duration(0)
		for controller, e := range d.encoders {
			encoded := e.encode(im)
			began := time.Now()
			if err := l.upload(ctx, m, controller, 0, encoded); err != nil {
				return err
			}
			bytes += len(encoded)
			took += time.Since(began)
		}
		code, err := l.get(ctx, cmdErrorCode, 0)
		if err != nil {
			return err
		}
		if len(code) > 0 && code[0] != 0 {
			return fmt.Errorf("after %d bytes the board says %v: %w", bytes, ErrorCode(code[0]), slm.ErrRefused)
		}
		if took <= 0 {
			check = ignored("%d bytes in no time: the board is simulated", bytes)
			return nil
		}
		speed := float64(bytes) / 1e3 / took.Seconds()
		check = success("%d bytes in %v, %.1f kB/s", bytes, took.Round(time.Millisecond), speed).measured(speed, "kB/s")
		return nil
	})
	return check, err
}

func fillSquare(p *slm.Pattern, u, v int) {
	g := p.Geometry()
	for y := v; y < min(v+squareSide, g.Height); y++ {
		for x := u; x < min(u+squareSide, g.Width); x++ {
			p.Set(x, y, true)
		}
	}
}

// strayTime is how long reports that nobody asked for are waited for.
const strayTime = 300 * time.Millisecond

// errorText provokes an error, by writing what can only be read, and looks at how its text of
// 128 bytes comes.
func (c *contact) errorText(ctx context.Context) (check Check, err error) {
	err = c.raw(ctx, "read an error's text", func(ctx context.Context, l *line) error {
		if _, err := l.exchange(ctx, replyTimeout, acknowledged, cmdErrorCode, []byte{0}); !errors.Is(err, errFailed) {
			check = ignored("writing the error code is no error to this board: %v", err)
			return nil
		}
		code, err := l.exchange(ctx, replyTimeout, read, cmdErrorCode)
		if err != nil {
			return err
		}
		says := "no error code"
		if len(code) > 0 {
			says = ErrorCode(code[0]).String()
		}
		text, err := l.exchange(ctx, replyTimeout, read, cmdErrorText)
		if err != nil {
			return err
		}
		says += fmt.Sprintf(" (%q)", parseText(text))
		claims, more := binary.LittleEndian.Uint16(l.in[2:]), 0
		for ; more < bufferSize/ReportSize; more++ {
			moment, cancel := context.WithTimeoutCause(ctx, strayTime, slm.ErrTimeout)
			var report [ReportSize]byte
			err := l.link.Read(moment, report[:])
			cancel()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if errors.Is(err, slm.ErrTimeout) {
				break
			}
			if err != nil {
				return err
			}
		}
		check = success("%s; the reply claims %d bytes, and %d more reports came", says, claims, more).measured(float64(more), "reports")
		return nil
	})
	return check, err
}

// lasts starts the sequence and returns how long the board says that it runs, up to a limit.
func (c *contact) lasts(ctx context.Context, l *line, limit time.Duration) (time.Duration, error) {
	if err := l.start(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	for {
		main, err := l.main(ctx)
		took := time.Since(began)
		if err != nil || main&MainRunning == 0 {
			return took, err
		}
		if took > limit {
			return took, l.stop(ctx)
		}
		if err := pause.For(ctx, time.Millisecond); err != nil {
			return took, err
		}
	}
}

// table writes a LUT of the bars, changed as the caller wants.
func (c *contact) table(ctx context.Context, l *line, t timing, patterns int, change func(k int, e *entry)) error {
	for k := range c.slots {
		e := c.d.entry(c.d.store.place[k], t)
		if change != nil {
			change(k, &e)
		}
		if err := l.define(ctx, k, e); err != nil {
			return err
		}
	}
	return l.configure(ctx, len(c.slots), patterns)
}

// ownClock ignores what cannot be timed.
func (c *contact) ownClock() (Check, bool) {
	return ignored("a simulated board with a clock of its own cannot be timed"), c.d.options.Virtual
}

// patternsOfAStart asks what bytes 2 to 5 of 0x1A31 count.
func (c *contact) patternsOfAStart(ctx context.Context) (check Check, err error) {
	if check, own := c.ownClock(); own {
		return check, nil
	}
	const some, period = 5, 20 * time.Millisecond
	err = c.raw(ctx, "count the patterns of a start", func(ctx context.Context, l *line) error {
		if err := c.table(ctx, l, timing{exposure: period}, some, nil); err != nil {
			return err
		}
		passes := time.Duration(len(c.slots)) * some * period
		took, err := c.lasts(ctx, l, passes+time.Second)
		if err != nil {
			return err
		}
		shown := took.Seconds() / period.Seconds()
		check = success("%d of %d entries took %v: the number counts patterns", some, len(c.slots), took.Round(time.Millisecond))
		if shown < some-1 || shown > 2*some {
			check = failed("%d of %d entries took %v, as %.0f patterns do; passes would take %v", some, len(c.slots), took.Round(time.Millisecond), shown, passes)
		}
		check = check.measured(shown, "patterns")
		return nil
	})
	return check, err
}

// longestOrder looks for the longest order that the board takes, and sees that it plays it.
func (c *contact) longestOrder(ctx context.Context) (Check, error) {
	d := c.d
	if !d.reorders {
		return ignored("this firmware has no reorder command"), nil
	}
	order := make([]int, d.info.MaxRun)
	for k := range order {
		order[k] = k * 7 % len(c.slots)
	}
	const period = 2 * time.Millisecond
	fits, refused := 0, len(order)+1 // takes fits, refuses refused
	var took time.Duration
	for n := len(order); fits+1 < refused; n = (fits + refused) / 2 {
		err := d.Play(ctx, slm.Run{Order: order[:n], Period: period})
		if errors.Is(err, slm.ErrRefused) {
			refused = n
			continue
		}
		began := time.Now()
		if err == nil {
			_, err = d.Wait(ctx)
		}
		if err != nil {
			return Check{}, err
		}
		fits, took = n, time.Since(began)
	}
	if fits < len(order) {
		return failed("the longest order that is taken has %d entries, not %d", fits, len(order)).measured(float64(fits), "entries"), nil
	}
	want := time.Duration(fits) * period
	if !d.options.Virtual && (took < want-10*time.Millisecond || took > want*3/2) {
		return failed("an order of %d took %v instead of %v", fits, took.Round(time.Millisecond), want), nil
	}
	return success("an order of %d was taken, and took %v", fits, took.Round(time.Millisecond)).measured(float64(fits), "entries"), nil
}

// restart measures Stop, order, Start; and, by when the run ends, the time until the first
// pattern, which output 2 marks.
func (c *contact) restart(ctx context.Context) (Check, error) {
	const restarts, period = 20, 2 * time.Millisecond
	before, err := c.d.Stats(ctx)
	if err != nil {
		return Check{}, err
	}
	longest := time.Duration(math.MaxInt64)
	for k := range restarts + 1 { // the first writes the LUT
		if err := c.d.Play(ctx, slm.Run{Order: c.slots[:2], Period: period}); err != nil {
			return Check{}, err
		}
		began := time.Now()
		if _, err := c.d.Wait(ctx); err != nil {
			return Check{}, err
		}
		if k > 0 {
			longest = min(longest, time.Since(began)-2*period)
		}
	}
	after, err := c.d.Stats(ctx)
	if err != nil {
		return Check{}, err
	}
	n := after.Restart.Count - before.Restart.Count
	if n < restarts {
		return failed("only %d of %d runs needed no more than Stop, order, Start", n, restarts), nil
	}
	mean := (after.Restart.Total - before.Restart.Total) / time.Duration(n)
	first := ""
	if !c.d.options.Virtual {
		first = fmt.Sprintf("; the first pattern came within %v of Start's acknowledgement", max(longest, 0).Round(100*time.Microsecond))
	}
	return success("Stop, order, Start: %v on average%s", mean.Round(time.Microsecond), first).measured(float64(mean)/1e6, "ms"), nil
}

// planes shows the bars, one after the other.
func (c *contact) planes(ctx context.Context) (Check, error) {
	if _, err := c.asked(ctx, "Look at the chip: a bar will wander over it once. Press Enter."); err != nil {
		return Check{}, err
	}
	err := c.d.Play(ctx, slm.Run{Order: c.slots, Period: c.Look / time.Duration(len(c.slots))})
	if err == nil {
		_, err = c.d.Wait(ctx)
	}
	if err != nil {
		return Check{}, err
	}
	answer, err := c.asked(ctx, "Did one bar of the whole height wander from the left edge to the right one, without jumps? [y/n, Enter: did not see]")
	switch {
	case err != nil:
		return Check{}, err
	case strings.HasPrefix(strings.ToLower(answer), "y"):
		return success("the %d planes are in their order, on the whole chip", len(c.slots)), nil
	case answer != "":
		return failed("the bar did not wander as it should (%q): the planes are in another order, or a part of the chip does not take part", answer), nil
	}
	return ignored("%d bars were shown, from left to right; nobody said what was seen", len(c.slots)), nil
}

// silentEntries asks whether bit 0 of byte 9 of an entry silences output 2, or the opposite.
func (c *contact) silentEntries(ctx context.Context) (check Check, err error) {
	const quiet = 5 // of the entries
	if c.Ask == nil {
		return ignored("nobody is there with a counter on trigger output 2"), nil
	}
	if _, err := c.asked(ctx, "Set a counter on trigger output 2 to zero, and press Enter."); err != nil {
		return Check{}, err
	}
	err = c.raw(ctx, "play silent entries", func(ctx context.Context, l *line) error {
		err := c.table(ctx, l, timing{exposure: 5 * time.Millisecond}, len(c.slots), func(k int, e *entry) { e.noTrigger = k < quiet })
		if err == nil {
			_, err = c.lasts(ctx, l, 10*time.Second)
		}
		return err
	})
	if err != nil {
		return Check{}, err
	}
	answer, err := c.asked(ctx, "How many pulses did it count? [Enter: no counter]")
	if err != nil {
		return Check{}, err
	}
	if answer == "" {
		return ignored("nobody counted the pulses of trigger output 2"), nil
	}
	pulses, err := strconv.Atoi(answer)
	switch {
	case err != nil:
		return ignored("%q is no number of pulses", answer), nil
	case pulses == len(c.slots)-quiet:
		check = success("%d of %d entries were silent: bit 0 disables the pulse", quiet, len(c.slots))
	case pulses == quiet:
		check = failed("%d pulses of %d entries: bit 0 enables the pulse, the opposite of what the guide says", pulses, len(c.slots))
	default:
		check = failed("%d pulses of %d entries, %d of them silent", pulses, len(c.slots), quiet)
	}
	return check.measured(float64(pulses), "pulses"), nil
}

// triggerInput plays by the edges of a generator for about a second, as often as somebody names
// another rate.
func (c *contact) triggerInput(ctx context.Context) (Check, error) {
	best, worst := 0.0, math.Inf(1)
	for c.Ask != nil {
		answer, err := c.asked(ctx, "Connect a generator to trigger input 1, and name its rate in Hz. [Enter: none, or no more]")
		if err != nil {
			return Check{}, err
		}
		if answer == "" {
			break
		}
		rate, err := strconv.ParseFloat(answer, 64)
		if err != nil || rate < 1 || rate > 1e5 {
			c.tell(fmt.Sprintf("%q is no rate from 1 to 100000 Hz", answer))
			continue
		}
		follows, err := c.follows(ctx, rate)
		if err != nil {
			return Check{}, err
		}
		if follows {
			best = max(best, rate)
		} else {
			worst = min(worst, rate)
		}
		c.tell(fmt.Sprintf("at %g Hz the board follows: %v", rate, follows))
	}
	switch {
	case best == 0 && math.IsInf(worst, 1):
		return ignored("no generator on trigger input 1"), nil
	case best == 0:
		return failed("edges were lost at %g Hz", worst).measured(worst, "Hz"), nil
	case math.IsInf(worst, 1):
		return success("the board follows %g edges in a second", best).measured(best, "Hz"), nil
	}
	return success("the board follows %g edges in a second, and loses some of %g", best, worst).measured(best, "Hz"), nil
}

func (c *contact) tell(what string) {
	if c.Tell != nil {
		c.Tell(what)
	}
}

// follows says whether as many patterns as edges come in a second took a second.
func (c *contact) follows(ctx context.Context, rate float64) (follows bool, err error) {
	err = c.raw(ctx, "play by trigger", func(ctx context.Context, l *line) error {
		n := max(int(rate), 2)
		if err := c.table(ctx, l, timing{exposure: c.d.info.MinPeriod, wait: true}, n, nil); err != nil {
			return err
		}
		want := time.Duration(float64(n) / rate * float64(time.Second))
		took, err := c.lasts(ctx, l, want*3/2)
		follows = took < want*11/10
		return err
	})
	return follows, err
}

func (c *contact) videoLock(context.Context) (Check, error) {
	return ignored("video mode is not driven, so no lock at 120 Hz was tried"), nil
}

// line judges how the talk itself went.
func (c *contact) line(ctx context.Context) (Check, error) {
	s, err := c.d.Stats(ctx)
	if err != nil {
		return Check{}, err
	}
	now, before := s.Line, c.before
	found := fmt.Sprintf("%d commands, %d repeated, %d times out of step, %d stray replies", now.Commands-before.Commands,
		now.Retries-before.Retries, now.Resyncs-before.Resyncs, now.Strays-before.Strays)
	if now.Retries > before.Retries || now.Resyncs > before.Resyncs {
		return failed("%s", found), nil
	}
	return success("%s", found), nil
}
