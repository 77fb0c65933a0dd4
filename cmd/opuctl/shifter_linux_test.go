package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/sim/piezo"
)

// piezoPort is a controller behind a pseudo-terminal.
func piezoPort(t *testing.T) (*piezo.Controller, *piezo.Line, string) {
	t.Helper()
	m, err := piezo.New(piezo.Config{Switch: 150})
	if err != nil {
		t.Fatal(err)
	}
	line, name, err := piezo.Pty(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close() })
	return m, line, name
}

// Every command on a serial port, one after the other: the piezo stays where the last one
// left it.
func TestShifter(t *testing.T) {
	m, _, name := piezoPort(t)
	port := "serial:" + name
	var info struct {
		Model    string
		Max      float64 `json:"max_volts"`
		Volts    float64
		PhaseRad *float64 `json:"phase_rad"`
	}
	must(t, &info, "shifter", "info", "--shifter", port)
	if info.Model != "MDT694B" || info.Max != 75 || info.PhaseRad != nil {
		t.Errorf("%+v", info)
	}
	var at struct {
		Asked float64 `json:"asked_volts"`
		Volts float64
		Phase float64 `json:"phase_rad"`
	}
	must(t, &at, "shifter", "set", "--shifter", port, "--radians", "1.5", "--radians-per-volt", "0.1")
	if m.Volts() != 15 || at.Asked != 15 || math.Abs(at.Phase-1.5) > 0.01 {
		t.Errorf("%g V, %+v", m.Volts(), at)
	}
	must(t, &at, "shifter", "step", "--shifter", port, "--volts", "-5")
	must(t, &at, "shifter", "read", "--shifter", port)
	if m.Volts() != 10 || at.Volts != 10 {
		t.Errorf("%g V, %+v", m.Volts(), at)
	}
	var sweep struct {
		Points []struct {
			Asked float64 `json:"asked_volts"`
			Volts float64
		}
	}
	must(t, &sweep, "shifter", "sweep", "--shifter", port, "--from", "10", "--to", "12", "--points", "3", "--back")
	if len(sweep.Points) != 5 || sweep.Points[2].Asked != 12 || sweep.Points[4].Volts != 10 {
		t.Errorf("%+v", sweep)
	}
	code, out, messages := opuctl(t, "shifter", "sweep", "--shifter", "sim", "--from", "0", "--to", "2", "--points", "3")
	if code != 0 || strings.Count(out, "\n") != 4 || !strings.Contains(out, "0.120 rad") {
		t.Errorf("exit %d: %s\n%s", code, messages, out)
	}
	if _, hi := m.Extremes(); hi > 75 {
		t.Errorf("the output was at %g V", hi)
	}
}

// A rig has a name, and what it says of its piezo holds.
func TestRigByName(t *testing.T) {
	m, _, name := piezoPort(t)
	file := filepath.Join(t.TempDir(), "opud.toml")
	text := fmt.Sprintf("[rig.east]\nslm = 'sim:ideal'\ncamera = 'sim'\nshifter = 'serial:%s'\n[rig.east.piezo]\nmax_volts = 40\nradians_per_volt = 0.2\n", name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, messages := opuctl(t, "shifter", "set", "--rig", "east", "--config", file, "--volts", "41"); code != exitInput || !strings.Contains(messages, "40 V") {
		t.Errorf("beyond the rig's limit: exit %d: %s", code, messages)
	}
	if code, _, messages := opuctl(t, "shifter", "set", "--rig", "east", "--config", file, "--radians", "2"); code != 0 || m.Volts() != 10 {
		t.Errorf("exit %d: %s; at %g V", code, messages, m.Volts())
	}
	b := benchFlags{rig: "east", config: file, layout: "blocks", usb: bench.USBFast}
	opened, err := b.open(t.Context(), io.Discard, need{features: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.bench.Close()
	if volts, err := opened.bench.Shifter.Read(t.Context()); err != nil || volts != 10 {
		t.Errorf("the rig holds its shifter at %g V, %v", volts, err)
	}
	if b.sim != "ideal" || !strings.Contains(opened.rig.SLM().Serial, "ideal") {
		t.Errorf("opened %q, %+v", b.sim, opened.rig.SLM())
	}
}

func TestRigErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.toml")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"inspect --slm sim --camera lens", exitInput, "known: "},
		{"inspect --sim --pattern-rate 1e9", exitInput, "rates are"},
		{"inspect --sim --pattern-rate 40000", exitInput, "lower the rate"},
		{"inspect --sim --shifter serial:/dev/opu-not-there", exitNoDevice, "/dev/opu-not-there"},
		{"inspect --url local --shifter sim", exitInput, "--shifter is for a device"},
		{"inspect --slm sim", exitInput, "needs both"},
		{"inspect --slm sim --camera sim --sim", exitInput, "use one"},
		{"inspect --slm dlpc900:usb-9-9 --camera sim", exitInput, "simulated camera"},
		{"inspect --rig east --config " + missing, exitInput, missing},
		{"inspect --config " + missing, exitInput, "--config is for --rig"},
		{"inspect", exitNoDevice, "--rig"},
		{"inspect --url local --rig east", exitInput, "--rig is for a device"},
		{"shifter read", exitNoDevice, "--shifter"},
		{"shifter read --shifter serial:/dev/opu-not-there", exitNoDevice, "/dev/opu-not-there"},
		{"shifter read --shifter serial:/dev/null", exitInput, "no serial port"},
		{"shifter read --shifter lens:3", exitInput, "known: "},
		{"shifter read --shifter sim --kind mdt", exitInput, "mdt69xb"},
		{"shifter read --shifter sim --rig east", exitInput, "use one"},
		{"shifter set --shifter sim", exitInput, "--volts"},
		{"shifter set --shifter sim --volts ten", exitInput, "number"},
		{"shifter set --shifter sim --volts 10 --radians 1", exitInput, "either"},
		{"shifter set --shifter sim --volts 76", exitInput, "75 V"},
		{"shifter set --shifter sim --volts NaN", exitInput, "75 V"},
		{"shifter sweep --shifter sim --points 1", exitInput, "--points"},
		{"shifter sweep --shifter sim --to 100", exitInput, "75 V"},
		{"shifter move", exitInput, "move"},
	} {
		code, _, messages := opuctl(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(messages, c.says) {
			t.Errorf("%s: exit %d, want %d with %q: %s", c.args, code, c.code, c.says, messages)
		}
	}
}

// A cable that is pulled during a sweep, and a port behind which nobody is, end in time.
func TestShifterCable(t *testing.T) {
	_, line, name := piezoPort(t)
	time.AfterFunc(200*time.Millisecond, func() { line.Close() })
	if code, _, messages := opuctl(t, "shifter", "sweep", "--shifter", "serial:"+name, "--points", "100"); code != exitNoDevice {
		t.Errorf("exit %d: %s", code, messages)
	}
	m, _, name := piezoPort(t)
	m.Fault(func(string, string) (string, time.Duration) { return "", 0 })
	if code, _, messages := opuctl(t, "shifter", "info", "--shifter", "serial:"+name); code != exitFailed || !strings.Contains(messages, "switched on") {
		t.Errorf("exit %d: %s", code, messages)
	}
}
