package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// What the README tells to do with curl works as it stands there, against a daemon with
// as many inputs as opud has by default.
func TestReadmeCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("NOT TESTED: curl is not installed")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^curl .*$`).FindAllString(string(readme), -1)
	if len(commands) < 3 {
		t.Fatalf("the README has %d lines that begin with curl", len(commands))
	}
	c := sim.Ideal(1)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
	b, err := bench.Open(t.Context(), c, bench.Options{Features: defaults().Matrix.Inputs, Outputs: 20, Seed: 1}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := server.New(server.Options{Matrix: &server.Matrix{OPU: b.OPU}, Simulated: "ideal"})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "opud.sock")
	l, err := server.ListenSocket(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	defer func() {
		cancel()
		<-served
	}()
	for _, command := range commands {
		x := exec.CommandContext(t.Context(), "sh", "-c", command)
		x.Env = append(os.Environ(), "SOCKET="+socket)
		answer, err := x.Output()
		var v map[string]any
		if err != nil || json.Unmarshal(answer, &v) != nil || v["error"] != nil {
			t.Errorf("%s\nanswers %s (%v)", command, answer, err)
			continue
		}
		results, _ := v["outputs"].([]any)
		if v["name"] != "opu" && v["ready"] != true && len(results) != 1 {
			t.Errorf("%s\nanswers %s", command, answer)
		}
	}
}
