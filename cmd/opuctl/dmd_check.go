package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// boardCheck is one check of a board.
type boardCheck struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Figure string `json:"figure"`
}

// boardTest is what opuctl dmd test found, for a person and for a report of a bug.
type boardTest struct {
	Board  boardReport   `json:"board"`
	Time   time.Time     `json:"time"`
	Checks []boardCheck  `json:"checks"`
	Look   []string      `json:"look"` // what only eyes can judge
	Stats  dlpc900.Stats `json:"stats"`
}

func newDMDTest() *cobra.Command {
	var b boardFlags
	var out format
	var file string
	c := &cobra.Command{
		Use:   "test",
		Short: "Check a board at first contact: upload, orders, timing, restart",
		Long: `Check what documents and users say differently of DLPC900 boards: how fast images
are sent, whether a run shows as many patterns as it should, whether the longest
order is taken, and how long a restart takes. At the end a bar wanders over the
chip for ten seconds; whether it does so from left to right only eyes can say.

It takes about a minute. Keep the result, with --out, for a report of a bug.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if file != "" {
				if err := writableFile(file); err != nil {
					return err
				}
			}
			return b.with(c.Context(), func(d *dlpc900.Device) error {
				t, err := testBoard(c.Context(), d, b.sim, c.ErrOrStderr())
				if err != nil {
					return err
				}
				if file != "" {
					text, err := json.MarshalIndent(t, "", "  ")
					if err == nil {
						err = os.WriteFile(file, append(text, '\n'), 0o666)
					}
					if err != nil {
						return fmt.Errorf("cannot save the result: %w", err)
					}
				}
				if err := out.print(c.OutOrStdout(), t, t.print); err != nil {
					return err
				}
				return t.err()
			})
		},
	}
	b.register(c)
	out.register(c)
	c.Flags().StringVar(&file, "out", "", "`file` to save the result to, as JSON")
	return c
}

func (t boardTest) print(w io.Writer) {
	t.Board.print(w)
	for _, c := range t.Checks {
		verdict := "passed"
		if !c.Passed {
			verdict = "FAILED"
		}
		fmt.Fprintf(w, "%-11s %s: %s\n", verdict, c.Name, c.Figure)
	}
	for _, s := range t.Look {
		fmt.Fprintf(w, "look        %s\n", s)
	}
}

func (t boardTest) err() error {
	failed := 0
	for _, c := range t.Checks {
		if !c.Passed {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed; report it with the file that --out writes", failed, len(t.Checks))
	}
	return nil
}

const bars = 24 // one-bit planes of an image

// testBoard makes the checks. An error of the board ends them.
func testBoard(ctx context.Context, d *dlpc900.Device, simulated bool, progress io.Writer) (t boardTest, err error) {
	t = boardTest{Time: time.Now().UTC()}
	if t.Board, err = describeBoard(ctx, d, simulated); err != nil {
		return t, err
	}
	check := func(name string, passed bool, format string, args ...any) {
		t.Checks = append(t.Checks, boardCheck{name, passed, fmt.Sprintf(format, args...)})
	}
	fmt.Fprintln(progress, "sending 24 patterns")
	slots, patterns := make([]int, bars), make([]*slm.Pattern, bars)
	for k := range slots {
		slots[k] = k
		patterns[k] = drawn(d.Info().Geometry, func(u, _ int, g slm.Geometry) bool { return u*bars/g.Width == k })
	}
	if err := d.Load(ctx, slots, patterns); err != nil {
		return t, err
	}
	s, err := d.Stats(ctx)
	if err != nil {
		return t, err
	}
	check("upload", s.Images == 1, "%d bytes in %v, %.1f kB/s with a reply for each block", s.Bytes, s.Sending.Round(time.Millisecond), float64(s.Bytes)/1e3/s.Sending.Seconds())

	// run plays an order and returns how long it took from its start to its end.
	run := func(order []int, period time.Duration) (time.Duration, error) {
		if err := d.Play(ctx, slm.Run{Order: order, Period: period}); err != nil {
			return 0, err
		}
		began := time.Now()
		_, err := d.Wait(ctx)
		return time.Since(began), err
	}
	fmt.Fprintln(progress, "playing orders")
	longest := make([]int, d.Info().MaxRun)
	for k := range longest {
		longest[k] = k * 7 % bars
	}
	const period = 2 * time.Millisecond
	for _, n := range []int{1, bars, len(longest)} {
		took, err := run(longest[:n], period)
		if err != nil {
			return t, err
		}
		// One that took twice as long showed each pattern twice, and so on. A simulated board
		// has a clock of its own.
		want := time.Duration(n) * period
		fits := simulated || took > want-10*time.Millisecond && took < want+want/2+50*time.Millisecond
		check(fmt.Sprintf("an order of %d", n), fits, "took %v, %v of it patterns", took.Round(100*time.Microsecond), want)
	}
	fmt.Fprintln(progress, "restarting")
	before, err := d.Stats(ctx)
	if err != nil {
		return t, err
	}
	const restarts = 20
	for range restarts {
		if _, err := run(slots[:2], period); err != nil {
			return t, err
		}
	}
	if t.Stats, err = d.Stats(ctx); err != nil {
		return t, err
	}
	r := t.Stats.Restart
	check("restart", r.Count-before.Restart.Count == restarts, "Stop, order, Start: %v on average, %v to %v", r.Mean().Round(time.Microsecond), r.Min.Round(time.Microsecond), r.Max.Round(time.Microsecond))
	check("the line", t.Stats.Line.Retries+t.Stats.Line.Strays+t.Stats.Line.Refusals == 0, "%d commands, %d repeated, %d stray replies, %d refused",
		t.Stats.Line.Commands, t.Stats.Line.Retries, t.Stats.Line.Strays, t.Stats.Line.Refusals)

	fmt.Fprintln(progress, "look at the chip: a bar wanders from left to right, once in ten seconds")
	if _, err := run(slots, 10*time.Second/bars); err != nil {
		return t, err
	}
	t.Look = []string{
		"the bar wandered from the left edge to the right one, without jumps: planes are in order",
		"it was one bar over the whole height: both controllers, and all blocks of mirrors, work",
		"a counter on trigger output 2 saw one pulse for each pattern",
	}
	return t, nil
}
