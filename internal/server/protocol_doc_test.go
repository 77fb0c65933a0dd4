package server_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"github.com/light-in-the-loop/opu/internal/server"
)

// The commands of the page about the protocol work as they stand there.
func TestProtocolPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(blocks) < 7 {
		t.Fatalf("the page has %d blocks of commands", len(blocks))
	}
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: the commands of the page are not tested: %v", err)
		}
	}
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, SharedMemory: shared})
	folder := t.TempDir()
	for _, block := range blocks {
		c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", string(block[1]))
		c.Dir = folder
		c.Env = append(os.Environ(), "SOCKET="+h.path, "URL="+h.tcp.url, "TOKEN="+token)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, block[1], out)
		}
	}
	// The last binary result is the one that the page promises.
	want := numbers(fakeRow([]int8{1, 0, -1, 1, 0, 0, 1, -1, 0, 1}))
	raw, err := os.ReadFile(folder + "/y.bin")
	if err != nil || len(raw) < 4*len(want) {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	if y := numbers(complexOf(raw[len(raw)-4*len(want):])); !slices.Equal(y, want) {
		t.Error("its numbers are not B x")
	}
}
