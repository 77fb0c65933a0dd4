package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim/controller"
)

// A source is where projections come from: an OPU that this program has opened, one
// that a daemon serves, or a stack of several.
type source struct {
	dfa.Projector
	epoch     string
	simulated string // preset of the bench; empty: light
	daemon    string // its address; empty: this program

	local *driver.OPU // nil: a daemon's
	rig   *rig.Rig    // of the local one
	bench *bench.Bench
	spent controller.Stats // by the bench's board, before the job
	begun driver.Stats     // of the local one, then
	opus  []*client.OPU

	intensity func(ctx context.Context, dst []float32, x []int8) error
	shutter   func(ctx context.Context) (bool, error)
	close     func() error

	before []server.Status // of the daemons, when it was opened; empty: they do not tell
	own    struct{ projections, zeroRows uint64 }
}

// sourceFlags say where projections come from.
type sourceFlags struct {
	benchFlags
	remote   remoteFlags
	model    string
	patience time.Duration
}

func (s *sourceFlags) register(c *cobra.Command) {
	s.benchFlags.register(c)
	s.registerDrift(c)
	s.remote.register(c)
	c.Flags().Lookup("url").Usage += "; or a stack's `file` (stack.json), for several OPUs as one"
	c.Flags().StringVar(&s.model, "model", "opu", "base `name` of the daemon's models")
	c.Flags().DurationVar(&s.patience, "patience", defaultPatience, "how long a daemon that is busy, or goes away, is waited for; one that calibrates is, until it is done")
}

// check refuses flags that do not go together; local are more that mean nothing to a
// daemon.
func (s *sourceFlags) check(c *cobra.Command, local ...string) error {
	if err := s.remote.check(c, append(local, "calibration", "layout", "mask", "anchor", "tags", "drift")...); err != nil {
		return err
	}
	for _, name := range []string{"model", "patience"} {
		if !s.remote.given() && c.Flags().Changed(name) {
			return usage("--%s is for a daemon; name it with --url", name)
		}
	}
	if s.patience < 0 {
		return usage("--patience %v is negative", s.patience)
	}
	return nil
}

// source opens what the flags name. It has the inputs and at least the outputs that are
// needed, and a daemon's may have fewer of either than its matrix: 0 means all.
func (s *sourceFlags) source(ctx context.Context, stderr io.Writer, n need, p *progress, o driver.Options) (*source, error) {
	if s.remote.given() {
		return s.served(ctx, stderr, n, p)
	}
	opu, opened, err := s.opu(ctx, stderr, n, p, o)
	if err != nil {
		return nil, err
	}
	var spent controller.Stats
	if opened.bench.Sim != nil {
		spent = opened.bench.Sim.Board().Stats()
	}
	if e, ok := opened.bench.Expect(); ok {
		p.line("%s", e)
	}
	return &source{
		bench: opened.bench, spent: spent, begun: opu.Stats(),
		Projector: opu, epoch: opu.Epoch(), simulated: s.sim, local: opu, rig: opened.rig, intensity: opu.Intensity, close: opened.bench.Close,
		shutter: func(ctx context.Context) (bool, error) {
			err := opened.rig.Block(ctx, false, false)
			if errors.Is(err, rig.ErrNoShutter) {
				return false, nil
			}
			return err == nil, err
		},
	}, nil
}

// rates says what a real board would allow for the job, if this program has a simulated one.
func (s *source) rates() *bench.Rates {
	if s.bench == nil || s.bench.Sim == nil {
		return nil
	}
	before, after := s.begun, s.local.Stats()
	r := bench.NewRates(s.rig, s.bench.Sim.Board().Stats().Since(s.spent),
		after.Projections-after.ZeroRows-before.Projections+before.ZeroRows, after.Exposures-before.Exposures, after.Uploads-before.Uploads)
	return &r
}

// served connects to a daemon, or to those of a stack.
func (s *sourceFlags) served(ctx context.Context, stderr io.Writer, n need, p *progress) (*source, error) {
	o, err := s.remote.options()
	if err != nil {
		return nil, err
	}
	o.Inputs, o.Outputs, o.Patience = n.features, n.outputs, s.patience
	if s.patience == 0 {
		o.Patience = -1
	}
	o.Waiting = waiting(p, s.patience)
	type remote interface {
		dfa.Projector
		Intensity(ctx context.Context, dst []float32, x []int8) error
		Shutter(ctx context.Context) (bool, error)
		Epoch() string
		Device() string
		Simulated() string
		Close() error
	}
	var r remote
	var opus []*client.OPU
	if path := s.remote.url; isManifest(path) {
		if s.model != "opu" {
			return nil, usage("--model is named by each part of the stack %s", path)
		}
		m, err := client.LoadManifest(path)
		if err != nil {
			return nil, err
		}
		for _, part := range m.Parts {
			if err := there(ctx, part.URL, o); err != nil {
				return nil, err
			}
		}
		stack, err := client.DialStack(ctx, m, o)
		if err != nil {
			return nil, err
		}
		r, opus = stack, stack.OPUs()
	} else {
		if err := there(ctx, s.remote.address(), o); err != nil {
			return nil, err
		}
		o.Model = s.model
		opu, err := client.Dial(ctx, s.remote.address(), o)
		if err != nil {
			return nil, err
		}
		r, opus = opu, []*client.OPU{opu}
	}
	from := &source{epoch: r.Epoch(), simulated: r.Simulated(), daemon: s.remote.url, opus: opus, intensity: r.Intensity, shutter: r.Shutter, close: r.Close}
	from.Projector = &counted{r, from}
	outputs, inputs := r.Shape()
	light := r.Device()
	if from.simulated != "" {
		light += fmt.Sprintf(" (simulated bench %q)", from.simulated)
	}
	fmt.Fprintf(stderr, "daemon: %s, %d x %d, matrix %s\n", light, outputs, inputs, from.epoch)
	if from.before, err = from.statuses(ctx); err != nil {
		from.close()
		return nil, err
	}
	for _, s := range from.before {
		if s.Expect != "" {
			p.line("%s", s.Expect)
		}
	}
	return from, nil
}

// waiting is a client's Options.Waiting: it tells people why they wait, once.
func waiting(p *progress, patience time.Duration) func(error) {
	var mu sync.Mutex // a stack waits for several, and a large batch twice
	told := ""
	return func(why error) {
		mu.Lock()
		defer mu.Unlock()
		if why.Error() == told {
			return
		}
		told = why.Error()
		if errors.Is(why, client.ErrCalibrating) {
			p.line("waiting: %v", why)
			return
		}
		p.line("waiting for up to %v: %v", patience, why)
	}
}

// defaultPatience is that of --patience.
const defaultPatience = 30 * time.Second

// isManifest tells a stack's file from an address.
func isManifest(url string) bool {
	info, err := os.Stat(url)
	return err == nil && info.Mode().IsRegular() || strings.HasSuffix(url, ".json")
}

// there finds out at once whether anybody listens at an address: one that is wrong is not
// waited for.
func there(ctx context.Context, address string, o client.Options) error {
	o.Patience, o.Waiting = -1, nil
	d, err := client.Connect(address, o)
	if err != nil {
		return err
	}
	defer d.Close()
	if address == "" {
		address = client.DefaultSocket()
	}
	err = d.Call(ctx, "GET", "/v2/health/live", nil, nil)
	if errors.Is(err, client.ErrUnavailable) {
		return fmt.Errorf("%w\nno daemon answers at %s; start one (opud -sim serves the simulated bench), or name another with --url", err, address)
	}
	return err
}

// counted counts what it projects for a source.
type counted struct {
	dfa.Projector
	source *source
}

func (c *counted) Project(ctx context.Context, dst []complex64, x []int8) error {
	err := c.Projector.Project(ctx, dst, x)
	if err == nil {
		_, inputs := c.Shape()
		c.source.count(x, inputs)
	}
	return err
}

// count counts rows that a daemon has projected.
func (s *source) count(x []int8, inputs int) {
	for ; len(x) > 0; x = x[inputs:] {
		s.own.projections++
		zero := true
		for _, v := range x[:inputs] {
			zero = zero && v == 0
		}
		if zero {
			s.own.zeroRows++
		}
	}
}

// statuses asks the daemons how they are; none if one does not tell, behind a proxy for
// models alone.
func (s *source) statuses(ctx context.Context) ([]server.Status, error) {
	all := make([]server.Status, len(s.opus))
	for i, opu := range s.opus {
		err := opu.Status(ctx, &all[i])
		if errors.Is(err, client.ErrInput) || errors.Is(err, client.ErrProtocol) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// statsTimeout bounds asking the daemons for their counters when the work is done.
const statsTimeout = 5 * time.Second

// stats are the counters since the source was opened. Those of daemons' devices have in
// them what others had projected at the time, and are 0 where a daemon does not tell;
// projections and rows of zeros are this program's own.
func (s *source) stats(ctx context.Context) driver.Stats {
	if s.local != nil {
		return s.local.Stats()
	}
	sum := driver.Stats{Projections: s.own.projections, ZeroRows: s.own.zeroRows}
	if s.before == nil {
		return sum
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statsTimeout) // an interrupted run tells them, too
	defer cancel()
	after, err := s.statuses(ctx)
	if err != nil || after == nil {
		return sum
	}
	for i, now := range after {
		before := s.before[i].Stats
		if now.Uptime < s.before[i].Uptime { // it was started anew
			before = driver.Stats{}
		}
		sum.Shared += now.Stats.Shared - before.Shared
		addCounted(&sum.Stats, &before.Stats, &now.Stats.Stats)
		if i == 0 || now.Stats.Health < sum.Health {
			sum.Health, sum.Phase = now.Stats.Health, now.Stats.Phase
		}
	}
	return sum
}

// addCounted adds what was counted between two looks.
func addCounted(sum, before, after *rig.Stats) {
	s, b, a := reflect.ValueOf(sum).Elem(), reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for i := range s.NumField() {
		if counter := s.Field(i); counter.CanUint() {
			counter.SetUint(counter.Uint() + a.Field(i).Uint() - b.Field(i).Uint())
		}
	}
}

// printSource says where results came from, unless it was light in this program.
func printSource(w io.Writer, simulated, daemon string) {
	if simulated != "" {
		fmt.Fprintf(w, "simulated bench %q\n", simulated)
	}
	if daemon != "" {
		fmt.Fprintf(w, "daemon at %s; its exposures and frames are those of all who used it meanwhile\n", daemon)
	}
}
