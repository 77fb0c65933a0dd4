package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/server"
)

// askedDaemon are the flags of commands that ask a daemon, this machine's unless another
// is named.
type askedDaemon struct{ remoteFlags }

func (a *askedDaemon) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&a.url, "url", localDaemon, "`address` of the daemon: local, a socket's path, http://host:port or https://host:port")
	f.StringVar(&a.tokenFile, "token-file", "", "`file` with the daemon's token, which TCP needs")
}

// parts are the addresses that are asked: one, or those of a stack.
func (a *askedDaemon) parts() ([]string, error) {
	if !isManifest(a.url) {
		return []string{a.address()}, nil
	}
	m, err := client.LoadManifest(a.url)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range m.Parts {
		all = append(all, p.URL)
	}
	return all, nil
}

// ask connects to one of the addresses, where somebody must listen.
func (a *askedDaemon) ask(ctx context.Context, address string, patience time.Duration) (*client.Daemon, error) {
	o, err := a.options()
	if err != nil {
		return nil, err
	}
	if err := there(ctx, address, o); err != nil {
		return nil, err
	}
	if o.Patience = patience; patience == 0 {
		o.Patience = -1
	}
	return client.Connect(address, o)
}

func newStatus() *cobra.Command {
	var a askedDaemon
	var out format
	c := &cobra.Command{
		Use:   "status",
		Short: "Say how a daemon and its device are",
		Long: `Ask a daemon (opud) how it is: what device it has, whether it can be used, the
matrix, what was projected, who waits, and who has a lease. With a stack's file as
--url it is asked of each of its daemons.

It ends with 0 if all are ready, and with 3 if one is not there or not ready.`,
		Example: `  opuctl status
  opuctl status --url http://lab:8000 --token-file token --format json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			parts, err := a.parts()
			if err != nil {
				return err
			}
			all := make([]server.Status, len(parts))
			for i, address := range parts {
				if err := a.status(c.Context(), address, &all[i]); err != nil {
					return err
				}
			}
			var result any = all
			if len(all) == 1 {
				result = all[0]
			}
			err = out.print(c.OutOrStdout(), result, func(w io.Writer) {
				for i := range all {
					if len(all) > 1 {
						fmt.Fprintf(w, "%s%s\n", map[bool]string{true: "\n"}[i > 0], parts[i])
					}
					printStatus(w, &all[i])
				}
			})
			if err != nil {
				return err
			}
			for i, s := range all {
				if !s.Ready {
					return fmt.Errorf("cannot be used now: %s: %s: %w", s.Device, all[i].Reason, client.ErrUnavailable)
				}
			}
			return nil
		},
	}
	a.register(c)
	out.register(c)
	return c
}

// status asks one daemon.
func (a *askedDaemon) status(ctx context.Context, address string, s *server.Status) error {
	d, err := a.ask(ctx, address, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Call(ctx, "GET", "/opu/v1/status", nil, s)
	if errors.Is(err, client.ErrInput) {
		return fmt.Errorf("%w\nthe address may be that of a proxy for models alone; name the daemon itself", err)
	}
	return err
}

// printStatus writes a status as a table.
func printStatus(w io.Writer, s *server.Status) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	device := s.Device
	if s.Simulated != "" {
		device += fmt.Sprintf(" (simulated bench %q)", s.Simulated)
	}
	row("device", "%s", device)
	row("state", "%s, up for %v", stateOf(s), (time.Duration(s.Uptime * float64(time.Second))).Round(time.Second))
	if s.Job != nil {
		row("job", "%s", jobOf(s.Job))
	}
	if s.Epoch != "" {
		row("matrix", "%s, %d x %d, model %s version %s", s.Epoch, s.Outputs, s.Inputs, s.Model, s.ModelVersion)
	} else {
		row("matrix", "none yet; %d x %d, model %s", s.Outputs, s.Inputs, s.Model)
	}
	if v := s.Verdict; v != nil {
		row("verdict", "%s, by %s at %s", v.Verdict, v.By, v.Time.Local().Format(time.TimeOnly))
		for _, reason := range v.Reasons {
			row("", "%s", reason)
		}
	}
	row("projected", "%d rows, %.0f a second now; %d of them zero and free", s.Stats.Projections, s.Rates.Projections, s.Stats.ZeroRows)
	row("exposures", "%d, with markers %d frames; %d frames lost, %d damaged; %d exposures repeated, %d runs unproven",
		s.Stats.Exposures, s.Stats.Frames, s.Stats.Lost, s.Stats.Damaged, s.Stats.Repeated, s.Stats.Unproven)
	row("health", "%s", healthOf(s))
	row("queue", "%d requests with %d rows waiting; %d refused", s.Queue.Requests, s.Queue.Rows, s.Queue.Refused)
	row("lease", "%s", leaseOf(s))
	if len(s.Errors) > 0 {
		e := s.Errors[0]
		row("last error", "%s, %s: %s", e.Time.Local().Format(time.TimeOnly), e.Code, e.Text)
	}
}

// jobOf is what a job is doing.
func jobOf(j *server.Job) string {
	doing := fmt.Sprintf("%s %s", j.Kind, j.State)
	if j.Stage != "" {
		doing += ": " + j.Stage
	}
	return fmt.Sprintf("%s, %.0f %%", doing, 100*j.Progress)
}

// stateOf is whether the device can be used, and if not, why.
func stateOf(s *server.Status) string {
	if s.Ready {
		return "ready"
	}
	return "not ready: " + s.Reason
}

// healthOf is how the probe was at the last run.
func healthOf(s *server.Status) string {
	if s.Stats.Health == 0 {
		return "not probed yet"
	}
	return fmt.Sprintf("%.3f, phase %+.3f rad since the calibration", s.Stats.Health, s.Stats.Phase)
}

// leaseOf is who has the device.
func leaseOf(s *server.Status) string {
	if s.Lease == nil {
		return "nobody's"
	}
	return fmt.Sprintf("%s until %s", s.Lease.Who, s.Lease.Until.Local().Format(time.TimeOnly))
}
