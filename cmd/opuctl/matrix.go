package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/npy"
)

type matrixCommand struct {
	sourceFlags
	format
	out, errors string
	n           need
	repeats     int
}

func newMatrix() *cobra.Command {
	m := &matrixCommand{}
	c := &cobra.Command{
		Use:   "matrix --out B.npy",
		Short: "Write the random matrix as measured, with error bars",
		Long: `Measure the matrix B of y = B x and write it as a NumPy array: M outputs x N inputs,
complex64. A second file of the same shape (float32) has the standard error of each
entry: of its complex value, so that each of the real and the imaginary part has it
over the square root of two. It comes from the scatter of --repeats measurements.

The vectors shown are not one-hot. Each has all features of a group in it, +1 or -1
by the rows of a Hadamard matrix, and the columns are computed from the results. For
as many projections the noise's power is lower by the order of that matrix (the power
of two from N up), and what is quadratic in the light falls out. A group has as many
columns as 256 MB hold; the file is written group by group (in Fortran order, which
NumPy reads like any other), so a matrix of any size can be measured.

B is measured as the calibration defines it: up to one complex factor it is the same
in every run on the same medium with the same calibration. Phase and power are
corrected as in project; a medium that becomes another one ends the run, and nothing
is written. A slow change of the medium between groups is not in the error bars.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return m.run(c) },
	}
	m.sourceFlags.register(c)
	m.format.register(c)
	f := c.Flags()
	f.StringVar(&m.out, "out", "", "`file` for B: M x N, complex64")
	f.StringVar(&m.errors, "errors", "", "`file` for the standard errors: M x N, float32 (default: NAME-errors.npy beside B)")
	f.IntVar(&m.n.features, "features", 10, "inputs N (default with --calibration or --url: all)")
	f.IntVar(&m.n.outputs, "outputs", 0, "outputs M (0: as many as the sensor, the calibration or the daemon gives)")
	f.IntVar(&m.repeats, "repeats", 4, "measurements to average, at least 2")
	return c
}

// matrixReport is what matrix prints.
type matrixReport struct {
	EpochOfB  string  `json:"epoch_of_b"`
	Shape     [2]int  `json:"shape"` // M, N
	Repeats   int     `json:"repeats"`
	RMS       float64 `json:"rms"` // of the entries
	RMSError  float64 `json:"rms_error"`
	SNRDB     float64 `json:"snr_db"` // power of the entries over that of their errors
	Out       string  `json:"out"`
	Errors    string  `json:"errors"`
	Simulated string  `json:"simulated,omitempty"`
	Daemon    string  `json:"daemon,omitempty"`
	driver.Stats
}

func (m *matrixCommand) run(c *cobra.Command) error {
	if err := m.format.check(); err != nil {
		return err
	}
	if err := m.sourceFlags.check(c); err != nil {
		return err
	}
	if m.out == "" {
		return usage("--out is needed")
	}
	if m.errors == "" {
		m.errors = strings.TrimSuffix(m.out, ".npy") + "-errors.npy"
	}
	if m.calibration != "" && !c.Flags().Changed("features") {
		cal, err := calib.Load(m.calibration)
		if err != nil {
			return err
		}
		m.n.features = cal.Layout.Features
		if cal.Recorded != nil {
			return cal.OnRig()
		}
	}
	switch {
	case m.n.features < 1 || m.n.outputs < 0:
		return usage("--features %d --outputs %d: at least one feature, and no negative outputs", m.n.features, m.n.outputs)
	case m.repeats < 2:
		return usage("--repeats %d: at least 2 are needed, since the errors come from their scatter", m.repeats)
	case filepath.Clean(m.out) == filepath.Clean(m.errors):
		return usage("--out and --errors name the same file, %s", m.out)
	}
	for _, path := range []string{m.out, m.errors} {
		if err := writableFile(path); err != nil {
			return err
		}
	}
	bar := newProgress(c.ErrOrStderr(), 100)
	if m.remote.given() && !c.Flags().Changed("features") {
		m.n.features = 0
	}
	opu, err := m.source(c.Context(), c.ErrOrStderr(), m.n, bar, driver.Options{})
	if err != nil {
		return err
	}
	defer opu.close()
	report := matrixReport{EpochOfB: opu.epoch, Repeats: m.repeats, Out: m.out, Errors: m.errors, Simulated: opu.simulated, Daemon: opu.daemon}
	report.Shape[0], report.Shape[1] = opu.Shape()
	meter := newColumnMeter(opu, m.repeats, m.seed, meterBytes)
	// Whatever ends the measurement early leaves both files as they were.
	err = atomicfile.Write(m.out, func(b io.Writer) error {
		return atomicfile.Write(m.errors, func(e io.Writer) error {
			return report.write(c.Context(), meter, b, e, bar)
		})
	})
	bar.done()
	if err != nil {
		return err
	}
	report.Stats = opu.stats(c.Context())
	return m.print(c.OutOrStdout(), report, func(w io.Writer) {
		fmt.Fprintf(w, "matrix      %s, %d outputs x %d inputs\n", report.EpochOfB, report.Shape[0], report.Shape[1])
		fmt.Fprintf(w, "entries     %.4f rms, errors %.2g rms: %.1f dB (%d measurements)\n", report.RMS, report.RMSError, report.SNRDB, m.repeats)
		fmt.Fprintf(w, "%d projections, %d exposures\n", report.Projections, report.Exposures)
		printSource(w, report.Simulated, report.Daemon)
		fmt.Fprintf(w, "saved to %s, errors in %s\n", m.out, m.errors)
	})
}

// write measures the matrix and writes its columns and their errors.
func (r *matrixReport) write(ctx context.Context, meter *columnMeter, b, e io.Writer, bar *progress) error {
	columns, err := npy.NewColumnWriter[complex64](b, r.Shape[0], r.Shape[1])
	if err != nil {
		return err
	}
	errors, err := npy.NewColumnWriter[float32](e, r.Shape[0], r.Shape[1])
	if err != nil {
		return err
	}
	var power, wrong float64
	done, all := 0, meter.projections()
	groups := meter.groups()
	for g, first := range groups[:len(groups)-1] {
		mean, errs, err := meter.measure(ctx, first, groups[g+1], func(vectors int) {
			done += vectors
			bar.to(100*done/all, "measuring")
		})
		if err != nil {
			return err
		}
		for i, z := range mean {
			re, im, s := float64(real(z)), float64(imag(z)), float64(errs[i])
			power += re*re + im*im
			wrong += s * s
		}
		if err := columns.Write(mean); err != nil {
			return err
		}
		if err := errors.Write(errs); err != nil {
			return err
		}
	}
	n := float64(r.Shape[0] * r.Shape[1])
	r.RMS, r.RMSError = math.Sqrt(power/n), math.Sqrt(wrong/n)
	// A noiseless bench has no scatter at all.
	r.SNRDB = min(10*math.Log10(power/math.Max(wrong, math.SmallestNonzeroFloat64)), 200)
	if err := columns.Close(); err != nil {
		return err
	}
	return errors.Close()
}
