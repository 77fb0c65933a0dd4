// Command opud serves an optical processing unit: it owns the device, and everyone
// else asks it for projections, by the Open Inference Protocol over HTTP, on a Unix
// socket and on TCP.
//
//	opud -sim            serve the simulated bench
//	opud                 as /etc/opud/opud.toml says
//	opud check-config    is the file right?
//	opud example-config  print one with all keys
//
// It calibrates when it starts, and does not serve a device whose calibration is
// refused. SIGTERM lets requests finish, parks the mirrors and ends it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// Exit codes: those of opuctl.
const (
	exitFailed   = 1
	exitInput    = 2 // flags or configuration
	exitNoDevice = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// errNoDevice: there is nothing to serve.
var errNoDevice = errors.New("no device")

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	err := command(ctx, args, getenv, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	}
	fmt.Fprintf(stderr, "opud: %v\n", err)
	switch {
	case errors.Is(err, errNoDevice):
		return exitNoDevice
	case errors.Is(err, errUsage), errors.Is(err, server.ErrAddress), errors.Is(err, bench.ErrInput), errors.Is(err, slm.ErrInput):
		return exitInput
	}
	return exitFailed
}

func command(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	switch word {
	case "version":
		fmt.Fprintln(stdout, version())
		return nil
	case "example-config":
		_, err := stdout.Write(exampleConfig)
		return err
	case "check-config":
		return checkConfig(args[1:], stdout)
	}
	c, err := loadConfig(args, getenv)
	if errors.Is(err, flag.ErrHelp) {
		help(stdout)
	}
	if err != nil {
		return err
	}
	if c.untilEOF {
		ctx = untilEnd(ctx, os.Stdin)
	}
	return serve(ctx, c, getenv, slog.New(slog.NewTextHandler(stderr, nil)))
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
Exit codes: 0 ended by a signal; 1 failed, or the calibration was refused; 2 wrong flags
or configuration; 3 no such device.`)
}

// version is that of the program, as it was built.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// serve opens the doors, calibrates and serves until ctx ends.
func serve(ctx context.Context, c *config, getenv func(string) string, log *slog.Logger) error {
	if c.Device.Sim == "" {
		return fmt.Errorf("cannot find an optical processing unit: drivers of real devices are not part of this version; use -sim for a simulated bench: %w", errNoDevice)
	}
	table, err := bench.Fit(c.Device.Sim, c.Device.Seed, c.Matrix.Inputs, c.Matrix.Outputs)
	if err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	memory, err := c.memory()
	if err != nil {
		return err
	}
	doors, err := c.open(getenv, log) // first: an address in use is found before the calibration
	if err != nil {
		return err
	}
	defer doors.close()
	b, err := calibrate(ctx, c, table, log)
	if ctx.Err() != nil {
		log.Info("ended while calibrating")
		return nil
	}
	if err != nil {
		return err
	}
	defer b.Close() // parks the mirrors
	s, err := server.New(server.Options{
		Model: c.Matrix.Model, Shutter: true, Token: doors.token, Version: version(), Simulated: c.Device.Sim, Log: log,
		Device: fmt.Sprintf("%s (%s), %s (%s)", b.Rig.SLM().Model, b.Rig.SLM().Serial, b.Rig.Camera().Model, b.Rig.Camera().Serial),
		Limits: server.Limits(c.Limits), SharedMemory: memory, Config: c,
		Matrix: &server.Matrix{
			OPU: b.OPU, Calibration: b.OPU.Calibration(), Verdict: b.Verdict,
			View: func(ctx context.Context) (*calib.View, error) {
				return b.OPU.Calibration().View(ctx, b.Rig, c.Device.Seed)
			},
		},
	})
	if err != nil {
		return err
	}
	outputs, inputs := b.OPU.Shape()
	log.Info("serving", "outputs", outputs, "inputs", inputs, "epoch", b.OPU.Epoch(), "version_of_models", s.Version(),
		"simulated", c.Device.Sim, "doors", doors.names)
	if err := s.Serve(ctx, doors.listeners...); err != nil {
		return err
	}
	log.Info("ended: requests finished, mirrors parked")
	return nil
}

func calibrate(ctx context.Context, c *config, table sim.Config, log *slog.Logger) (*bench.Bench, error) {
	layout, err := slm.ParseKind(c.Matrix.Layout)
	if err != nil {
		return nil, err
	}
	o := bench.Options{
		Features: c.Matrix.Inputs, Outputs: c.Matrix.Outputs, Layout: layout, Seed: c.Device.Seed, Anchor: c.Matrix.Anchor, Tags: c.Matrix.Tags,
	}
	if o.Driver.Drift, err = driver.ParseCorrection(c.Matrix.Drift); err != nil {
		return nil, err
	}
	return bench.Open(ctx, table, o, func(stage string) { log.Info("calibrating", "stage", stage) })
}
