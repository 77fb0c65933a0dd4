package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/rigs"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// errNoDevice: no OPU was named, or none is there.
var errNoDevice = errors.New("no device")

// benchFlags say which OPU a command works on, and how it is calibrated.
type benchFlags struct {
	sim         string // after open: the preset, if the rig is simulated
	slm, camera string // references, as package rigs has them
	shifter     string
	rate        float64
	rig, config string // the name of a rig, and the file with its table
	usb         string
	restart     time.Duration
	seed        uint64
	calibration string
	layout      string
	mask        string
	anchor      float64
	tags        bool
	drift       string
}

// registerBench registers what says which OPU it is.
func (b *benchFlags) registerBench(c *cobra.Command) {
	b.layout, b.drift = slm.Blocks.String(), "frame"
	f := c.Flags()
	f.StringVar(&b.sim, "sim", "", "run a simulated bench: "+strings.Join(sim.Presets(), ", "))
	f.Lookup("sim").NoOptDefVal = "good"
	f.StringVar(&b.slm, "slm", "", "the SLM: sim, sim:PRESET, dlpc900:PORT with a port as opuctl devices lists it, or replay:FILE; with --camera")
	f.StringVar(&b.camera, "camera", "", "the camera: sim, sim:PRESET, replay:FILE, or what opuctl camera list prints; with --slm")
	f.StringVar(&b.shifter, "shifter", "", "the phase shifter, held still meanwhile: sim or serial:PORT; it overrides that of --rig")
	f.Float64Var(&b.rate, "pattern-rate", 0, "patterns a second (default 1500, or what SLM and camera can if they say so); it overrides that of --rig")
	registerRig(c, &b.rig, &b.config)
	f.StringVar(&b.usb, "usb", bench.USBFast, "of the simulated bench's board: fast, or real (a report of 64 bytes in a millisecond of the bench's clock)")
	f.DurationVar(&b.restart, "restart", 0, "from a start of the simulated bench's board to its first pattern, on the bench's clock")
	f.Uint64Var(&b.seed, "seed", 1, "seed of everything random, the simulated bench included")
}

// registerRig registers the flags of a rig that has a name.
func registerRig(c *cobra.Command, name, file *string) {
	c.Flags().StringVar(name, "rig", "", "the rig of this `name`: a table [rig.NAME] of the configuration")
	c.Flags().StringVar(file, "config", "", "`file` with the tables of --rig (default $OPUD_CONFIG, or "+rigsFile+")")
}

// rigsFile is where rigs have their tables: the configuration of opud.
const rigsFile = "/etc/opud/opud.toml"

// findRig is the rig of a name.
func findRig(name, file string) (rigs.Rig, error) {
	named, err := rigs.Load(cmp.Or(file, os.Getenv("OPUD_CONFIG"), rigsFile))
	if err != nil {
		return rigs.Rig{}, err
	}
	return named.Find(name)
}

// chosen is the rig that the flags name.
func (b *benchFlags) chosen() (rigs.Rig, error) {
	r, err := b.named()
	r.Shifter = cmp.Or(b.shifter, r.Shifter)
	r.RateHz = cmp.Or(b.rate, r.RateHz)
	return r, err
}

// named is the rig that the flags name, as it is.
func (b *benchFlags) named() (rigs.Rig, error) {
	parts := b.slm != "" || b.camera != ""
	switch {
	case b.sim != "" && parts, b.rig != "" && (parts || b.sim != ""):
		return rigs.Rig{}, usage("--sim, --rig, and --slm with --camera are three ways to name a rig; use one")
	case b.config != "" && b.rig == "":
		return rigs.Rig{}, usage("--config is for --rig, which is not there")
	case b.rig != "":
		return findRig(b.rig, b.config)
	case parts:
		return rigs.Rig{SLM: b.slm, Camera: b.camera}, nil
	case b.sim != "":
		return rigs.Rig{SLM: "sim:" + b.sim, Camera: "sim"}, nil
	}
	return rigs.Rig{}, fmt.Errorf("cannot find an optical processing unit: none was named; use --sim for a simulated bench, --rig for one of the configuration, or --slm and --camera: %w", errNoDevice)
}

// register registers all flags.
func (b *benchFlags) register(c *cobra.Command) {
	b.registerBench(c)
	f := c.Flags()
	f.StringVar(&b.calibration, "calibration", "", "use a calibration `file` instead of calibrating")
	f.StringVar(&b.layout, "layout", "blocks", "how features lie on the DMD: blocks, lines, scattered")
	f.StringVar(&b.mask, "mask", "", "`file` with the lit mirrors, as map makes it; the layout uses no others")
	f.Float64Var(&b.anchor, "anchor", 0, "share of the chip that is always on, so that each frame tells its own phase and power (0 to 0.5)")
	f.BoolVar(&b.tags, "tags", false, "reserve a fifth of the chip for tags, by which frames of more than 32 features prove themselves")
}

// registerDrift registers the flag of commands that project.
func (b *benchFlags) registerDrift(c *cobra.Command) {
	c.Flags().StringVar(&b.drift, "drift", "frame", "how the reference's phase is followed: frame (where frames tell it, else probe), probe (once a run), none")
}

// need is what a command needs of an OPU.
type need struct {
	features int
	outputs  int // complex; 0: as many as there are
}

// newBench builds a simulated bench; tests let it lie about itself.
var newBench = bench.New

// table is an opened bench.
type table struct {
	bench *bench.Bench
	rig   *rig.Rig // the bench's
	kind  slm.Kind
	mask  *slm.Pattern // nil: all mirrors
}

// open opens the bench that the flags name, large enough for what is needed.
func (b *benchFlags) open(ctx context.Context, stderr io.Writer, n need) (*table, error) {
	kind, err := slm.ParseKind(b.layout)
	if err != nil {
		return nil, usage("--layout: %v", err)
	}
	if b.mask != "" && b.calibration != "" {
		return nil, usage("--mask is for calibrating; the calibration %s has its own", b.calibration)
	}
	opened, err := b.wire(ctx, stderr, n)
	if err != nil {
		return nil, err
	}
	t := &table{bench: opened, rig: opened.Rig, kind: kind}
	if b.mask != "" {
		if t.mask, err = readMask(b.mask, t.rig.SLM().Geometry); err != nil {
			opened.Close()
			return nil, err
		}
	}
	return t, nil
}

// wire opens the devices.
func (b *benchFlags) wire(ctx context.Context, stderr io.Writer, n need) (*bench.Bench, error) {
	chosen, err := b.chosen()
	if err != nil {
		return nil, err
	}
	if b.sim, err = chosen.Simulated(); err != nil {
		return nil, err
	}
	if b.sim == "" {
		if b.usb != bench.USBFast || b.restart != 0 {
			return nil, usage("--usb and --restart are for a simulated bench; a real board takes its own time")
		}
		return rigs.Open(ctx, chosen, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	c, err := bench.Fit(b.sim, b.seed, n.features, n.outputs)
	if err != nil {
		return nil, usage("--sim: %v", err)
	}
	if err := bench.Time(&c, b.usb, b.restart); err != nil {
		return nil, usage("%v", err)
	}
	if usual, _ := sim.Preset(b.sim, b.seed); c.Width != usual.Width || c.Chip != usual.Chip {
		fmt.Fprintf(stderr, "note: the simulated bench grew to a sensor of %dx%d pixels and a chip of %v mirrors\n", c.Width, c.Height, c.Chip)
	}
	build := newBench
	if through := chosen.Transport(); through != nil {
		build = func(ctx context.Context, c sim.Config, preset string, w rig.Config) (*bench.Bench, error) {
			return bench.NewThrough(ctx, c, preset, w, through)
		}
	}
	opened, err := build(ctx, c, b.sim, chosen.Wiring())
	if err != nil && ctx.Err() == nil { // what is asked for cannot be simulated
		return nil, usage("%v", err)
	} else if err != nil {
		return nil, err
	}
	if err := rigs.Hold(ctx, chosen, opened); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// calibrate learns a calibration, or loads the one that the flags name.
func (b *benchFlags) calibrate(ctx context.Context, t *table, n need, p *progress) (*calib.Calibration, error) {
	if b.calibration != "" {
		cal, err := calib.Load(b.calibration)
		if err == nil {
			err = cal.OnRig()
		}
		if err != nil {
			return nil, err
		}
		if cal.Layout.Features != n.features || cal.Outputs < n.outputs {
			return nil, usage("the calibration %s is for %d inputs and %d outputs, %d and %d are needed; calibrate anew",
				b.calibration, cal.Layout.Features, cal.Outputs, n.features, n.outputs)
		}
		return cal, nil
	}
	return b.learn(ctx, t, n, p)
}

// options are those of calibrating.
func (b *benchFlags) options(t *table, n need) bench.Options {
	return bench.Options{
		Features: n.features, Outputs: n.outputs, Layout: t.kind, Mask: t.mask, Seed: b.seed, Anchor: b.anchor, Tags: b.tags,
	}
}

// learn learns a calibration.
func (b *benchFlags) learn(ctx context.Context, t *table, n need, p *progress) (*calib.Calibration, error) {
	cal, err := t.bench.Learn(ctx, b.options(t, n), func(stage string) { p.to(0, "calibrating: "+stage) })
	if err == nil {
		p.line("calibrated: %s", summary(cal))
	}
	return cal, err
}

// summary is a calibration in one line.
func summary(c *calib.Calibration) string {
	return fmt.Sprintf("carrier (%.4f, %.4f), radius %.4f cycles per pixel, SNR %.1f dB, %d x %d, epoch %s",
		c.Carrier.Fu, c.Carrier.Fv, c.Carrier.Radius, c.Quality.SNR, c.Outputs, c.Layout.Features, c.Epoch())
}

// opu opens and calibrates an OPU in one go. What it learns itself it judges, and
// refuses as calibrate does; a calibration that was loaded was judged when it was saved.
func (b *benchFlags) opu(ctx context.Context, stderr io.Writer, n need, p *progress, o driver.Options) (*driver.OPU, *table, error) {
	var err error
	if o.Drift, err = driver.ParseCorrection(b.drift); err != nil {
		return nil, nil, usage("--drift: %v", err)
	}
	t, err := b.open(ctx, stderr, n)
	if err != nil {
		return nil, nil, err
	}
	cal, err := b.calibrate(ctx, t, n, p)
	if err == nil && b.calibration == "" {
		p.to(0, "judging the calibration")
		_, err = bench.Judge(ctx, cal, t.rig, b.seed)
	}
	if err != nil {
		t.bench.Close()
		return nil, nil, err
	}
	opu, err := driver.New(ctx, t.rig, cal, o)
	if err != nil {
		t.bench.Close()
		return nil, nil, err
	}
	return opu, t, nil
}
