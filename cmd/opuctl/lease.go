package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/client"
)

func newLease() *cobra.Command {
	l := leaseCommand{}
	c := &cobra.Command{
		Use:   "lease [-- COMMAND ARGUMENTS...]",
		Short: "Have a daemon's OPU for yourself, for a time or a command",
		Long: `Lease the OPU of a daemon (opud): meanwhile it projects for the lease's holder
only, and others are told who has it and until when.

With a command after -- the lease lasts while the command runs; opuctl and the
clients in it use the lease by themselves, from OPU_LEASE in their environment. It
ends with the command's exit code. Without one the lease is printed, and held until
Ctrl-C; pass its id with --lease, or as OPU_LEASE.

In any case the lease ends with its time, and with this program. --end ends one by
its id (--lease, or OPU_LEASE); who runs the daemon, on its socket, may end any and
needs no id. With a stack's file as --url all of its OPUs are leased.

If somebody else has the OPU for longer than --patience, the exit code is 4.`,
		Example: `  opuctl lease -- opuctl train --url local --data mnist/
  opuctl lease --seconds 600 --who "Ada, night run"
  opuctl lease --end`,
		RunE: func(c *cobra.Command, args []string) error { return l.run(c, args) },
	}
	l.askedDaemon.register(c)
	l.format.register(c)
	f := c.Flags()
	f.StringVar(&l.lease, "lease", "", "`id` of the lease to end (default $OPU_LEASE)")
	f.Float64Var(&l.seconds, "seconds", 0, "how long, at most (default 3600, a day at most)")
	f.StringVar(&l.who, "who", "", "`name` that others are shown")
	f.DurationVar(&l.patience, "patience", 0, "how long to wait while somebody else has it")
	f.BoolVar(&l.end, "end", false, "end a lease instead")
	return c
}

type leaseCommand struct {
	askedDaemon
	format
	seconds  float64
	who      string
	patience time.Duration
	end      bool
}

// usualLease is how long a lease is without --seconds.
const usualLease = 3600

func (l *leaseCommand) run(c *cobra.Command, command []string) error {
	if err := l.format.check(); err != nil {
		return err
	}
	switch dash := c.ArgsLenAtDash(); {
	case len(command) > 0 && dash != 0:
		return usage("the argument %q is not understood; a command comes after --", command[0])
	case l.end && (dash >= 0 || c.Flags().Changed("seconds") || c.Flags().Changed("who")):
		return usage("--end ends a lease, and takes neither a command nor --seconds nor --who")
	case dash == 0 && len(command) == 0:
		return usage("there is no command after --")
	case c.Flags().Changed("seconds") && !(l.seconds > 0):
		return usage("--seconds %g is not positive", l.seconds)
	case l.patience < 0:
		return usage("--patience %v is negative", l.patience)
	case !l.end && c.Flags().Changed("lease"):
		return usage("--lease is the id of a lease that there is; with --end it is ended")
	}
	parts, err := l.parts()
	if err != nil {
		return err
	}
	if l.end {
		return l.endThem(c, parts)
	}
	if l.seconds == 0 {
		l.seconds = usualLease
	}
	return l.hold(c, parts, command)
}

// endThem ends the leases of the daemons.
func (l *leaseCommand) endThem(c *cobra.Command, parts []string) error {
	o, err := l.options()
	if err != nil {
		return err
	}
	ids := make([]string, len(parts))
	for i := range ids {
		ids[i] = "current"
	}
	if o.Lease != "" {
		if ids = strings.Split(o.Lease, ","); len(ids) != len(parts) {
			return usage("--lease has %d ids, and %d daemons are asked", len(ids), len(parts))
		}
	}
	for i, address := range parts {
		d, err := l.ask(c.Context(), address, 0)
		if err != nil {
			return err
		}
		defer d.Close()
		if err := d.EndLease(c.Context(), ids[i]); err != nil {
			return err
		}
	}
	return l.print(c.OutOrStdout(), map[string]bool{"ended": true}, func(w io.Writer) { fmt.Fprintln(w, "the lease is ended") })
}

// leased is what lease prints.
type leased struct {
	ID    string    `json:"id"` // of several: with commas between them
	Who   string    `json:"who"`
	Until time.Time `json:"until"`
}

// hold takes the leases and keeps them while the command runs, or without one until ctx
// ends.
func (l *leaseCommand) hold(c *cobra.Command, parts, command []string) error {
	ctx := c.Context()
	var ids []string
	var first *client.Lease
	for _, address := range parts {
		d, err := l.ask(ctx, address, l.patience)
		if err != nil {
			return err
		}
		defer d.Close()
		lease, err := d.TakeLease(ctx, l.who, time.Duration(l.seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		defer lease.End()
		ids = append(ids, lease.ID)
		if first == nil {
			first = lease // the others are as long
		}
	}
	result := leased{strings.Join(ids, ","), first.Who, first.Until}
	if len(command) > 0 {
		return runLeased(c, command, result.ID, first.Ended())
	}
	err := l.print(c.OutOrStdout(), result, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n", result.ID)
		fmt.Fprintf(c.ErrOrStderr(), "the OPU is yours, as %s, until %s or Ctrl-C\n", result.Who, result.Until.Local().Format(time.DateTime))
	})
	if err != nil {
		return err
	}
	select {
	case <-first.Ended():
		fmt.Fprintln(c.ErrOrStderr(), "the lease has ended")
	case <-ctx.Done():
	}
	return nil
}

// commandGrace is how long an interrupted command has to end.
const commandGrace = 30 * time.Second

// runLeased runs a command with the lease in its environment.
func runLeased(c *cobra.Command, command []string, id string, ended <-chan struct{}) error {
	x := exec.CommandContext(c.Context(), command[0], command[1:]...)
	x.Env = append(os.Environ(), leaseVariable+"="+id)
	x.Stdin, x.Stdout, x.Stderr = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
	x.Cancel = func() error { return x.Process.Signal(os.Interrupt) }
	x.WaitDelay = commandGrace
	if err := x.Start(); err != nil {
		return usage("cannot run the command: %v", err)
	}
	over, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		select {
		case <-ended:
			if c.Context().Err() == nil {
				fmt.Fprintln(c.ErrOrStderr(), "note: the lease has ended before the command")
			}
		case <-over.Done():
		}
	}()
	return x.Wait()
}
