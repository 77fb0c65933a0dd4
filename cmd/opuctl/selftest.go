package main

import (
	"cmp"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
)

// firstContactFile is where --dmd saves what it found.
const firstContactFile = "first-contact.json"

func newSelftest() *cobra.Command {
	var b benchFlags
	var out format
	var file, dir string
	var remote remoteFlags
	var contact contactFlags
	var board boardFlags
	var dmd, trigger bool
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Judge again whether an OPU is as good as its calibration",
		Long: `Show some 250 patterns with the settings of a calibration and judge what comes
back as calibrate does: light, noise, linearity, outputs and columns, the carrier's
place, drift and jitter, and whether the probe still looks as it did, that is
whether the matrix is still the one of the calibration. Nothing is changed. If the
verdict is "refused" the exit code is 1. With --url a daemon judges its device by the
calibration in use.

With --trigger the SLM plays a known order of all-on and all-off patterns, and what
the camera makes of its pulses is judged: which line and edge, the first frames, how
long exposures may be and when they may begin, the highest rate that holds, what is
likely wrong with the cable. No calibration is needed, only light.

With --dmd a DLPC900 board alone is put all questions of first contact, without camera
and calibration: its USB descriptors, how fast images are sent with and without replies,
how error texts come, what the number of a start counts, the longest order, how long a
restart takes, the order of planes, silent trigger pulses, the fastest trigger input. On
a terminal you are asked what you see, and for a counter and a generator if there are
some; what nobody can tell is IGNORED. The result is saved for a report of a bug. It
takes about a minute.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if trigger {
				for _, name := range []string{"calibration", "report", "url", "dmd", "port", "yes", "out"} {
					if c.Flags().Changed(name) {
						return usage("--%s is of no use with --trigger", name)
					}
				}
				return b.selftestTrigger(c, out)
			}
			if dmd {
				for _, name := range []string{"calibration", "report", "url"} {
					if c.Flags().Changed(name) {
						return usage("--%s is of no use with --dmd, which asks a board alone", name)
					}
				}
				if contact.file == "" {
					contact.file = firstContactFile
				}
				if err := contact.check(); err != nil {
					return err
				}
				board.sim, board.timed, board.rig, board.file = b.sim != "", true, b.rig, b.config
				return contact.run(c, &board, out, nil)
			}
			for _, name := range []string{"port", "yes", "out"} {
				if c.Flags().Changed(name) {
					return usage("--%s belongs to --dmd", name)
				}
			}
			if err := remote.check(c, "calibration"); err != nil {
				return err
			}
			if remote.given() {
				return remote.selftest(c, out, dir)
			}
			if file == "" {
				return usage("--calibration is missing: the calibration to judge by; opuctl calibrate --out makes one")
			}
			cal, err := calib.Load(file)
			if err == nil {
				err = cal.OnRig()
			}
			if err != nil {
				return err
			}
			if dir != "" {
				if err := writable(dir); err != nil {
					return err
				}
			}
			t, err := b.open(c.Context(), c.ErrOrStderr(), need{features: cal.Layout.Features, outputs: cal.Outputs})
			if err != nil {
				return err
			}
			defer t.bench.Close()
			found, err := t.bench.Selftest(c.Context(), cal, b.seed)
			if err != nil {
				return err
			}
			if dir != "" {
				if err := found.Report.Write(dir); err != nil {
					return err
				}
			}
			err = out.print(c.OutOrStdout(), found.Result, func(w io.Writer) {
				found.Print(w)
				printReport(w, dir)
			})
			if err == nil {
				err = found.Err()
			}
			return err
		},
	}
	b.registerBench(c)
	out.register(c)
	remote.register(c)
	contact.register(c)
	c.Flags().BoolVar(&dmd, "dmd", false, "ask a DLPC900 board, in place of an OPU")
	c.Flags().BoolVar(&trigger, "trigger", false, "look at the trigger between SLM and camera alone")
	c.Flags().StringVar(&board.port, "port", "", "with --dmd, USB `port` of the board; needed if there are several")
	c.Flags().Lookup("out").Usage += " (" + firstContactFile + ")"
	c.Flags().StringVar(&file, "calibration", "", "calibration `file` to judge by")
	c.Flags().StringVar(&dir, "report", "", "`folder` to write a page with pictures to")
	return c
}

// selftest has a daemon judge its device.
func (r *remoteFlags) selftest(c *cobra.Command, out format, dir string) error {
	request := map[string]any{}
	if f := c.Flags().Lookup("seed"); f.Changed {
		request["seed"] = json.Number(f.Value.String())
	}
	if dir != "" {
		if err := writable(dir); err != nil {
			return err
		}
	}
	d, err := r.connect()
	if err != nil {
		return err
	}
	defer d.Close()
	j, err := r.doJob(c, d, "selftest", request)
	if err == nil {
		err = j.fetchReport(c.Context(), d, dir)
	}
	if err == nil {
		err = j.print(c, d, out, func(w io.Writer) { printReport(w, dir) })
	}
	return cmp.Or(err, j.err())
}
