package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/replay"
	"github.com/light-in-the-loop/opu/sim"
)

// What is recorded on one machine is a rig on another: the same calibration comes of it, by
// the whole chain of commands, and it projects by what was recorded alone.
func TestRecordAndReplay(t *testing.T) {
	built(t, func(c *sim.Config) { c.Width, c.Height = 96, 96 })
	dir := t.TempDir()
	file, cal := filepath.Join(dir, "bench.opurec"), filepath.Join(dir, "bench.opucal")
	var r recordResult
	must(t, &r, "record", "--sim", "--out", file)
	if r.Frames < 500 || r.Bad != 0 || r.Unproven != 0 || r.Calibration.Verdict.Verdict != calib.VerdictGood {
		t.Errorf("%+v", r)
	}
	var again bench.CalibrationResult
	must(t, &again, "calibrate", "--slm", "replay:"+file, "--camera", "replay:"+file, "--out", cal)
	if *again.EpochOfB != *r.Calibration.EpochOfB || again.Verdict.Verdict != calib.VerdictGood || again.Truth != nil {
		t.Errorf("recorded was %+v, the replay gave %+v", r.Calibration, again)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in, err := replay.Read(content)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := calib.Read(bytes.NewReader(in.Calibration()))
	if err != nil {
		t.Fatal(err)
	}
	learnt, err := calib.Load(cal)
	if err != nil {
		t.Fatal(err)
	}
	learnt.Created, learnt.Examined = sent.Created, sent.Examined // when and how well it was examined
	if !reflect.DeepEqual(sent, learnt) {
		t.Error("the calibration in the file is another")
	}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"same seed", []string{"calibrate", "--slm", "replay:" + file, "--camera", "replay:" + file, "--seed", "2"}},
		{"belong together", []string{"calibrate", "--slm", "replay:" + file, "--camera", "replay:other"}},
		{"belong together", []string{"calibrate", "--slm", "sim", "--camera", "replay:" + file}},
		{"without a file", []string{"calibrate", "--slm", "replay", "--camera", "replay"}},
		{"no such file", []string{"calibrate", "--slm", "replay:none", "--camera", "replay:none"}},
		{"not that of a recording", []string{"calibrate", "--slm", "replay:" + cal, "--camera", "replay:" + cal}},
		{"run free", []string{"camera", "live", "--camera", "replay:" + file}},
	} {
		if code, _, messages := opuctl(t, c.args...); code != exitInput || !strings.Contains(messages, c.says) {
			t.Errorf("%v: exit %d: %s", c.args, code, messages)
		}
	}
	code, out, messages := opuctl(t, "camera", "info", "--camera", "replay:"+file)
	if code != 0 || !strings.Contains(out, "simulated camera") {
		t.Errorf("exit %d: %s %s", code, out, messages)
	}
}

// A rig that is refused is the one to send: its recording is refused for the same reason.
func TestRecordRefused(t *testing.T) {
	built(t, func(c *sim.Config) { c.Width, c.Height, c.Carrier, c.Radius = 96, 96, [2]float64{0.1, 0.12}, 0.08 })
	file := filepath.Join(t.TempDir(), "low.opurec")
	var r recordResult
	must(t, &r, "record", "--sim", "--out", file)
	if r.Calibration.Verdict.Verdict != calib.VerdictRefused || len(r.Calibration.Reasons) == 0 {
		t.Errorf("%+v", r.Calibration)
	}
	code, out, _ := opuctl(t, "calibrate", "--slm", "replay:"+file, "--camera", "replay:"+file)
	if code != exitFailed || !strings.Contains(out, r.Calibration.Reasons[0]) {
		t.Errorf("exit %d: %s, recorded was %q", code, out, r.Calibration.Reasons)
	}
}

func TestRecordWrongUse(t *testing.T) {
	for _, args := range [][]string{{"--sim"}, {"--sim", "--out", "."}, {"--sim", "--out", "x", "--features", "0"}, {"--sim", "--out", "x", "--calibration", "y"}} {
		if code, _, messages := opuctl(t, append([]string{"record"}, args...)...); code != exitInput {
			t.Errorf("%v: exit %d: %s", args, code, messages)
		}
	}
}
