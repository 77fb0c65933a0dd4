package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/slm"
)

// Kinds of results.
const (
	kindComplex   = "complex"
	kindReal      = "real"
	kindIntensity = "intensity"
)

type projectCommand struct {
	sourceFlags
	format
	in, out string
	kind    string
	outputs int
	share   bool
}

func newProject() *cobra.Command {
	p := &projectCommand{}
	c := &cobra.Command{
		Use:   "project --in x.npy --out y.npy",
		Short: "Multiply vectors with the random matrix, by light",
		Long: `Compute y = B x for the rows of a NumPy file, by light. x has rows of N entries,
each -1, 0 or 1, of any number type; y has as many rows of M outputs.

--kind says what y is:
  complex    B x, complex64
  real       its real part, float32
  intensity  abs(B x)^2, float32: measured with the reference beam blocked where
             the rig has a shutter and x holds 0 and 1 only, else computed from
             the complex result. The output says which.

With --url a daemon's OPU does it, or with a stack's file several as one.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.run(c) },
	}
	p.sourceFlags.register(c)
	p.format.register(c)
	f := c.Flags()
	f.StringVar(&p.in, "in", "", "`file` with x: rows x N")
	f.StringVar(&p.out, "out", "", "`file` for y: rows x M")
	f.StringVar(&p.kind, "kind", kindComplex, "complex, real or intensity")
	f.IntVar(&p.outputs, "outputs", 0, "outputs M (0: as many as the sensor, or the calibration, gives)")
	f.BoolVar(&p.share, "share-equal-rows", false, "let equal vectors of a batch share an exposure, and its noise")
	return c
}

// chunkEntries bounds the rows that are in memory at a time.
const chunkEntries = 1 << 22

func (p *projectCommand) run(c *cobra.Command) error {
	if err := p.format.check(); err != nil {
		return err
	}
	if err := p.sourceFlags.check(c, "share-equal-rows"); err != nil {
		return err
	}
	switch {
	case p.in == "" || p.out == "":
		return usage("--in and --out are needed")
	case p.kind != kindComplex && p.kind != kindReal && p.kind != kindIntensity:
		return usage("--kind is complex, real or intensity, not %q", p.kind)
	case p.outputs < 0:
		return usage("--outputs %d is negative", p.outputs)
	}
	rows, features, binary, err := checkVectors(p.in)
	if err != nil {
		return fmt.Errorf("cannot use %s: %w", p.in, err)
	}
	if err := writableFile(p.out); err != nil {
		return err
	}
	bar := newProgress(c.ErrOrStderr(), rows)
	n := need{features, p.outputs}
	if p.remote.given() {
		n.features = 0 // all of the daemon's, which must be as many
	}
	opu, err := p.source(c.Context(), c.ErrOrStderr(), n, bar, driver.Options{ShareEqualRows: p.share})
	if err != nil {
		return err
	}
	defer opu.close()
	outputs, inputs := opu.Shape()
	if inputs != features {
		return usage("cannot project %s: its rows have %d entries, and the OPU at %s takes %d", p.in, features, p.remote.url, inputs)
	}

	how := ""
	direct := false
	if p.kind == kindIntensity {
		switch shutter, err := opu.shutter(c.Context()); {
		case err != nil:
			return err
		case !binary:
			how = "abs(y)^2 of the complex result, since x holds -1"
		case !shutter:
			how = "abs(y)^2 of the complex result, since the rig has no shutter"
		default:
			how, direct = "measured with the reference beam blocked", true
		}
	}
	err = atomicfile.Write(p.out, func(w io.Writer) error {
		return p.project(c.Context(), w, opu, rows, features, direct, bar)
	})
	bar.done()
	if err != nil {
		return err
	}
	stats := opu.stats(c.Context())
	result := struct {
		Rows      int    `json:"rows"`
		Inputs    int    `json:"inputs"`
		Outputs   int    `json:"outputs"`
		Kind      string `json:"kind"`
		Intensity string `json:"intensity,omitempty"`
		EpochOfB  string `json:"epoch_of_b"`
		Simulated string `json:"simulated,omitempty"`
		Daemon    string `json:"daemon,omitempty"`
		driver.Stats
		Board *bench.Rates `json:"modelled_board,omitempty"`
	}{rows, features, outputs, p.kind, how, opu.epoch, opu.simulated, opu.daemon, stats, opu.rates()}
	return p.print(c.OutOrStdout(), result, func(w io.Writer) {
		fmt.Fprintf(w, "%d rows of %d inputs projected to %d outputs (%s), matrix %s\n", rows, features, outputs, p.kind, opu.epoch)
		if how != "" {
			fmt.Fprintf(w, "intensity: %s\n", how)
		}
		printSource(w, opu.simulated, opu.daemon)
		fmt.Fprintf(w, "%d exposures, %d rows were zero and free; saved to %s\n", stats.Exposures, stats.ZeroRows, p.out)
	})
}

// checkVectors reads the whole file once, before anything is shown: every entry
// must be -1, 0 or 1.
func checkVectors(path string) (rows, features int, binary bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, false, err
	}
	defer f.Close()
	in, err := npy.NewReader(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return 0, 0, false, err
	}
	if len(in.Shape) != 2 || in.Shape[0] < 1 || in.Shape[1] < 1 || in.Shape[1] > 1e6 {
		return 0, 0, false, usage("its shape is %v; rows x N is needed, with at least one row and N from 1 to a million", in.Shape)
	}
	rows, features, binary = in.Shape[0], in.Shape[1], true
	x := make([]int8, features)
	for r := range rows {
		if n, err := npy.Read(in, x); err != nil || n != features {
			return 0, 0, false, errors.Join(err, io.ErrUnexpectedEOF)
		}
		if err := slm.CheckTernary(x); err != nil {
			return 0, 0, false, fmt.Errorf("row %d: %w: %w", r, err, slm.ErrInput)
		}
		for _, v := range x {
			binary = binary && v >= 0
		}
	}
	if _, err := npy.Read(in, x); err != io.EOF {
		return 0, 0, false, err
	}
	return rows, features, binary, nil
}

// project streams the file through the OPU.
func (p *projectCommand) project(ctx context.Context, w io.Writer, opu *source, rows, features int, direct bool, bar *progress) error {
	f, err := os.Open(p.in)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := npy.NewReader(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return err
	}
	outputs, _ := opu.Shape()
	write, finish, err := newResultWriter(w, p.kind, rows, outputs)
	if err != nil {
		return err
	}
	chunk := max(1, min(rows, chunkEntries/(outputs+features)))
	x, y, real32 := make([]int8, chunk*features), make([]complex64, chunk*outputs), make([]float32, chunk*outputs)
	for first := 0; first < rows; first += chunk {
		n := min(chunk, rows-first)
		if _, err := npy.Read(in, x[:n*features]); err != nil {
			return fmt.Errorf("cannot read %s again: %w", p.in, err)
		}
		y, real32 := y[:n*outputs], real32[:n*outputs]
		if direct {
			err = opu.intensity(ctx, real32, x[:n*features])
		} else {
			err = opu.Project(ctx, y, x[:n*features])
			for i, z := range y {
				real32[i] = real(z)
				if p.kind == kindIntensity {
					real32[i] = real(z)*real(z) + imag(z)*imag(z)
				}
			}
		}
		if err != nil {
			return err
		}
		if err := write(y, real32); err != nil {
			return err
		}
		bar.to(first+n, "projecting")
	}
	return finish()
}

// newResultWriter writes the complex or the real results, by kind.
func newResultWriter(w io.Writer, kind string, rows, outputs int) (write func([]complex64, []float32) error, finish func() error, err error) {
	if kind == kindComplex {
		out, err := npy.NewWriter[complex64](w, rows, outputs)
		if err != nil {
			return nil, nil, err
		}
		return func(y []complex64, _ []float32) error { return out.Write(y) }, out.Close, nil
	}
	out, err := npy.NewWriter[float32](w, rows, outputs)
	if err != nil {
		return nil, nil, err
	}
	return func(_ []complex64, y []float32) error { return out.Write(y) }, out.Close, nil
}
