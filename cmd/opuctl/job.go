package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib/report"
	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
)

// job is one of a daemon's, as GET /opu/v1/jobs/ID has it.
type job struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	State    string          `json:"state"`
	Stage    string          `json:"stage"`
	Progress float64         `json:"progress"`
	Ended    *string         `json:"ended_at"`
	Error    string          `json:"error"`
	Result   json.RawMessage `json:"result"`
	Files    []string        `json:"files"`
}

// mostJob bounds a line of a job with its result.
const mostJob = 16 << 20

// doJob has a daemon do a job and follows it to its end. When ctx ends, or this program
// does, the daemon cancels it.
func (r *remoteFlags) doJob(c *cobra.Command, d *client.Daemon, kind string, request any) (j job, err error) {
	ctx := c.Context()
	q := url.Values{"hold": {"1"}}
	if r.lease != "" {
		q.Set("lease", r.lease)
	}
	body, err := d.Post(ctx, "/opu/v1/"+kind+"?"+q.Encode(), request)
	if err != nil {
		return j, err
	}
	defer body.Close()
	p := newProgress(c.ErrOrStderr(), 100)
	defer p.done()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, mostJob)
	for lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			return j, fmt.Errorf("cannot follow the %s: %v: %w", kind, err, client.ErrProtocol)
		}
		p.to(int(100*j.Progress), kind+": "+j.Stage)
	}
	switch {
	case ctx.Err() != nil:
		return j, context.Cause(ctx)
	case j.Ended == nil:
		return j, fmt.Errorf("cannot follow the %s to its end: the connection to the daemon broke off (%v), and with it the job: %w", kind, lines.Err(), client.ErrUnavailable)
	case j.State == "cancelled":
		return j, fmt.Errorf("the %s was cancelled: %s", kind, j.Error)
	case j.State == "failed":
		return j, errors.New(j.Error)
	}
	return j, nil
}

// err is how a job ended that has a result.
func (j job) err() error {
	if j.Error != "" {
		return errors.New(j.Error)
	}
	return nil
}

// fetch saves a file of a job, if it has one of that name.
func (j job) fetch(ctx context.Context, d *client.Daemon, name, path string) (saved bool, err error) {
	if path == "" || !slices.Contains(j.Files, name) {
		return false, nil
	}
	in, err := d.Fetch(ctx, "/opu/v1/jobs/"+url.PathEscape(j.ID)+"/files/"+url.PathEscape(name))
	if err != nil {
		return false, err
	}
	defer in.Close()
	return true, atomicfile.Write(path, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// fetchReport saves the report of a job in a folder; empty: not at all.
func (j job) fetchReport(ctx context.Context, d *client.Daemon, dir string) error {
	if dir == "" {
		return nil
	}
	for _, name := range []string{report.FrameFile, report.SpectrumFile, report.SelfTestFile, report.ResultFile, report.PageFile} {
		if _, err := j.fetch(ctx, d, name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// print writes what a job found as the command does that finds it here; more adds lines
// to the text.
func (j job) print(c *cobra.Command, d *client.Daemon, out format, more func(w io.Writer)) error {
	var text string
	if slices.Contains(j.Files, "summary.txt") && out == "text" {
		in, err := d.Fetch(c.Context(), "/opu/v1/jobs/"+url.PathEscape(j.ID)+"/files/summary.txt")
		if err != nil {
			return err
		}
		all, err := io.ReadAll(in)
		in.Close()
		if err != nil {
			return err
		}
		text = string(all)
	}
	return out.print(c.OutOrStdout(), j.Result, func(w io.Writer) {
		io.WriteString(w, text)
		more(w)
	})
}
