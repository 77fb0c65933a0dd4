package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
)

// --url and what goes with it, and what does not.
func TestRemoteFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret of the test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		good bool
	}{
		{nil, true},
		{[]string{"--sim"}, true},
		{[]string{"--url", "local"}, true},
		{[]string{"--url", "http://127.0.0.1:8000", "--token-file", file, "--lease", "X"}, true},
		{[]string{"--url", "local", "--sim"}, false},
		{[]string{"--url", "local", "--mask", "m.npy"}, false},
		{[]string{"--lease", "X"}, false},
		{[]string{"--token-file", file}, false},
		{[]string{"--url", "local", "--token-file", file + "-missing"}, false},
		{[]string{"--url", "example.org"}, false},
	} {
		var r remoteFlags
		var sim, mask string
		x := &cobra.Command{}
		r.register(x)
		x.Flags().StringVar(&sim, "sim", "", "")
		x.Flags().Lookup("sim").NoOptDefVal = "good"
		x.Flags().StringVar(&mask, "mask", "", "")
		if err := x.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		err := r.check(x, "mask")
		if err == nil && r.given() {
			_, err = r.connect()
		}
		if (err == nil) != c.good || err != nil && exitCode(err) != exitInput {
			t.Errorf("%v: %v, want it good: %t", c.args, err, c.good)
		}
	}
	r := remoteFlags{url: "local", tokenFile: file, lease: "X"}
	if o, err := r.options(); err != nil || o.Token != "secret of the test" || o.Lease != "X" || r.address() != "" {
		t.Errorf("the options are %+v, the address %q (%v)", o, r.address(), err)
	}
}

// Over TCP every command asks with the token of --token-file, and says what is wrong when
// that is missing or another.
func TestTokenOverTCP(t *testing.T) {
	t.Chdir(t.TempDir())
	b := smallBench(t, sim.Ideal(9), 3, 20, 9)
	s, err := server.New(server.Options{Matrix: &server.Matrix{OPU: b.OPU}, Token: "the-token-of-this-test"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.ListenTCP("127.0.0.1:0", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	url := "http://" + l.Addr().String()
	for name, text := range map[string]string{"right": "the-token-of-this-test\n", "wrong": "another-token\n", "empty": ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x := writeArray(t, "x.npy", []int8{1, 0, -1}, 1, 3)
	for _, command := range [][]string{
		{"status"}, {"watch", "--count", "1"}, {"lease", "--", "true"}, {"project", "--in", x, "--out", "y.npy"},
		{"matrix", "--out", "b.npy"}, {"calibrate"}, {"train", "--epochs", "1"},
	} {
		for _, token := range []string{"wrong", "empty", ""} {
			args := append(slices.Clone(command[:1]), "--url", url)
			if token != "" {
				args = append(args, "--token-file", token)
			}
			began := time.Now()
			code, stdout, stderr := opuctl(t, append(args, command[1:]...)...)
			if code != exitInput || !strings.Contains(stderr, "--token-file") || strings.Contains(stderr, "another-token") || stdout != "" {
				t.Errorf("opuctl %v: exit code %d, want %d and what to do\n%s%s", args, code, exitInput, stdout, stderr)
			}
			if took := time.Since(began); took > 20*time.Second { // a token does not become right by waiting
				t.Errorf("opuctl %v took %v", args, took)
			}
		}
	}
	for _, command := range [][]string{{"status"}, {"project", "--in", x, "--out", "y.npy"}} {
		args := append(slices.Clone(command[:1]), "--url", url, "--token-file", "right")
		if code, _, stderr := opuctl(t, append(args, command[1:]...)...); code != 0 {
			t.Errorf("with the token: exit code %d\n%s", code, stderr)
		}
	}
}
