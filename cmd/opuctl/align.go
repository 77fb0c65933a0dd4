package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/picture"
	"github.com/light-in-the-loop/opu/internal/server"
)

// alignCommand shows how the light lies, again and again.
type alignCommand struct {
	benchFlags
	out      format
	exposure time.Duration
	interval time.Duration
	count    int
	file     string
}

// alignLine is a look, for programs.
type alignLine struct {
	Time      time.Time `json:"time"`
	Mean      float64   `json:"mean_counts"`
	BitDepth  int       `json:"bit_depth"`
	Simulated string    `json:"simulated,omitempty"`
	server.AlignmentFigures
	RadPerS float64 `json:"rad_per_s"` // of the phase, from look to look
}

func newAlign() *cobra.Command {
	var a alignCommand
	c := &cobra.Command{
		Use:   "align",
		Short: "Show how the light lies while somebody turns the screws",
		Long: `Look at a rig again and again, for the person at the table: where the sideband lies
and which way it must go, the fringes' visibility, rho (the power of the reference over
that of half-on speckle), the size of a speckle grain, saturation with all mirrors on,
the phase since the first look and its drift. Nothing need be calibrated, and a camera
that sees no mirrors yet is shown as well.

On a terminal it is a table and the spectrum (S marks the sideband, s its twin, o where
S must go), elsewhere a line for each look, with --format json one JSON object on each
line. --out keeps a picture of the last look. It ends at Ctrl-C, or after --count looks.
The page of a daemon shows the same.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.run(c) },
	}
	a.registerBench(c)
	a.out.register(c)
	f := c.Flags()
	f.Lookup("format").Usage = "what to print: text, or json (one object a line)"
	f.DurationVar(&a.exposure, "exposure", 0, "of each frame (0: as the camera has it)")
	f.DurationVar(&a.interval, "interval", 0, "from look to look (0: as fast as it goes)")
	f.IntVar(&a.count, "count", 0, "end after so many looks (0: at Ctrl-C)")
	f.StringVar(&a.file, "out", "", "`file` for a picture of the last look (PNG)")
	return c
}

func (a *alignCommand) run(c *cobra.Command) error {
	switch {
	case a.count < 0:
		return usage("--count %d is negative", a.count)
	case a.interval < 0:
		return usage("--interval %v is negative", a.interval)
	}
	if err := a.out.check(); err != nil {
		return err
	}
	if a.file != "" {
		if err := writableFile(a.file); err != nil {
			return err
		}
	}
	ctx := c.Context()
	t, err := a.open(ctx, c.ErrOrStderr(), need{features: 10})
	if err != nil {
		return err
	}
	defer t.bench.Close()
	aligner, err := calib.NewAligner(ctx, t.rig, a.exposure)
	if err != nil {
		return err
	}
	s := screen{w: c.OutOrStdout(), format: a.out}
	var before alignLine
	for n := 1; ; n++ {
		began := time.Now()
		v, err := aligner.Look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		line := alignLine{Time: time.Now(), Mean: v.Mean, BitDepth: v.BitDepth, Simulated: a.sim, AlignmentFigures: *server.Alignment(v.Alignment)}
		if n > 1 && line.Carrier != nil && before.Carrier != nil {
			line.RadPerS = math.Remainder(line.Phase-before.Phase, 2*math.Pi) / line.Time.Sub(before.Time).Seconds()
		}
		before = line
		text := line.text(v.Alignment)
		var below []string
		if s.live() {
			text = strings.TrimSpace(line.Time.Format(time.TimeOnly) + "  " + a.title())
			below = append(line.table(v.Alignment), spectrumOf(v)...)
		}
		if err := s.show(line, text, below); err != nil {
			return err
		}
		if a.file != "" {
			if err := atomicfile.Write(a.file, alignmentPicture(v, a.title()).WritePNG); err != nil {
				return err
			}
		}
		if n == a.count {
			return nil
		}
		select {
		case <-time.After(a.interval - time.Since(began)):
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *alignCommand) title() string {
	if a.sim != "" {
		return fmt.Sprintf("simulated bench %q, seed %d", a.sim, a.seed)
	}
	return "opuctl align"
}

// text is a look in one line.
func (l alignLine) text(a *calib.Alignment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  ", l.Time.Format(time.TimeOnly))
	if l.Carrier == nil {
		fmt.Fprintf(&b, "no sideband; mean %.1f counts", l.Mean)
	} else {
		fmt.Fprintf(&b, "carrier (%+.4f, %.4f), R %.4f, %.1f dB; visibility %.2f, rho %.2f, grain %.1f px; mean %.1f, %.2g %% saturated; phase %+.2f rad, %+.2f rad/s, health %.3f",
			l.Carrier[0], l.Carrier[1], l.Radius, l.SidebandDB, l.Visibility, l.Rho, l.Grain, l.Mean, 100*l.Saturated, l.Phase, l.RadPerS, l.Health)
	}
	if arrow := a.Arrow(); arrow != "" {
		fmt.Fprintf(&b, "; turn %s by %.3f", arrow, math.Hypot(l.Turn[0], l.Turn[1]))
	}
	if len(l.Advice) == 0 {
		return b.String() + "; good"
	}
	return b.String() + "; " + strings.Join(l.Advice, "; ")
}

// table is what a terminal shows below the line.
func (l alignLine) table(a *calib.Alignment) []string {
	rows := []string{""}
	add := func(name, format string, args ...any) {
		rows = append(rows, fmt.Sprintf("%-11s %s", name, fmt.Sprintf(format, args...)))
	}
	if l.Carrier != nil {
		add("sideband", "(%+.4f, %+.4f), radius %.4f cycles per pixel, %.1f dB", -l.Carrier[0], -l.Carrier[1], l.Radius, l.SidebandDB)
		if arrow := a.Arrow(); arrow != "" {
			add("turn it", "%s by %.3f cycles per pixel", arrow, math.Hypot(l.Turn[0], l.Turn[1]))
		} else {
			add("turn it", "no, it is in the allowed zone")
		}
	}
	add("visibility", "%.2f", l.Visibility)
	add("rho", "%.2f", l.Rho)
	add("grain", "%.1f pixels", l.Grain)
	add("light", "mean %.1f of %d counts, %.2g %% saturated with all mirrors on", l.Mean, 1<<l.BitDepth-1, 100*l.Saturated)
	add("drift", "phase %+.2f rad since the first look, %+.2f rad/s; health %.3f", l.Phase, l.RadPerS, l.Health)
	for _, advice := range l.Advice {
		rows = append(rows, folded(advice, 76)...)
	}
	return rows
}

// folded breaks a text at its blanks into lines of no more than so many runes, two of
// them margin; a longer word has a line of its own.
func folded(text string, width int) (lines []string) {
	line := " "
	for _, word := range strings.Fields(text) {
		if len([]rune(line))+1+len([]rune(word)) > width && line != " " {
			lines, line = append(lines, line), " "
		}
		line += " " + word
	}
	return append(lines, line)
}

// spectrumOf draws the spectrum of a look; nothing if there is none.
func spectrumOf(v *calib.View) []string {
	if v.Power == nil {
		return nil
	}
	b := v.Alignment.Band
	var marks []spectrumMark
	if b.R > 0 {
		marks = []spectrumMark{{-b.Fu, -b.Fv, 'S'}, {b.Fu, b.Fv, 's'}}
		if turn := v.Alignment.Turn; turn != [2]float64{} {
			marks = append(marks, spectrumMark{turn[0] - b.Fu, turn[1] - b.Fv, 'o'})
		}
	}
	var text bytes.Buffer
	printSpectrum(&text, v, marks...)
	return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
}

// alignmentPicture is a look as a picture.
func alignmentPicture(v *calib.View, title string) picture.Hologram {
	h := picture.Hologram{Title: title, Width: v.Width, Height: v.Height, Frame: v.Frame, Full: float64(int(1)<<v.BitDepth - 1), Power: v.Power}
	if h.Power == nil { // of a rig that proves nothing there is a frame alone
		h.Power = make([]float64, len(v.Frame))
	}
	b := v.Alignment.Band
	h.Fu, h.Fv, h.Radius, h.Zone, h.Turn = b.Fu, b.Fv, b.R, true, v.Alignment.Turn
	return h
}
