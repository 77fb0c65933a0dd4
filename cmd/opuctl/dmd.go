package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/png" // pictures to show
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/internal/rigs"
	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// findDMDs lists the DLPC900 boards that are plugged in, with what they say of themselves where
// nobody uses them.
func findDMDs(ctx context.Context) (found []foundDevice, err error) {
	boards, err := dlpc900.Boards()
	for _, b := range boards {
		d := foundDevice{Name: b.Port, State: "DLPC900 at " + b.Node, Use: "dmd --port " + b.Port}
		switch i, err := dlpc900.Identify(ctx, b.Node); {
		case err == nil:
			d.State = fmt.Sprintf("%s, firmware %v %s, DLPC900 at %s", i.DMD, i.Firmware, i.Tag, b.Node)
		case errors.Is(err, slm.ErrBusy):
			d.State += ", in use by another program"
		case errors.Is(err, os.ErrPermission):
			d.State, d.Use = d.State+": permission denied; install udev/70-opu.rules and join the group opu", ""
		default:
			d.State += ": " + err.Error()
		}
		found = append(found, d)
	}
	return found, err
}

func newDMD() *cobra.Command {
	c := &cobra.Command{
		Use:   "dmd",
		Short: "Look at a DLPC900 board, show pictures on it, test it",
		Long: `Talk to a DLPC900 board (LightCrafter 6500, 9000 and others) without a camera.

No state of the mirrors is safe for eyes: block the laser, or dump the beams of
mirrors that are on, off and parked.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newDMDInfo(), newDMDShow(), newDMDPattern(), newDMDTest())
	return c
}

// boardFlags say which board.
type boardFlags struct {
	port  string
	rig   string // with its laser
	file  string // of the rigs
	sim   bool
	timed bool // a simulated board's patterns take their time
}

func (b *boardFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&b.port, "port", "", "USB `port` of the board, as opuctl devices lists it; needed if there are several; libusb:PORT goes through libusb")
	registerRig(c, &b.rig, &b.file)
	c.Flags().BoolVar(&b.sim, "sim", false, "a simulated board, a DLP6500, in place of a real one")
}

// open opens the board. What is returned second is closed, and closes the board.
func (b *boardFlags) open(ctx context.Context) (*dlpc900.Device, io.Closer, error) {
	switch {
	case b.rig != "" && (b.port != "" || b.sim):
		return nil, nil, usage("--rig, --port and --sim each name a board; use one")
	case b.file != "" && b.rig == "":
		return nil, nil, usage("--config is for --rig, which is not there")
	case b.rig != "":
		r, err := findRig(b.rig, b.file)
		if err != nil {
			return nil, nil, err
		}
		d, err := rigs.OpenSLM(ctx, r, nil)
		if err != nil {
			return nil, nil, err
		}
		board, ok := rigs.Board(d)
		if !ok {
			return nil, nil, errors.Join(usage("the SLM %q of the rig %s is no DLPC900 board", r.SLM, b.rig), d.Close())
		}
		return board, d, nil
	}
	d, err := b.bare(ctx)
	return d, d, err
}

// bare opens a board without a rig.
func (b *boardFlags) bare(ctx context.Context) (*dlpc900.Device, error) {
	if !b.sim {
		return dlpc900.OpenPort(ctx, b.port, dlpc900.Options{})
	}
	board, err := controller.New(controller.Config{DMD: controller.DLP6500(), RealTime: b.timed})
	if err != nil {
		return nil, err
	}
	return dlpc900.Open(ctx, board, dlpc900.Options{Port: "simulated", Virtual: !b.timed})
}

// look is how long a board shows what only eyes can judge; nobody sees a simulated one.
func (b *boardFlags) look() time.Duration {
	if b.sim {
		return 240 * time.Millisecond
	}
	return 10 * time.Second
}

// with does something with the board, and parks its mirrors.
func (b *boardFlags) with(ctx context.Context, f func(*dlpc900.Device) error) error {
	d, closer, err := b.open(ctx)
	if err != nil {
		return err
	}
	err = f(d)
	if failure := closer.Close(); err == nil {
		err = failure
	}
	return err
}

// boardReport is a board as programs read it.
type boardReport struct {
	Model       string   `json:"model"`
	Port        string   `json:"port"`
	Simulated   bool     `json:"simulated,omitempty"`
	Width       int      `json:"width"`
	Height      int      `json:"height"`
	Capacity    int      `json:"capacity"`
	LongestRun  int      `json:"longest_run"`
	MinPeriodUS float64  `json:"min_period_us"`
	Firmware    string   `json:"firmware"`
	Tag         string   `json:"tag"`
	API         string   `json:"api"`
	Sequencer   string   `json:"sequencer"`
	Hardware    string   `json:"hardware_status"`
	System      string   `json:"system_status"`
	Main        string   `json:"main_status"`
	Mode        int      `json:"display_mode"`
	ExposuresUS []int64  `json:"min_exposures_us,omitempty"` // of 1, 2, ... bits, as the board says
	Warnings    []string `json:"warnings,omitempty"`
}

func describeBoard(ctx context.Context, d *dlpc900.Device, simulated bool) (boardReport, error) {
	s, err := d.Status(ctx)
	if err != nil {
		return boardReport{}, err
	}
	i := d.Info()
	r := boardReport{
		Model: i.Model, Port: i.Serial, Simulated: simulated, Width: i.Geometry.Width, Height: i.Geometry.Height,
		Capacity: i.Capacity, LongestRun: i.MaxRun, MinPeriodUS: float64(i.MinPeriod) / float64(time.Microsecond),
		Firmware: s.Versions.Application.String(), Tag: s.Tag, API: s.Versions.API.String(), Sequencer: s.Versions.Sequencer.String(),
		Hardware: fmt.Sprintf("0x%02X", byte(s.Hardware)), System: fmt.Sprintf("0x%02X", s.System), Main: fmt.Sprintf("0x%02X", byte(s.Main)),
		Mode: int(s.Mode), Warnings: d.Warnings(),
	}
	for _, e := range s.MinExposures {
		r.ExposuresUS = append(r.ExposuresUS, e.Microseconds())
	}
	return r, nil
}

func (r boardReport) print(w io.Writer) {
	simulated := ""
	if r.Simulated {
		simulated = ", simulated"
	}
	fmt.Fprintf(w, "board       %s at %s%s\n", r.Model, r.Port, simulated)
	fmt.Fprintf(w, "mirrors     %dx%d\n", r.Width, r.Height)
	fmt.Fprintf(w, "firmware    %s %s (API %s, sequencer %s)\n", r.Firmware, r.Tag, r.API, r.Sequencer)
	fmt.Fprintf(w, "patterns    %d at once, %d in a run, one every %g us\n", r.Capacity, r.LongestRun, r.MinPeriodUS)
	fmt.Fprintf(w, "status      hardware %s, system %s, main %s, mode %d\n", r.Hardware, r.System, r.Main, r.Mode)
	for _, s := range r.Warnings {
		fmt.Fprintf(w, "warning     %s\n", s)
	}
}

func newDMDInfo() *cobra.Command {
	var b boardFlags
	var out format
	c := &cobra.Command{
		Use:   "info",
		Short: "Tell what a board is and how it is",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return b.with(c.Context(), func(d *dlpc900.Device) error {
				r, err := describeBoard(c.Context(), d, b.sim)
				if err != nil {
					return err
				}
				return out.print(c.OutOrStdout(), r, r.print)
			})
		},
	}
	b.register(c)
	out.register(c)
	return c
}

// length is how long a picture is shown.
type length time.Duration

func (l *length) register(c *cobra.Command) {
	c.Flags().DurationVar((*time.Duration)(l), "for", 0, "how `long` to show it, such as 10s; without it until Ctrl-C")
}

func (l length) check() error {
	if l < 0 {
		return usage("--for %v is negative", time.Duration(l))
	}
	return nil
}

// hold shows a pattern, in runs of seconds, until its time is over or ctx ends. On a simulated
// board it is shown once.
func (l length) hold(ctx context.Context, d *dlpc900.Device, p *slm.Pattern, simulated bool) error {
	if l > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(l))
		defer cancel()
	}
	if err := d.Load(ctx, []int{0}, []*slm.Pattern{p}); err != nil {
		return err
	}
	for {
		err := d.Play(ctx, slm.Run{Order: make([]int, 10), Period: time.Second})
		if err == nil {
			_, err = d.Wait(ctx)
		}
		if ctx.Err() != nil {
			return nil // that is how it ends
		}
		if err != nil || simulated {
			return err
		}
	}
}

func newDMDShow() *cobra.Command {
	var b boardFlags
	var l length
	c := &cobra.Command{
		Use:   "show FILE.png",
		Short: "Show a picture: what is brighter than mid grey is on",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("name one PNG file")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := l.check(); err != nil {
				return err
			}
			picture, err := readPicture(args[0])
			if err != nil {
				return err
			}
			return b.with(c.Context(), func(d *dlpc900.Device) error {
				p, err := patternOf(picture, d.Info().Geometry)
				if err != nil {
					return fmt.Errorf("cannot show %s: %w", args[0], err)
				}
				fmt.Fprintf(c.ErrOrStderr(), "showing %s: %d of %d mirrors on\n", args[0], p.Count(), p.Geometry().Mirrors())
				return l.hold(c.Context(), d, p, b.sim)
			})
		},
	}
	b.register(c)
	l.register(c)
	return c
}

// readPicture decodes a PNG whose size is that of some chip.
func readPicture(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, _, err := image.DecodeConfig(f)
	if err != nil {
		return nil, usage("cannot read %s as PNG: %v", path, err)
	}
	if size.Width > slm.MaxSide || size.Height > slm.MaxSide {
		return nil, usage("cannot show %s: %dx%d pixels are more than any DMD has", path, size.Width, size.Height)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	picture, _, err := image.Decode(f)
	if err != nil {
		return nil, usage("cannot read %s as PNG: %v", path, err)
	}
	return picture, nil
}

// patternOf turns a picture into a pattern of the same size.
func patternOf(picture image.Image, g slm.Geometry) (*slm.Pattern, error) {
	size := picture.Bounds().Size()
	if size.X != g.Width || size.Y != g.Height {
		return nil, fmt.Errorf("it has %dx%d pixels, the chip %v mirrors; scale it without smoothing: %w", size.X, size.Y, g, slm.ErrInput)
	}
	p := slm.NewPattern(g)
	for v := range g.Height {
		for u := range g.Width {
			r, green, b, _ := picture.At(picture.Bounds().Min.X+u, picture.Bounds().Min.Y+v).RGBA()
			p.Set(u, v, r+green+b >= 3*0x8000)
		}
	}
	return p, nil
}

// testPatterns are what opuctl dmd pattern shows.
var testPatterns = []struct {
	name, what string
	on         func(u, v int, g slm.Geometry) bool
}{
	{"off", "all mirrors off", func(int, int, slm.Geometry) bool { return false }},
	{"on", "all mirrors on", func(int, int, slm.Geometry) bool { return true }},
	{"left", "the left half on", func(u, _ int, g slm.Geometry) bool { return u < g.Width/2 }},
	{"top", "the upper half on", func(_, v int, g slm.Geometry) bool { return v < g.Height/2 }},
	{"corner", "the first quarter of the first quarter on: pixel (0, 0) is there", func(u, v int, g slm.Geometry) bool { return u < g.Width/4 && v < g.Height/4 }},
	{"checker", "squares of 8x8 mirrors", func(u, v int, _ slm.Geometry) bool { return (u/8+v/8)%2 == 0 }},
	{"grating", "lines of 4 mirrors, 8 apart", func(u, _ int, _ slm.Geometry) bool { return u%8 < 4 }},
}

func newDMDPattern() *cobra.Command {
	var b boardFlags
	var l length
	var names, lines []string
	for _, p := range testPatterns {
		names = append(names, p.name)
		lines = append(lines, fmt.Sprintf("  %-8s %s", p.name, p.what))
	}
	c := &cobra.Command{
		Use:       "pattern NAME",
		Short:     "Show a pattern for alignment",
		Long:      "Show a pattern for alignment:\n" + strings.Join(lines, "\n"),
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("name one pattern: %s", strings.Join(names, ", "))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := l.check(); err != nil {
				return err
			}
			for _, t := range testPatterns {
				if t.name != args[0] {
					continue
				}
				return b.with(c.Context(), func(d *dlpc900.Device) error {
					fmt.Fprintf(c.ErrOrStderr(), "showing %s\n", t.what)
					return l.hold(c.Context(), d, drawn(d.Info().Geometry, t.on), b.sim)
				})
			}
			return usage("there is no pattern %q, but %s", args[0], strings.Join(names, ", "))
		},
	}
	b.register(c)
	l.register(c)
	return c
}

func drawn(g slm.Geometry, on func(u, v int, g slm.Geometry) bool) *slm.Pattern {
	p := slm.NewPattern(g)
	for v := range g.Height {
		for u := range g.Width {
			p.Set(u, v, on(u, v, g))
		}
	}
	return p
}
