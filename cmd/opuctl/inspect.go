package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/cmplx"
	"net/url"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/internal/picture"
	"github.com/light-in-the-loop/opu/internal/server"
)

// inspected is what there is to see.
type inspected struct {
	cal       *calib.Calibration
	view      *calib.View
	title     string // of the picture
	simulated string // preset of the bench; empty: light
	daemon    string // its address; empty: this program
}

type inspectCommand struct {
	benchFlags
	format
	remote remoteFlags
	out    string
}

func newInspect() *cobra.Command {
	i := &inspectCommand{}
	c := &cobra.Command{
		Use:   "inspect",
		Short: "Look at a frame, its spectrum and the calibration",
		Long: `Take frames of random patterns and show what they look like: levels and
saturation, the mean spectrum with the sideband that the calibration uses, and the
calibration itself. As text, or with --out as a picture. With --url it is the rig of
a daemon, which looks when it is this client's turn.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return i.run(c) },
	}
	i.benchFlags.register(c)
	i.remote.register(c)
	i.format.register(c)
	c.Flags().StringVar(&i.out, "out", "", "`file` for the picture (PNG)")
	return c
}

func (i *inspectCommand) run(c *cobra.Command) error {
	if err := i.format.check(); err != nil {
		return err
	}
	if err := i.remote.check(c, "seed", "calibration", "layout", "mask", "anchor", "tags"); err != nil {
		return err
	}
	if i.out != "" {
		if err := writableFile(i.out); err != nil {
			return err
		}
	}
	look := i.here
	if i.remote.given() {
		look = i.there
	}
	seen, err := look(c.Context(), c.ErrOrStderr())
	if err != nil {
		return err
	}
	cal, view := seen.cal, seen.view
	if i.out != "" {
		h := picture.Hologram{
			Title: seen.title, Width: view.Width, Height: view.Height, Frame: view.Frame, Power: view.Power,
			Fu: cal.Carrier.Fu, Fv: cal.Carrier.Fv, Radius: cal.Carrier.Radius,
		}
		if err := atomicfile.Write(i.out, h.WritePNG); err != nil {
			return err
		}
	}
	result := struct {
		Mean        float64                 `json:"mean_counts"`
		Saturated   float64                 `json:"saturated"`
		Health      float64                 `json:"health"`
		PhaseRad    float64                 `json:"phase_rad"`
		Calibration bench.CalibrationResult `json:"calibration"`
		Simulated   string                  `json:"simulated,omitempty"`
		Daemon      string                  `json:"daemon,omitempty"`
		Picture     string                  `json:"picture,omitempty"`
	}{view.Mean, view.Saturated, view.Drift.Health, view.Drift.Phase(), bench.CalibrationResultOf(cal), seen.simulated, seen.daemon, i.out}
	return i.print(c.OutOrStdout(), result, func(w io.Writer) {
		bench.PrintCalibration(w, cal)
		fmt.Fprintf(w, "now         mean level %.1f counts, %.2g %% saturated; probe: health %.3f, phase %+.3f rad\n",
			view.Mean, 100*view.Saturated, view.Drift.Health, view.Drift.Phase())
		fmt.Fprintf(w, "spectrum (dB over its floor; S marks the sideband, s its twin):\n")
		printSpectrum(w, view, spectrumMark{-cal.Carrier.Fu, -cal.Carrier.Fv, 'S'}, spectrumMark{cal.Carrier.Fu, cal.Carrier.Fv, 's'})
		if i.out != "" {
			fmt.Fprintf(w, "picture in %s\n", i.out)
		}
	})
}

// here looks at a rig that this program opens.
func (i *inspectCommand) here(ctx context.Context, stderr io.Writer) (*inspected, error) {
	n := need{features: 10}
	t, err := i.open(ctx, stderr, n)
	if err != nil {
		return nil, err
	}
	defer t.bench.Close()
	p := newProgress(stderr, -1)
	seen := &inspected{title: "opuctl inspect", simulated: i.sim}
	if i.calibration != "" {
		seen.cal, err = calib.Load(i.calibration)
	} else {
		seen.cal, err = i.calibrate(ctx, t, n, p)
	}
	p.done()
	if err != nil {
		return nil, err
	}
	if i.sim != "" {
		seen.title = fmt.Sprintf("simulated bench %q, seed %d", i.sim, i.seed)
	}
	seen.view, err = seen.cal.View(ctx, t.rig, i.seed)
	return seen, err
}

// there asks a daemon for what it sees.
func (i *inspectCommand) there(ctx context.Context, _ io.Writer) (*inspected, error) {
	o, err := i.remote.options()
	if err != nil {
		return nil, err
	}
	if isManifest(i.remote.url) {
		return nil, usage("--url names a stack; inspect one of its daemons at a time")
	}
	if err := there(ctx, i.remote.address(), o); err != nil {
		return nil, err
	}
	d, err := client.Connect(i.remote.address(), o)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	seen := &inspected{daemon: i.remote.url}
	var s server.Status
	if err := d.Call(ctx, "GET", "/opu/v1/status", nil, &s); err != nil {
		return nil, err
	}
	seen.title, seen.simulated = s.Device, s.Simulated
	if s.Simulated != "" {
		seen.title = fmt.Sprintf("simulated bench %q, %s", s.Simulated, s.Device)
	}
	err = fetch(ctx, d, "/opu/v1/calibration.opucal", func(r io.Reader) (err error) {
		seen.cal, err = calib.Read(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	seen.view, err = viewOf(ctx, d)
	return seen, err
}

// viewOf asks for a look at the rig and what was seen.
func viewOf(ctx context.Context, d *client.Daemon) (*calib.View, error) {
	lease := url.Values{}
	if d.Lease() != "" {
		lease.Set("lease", d.Lease())
	}
	var f server.ViewFigures
	if err := d.Call(ctx, "GET", "/opu/v1/view?"+lease.Encode(), nil, &f); err != nil {
		return nil, err
	}
	lease.Set("view", strconv.FormatUint(f.Number, 10))
	v := &calib.View{Width: f.Width, Height: f.Height, BitDepth: f.BitDepth, Mean: f.Mean, Saturated: f.Saturated}
	v.Drift = calib.Drift{Factor: complex64(cmplx.Rect(1, f.Phase)), Health: f.Health}
	for _, part := range []struct {
		name string
		to   *[]float64
	}{{"frame", &v.Frame}, {"spectrum", &v.Power}} {
		path := "/opu/v1/" + part.name + ".npy?" + lease.Encode()
		err := fetch(ctx, d, path, func(r io.Reader) error {
			a, err := npy.NewReader(r)
			if err != nil {
				return err
			}
			if *part.to, err = npy.ReadAll[float64](a, f.Width*f.Height); err != nil {
				return err
			}
			if len(*part.to) != f.Width*f.Height {
				return fmt.Errorf("cannot use %s: it has %d numbers, and the frame %d x %d pixels: %w", path, len(*part.to), f.Width, f.Height, client.ErrProtocol)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// fetch reads a file of a daemon.
func fetch(ctx context.Context, d *client.Daemon, path string, read func(io.Reader) error) error {
	body, err := d.Fetch(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := read(body); err != nil {
		return fmt.Errorf("cannot read %s of the daemon: %w", path, err)
	}
	return nil
}

// spectrumMark is a character at a frequency.
type spectrumMark struct {
	fu, fv float64
	sign   byte
}

// printSpectrum draws the spectrum with characters, fv upwards. The first mark is seen where
// two are.
func printSpectrum(w io.Writer, view *calib.View, marks ...spectrumMark) {
	const columns, rows = 64, 32
	cells := make([]float64, columns*rows)
	for v := range view.Height {
		for u := range view.Width {
			cu := (u*columns/view.Width + columns/2) % columns
			cv := (v*rows/view.Height + rows/2) % rows
			cells[cv*columns+cu] += view.Power[v*view.Width+u]
		}
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, p := range cells {
		cells[i] = math.Log10(math.Max(p, 1e-12))
		lo, hi = min(lo, cells[i]), max(hi, cells[i])
	}
	near := func(fu, fv, u, v float64) bool {
		du, dv := fu-u, fv-v
		du, dv = du-math.Round(du), dv-math.Round(dv)
		return math.Abs(du) < 0.5/columns && math.Abs(dv) < 0.5/rows
	}
	for row := rows - 1; row >= 0; row-- {
		line := make([]byte, columns)
		for col := range columns {
			fu, fv := (float64(col)+0.5)/columns-0.5, (float64(row)+0.5)/rows-0.5
			line[col] = shades[int((cells[row*columns+col]-lo)/math.Max(hi-lo, 1e-9)*float64(len(shades)-1))]
			for _, m := range slices.Backward(marks) {
				if near(fu, fv, m.fu, m.fv) {
					line[col] = m.sign
				}
			}
		}
		fmt.Fprintf(w, "  %+.2f |%s|\n", (float64(row)+0.5)/rows-0.5, line)
	}
	fmt.Fprintf(w, "  fv/fu  -0.5%*s0%*s+0.5\n", columns/2-4, "", columns/2-5, "")
}
