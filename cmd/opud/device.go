package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/slm"
)

// device is the bench, and what is done with it beside projecting. Its works run one at
// a time, on the goroutine of the server that uses the device.
type device struct {
	bench *bench.Bench
	usual bench.Options // of calibrating
	state string        // folder of the saved calibration; empty: none
	log   *slog.Logger
	inUse *driver.OPU // nil: there is no matrix yet

	aligner *calib.Aligner // of a rig without a matrix; nil: nobody has looked since the last work
}

// Names of files of jobs.
const (
	calibrationFile = "calibration.opucal"
	summaryFile     = "summary.txt" // what opuctl prints
	maskFile        = "mask.npy"
	mapFile         = "map.png"
)

// works are the jobs that clients can ask for.
func (d *device) works() map[string]func([]byte) (server.Work, error) {
	return map[string]func([]byte) (server.Work, error){"calibration": d.calibration, "selftest": d.selftest, "map": d.lightMap}
}

// read reads a request's body, if there is one, into v.
func read(request []byte, v any) error {
	if len(bytes.TrimSpace(request)) == 0 {
		return nil
	}
	in := json.NewDecoder(bytes.NewReader(request))
	in.DisallowUnknownFields()
	if err := in.Decode(v); err != nil {
		return fmt.Errorf("cannot read what is wanted: %w: %w", err, server.ErrRequest)
	}
	if _, err := in.Token(); err != io.EOF {
		return fmt.Errorf("cannot read what is wanted: something follows the object: %w", server.ErrRequest)
	}
	return nil
}

// calibration is the job that brings another matrix.
func (d *device) calibration(request []byte) (server.Work, error) {
	o := d.usual
	q := struct {
		Seed   *uint64  `json:"seed"`
		Layout *string  `json:"layout"`
		Anchor *float64 `json:"anchor"`
		Tags   *bool    `json:"tags"`
		Mask   []byte   `json:"mask"` // base64 of an .npy file
	}{Seed: &o.Seed, Anchor: &o.Anchor, Tags: &o.Tags}
	if err := read(request, &q); err != nil {
		return nil, err
	}
	var err error
	if q.Layout != nil {
		if o.Layout, err = slm.ParseKind(*q.Layout); err != nil {
			return nil, fmt.Errorf("%w: %w", err, server.ErrRequest)
		}
	}
	if q.Mask != nil {
		if o.Mask, err = bench.ReadMask(bytes.NewReader(q.Mask), d.bench.Rig.SLM().Geometry); err != nil {
			return nil, fmt.Errorf("cannot use the mask: %w: %w", err, server.ErrRequest)
		}
	}
	if !(o.Anchor >= 0 && o.Anchor <= 0.5) {
		return nil, fmt.Errorf("cannot use an anchor of %g: 0 to 0.5 are possible: %w", o.Anchor, server.ErrRequest)
	}
	return func(ctx context.Context, progress func(string, float64)) (server.Outcome, error) {
		return d.calibrate(ctx, o, progress)
	}, nil
}

// calibrate learns a matrix, and serves it if it is good.
func (d *device) calibrate(ctx context.Context, o bench.Options, progress func(string, float64)) (server.Outcome, error) {
	d.aligner = nil
	found, err := d.bench.Calibrate(ctx, o, progress)
	if err != nil {
		return server.Outcome{}, d.goOn(ctx, err)
	}
	out := server.Outcome{Result: found.Result, Verdict: &found.Result.Verdict}
	pages, err := found.Report.Files()
	if err != nil {
		return out, d.goOn(ctx, err)
	}
	out.Files = append(files(pages), summary(found.Print))
	if err := found.Err(); err != nil {
		return out, d.goOn(ctx, err)
	}
	var saved bytes.Buffer
	if err := found.Learnt.Write(&saved); err != nil {
		return out, d.goOn(ctx, err)
	}
	out.Files = append(out.Files, server.File{Name: calibrationFile, Content: saved.Bytes()})
	if out.Matrix, err = d.use(ctx, found.Learnt, found.Result.Verdict, pages); err != nil {
		return out, d.goOn(ctx, err)
	}
	if d.state != "" {
		if err := found.Learnt.Save(filepath.Join(d.state, calibrationFile)); err != nil {
			return out, fmt.Errorf("the new matrix is served, but its calibration is lost when the daemon ends: %w", err)
		}
	}
	return out, nil
}

// use makes a matrix of a calibration.
func (d *device) use(ctx context.Context, cal *calib.Calibration, v calib.Verdict, pages []report.File) (*server.Matrix, error) {
	opu, err := driver.New(ctx, d.bench.Rig, cal, d.usual.Driver)
	if err != nil {
		return nil, err
	}
	d.inUse = opu
	expect := ""
	if e, ok := d.bench.Expect(); ok {
		expect = e.String()
	}
	return &server.Matrix{
		OPU: opu, Calibration: cal, Verdict: v, Report: files(pages), Expect: expect,
		View: func(ctx context.Context) (*calib.View, error) { return cal.View(ctx, d.bench.Rig, d.usual.Seed) },
	}, nil
}

// look sees the rig while it has no matrix, for whoever aligns it. After a work that had the
// camera it begins anew: a calibration leaves other settings.
func (d *device) look(ctx context.Context) (*calib.View, error) {
	if d.aligner == nil {
		var err error
		if d.aligner, err = calib.NewAligner(ctx, d.bench.Rig, 0); err != nil {
			return nil, err
		}
	}
	return d.aligner.Look(ctx)
}

// resumeTimeout bounds how long the device is brought back to the matrix in use.
const resumeTimeout = 10 * time.Second

// goOn brings the device back to the matrix in use, after a work that failed for some
// reason, and adds what comes of that. The work's own context may have ended.
func (d *device) goOn(ctx context.Context, reason error) error {
	if d.inUse == nil {
		return reason
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resumeTimeout)
	defer cancel()
	if err := d.inUse.Resume(ctx); err != nil {
		return fmt.Errorf("%w; and the matrix that was served, %s, cannot go on: %w", reason, d.inUse.Epoch(), err)
	}
	return fmt.Errorf("%w; the matrix %s goes on being served", reason, d.inUse.Epoch())
}

// first is the job with which the daemon begins: the saved calibration, if it still
// holds, else another.
func (d *device) first(ctx context.Context, progress func(string, float64)) (server.Outcome, error) {
	cal, err := d.saved()
	if err != nil {
		d.log.Warn("calibrating anew", "reason", err)
	}
	if cal == nil {
		return d.calibrate(ctx, d.usual, progress)
	}
	progress("testing the saved calibration", 0)
	tested, err := d.bench.Selftest(ctx, cal, d.usual.Seed)
	if err == nil {
		err = tested.Err()
	}
	if err != nil {
		if ctx.Err() != nil {
			return server.Outcome{}, err
		}
		d.log.Warn("calibrating anew, which is another matrix", "reason", err, "was", cal.Epoch())
		return d.calibrate(ctx, d.usual, progress)
	}
	out := server.Outcome{Result: tested.Result, Verdict: &tested.Result.Verdict}
	pages, err := tested.Report.Files()
	if err != nil {
		return out, err
	}
	out.Files = append(files(pages), summary(tested.Print))
	out.Matrix, err = d.use(ctx, cal, tested.Result.Verdict, pages)
	return out, err
}

// saved is the calibration in the state folder if it is one for this bench and this
// configuration; nil: there is none.
func (d *device) saved() (*calib.Calibration, error) {
	if d.state == "" {
		return nil, nil
	}
	cal, err := calib.Load(filepath.Join(d.state, calibrationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = cal.OnRig()
	}
	if err != nil {
		return nil, err
	}
	l, r := cal.Layout, d.bench.Rig
	if cal.Outputs != d.usual.Outputs || l.Features != d.usual.Features || l.Kind != d.usual.Layout.String() ||
		cal.SLM.Serial != r.SLM().Serial || cal.Camera.Serial != r.Camera().Serial || l.Chip != r.SLM().Geometry || cal.Settings.Period != r.Period() {
		return nil, fmt.Errorf("the saved calibration %s is of another device or configuration", cal.Epoch())
	}
	return cal, nil
}

// selftest is the job that judges the device by the calibration in use.
func (d *device) selftest(request []byte) (server.Work, error) {
	q := struct {
		Seed *uint64 `json:"seed"`
	}{new(uint64)}
	*q.Seed = d.usual.Seed
	if err := read(request, &q); err != nil {
		return nil, err
	}
	return func(ctx context.Context, progress func(string, float64)) (server.Outcome, error) {
		if d.inUse == nil {
			return server.Outcome{}, errors.New("cannot test the OPU: it has no calibration to judge by; calibrate it")
		}
		progress("judging", 0)
		found, err := d.bench.Selftest(ctx, d.inUse.Calibration(), *q.Seed)
		if err != nil {
			return server.Outcome{}, d.goOn(ctx, err)
		}
		out := server.Outcome{Result: found.Result, Verdict: &found.Result.Verdict}
		pages, err := found.Report.Files()
		if err != nil {
			return out, err
		}
		out.Files = append(files(pages), summary(found.Print))
		return out, found.Err()
	}, nil
}

// lightMap is the job that finds the mirrors that light falls on.
func (d *device) lightMap(request []byte) (server.Work, error) {
	q := struct {
		Blocks int     `json:"blocks"`
		Share  float64 `json:"share"`
		Seed   uint64  `json:"seed"`
	}{Seed: d.usual.Seed}
	if err := read(request, &q); err != nil {
		return nil, err
	}
	o := bench.MapOptions{Blocks: q.Blocks, Share: q.Share, Seed: q.Seed}
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, server.ErrRequest)
	}
	return func(ctx context.Context, progress func(string, float64)) (server.Outcome, error) {
		d.aligner = nil
		found, err := d.bench.MapLight(ctx, o, progress)
		if err != nil {
			return server.Outcome{}, d.goOn(ctx, err)
		}
		out := server.Outcome{Result: found.Result, Files: []server.File{summary(found.Print)}}
		for name, write := range map[string]func(io.Writer) error{
			maskFile: func(w io.Writer) error { return bench.WriteMask(w, found.Mask) }, mapFile: found.WritePicture,
		} {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				return out, d.goOn(ctx, err)
			}
			out.Files = append(out.Files, server.File{Name: name, Content: b.Bytes()})
		}
		if d.inUse != nil {
			if err := d.inUse.Resume(ctx); err != nil {
				return out, fmt.Errorf("the map is made, but the matrix %s cannot go on: %w", d.inUse.Epoch(), err)
			}
		}
		return out, nil
	}, nil
}

// summary is what opuctl prints about something.
func summary(print func(w io.Writer)) server.File {
	var b bytes.Buffer
	print(&b)
	return server.File{Name: summaryFile, Content: b.Bytes()}
}

// files are those of a report as the server takes them.
func files(pages []report.File) (all []server.File) {
	for _, p := range pages {
		all = append(all, server.File(p))
	}
	return all
}

// makeState makes the state folder.
func makeState(path string) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("cannot make the folder of the state: %w: %w", err, errUsage)
	}
	return nil
}
