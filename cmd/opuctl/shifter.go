package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/internal/rigs"
	"github.com/light-in-the-loop/opu/shifter"
)

func newShifter() *cobra.Command {
	c := &cobra.Command{
		Use:   "shifter",
		Short: "Look at the reference beam's phase shifter, move it",
		Long: `Talk to a phase shifter: a piezo controller on a serial port.

Name it with --shifter serial:/dev/ttyACM0, or by a rig of the configuration that has
one; --shifter sim is a simulated one, new with each command. The voltage never leaves
the narrowest of the limits: of the rig's table or --max, of the controller's axis, of
the switch at its back. The piezo stays where the last command left it.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newShifterInfo(), newShifterRead(), newShifterSet(), newShifterStep(), newShifterSweep())
	return c
}

// shifterFlags say which phase shifter, and what is known of its piezo.
type shifterFlags struct {
	shifter     string
	rig, config string
	piezo       rigs.Piezo
	out         format
}

func (s *shifterFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.shifter, "shifter", "", "the phase shifter: sim, or serial:PORT such as serial:/dev/ttyACM0")
	registerRig(c, &s.rig, &s.config)
	f.StringVar(&s.piezo.Kind, "kind", "", "`kind` of controller: mdt69xb, mdt69xa (default mdt69xb)")
	f.StringVar(&s.piezo.Axis, "axis", "", "`axis` of the controller: x, y, z (default x)")
	f.Float64Var(&s.piezo.Min, "min", 0, "lowest `volts` that the piezo may have")
	f.Float64Var(&s.piezo.Max, "max", 0, "highest `volts` that the piezo may have (default 75)")
	f.Float64Var(&s.piezo.RadiansPerVolt, "radians-per-volt", 0, "how far a `volt` moves the phase, for commands in radians")
	s.out.register(c)
}

// open opens the shifter.
func (s *shifterFlags) open(c *cobra.Command) (shifter.Device, error) {
	if err := s.out.check(); err != nil {
		return nil, err
	}
	var r rigs.Rig
	var err error
	switch {
	case s.rig != "" && s.shifter != "":
		return nil, usage("--rig and --shifter both name a phase shifter; use one")
	case s.config != "" && s.rig == "":
		return nil, usage("--config is for --rig, which is not there")
	case s.rig != "":
		if r, err = findRig(s.rig, s.config); err != nil {
			return nil, err
		}
		if r.Shifter == "" {
			return nil, usage("the rig %s has no phase shifter", s.rig)
		}
	case s.shifter == "":
		return nil, fmt.Errorf("cannot find a phase shifter: none was named; use --shifter or --rig: %w", errNoDevice)
	default:
		r.Shifter = s.shifter
	}
	for flag, set := range map[string]func(){
		"kind":             func() { r.Piezo.Kind = s.piezo.Kind },
		"axis":             func() { r.Piezo.Axis = s.piezo.Axis },
		"min":              func() { r.Piezo.Min = s.piezo.Min },
		"max":              func() { r.Piezo.Max = s.piezo.Max },
		"radians-per-volt": func() { r.Piezo.RadiansPerVolt = s.piezo.RadiansPerVolt },
	} {
		if c.Flags().Changed(flag) {
			set()
		}
	}
	if strings.HasPrefix(r.Shifter, "sim") {
		fmt.Fprintln(c.ErrOrStderr(), "note: the phase shifter is simulated, and begins at 0 V")
	}
	return rigs.OpenShifter(c.Context(), r, nil)
}

// with does something with the shifter, and closes it. The piezo stays where it is.
func (s *shifterFlags) with(c *cobra.Command, f func(d shifter.Device) error) error {
	d, err := s.open(c)
	if err != nil {
		return err
	}
	return errors.Join(f(d), d.Close())
}

// place is where a piezo is, as programs read it. Phases are there if the radians per volt
// are known.
type place struct {
	Asked *float64 `json:"asked_volts,omitempty"`
	Volts float64  `json:"volts"` // as the controller reads it
	Phase *float64 `json:"phase_rad,omitempty"`
}

// placeOf reads where the piezo is.
func placeOf(ctx context.Context, d shifter.Device, asked *float64) (place, error) {
	volts, err := d.Read(ctx)
	if err != nil {
		return place{}, err
	}
	p := place{Asked: asked, Volts: volts}
	if i := d.Info(); i.RadiansPerVolt != 0 {
		phase := i.Phase(volts)
		p.Phase = &phase
	}
	return p, nil
}

func (p place) String() string {
	text := fmt.Sprintf("%.1f V", p.Volts)
	if p.Phase != nil {
		text += fmt.Sprintf(", %.3f rad", *p.Phase)
	}
	return text
}

func newShifterInfo() *cobra.Command {
	var s shifterFlags
	c := &cobra.Command{
		Use:   "info",
		Short: "Tell what a phase shifter is, and its limits",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c, func(d shifter.Device) error {
				at, err := placeOf(c.Context(), d, nil)
				if err != nil {
					return err
				}
				i := d.Info()
				result := struct {
					Model          string  `json:"model"`
					Serial         string  `json:"serial"`
					Min            float64 `json:"min_volts"`
					Max            float64 `json:"max_volts"`
					SettleMS       float64 `json:"settle_ms"`
					RadiansPerVolt float64 `json:"radians_per_volt,omitempty"`
					place
				}{i.Model, i.Serial, i.Min, i.Max, 1000 * i.Settle.Seconds(), i.RadiansPerVolt, at}
				return s.out.print(c.OutOrStdout(), result, func(w io.Writer) {
					fmt.Fprintf(w, "controller  %s (%s)\n", i.Model, i.Serial)
					fmt.Fprintf(w, "limits      %.4g V to %.4g V\n", i.Min, i.Max)
					if i.RadiansPerVolt != 0 {
						fmt.Fprintf(w, "phase       %.4g rad/V, %.3f rad in all\n", i.RadiansPerVolt, i.Phase(i.Max))
					}
					fmt.Fprintf(w, "settles in  %v\n", i.Settle)
					fmt.Fprintf(w, "now         %v\n", at)
				})
			})
		},
	}
	s.register(c)
	return c
}

func newShifterRead() *cobra.Command {
	var s shifterFlags
	c := &cobra.Command{
		Use:   "read",
		Short: "Read a phase shifter's voltage",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c, func(d shifter.Device) error { return s.report(c, d, nil) })
		},
	}
	s.register(c)
	return c
}

// report prints where the piezo is.
func (s *shifterFlags) report(c *cobra.Command, d shifter.Device, asked *float64) error {
	at, err := placeOf(c.Context(), d, asked)
	if err != nil {
		return err
	}
	return s.out.print(c.OutOrStdout(), at, func(w io.Writer) { fmt.Fprintln(w, at) })
}

// targetFlags are a voltage or a phase.
type targetFlags struct {
	volts, radians string
}

func (t *targetFlags) register(c *cobra.Command, what string) {
	c.Flags().StringVar(&t.volts, "volts", "", what+" in `volts`")
	c.Flags().StringVar(&t.radians, "radians", "", what+" in `radians`, which needs the radians per volt")
}

// number reads the one that is given.
func (t *targetFlags) number() (x float64, radians bool, err error) {
	text, name := t.volts, "--volts"
	if t.radians != "" {
		text, name, radians = t.radians, "--radians", true
	}
	if (t.volts == "") == (t.radians == "") {
		return 0, false, usage("say how far: either --volts or --radians")
	}
	if x, err = strconv.ParseFloat(text, 64); err != nil {
		return 0, false, usage("%s is a number, not %q", name, text)
	}
	return x, radians, nil
}

func newShifterSet() *cobra.Command {
	var s shifterFlags
	var t targetFlags
	c := &cobra.Command{
		Use:   "set",
		Short: "Drive a phase shifter to a voltage or a phase",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			x, radians, err := t.number()
			if err != nil {
				return err
			}
			return s.with(c, func(d shifter.Device) error {
				volts := x
				if radians {
					if volts, err = d.Info().Volts(x); err != nil {
						return err
					}
				}
				if err := d.Set(c.Context(), volts); err != nil {
					return err
				}
				return s.report(c, d, &volts)
			})
		},
	}
	s.register(c)
	t.register(c, "where to")
	return c
}

func newShifterStep() *cobra.Command {
	var s shifterFlags
	var t targetFlags
	c := &cobra.Command{
		Use:   "step",
		Short: "Move a phase shifter by so many volts or radians from where it reads",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			by, radians, err := t.number()
			if err != nil {
				return err
			}
			return s.with(c, func(d shifter.Device) error {
				now, err := d.Read(c.Context())
				if err != nil {
					return err
				}
				i := d.Info()
				volts := now + by
				if radians {
					if volts, err = i.Volts(i.Phase(now) + by); err != nil {
						return err
					}
				}
				if err := d.Set(c.Context(), volts); err != nil {
					return err
				}
				return s.report(c, d, &volts)
			})
		},
	}
	s.register(c)
	t.register(c, "how far")
	return c
}

// maxSweep bounds what a sweep prints.
const maxSweep = 10000

func newShifterSweep() *cobra.Command {
	var s shifterFlags
	var from, to float64
	var points int
	var back bool
	c := &cobra.Command{
		Use:   "sweep",
		Short: "Drive a phase shifter through a range, and read it at each point",
		Long: `Drive a phase shifter from --from to --to in equal steps, and print what it reads at
each. --back goes the same way back: a piezo that does not come back to the same
phases, where a camera sees them, has hysteresis; the voltages do not show it.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if points < 2 || points > maxSweep {
				return usage("--points %d is not 2 to %d", points, maxSweep)
			}
			return s.with(c, func(d shifter.Device) error {
				i := d.Info()
				if !c.Flags().Changed("from") {
					from = i.Min
				}
				if !c.Flags().Changed("to") {
					to = i.Max
				}
				if err := errors.Join(i.Check(from), i.Check(to)); err != nil {
					return err
				}
				way := make([]float64, 0, 2*points)
				for k := range points {
					way = append(way, from+(to-from)*float64(k)/float64(points-1))
				}
				if back {
					for k := points - 2; k >= 0; k-- {
						way = append(way, way[k])
					}
				}
				result := struct {
					Points []place `json:"points"`
				}{}
				for _, volts := range way {
					if err := d.Set(c.Context(), volts); err != nil {
						return err
					}
					at, err := placeOf(c.Context(), d, &volts)
					if err != nil {
						return err
					}
					result.Points = append(result.Points, at)
				}
				return s.out.print(c.OutOrStdout(), result, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
					fmt.Fprintln(t, "asked\tread\tphase\t")
					for _, p := range result.Points {
						phase := "-"
						if p.Phase != nil {
							phase = fmt.Sprintf("%.3f rad", *p.Phase)
						}
						fmt.Fprintf(t, "%.3f V\t%.1f V\t%s\t\n", *p.Asked, p.Volts, phase)
					}
					t.Flush()
				})
			})
		},
	}
	s.register(c)
	c.Flags().Float64Var(&from, "from", 0, "first `volts` (default the lower limit)")
	c.Flags().Float64Var(&to, "to", 0, "last `volts` (default the upper limit)")
	c.Flags().IntVar(&points, "points", 11, "how many `points`, both ends included")
	c.Flags().BoolVar(&back, "back", false, "go back as well")
	return c
}
