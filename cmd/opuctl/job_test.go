package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
)

// jobFiles are a summary and a report as opud makes them.
func jobFiles(t *testing.T, print func(io.Writer), r *report.Report) (files []server.File) {
	t.Helper()
	pages, err := r.Files()
	if err != nil {
		t.Error(err)
	}
	for _, p := range pages {
		files = append(files, server.File(p))
	}
	var text bytes.Buffer
	print(&text)
	return append(files, server.File{Name: "summary.txt", Content: text.Bytes()})
}

// Jobs of a daemon look like the commands' own work: text, JSON, files, exit codes.
func TestRemoteJobs(t *testing.T) {
	b := smallBench(t, sim.Ideal(5), 10, 40, 5)
	cal := b.OPU.Calibration()
	var requests []string
	ending := make(chan struct{})
	var text bytes.Buffer // of the last self-test
	works := map[string]func([]byte) (server.Work, error){
		"selftest": func(request []byte) (server.Work, error) {
			requests = append(requests, string(request))
			return func(ctx context.Context, progress func(string, float64)) (server.Outcome, error) {
				progress("judging", 0)
				found, err := b.Selftest(ctx, cal, 5)
				if err != nil {
					return server.Outcome{}, err
				}
				text.Reset()
				found.Print(&text)
				return server.Outcome{Result: found.Result, Files: jobFiles(t, found.Print, &found.Report)}, nil
			}, nil
		},
		"map": func(request []byte) (server.Work, error) {
			return func(ctx context.Context, progress func(string, float64)) (server.Outcome, error) {
				found, err := b.MapLight(ctx, bench.MapOptions{Blocks: 24}, progress)
				if err != nil {
					return server.Outcome{}, err
				}
				var mask bytes.Buffer
				if err := bench.WriteMask(&mask, found.Mask); err != nil {
					return server.Outcome{}, err
				}
				return server.Outcome{Result: found.Result, Files: []server.File{{Name: "mask.npy", Content: mask.Bytes()}}}, nil
			}, nil
		},
		"calibration": func(request []byte) (server.Work, error) {
			requests = append(requests, string(request))
			if strings.Contains(string(request), "lines") {
				return func(ctx context.Context, _ func(string, float64)) (server.Outcome, error) {
					close(ending)
					<-ctx.Done()
					return server.Outcome{}, context.Cause(ctx)
				}, nil
			}
			return func(context.Context, func(string, float64)) (server.Outcome, error) {
				return server.Outcome{Result: map[string]any{"verdict": "refused"}, Files: []server.File{{Name: "summary.txt", Content: []byte("verdict     refused\n")}}},
					fmt.Errorf("cannot use this calibration: tilt the beam: %w", calib.ErrRefused)
			}, nil
		},
	}
	dir := t.TempDir()
	socket, page, file := filepath.Join(dir, "opud.sock"), filepath.Join(dir, "page"), filepath.Join(dir, "new.opucal")
	daemon(t, b, server.Options{Works: works}, socket)

	code, stdout, stderr := opuctl(t, "selftest", "--url", socket, "--seed", "7", "--report", page)
	if code != 0 || stdout != text.String()+"report in "+filepath.Join(page, report.PageFile)+"\n" {
		t.Errorf("selftest: exit code %d, %s\n%s", code, stdout, stderr)
	}
	hasPage(t, page, calib.VerdictGood, report.SelfTestFile)
	var tested bench.SelftestResult
	must(t, &tested, "selftest", "--url", socket)
	if tested.EpochOfB != cal.Epoch() || strings.Join(requests, " ") != `{"seed":7} {}` {
		t.Errorf("selftest: %+v; the daemon was asked for %s", tested, requests)
	}
	var mapped bench.MapResult
	must(t, &mapped, "map", "--url", socket, "--out", filepath.Join(dir, "mask.npy"))
	if _, err := readMask(filepath.Join(dir, "mask.npy"), b.Rig.SLM().Geometry); err != nil || mapped.Exposures != 64 || mapped.Mask == "" {
		t.Errorf("map: %+v, %v", mapped, err)
	}

	code, stdout, stderr = opuctl(t, "calibrate", "--url", socket, "--anchor", "0.25", "--out", file)
	if code != exitFailed || stdout != "verdict     refused\n" || !strings.Contains(stderr, "tilt the beam") || requests[2] != `{"anchor":0.25}` {
		t.Errorf("a refused calibration: exit code %d, %s\n%s; %s", code, stdout, stderr, requests)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a refused calibration was saved")
	}

	// Ctrl-C cancels the job.
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-ending
		interrupt()
	}()
	if code := run(ctx, []string{"calibrate", "--url", socket, "--layout", "lines"}, io.Discard, io.Discard); code != exitInterrupt {
		t.Errorf("interrupted: exit code %d", code)
	}
	var r remoteFlags
	r.url = socket
	d, err := r.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	err = d.Events(t.Context(), "/opu/v1/events", func(name string, data []byte) error {
		var s server.Status
		if err := json.Unmarshal(data, &s); name == "status" && err == nil && s.Job == nil {
			return io.EOF // no job runs any more
		}
		return nil
	})
	if err != io.EOF {
		t.Errorf("the job was not cancelled: %v", err)
	}

	for args, says := range map[string]string{
		"calibrate --url " + socket + " --sim":           "--sim",
		"calibrate --url " + socket + " --features 5":    "--features",
		"selftest --url " + socket + " --calibration x":  "--calibration",
		"map --url " + socket + " --features 5":          "--features",
		"map --url " + socket + " --share 2":             "--share",
		"selftest --url nowhere":                         "nowhere",
		"calibrate --url " + socket + " --token-file no": "no",
	} {
		if code, _, stderr := opuctl(t, strings.Fields(args)...); code != exitInput || !strings.Contains(stderr, says) {
			t.Errorf("opuctl %s: exit code %d, %s", args, code, stderr)
		}
	}
}
