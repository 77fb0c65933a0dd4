// Command opud serves an optical processing unit: it owns the device, and everyone
// else asks it for projections, by the Open Inference Protocol over HTTP, on a Unix
// socket and on TCP.
//
//	opud -sim            serve the simulated bench
//	opud                 as /etc/opud/opud.toml says
//	opud check-config    is the file right?
//	opud example-config  print one with all keys
//
// It calibrates when it starts, or goes on with the calibration that it saved. A device
// whose calibration is refused does not project: the daemon says why, and calibrates
// again when it is asked to. SIGTERM lets requests finish, parks the mirrors and ends it;
// SIGHUP reads again what can change.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/rigs"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/slm"
)

// Exit codes: those of opuctl.
const (
	exitFailed   = 1
	exitInput    = 2 // flags or configuration
	exitNoDevice = 3
)

func main() {
	p := &program{
		args: os.Args[1:], getenv: os.Getenv, stdout: os.Stdout, stderr: os.Stderr,
		end: make(chan os.Signal, 2), reload: make(chan os.Signal, 1),
	}
	signal.Notify(p.end, os.Interrupt, syscall.SIGTERM)
	signal.Notify(p.reload, syscall.SIGHUP)
	os.Exit(p.run(context.Background()))
}

// program is a run of opud.
type program struct {
	args           []string
	getenv         func(string) string
	stdout, stderr io.Writer
	end, reload    chan os.Signal // SIGTERM and SIGHUP, or what stands for them

	level slog.LevelVar
	log   *slog.Logger
}

// errNoDevice: there is nothing to serve.
var errNoDevice = errors.New("no device")

// run returns the exit code.
func (p *program) run(ctx context.Context) int {
	p.log = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: &p.level}))
	err := p.command(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	}
	fmt.Fprintf(p.stderr, "opud: %v\n", err)
	switch {
	case errors.Is(err, errNoDevice), errors.Is(err, slm.ErrUnplugged), errors.Is(err, camera.ErrUnplugged):
		return exitNoDevice
	case errors.Is(err, errUsage), errors.Is(err, rigs.ErrInput), errors.Is(err, fs.ErrPermission), errors.Is(err, server.ErrAddress), errors.Is(err, bench.ErrInput), errors.Is(err, slm.ErrInput):
		return exitInput
	}
	return exitFailed
}

func (p *program) command(ctx context.Context) error {
	word := ""
	if len(p.args) > 0 {
		word = p.args[0]
	}
	switch word {
	case "version":
		fmt.Fprintln(p.stdout, version())
		return nil
	case "example-config":
		_, err := p.stdout.Write(exampleConfig)
		return err
	case "check-config":
		return checkConfig(p.args[1:], p.stdout)
	}
	c, err := loadConfig(p.args, p.getenv)
	if errors.Is(err, flag.ErrHelp) {
		help(p.stdout)
	}
	if err != nil {
		return err
	}
	if c.untilEOF {
		ctx = untilEnd(ctx, os.Stdin)
	}
	p.level.Set(c.level())
	return p.serve(ctx, c)
}

// untilEnd is a context that ends with a stream: a program that starts a daemon for itself
// holds the other end, and the daemon does not outlive it, however it ends.
func untilEnd(ctx context.Context, stream io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, stream)
		cancel()
	}()
	return ctx
}

// checkConfig is opud check-config [FILE].
func checkConfig(args []string, stdout io.Writer) error {
	path := defaultPath
	switch len(args) {
	case 0:
	case 1:
		path = args[0]
	default:
		return fmt.Errorf("cannot check %d files: name one: %w", len(args), errUsage)
	}
	c, err := loadConfig([]string{"-config", path}, func(string) string { return "" })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s is right: %d inputs, socket %s, TCP %s\n", path, c.Matrix.Inputs, c.socket(os.Getenv), c.Listen.HTTP)
	return err
}

func help(w io.Writer) {
	fmt.Fprintln(w, `opud serves an optical processing unit by the Open Inference Protocol.

  opud [flags]               calibrate, then serve until SIGTERM
  opud check-config [file]   check a configuration file
  opud example-config        print one with all keys and their defaults
  opud version

Flags, each also as OPUD_NAME in the environment, which flags override:`)
	var path string
	f, _ := parseFlags(defaults(), &path, nil, func(string) string { return "" })
	f.SetOutput(w)
	f.PrintDefaults()
	fmt.Fprintln(w, `
SIGTERM lets requests finish, for half a minute at most, and parks the mirrors; a second
one does not wait for requests. SIGHUP reads token, certificate, limits and log level again.

Exit codes: 0 ended by a signal; 1 failed; 2 wrong flags or configuration; 3 no such
device. A calibration that is refused ends nothing: the status says why, and jobs try again.`)
}

// version is that of the program, as it was built.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// serve opens the doors, calibrates and serves until ctx ends. Who asks while it
// calibrates is told so.
func (p *program) serve(ctx context.Context, c *config) error {
	if c.Device.Sim == "" && c.Device.Rig == "" {
		return fmt.Errorf("cannot find an optical processing unit: none was named; use -sim for a simulated bench, or -rig for one of the configuration: %w", errNoDevice)
	}
	d, err := c.device(ctx, p.getenv, p.log)
	if err != nil {
		return err
	}
	memory, err := c.memory()
	if err != nil {
		return err
	}
	doors, err := c.open(p.getenv, p.log) // first: an address in use is found before the calibration
	if err != nil {
		return err
	}
	defer doors.close()
	defer p.park(d)
	s, err := server.New(server.Options{
		Outputs: d.usual.Outputs, Inputs: d.usual.Features, Works: d.works(),
		Look:     d.look,
		Counters: func() driver.Stats { return driver.Stats{Stats: d.bench.Rig.Stats()} },
		Model:    c.Matrix.Model, Shutter: true, Token: doors.token, Version: version(), Simulated: c.Device.Sim, Log: p.log,
		Device: fmt.Sprintf("%s (%s), %s (%s)", d.bench.Rig.SLM().Model, d.bench.Rig.SLM().Serial, d.bench.Rig.Camera().Model, d.bench.Rig.Camera().Serial),
		Limits: server.Limits(c.Limits), SharedMemory: memory, Config: c,
	})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	first, err := s.Start("calibration", d.first)
	if err != nil {
		return err
	}
	p.log.Info("the doors are open", "doors", doors.names)
	go func() {
		<-first.Over()
		switch err := first.Err(); {
		case s.Version() != "":
			p.log.Info("serving", "outputs", d.usual.Outputs, "inputs", d.usual.Features, "epoch", s.Status().Epoch, "version_of_models", s.Version(),
				"simulated", c.Device.Sim, "doors", doors.names)
		case errors.Is(err, slm.ErrInput), errors.Is(err, bench.ErrInput): // no calibration will ever do
			end(err)
		case ctx.Err() == nil:
			p.log.Error("not serving; a calibration job may change that", "reason", err)
		}
	}()
	go p.listen(ctx, func() { end(nil) }, s, c, doors)
	if err := s.Serve(ctx, doors.listeners...); err != nil {
		return err
	}
	if err := context.Cause(ctx); errors.Is(err, slm.ErrInput) || errors.Is(err, bench.ErrInput) {
		return err
	}
	return nil
}

// device makes the bench that the configuration names.
func (c *config) device(ctx context.Context, getenv func(string) string, log *slog.Logger) (*device, error) {
	layout, err := slm.ParseKind(c.Matrix.Layout)
	if err != nil {
		return nil, err
	}
	d := &device{log: log, state: c.stateFolder(getenv), usual: bench.Options{
		Features: c.Matrix.Inputs, Layout: layout, Seed: c.Device.Seed, Anchor: c.Matrix.Anchor, Tags: c.Matrix.Tags,
	}}
	if d.usual.Driver.Drift, err = driver.ParseCorrection(c.Matrix.Drift); err != nil {
		return nil, err
	}
	if err := makeState(d.state); err != nil {
		return nil, err
	}
	if d.bench, err = c.wire(ctx, log); err != nil {
		return nil, err
	}
	if d.usual.Outputs, err = d.bench.Outputs(c.Matrix.Outputs); err == nil && c.Matrix.Mask != "" {
		d.usual.Mask, err = c.mask(d.bench.Rig.SLM().Geometry)
	}
	if err != nil {
		return nil, errors.Join(err, d.bench.Close())
	}
	return d, nil
}

// wire opens the devices of the rig that is to be served.
func (c *config) wire(ctx context.Context, log *slog.Logger) (*bench.Bench, error) {
	var named rigs.Rig // the zero value: a simulated bench by its preset alone
	if c.Device.Rig != "" {
		var err error
		if named, err = c.Rig.Find(c.Device.Rig); err != nil {
			return nil, err
		}
		if c.Device.Sim, err = named.Simulated(); err != nil {
			return nil, err
		}
		if c.Device.Sim == "" {
			return rigs.Open(ctx, named, log)
		}
	}
	table, err := bench.Fit(c.Device.Sim, c.Device.Seed, c.Matrix.Inputs, c.Matrix.Outputs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errUsage)
	}
	if err := bench.Time(&table, c.Device.USB, c.restart()); err != nil {
		return nil, fmt.Errorf("%w: %w", err, errUsage)
	}
	b, err := bench.NewThrough(ctx, table, c.Device.Sim, named.Wiring(), named.Transport())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errUsage)
	}
	if err := rigs.Hold(ctx, named, b); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// mask reads the mask of the lit mirrors.
func (c *config) mask(chip slm.Geometry) (*slm.Pattern, error) {
	f, err := os.Open(c.Matrix.Mask)
	if err != nil {
		return nil, fmt.Errorf("cannot read matrix.mask: %w: %w", err, errUsage)
	}
	defer f.Close()
	mask, err := bench.ReadMask(f, chip)
	if err != nil {
		return nil, fmt.Errorf("cannot use matrix.mask: %s: %w: %w", c.Matrix.Mask, err, errUsage)
	}
	return mask, nil
}

// parkTimeout is how long the mirrors may take to be parked.
const parkTimeout = 10 * time.Second

// park parks the mirrors and closes the devices.
func (p *program) park(d *device) {
	parked := make(chan error, 1)
	go func() { parked <- d.bench.Close() }()
	select {
	case err := <-parked:
		if err != nil {
			p.log.Error("cannot park the mirrors", "error", err)
			return
		}
		p.log.Info("ended: the mirrors are parked")
	case <-time.After(parkTimeout):
		p.log.Error("cannot park the mirrors: the device did not answer", "within", parkTimeout)
	}
}
