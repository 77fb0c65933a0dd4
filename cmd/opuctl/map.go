package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/bench"
)

type mapCommand struct {
	benchFlags
	format
	remote       remoteFlags
	out, picture string
	share        float64
	blocks       int
	features     int
}

func newMap() *cobra.Command {
	m := &mapCommand{}
	c := &cobra.Command{
		Use:   "map --out mask.npy",
		Short: "Find the mirrors that light falls on",
		Long: `Find the lit part of the DMD, before any calibration and with or without the
reference beam. The chip is cut into square blocks; random half of them are on in
each of many patterns, every pattern is followed by its complement, and from the
frames' differences each block's own light is computed. That takes two exposures for
a block, and far less light than blocks shown one at a time.

The result is a mask of the mirrors in blocks with at least --share of the power per
mirror that the brightest blocks have. It is a NumPy array, rows x columns of the
chip, bool; commands that calibrate take it with --mask, and their layouts use lit
mirrors only. A small share keeps more mirrors, and the columns of the matrix less
equal: their powers differ by up to one over the share.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return m.run(c) },
	}
	m.benchFlags.registerBench(c)
	m.format.register(c)
	m.remote.register(c)
	f := c.Flags()
	f.StringVar(&m.out, "out", "", "`file` for the mask (.npy)")
	f.StringVar(&m.picture, "picture", "", "`file` for a picture of the map (PNG)")
	f.Float64Var(&m.share, "share", 0.25, "least power of a lit block over that of the brightest, 0 to 1")
	f.IntVar(&m.blocks, "blocks", 224, "how many blocks at most; more are finer, and take more exposures")
	f.IntVar(&m.features, "features", 10, "length of the vectors that will be projected; a simulated chip grows with it")
	return c
}

func (m *mapCommand) run(c *cobra.Command) error {
	if err := m.format.check(); err != nil {
		return err
	}
	switch {
	case !(m.share > 0 && m.share <= 1):
		return usage("--share %g is not above 0 and at most 1", m.share)
	case m.features < 1:
		return usage("--features %d: at least one is needed", m.features)
	case m.blocks < 4:
		return usage("--blocks %d: at least 4 are needed", m.blocks)
	}
	for _, path := range []string{m.out, m.picture} {
		if path == "" {
			continue
		}
		if err := writableFile(path); err != nil {
			return err
		}
	}
	if err := m.remote.check(c, "features"); err != nil {
		return err
	}
	if m.remote.given() {
		return m.ask(c)
	}
	t, err := m.open(c.Context(), c.ErrOrStderr(), need{features: m.features})
	if err != nil {
		return err
	}
	defer t.bench.Close()
	p := newProgress(c.ErrOrStderr(), 100)
	found, err := t.bench.MapLight(c.Context(), bench.MapOptions{Blocks: m.blocks, Share: m.share, Seed: m.seed}, func(stage string, share float64) {
		p.to(int(100*share), stage)
	})
	p.done()
	if err != nil {
		return err
	}
	found.Result.Mask, found.Result.Picture = m.out, m.picture
	if m.out != "" {
		if err := atomicfile.Write(m.out, func(w io.Writer) error { return bench.WriteMask(w, found.Mask) }); err != nil {
			return err
		}
	}
	if m.picture != "" {
		if err := atomicfile.Write(m.picture, found.WritePicture); err != nil {
			return err
		}
	}
	return m.print(c.OutOrStdout(), found.Result, func(w io.Writer) {
		found.Print(w)
		m.printFiles(w)
	})
}

func (m *mapCommand) printFiles(w io.Writer) {
	if m.out != "" {
		fmt.Fprintf(w, "mask in %s\n", m.out)
	}
	if m.picture != "" {
		fmt.Fprintf(w, "picture in %s\n", m.picture)
	}
}

// ask has a daemon map the light of its device.
func (m *mapCommand) ask(c *cobra.Command) error {
	request := map[string]any{"blocks": m.blocks, "share": m.share}
	if c.Flags().Changed("seed") {
		request["seed"] = m.seed
	}
	d, err := m.remote.connect()
	if err != nil {
		return err
	}
	defer d.Close()
	j, err := m.remote.doJob(c, d, "map", request)
	if err != nil {
		return err
	}
	var result bench.MapResult
	if err := json.Unmarshal(j.Result, &result); err != nil {
		return fmt.Errorf("cannot read the map: %v: %w", err, client.ErrProtocol)
	}
	result.Mask, result.Picture = m.out, m.picture
	if j.Result, err = json.Marshal(result); err != nil {
		return fmt.Errorf("cannot print the map: %w", err)
	}
	for name, path := range map[string]string{"mask.npy": m.out, "map.png": m.picture} {
		if _, err := j.fetch(c.Context(), d, name, path); err != nil {
			return err
		}
	}
	return cmp.Or(j.print(c, d, m.format, m.printFiles), j.err())
}
