package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/rigs"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/shifter/piezo"
	"github.com/light-in-the-loop/opu/sim"
)

// foundDevice is something that commands can be pointed at.
type foundDevice struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	State string `json:"state"`
	Use   string `json:"use"` // the flag that uses it; empty: nothing does, and State says why
}

// finders look for devices, each for one kind. What cannot be looked for is an error that
// the others do not care about.
var finders = []struct {
	kind string
	find func(ctx context.Context) ([]foundDevice, error)
}{
	{"daemon", findDaemons},
	{"DMD", findDMDs},
	{"camera", findCameras},
	{"serial", findPorts},
	{"simulated", findSimulated},
}

func newDevices() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:   "devices",
		Short: "List what can be used here: devices, daemons, simulated benches",
		Long: `List the daemons (opud) that answer on this machine, the DMD boards that are
plugged in, the cameras, the serial ports, and the presets of the simulated bench, with the flag that uses each.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			result := struct {
				Devices []foundDevice `json:"devices"`
			}{[]foundDevice{}}
			for _, f := range finders {
				found, err := f.find(c.Context())
				if err != nil {
					fmt.Fprintf(c.ErrOrStderr(), "note: cannot look for devices of kind %s: %v\n", f.kind, err)
				}
				for _, d := range found {
					d.Kind = f.kind
					result.Devices = append(result.Devices, d)
				}
			}
			return out.print(c.OutOrStdout(), result, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "kind\tname\tstate\tuse")
				for _, d := range result.Devices {
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", d.Kind, d.Name, d.State, d.Use)
				}
				t.Flush()
			})
		},
	}
	out.register(c)
	return c
}

// findCameras lists the cameras that are real: the simulated ones belong to the presets.
func findCameras(ctx context.Context) (found []foundDevice, err error) {
	cameras, err := rigs.Cameras(ctx)
	for _, c := range cameras {
		if !c.Simulated {
			found = append(found, foundDevice{Name: c.Ref, State: strings.TrimSpace(c.Model + " " + c.Note), Use: "camera info --camera " + c.Ref})
		}
	}
	return found, err
}

// findPorts lists the serial ports. Nothing is sent to them: it might be meant for others.
func findPorts(context.Context) (found []foundDevice, err error) {
	names, err := piezo.Ports()
	for _, name := range names {
		found = append(found, foundDevice{Name: name, State: "a port; what is connected is not known", Use: "shifter info --shifter serial:" + name})
	}
	return found, err
}

// findSimulated lists the presets.
func findSimulated(context.Context) (found []foundDevice, err error) {
	for _, name := range sim.Presets() {
		c, err := sim.Preset(name, 1)
		if err != nil {
			return found, err
		}
		found = append(found, foundDevice{
			Name: name, Use: "--sim=" + name,
			State: fmt.Sprintf("sensor of %dx%d pixels, %d bits; DMD of %v mirrors; both grow as needed", c.Width, c.Height, c.BitDepth, c.Chip),
		})
	}
	return found, nil
}

// Where daemons of this machine have their sockets, beside the default.
const daemonSockets = "/run/opud*/opud.sock"

// findTimeout bounds how long a daemon is waited for.
const findTimeout = 2 * time.Second

// findDaemons asks the daemons at the usual sockets.
func findDaemons(ctx context.Context) (found []foundDevice, err error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	sockets, err := filepath.Glob(daemonSockets)
	if err != nil {
		return nil, err
	}
	usual := client.DefaultSocket()
	sockets = slices.DeleteFunc(sockets, func(s string) bool { return s == usual })
	for _, socket := range append([]string{usual}, sockets...) {
		if !exists(socket) {
			continue
		}
		d := foundDevice{Name: socket, Use: "--url " + socket}
		if socket == usual {
			d.Use = "--url local"
		}
		var s server.Status
		if err := statusOf(ctx, socket, &s); err != nil {
			d.State, d.Use = err.Error(), ""
		} else {
			light := ""
			if s.Simulated != "" {
				light = fmt.Sprintf(" (simulated bench %q)", s.Simulated)
			}
			d.State = fmt.Sprintf("%s%s, %d x %d, %s; lease %s", s.Device, light, s.Outputs, s.Inputs, stateOf(&s), leaseOf(&s))
		}
		found = append(found, d)
	}
	return found, nil
}

// statusOf asks a daemon once.
func statusOf(ctx context.Context, socket string, s *server.Status) error {
	d, err := client.Connect(socket, client.Options{Patience: -1})
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Call(ctx, "GET", "/opu/v1/status", nil, s)
}
