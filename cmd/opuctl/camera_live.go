package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/light-in-the-loop/opu/camera"
)

// liveCommand shows what comes from a camera.
type liveCommand struct {
	cameraFlags
	count     int
	triggered bool
}

// liveLine is a second of it.
type liveLine struct {
	Time   time.Time `json:"time"`
	Rate   float64   `json:"frames_per_s"` // good ones
	Bytes  float64   `json:"bytes_per_s"`
	tally            // in this second
	Levels *levels   `json:"levels,omitempty"` // of its last good frame; nil of a second without one
}

func newCameraLive() *cobra.Command {
	var l liveCommand
	c := &cobra.Command{
		Use:   "live",
		Short: "Watch rates, losses and saturation",
		Long: `Take frames, at the camera's own pace or with --triggered one for each trigger, and
show every second how many came, how many were lost or bad, and how bright the last one
was: on a terminal with a small picture, elsewhere as a line for each second, with
--format json as one JSON object on each line. It ends at Ctrl-C, or after --count lines.
A second without frames is shown as such; it is no error.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return l.run(c) },
	}
	l.register(c)
	l.registerSettings(c)
	c.Flags().Lookup("format").Usage = "what to print: text, or json (one object a line)"
	c.Flags().IntVar(&l.count, "count", 0, "end after so many seconds (0: at Ctrl-C)")
	c.Flags().BoolVar(&l.triggered, "triggered", false, "wait for the camera's trigger input")
	return c
}

// lineTime is from line to line.
const lineTime = time.Second

func (l *liveCommand) run(c *cobra.Command) error {
	if l.count < 0 {
		return usage("--count %d is negative", l.count)
	}
	cam, _, err := l.open(c)
	if err != nil {
		return err
	}
	defer cam.Close()
	s := screen{w: c.OutOrStdout(), format: l.out}
	var t tally
	var size int
	var seen *levels
	var small []string
	lines := 0
	began := time.Now()
	// say ends a second. Frames that come later begin the next.
	say := func(now time.Time) error {
		seconds := now.Sub(began).Seconds()
		line := liveLine{Time: now, Rate: float64(t.Good) / seconds, Bytes: float64(size) / seconds, tally: t, Levels: seen}
		began, size, seen, t = now, 0, nil, tally{next: t.next}
		lines++
		return s.show(line, line.text(), small)
	}
	for {
		err := stream(c.Context(), cam, !l.triggered, lineTime, func(f *camera.Frame) (bool, error) {
			now := time.Now()
			if t.add(f) {
				size += len(f.Pix)
			}
			if now.Sub(began) < lineTime {
				return false, nil
			}
			if f.Status == camera.OK && f.Check() == nil {
				l := levelsOf(f)
				if seen = &l; s.live() {
					small = sketch(f)
				}
			}
			err := say(now)
			return lines == l.count, err
		})
		switch {
		case c.Context().Err() != nil:
			return nil
		case err == nil:
			return nil
		case !errors.Is(err, camera.ErrTimeout):
			return err
		}
		t.next = 0 // the next run counts from 0 again
		if err := say(time.Now()); err != nil || lines == l.count {
			return err
		}
	}
}

func (l liveLine) text() string {
	head := fmt.Sprintf("%s  %7.1f frames/s, %6.1f MB/s, %d lost, %d bad", l.Time.Format(time.TimeOnly), l.Rate, l.Bytes/1e6, l.Lost, l.Bad)
	if l.Levels == nil {
		return head + "; no frame to see"
	}
	return head + "; " + l.Levels.String()
}

// screen shows lines that follow each other: on a terminal the last one alone, with what
// belongs to it.
type screen struct {
	w      io.Writer
	format format
	lines  int // of the last one
}

// live tells whether it is a terminal.
func (s *screen) live() bool {
	f, ok := s.w.(*os.File)
	return ok && s.format == "text" && term.IsTerminal(int(f.Fd()))
}

// width of the terminal.
func (s *screen) width() int {
	const usual = 80
	if width, _, err := term.GetSize(int(s.w.(*os.File).Fd())); err == nil && width > 0 {
		return width
	}
	return usual
}

func (s *screen) show(value any, line string, below []string) error {
	var b bytes.Buffer
	switch {
	case s.format == "json":
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("cannot print the line: %w", err)
		}
		b.Write(append(text, '\n'))
	case s.live():
		if s.lines > 0 {
			fmt.Fprintf(&b, "\x1b[%dA\x1b[J", s.lines) // up, and clear what is below
		}
		s.lines = 1 + len(below)
		width := s.width()
		for _, l := range append([]string{line}, below...) {
			if runes := []rune(l); len(runes) > width { // one that wraps would be two
				l = string(runes[:width])
			}
			fmt.Fprintln(&b, l)
		}
	default:
		fmt.Fprintln(&b, line)
	}
	_, err := s.w.Write(b.Bytes())
	return err
}

// sketch draws a frame with characters, for a terminal: the mean of each cell, from the
// darkest to the brightest.
func sketch(f *camera.Frame) []string {
	const columns = 64
	wide := max(1, (f.Width+columns-1)/columns) // pixels of a cell, which is twice as high
	var cells []float64
	width := 0
	for v := 0; v < f.Height; v += 2 * wide {
		width = 0
		for u := 0; u < f.Width; u += wide {
			sum, n := 0, 0
			for y := v; y < min(v+2*wide, f.Height); y++ {
				for x := u; x < min(u+wide, f.Width); x++ {
					sum += f.At(x, y)
					n++
				}
			}
			cells = append(cells, float64(sum)/float64(n))
			width++
		}
	}
	return shade(cells, width)
}

// shades are from dark to bright.
const shades = " .:-=+*#%@"

// shade draws rows of cells, from the least to the largest value.
func shade(cells []float64, width int) (rows []string) {
	lo, hi := cells[0], cells[0]
	for _, x := range cells {
		lo, hi = min(lo, x), max(hi, x)
	}
	for at := 0; at < len(cells); at += width {
		row := make([]byte, width)
		for i, x := range cells[at : at+width] {
			row[i] = shades[int((x-lo)/max(hi-lo, 1e-9)*float64(len(shades)-1))]
		}
		rows = append(rows, string(row))
	}
	return rows
}
