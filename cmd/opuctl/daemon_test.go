package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
)

// The commands that ask a daemon how it is, and that say who may use it.
func TestDaemonCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv(leaseVariable, "")
	b := smallBench(t, sim.Ideal(9), 3, 20, 9)
	if err := os.Mkdir(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "opud"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := opuctl(t, "status"); code != exitNoDevice || !strings.Contains(stderr, "opud -sim") {
		t.Errorf("the status of nobody: exit code %d, want %d and what to do\n%s", code, exitNoDevice, stderr)
	}
	stop := daemon(t, b, server.Options{Simulated: "ideal"}, filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "opud", "opud.sock"))
	socket := client.DefaultSocket() // what local means
	if !strings.HasPrefix(socket, os.Getenv("XDG_RUNTIME_DIR")) {
		t.Fatalf("the default socket is %s", socket)
	}

	t.Run("status", func(t *testing.T) {
		var s server.Status
		must(t, &s, "status")
		if !s.Ready || s.Epoch != b.OPU.Epoch() || s.Outputs != 20 || s.Simulated != "ideal" || s.Model != "opu" {
			t.Errorf("printed %+v", s)
		}
		code, stdout, stderr := opuctl(t, "status", "--url", socket)
		for _, line := range []string{
			`(?m)^device      bench of the test \(simulated bench "ideal"\)$`, `(?m)^state       ready, up for \d+`,
			`(?m)^matrix      ` + b.OPU.Epoch() + `, 20 x 3, model opu version \d+$`, `(?m)^lease       nobody's$`,
		} {
			if !regexp.MustCompile(line).MatchString(stdout) {
				t.Errorf("no line %s in\n%s", line, stdout)
			}
		}
		if code != 0 || stderr != "" {
			t.Errorf("exit code %d, stderr %q", code, stderr)
		}
	})

	t.Run("devices", func(t *testing.T) {
		var found struct{ Devices []foundDevice }
		must(t, &found, "devices")
		kinds := map[string]string{}
		for _, d := range found.Devices {
			kinds[d.Kind+" "+d.Use] = d.State
		}
		if !strings.Contains(kinds["daemon --url local"], "20 x 3, ready") || kinds["simulated --sim=good"] == "" {
			t.Errorf("found %+v", found)
		}
		if code, stdout, _ := opuctl(t, "devices"); code != 0 || !regexp.MustCompile(`(?m)^kind +name +state +use$`).MatchString(stdout) {
			t.Errorf("as text: exit code %d\n%s", code, stdout)
		}
	})

	t.Run("stack", func(t *testing.T) {
		var made struct {
			Outputs, Inputs int
			Parts           []client.Part
		}
		must(t, &made, "stack", "--out", "stack.json", socket)
		if made.Outputs != 20 || len(made.Parts) != 1 || made.Parts[0].Epoch != b.OPU.Epoch() {
			t.Errorf("printed %+v", made)
		}
		if m, err := client.LoadManifest("stack.json"); err != nil || m.Parts[0] != made.Parts[0] {
			t.Errorf("wrote %+v (%v)", m, err)
		}
		var all []server.Status
		code, stdout, _ := opuctl(t, "status", "--url", "stack.json")
		if code != 0 || !strings.Contains(stdout, "matrix      "+b.OPU.Epoch()) {
			t.Errorf("the status of a stack: exit code %d\n%s%v", code, stdout, all)
		}
	})

	t.Run("watch", func(t *testing.T) {
		code, stdout, stderr := opuctl(t, "watch", "--count", "1")
		if code != 0 || !regexp.MustCompile(`^\d\d:\d\d:\d\d ready; 0 projections/s, \d+ in all; 0 requests; health not probed yet; lease nobody's\n$`).MatchString(stdout) {
			t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		}
		code, stdout, _ = opuctl(t, "watch", "--count", "2", "--format", "json")
		d := json.NewDecoder(strings.NewReader(stdout))
		var first, second server.Status
		if code != 0 || d.Decode(&first) != nil || d.Decode(&second) != nil || second.Uptime <= first.Uptime || d.More() {
			t.Errorf("as JSON: exit code %d\n%s", code, stdout)
		}
	})

	t.Run("lease", func(t *testing.T) {
		// A command has the OPU while it runs, and its exit code is the result.
		script := `test -n "$OPU_LEASE" && echo "has $OPU_LEASE"; exit 7`
		code, stdout, stderr := opuctl(t, "lease", "--who", "Ada", "--", "sh", "-c", script)
		if code != 7 || !regexp.MustCompile(`^has [A-Z0-9]+\n$`).MatchString(stdout) {
			t.Errorf("exit code %d, want 7\n%s%s", code, stdout, stderr)
		}
		free(t, socket)

		// Without a command it is held until it is interrupted.
		out, in := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan int, 1)
		go func() {
			ended <- run(ctx, []string{"lease", "--seconds", "600", "--who", "Ada", "--format", "json"}, in, io.Discard)
		}()
		var l leased
		if err := json.NewDecoder(out).Decode(&l); err != nil || l.Who != "Ada" || l.ID == "" {
			t.Fatalf("printed %+v (%v)", l, err)
		}
		go io.Copy(io.Discard, out)
		if code, _, stderr := opuctl(t, "lease", "--", "true"); code != exitBusy || !strings.Contains(stderr, "Ada") {
			t.Errorf("a second lease: exit code %d, want %d and who has it\n%s", code, exitBusy, stderr)
		}
		x := writeArray(t, "x.npy", []int8{1, 0, -1}, 1, 3)
		if code, _, stderr := opuctl(t, "project", "--url", "local", "--in", x, "--out", "y.npy", "--patience", "0s"); code != exitBusy {
			t.Errorf("without the lease: exit code %d, want %d\n%s", code, exitBusy, stderr)
		}
		t.Setenv(leaseVariable, l.ID)
		if code, _, stderr := opuctl(t, "project", "--url", "local", "--in", x, "--out", "y.npy"); code != 0 {
			t.Errorf("with the lease: exit code %d\n%s", code, stderr)
		}
		if code, _, stderr := opuctl(t, "lease", "--end"); code != 0 {
			t.Errorf("ending it: exit code %d\n%s", code, stderr)
		}
		if code := <-ended; code != 0 {
			t.Errorf("whoever held it ended with %d", code)
		}
		t.Setenv(leaseVariable, "")
		free(t, socket)
		if code, _, stderr := opuctl(t, "lease", "--end"); code != exitInput || !strings.Contains(stderr, "there was none") {
			t.Errorf("ending none: exit code %d, want %d\n%s", code, exitInput, stderr)
		}
		go func() {
			ended <- run(ctx, []string{"lease"}, io.Discard, &cancelWriter{when: regexp.MustCompile("is yours"), cancel: cancel})
		}()
		if code := <-ended; code != 0 {
			t.Errorf("interrupted: exit code %d", code)
		}
		free(t, socket)
	})

	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitInput, "comes after --", []string{"lease", "true"}},
		{exitInput, "no command after --", []string{"lease", "--"}},
		{exitInput, "cannot run", []string{"lease", "--", "no-such-program-here"}},
		{exitInput, "not positive", []string{"lease", "--seconds", "0"}},
		{exitInput, "86400", []string{"lease", "--seconds", "1e6"}},
		{exitInput, "neither", []string{"lease", "--end", "--seconds", "5"}},
		{exitInput, "--end it is ended", []string{"lease", "--lease", "X"}},
		{exitInput, "one of its daemons", []string{"watch", "--url", "stack.json"}},
		{exitInput, "negative", []string{"watch", "--count", "-1"}},
		{exitInput, "the argument", []string{"devices", "all"}},
		{exitInput, "--out is needed", []string{"stack", socket}},
		{exitInput, "name the addresses", []string{"stack", "--out", "s.json"}},
		{exitInput, "3 names for 2", []string{"stack", "--out", "s.json", "--model", "a,b,c", socket, socket}},
		{exitInput, "the matrix of part 0", []string{"stack", "--out", "s.json", socket, socket}},
		{exitInput, "cannot find model", []string{"stack", "--out", "s.json", "--model", "left", socket}},
		{exitNoDevice, "no daemon answers", []string{"stack", "--out", "s.json", socket + "-missing"}},
	} {
		if code, stdout, stderr := opuctl(t, c.args...); code != c.code || !strings.Contains(stderr, c.says) || stdout != "" {
			t.Errorf("opuctl %v: exit code %d, want %d with %q:\n%s%s", c.args, code, c.code, c.says, stderr, stdout)
		}
	}
	if exists("s.json") {
		t.Error("a stack was written")
	}

	// A daemon that is away is waited for.
	out, in := io.Pipe()
	lines := bufio.NewScanner(out)
	next := func(says string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), says) {
				return
			}
		}
		t.Fatalf("the watch ended before it said %q", says)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"watch"}, in, in)
		in.Close()
	}()
	next("ready; ")
	go stop() // it waits for the watch to be told
	next("is away")
	daemon(t, b, server.Options{}, socket)
	next("ready; ")
	cancel()
	go io.Copy(io.Discard, out)
	if code := <-ended; code != 0 {
		t.Errorf("Ctrl-C ends the watch with exit code %d", code)
	}
}

// free fails the test unless anybody may have the OPU, sooner or later.
func free(t *testing.T, socket string) {
	t.Helper()
	d, err := client.Connect(socket, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := d.TakeLease(t.Context(), "", 1e9)
	if err != nil {
		t.Fatalf("the lease did not end: %v", err)
	}
	l.End()
}
