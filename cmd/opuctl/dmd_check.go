package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// quickQuestions are those of opuctl dmd test: planes, rates, trigger.
var quickQuestions = []string{"status", "upload with replies", "longest order", "restart", "planes", "silent entries", "line"}

// boardTest is what a board answered, for a person and for a report of a bug.
type boardTest struct {
	Board  boardReport     `json:"board"`
	Time   time.Time       `json:"time"`
	Checks []dlpc900.Check `json:"checks"`
	Broken string          `json:"broken_off,omitempty"` // why the talk ended early
	Stats  dlpc900.Stats   `json:"stats"`
}

// contactFlags say how a board is put questions to.
type contactFlags struct {
	yes  bool
	file string
}

func (f *contactFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.yes, "yes", false, "ask nothing: what needs eyes or instruments is ignored")
	c.Flags().StringVar(&f.file, "out", "", "`file` to save the result to, as JSON, for a report of a bug")
}

func (f *contactFlags) check() error {
	if f.file == "" {
		return nil
	}
	return writableFile(f.file)
}

// run puts questions to a board, prints what was found, and saves it.
func (f *contactFlags) run(c *cobra.Command, b *boardFlags, out format, only []string) error {
	ask := f.asker(c.InOrStdin(), c.ErrOrStderr())
	if ask != nil {
		if _, err := ask(c.Context(), "The mirrors will move: block the laser, or dump the beams of all mirror states. Press Enter."); err != nil {
			return err
		}
	}
	return b.with(c.Context(), func(d *dlpc900.Device) error {
		t, broken := testBoard(c.Context(), d, b.sim, dlpc900.Contact{
			Only: only, Ask: ask, Look: b.look(),
			Tell: func(what string) { fmt.Fprintf(c.ErrOrStderr(), "%s\n", what) },
		})
		if broken != nil {
			t.Broken = broken.Error()
		}
		if err := f.save(t); err != nil {
			return errors.Join(broken, err)
		}
		if err := out.print(c.OutOrStdout(), t, t.print); err != nil {
			return err
		}
		if f.file != "" {
			fmt.Fprintf(c.ErrOrStderr(), "saved in %s\n", f.file)
		}
		if broken != nil {
			return broken
		}
		return t.err()
	})
}

// asker asks the person at the terminal, if there is one.
func (f *contactFlags) asker(in io.Reader, out io.Writer) func(context.Context, string) (string, error) {
	if terminal, ok := in.(*os.File); f.yes || !ok || !term.IsTerminal(int(terminal.Fd())) {
		return nil
	}
	return askFrom(in, out)
}

// askFrom reads answers line by line. A question that is given up leaves its reader behind,
// whose line then answers the next one.
func askFrom(in io.Reader, out io.Writer) func(context.Context, string) (string, error) {
	type line struct {
		text string
		err  error
	}
	lines := make(chan line)
	go func() {
		for reader := bufio.NewReader(in); ; {
			text, err := reader.ReadString('\n')
			lines <- line{text, err}
			if err != nil {
				return
			}
		}
	}()
	return func(ctx context.Context, question string) (string, error) {
		fmt.Fprintf(out, "%s ", question)
		select {
		case l := <-lines:
			return strings.TrimSpace(l.text), l.err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (f *contactFlags) save(t boardTest) error {
	if f.file == "" {
		return nil
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err == nil {
		err = os.WriteFile(f.file, append(text, '\n'), 0o666)
	}
	if err != nil {
		return fmt.Errorf("cannot save the result: %w", err)
	}
	return nil
}

// testBoard describes a board and puts the questions to it. What was found until an error is
// returned with it.
func testBoard(ctx context.Context, d *dlpc900.Device, simulated bool, c dlpc900.Contact) (t boardTest, err error) {
	t = boardTest{Time: time.Now().UTC()}
	if t.Board, err = describeBoard(ctx, d, simulated); err != nil {
		return t, err
	}
	if t.Checks, err = d.Contact(ctx, c); err != nil {
		return t, err
	}
	t.Stats, err = d.Stats(ctx)
	return t, err
}

func (t boardTest) print(w io.Writer) {
	t.Board.print(w)
	for _, c := range t.Checks {
		fmt.Fprintf(w, "%-11s %s: %s\n", c.Verdict, c.Name, c.Found)
	}
	if t.Broken != "" {
		fmt.Fprintf(w, "broken off  %s\n", t.Broken)
	}
}

func (t boardTest) err() error {
	failures := 0
	for _, c := range t.Checks {
		if c.Verdict == dlpc900.Failure {
			failures++
		}
	}
	if failures > 0 {
		return fmt.Errorf("%d of %d checks failed; report it with the file that --out writes", failures, len(t.Checks))
	}
	return nil
}

func newDMDTest() *cobra.Command {
	var b boardFlags
	var f contactFlags
	var out format
	c := &cobra.Command{
		Use:   "test",
		Short: "Test a board: planes, rates, triggers",
		Long: `Show the 24 planes of an image, measure how fast images are sent and runs restart,
play the longest order, and count the pulses of trigger output 2, if somebody does.
A bar wanders over the chip for ten seconds: whether from left to right only eyes can
say, so on a terminal you are asked. It takes about half a minute; opuctl selftest
--dmd asks all that is not known of a board.

Verdicts: SUCCESS, FAILURE (the exit code is 1), IGNORED where nobody could tell.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			b.timed = true
			return f.run(c, &b, out, quickQuestions)
		},
	}
	b.register(c)
	f.register(c)
	out.register(c)
	return c
}
