package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/server"
)

func newWatch() *cobra.Command {
	w := watcher{}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Watch a daemon and its device",
		Long: `Show how a daemon (opud) and its device are, every second, until Ctrl-C: on a
terminal as a table that is kept up to date, elsewhere as a line for each second, with
--format json as one JSON object on each line. A daemon that goes away is waited for.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := w.format.check(); err != nil {
				return err
			}
			if isManifest(w.url) {
				return usage("--url names a stack; watch one of its daemons at a time")
			}
			if w.count < 0 {
				return usage("--count %d is negative", w.count)
			}
			w.out, w.err = c.OutOrStdout(), c.ErrOrStderr()
			if f, ok := w.out.(*os.File); ok {
				w.live = term.IsTerminal(int(f.Fd())) && w.format == "text"
			}
			return w.watch(c.Context())
		},
	}
	w.askedDaemon.register(c)
	w.format.register(c)
	c.Flags().Lookup("format").Usage = "what to print: text, or json (one object a line)"
	c.Flags().IntVar(&w.count, "count", 0, "end after so many looks (0: at Ctrl-C)")
	return c
}

// watcher shows the events of a daemon.
type watcher struct {
	askedDaemon
	format
	count int

	out, err io.Writer
	live     bool // out is a terminal
	lines    int  // of the table that is on it
	looks    int
}

var errEnough = errors.New("seen enough")

// retryPause is between attempts to reach a daemon that has gone.
const retryPause = time.Second

// watch follows the events, and the daemon where it is started anew.
func (w *watcher) watch(ctx context.Context) error {
	d, err := w.ask(ctx, w.address(), 0)
	if err != nil {
		return err
	}
	defer d.Close()
	for away := false; ; {
		err := d.Events(ctx, "/opu/v1/events", func(name string, data []byte) error {
			away = false
			return w.event(name, data)
		})
		switch {
		case errors.Is(err, errEnough), ctx.Err() != nil:
			return nil
		case err == nil || errors.Is(err, client.ErrUnavailable):
			if !away {
				w.said("the daemon is away; waiting for it")
			}
			away = true
		default:
			return err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// said writes a line that is no look.
func (w *watcher) said(text string) {
	fmt.Fprintf(w.err, "%s %s\n", time.Now().Format(time.TimeOnly), text)
	w.lines = 0 // the table is above it
}

// event shows one.
func (w *watcher) event(name string, data []byte) error {
	if name != "status" {
		return nil
	}
	var s server.Status
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("cannot read an event: %v: %w", err, client.ErrProtocol)
	}
	switch {
	case w.format == "json":
		fmt.Fprintf(w.out, "%s\n", data)
	case w.live:
		w.redraw(&s)
	default:
		w.line(&s)
		if s.Job != nil {
			fmt.Fprintf(w.out, "%s %s\n", s.Time.Local().Format(time.TimeOnly), jobOf(s.Job))
		}
	}
	if w.looks++; w.looks == w.count {
		return errEnough
	}
	return nil
}

// redraw writes the table over the one before.
func (w *watcher) redraw(s *server.Status) {
	var b bytes.Buffer
	if w.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", w.lines) // up, and clear what is below
	}
	at := b.Len()
	printStatus(&b, s)
	w.lines = bytes.Count(b.Bytes()[at:], []byte("\n"))
	w.out.Write(b.Bytes())
}

// line is a look in short.
func (w *watcher) line(s *server.Status) {
	fmt.Fprintf(w.out, "%s %s; %.0f projections/s, %d in all; %d requests; health %s; lease %s\n",
		s.Time.Local().Format(time.TimeOnly), stateOf(s), s.Rates.Projections, s.Stats.Projections, s.Queue.Requests, healthOf(s), leaseOf(s))
}
