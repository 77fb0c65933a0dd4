package server_test

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/light-in-the-loop/opu/internal/server"
)

// python returns an interpreter that can import modules, or skips the test and says
// loudly what is not tested.
func python(t *testing.T, modules string) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), name, "-c", "import "+modules).Run() == nil {
			return name
		}
	}
	t.Skipf("SKIPPED, NOT TESTED: no Python here can import %s", modules)
	return ""
}

// script runs one of testdata on rows of x and compares what it got.
func script(t *testing.T, interpreter string, x []int8, arguments ...string) {
	t.Helper()
	raw := make([]byte, len(x))
	for i, v := range x {
		raw[i] = byte(v)
	}
	c := exec.CommandContext(t.Context(), interpreter, arguments...)
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(raw), &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Errorf("%v: %v\n%s", arguments, err, &stderr)
		return
	}
	if stderr.Len() > 0 {
		t.Logf("%s", &stderr)
	}
	var want []complex64
	for r := range len(x) / inputs {
		want = append(want, fakeRow(x[r*inputs:(r+1)*inputs])...)
	}
	if !slices.Equal(complexOf(stdout.Bytes()), want) {
		t.Errorf("%v: other numbers than B x", arguments)
	}
}

// A client in another language, with messages written by hand.
func TestPythonGRPC(t *testing.T) {
	interpreter := python(t, "grpc, numpy")
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	x := randomRows(4, 6, -1)
	script(t, interpreter, x, "testdata/grpcio.py", h.grpcTCP, token)
	script(t, interpreter, x, "testdata/grpcio.py", h.grpcSocket, "none")
}

// memoryGroup is the group of shared memory; if that were root's, every file of root would be.
func memoryGroup() int {
	if group := os.Getgid(); group != 0 {
		return group
	}
	return 4242 // as the scripts have it
}

// Where the protocol's usual client is not to be had, the libraries that it is made of
// send what it does.
func TestLikeTritonClient(t *testing.T) {
	interpreter := python(t, "aiohttp, geventhttpclient, numpy, rapidjson")
	group := memoryGroup()
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, SharedMemory: server.SharedMemory{Enabled: true, TCP: true, Group: group}})
	script(t, interpreter, randomRows(4, 6, -1), "testdata/tritonlike.py", h.tcp.url[len("http://"):], token, strconv.Itoa(group))
}

// The protocol's usual client, as it is.
func TestTritonClient(t *testing.T) {
	interpreter := python(t, "tritonclient.http, tritonclient.utils.shared_memory, numpy")
	group := memoryGroup()
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, SharedMemory: server.SharedMemory{Enabled: true, TCP: true, Group: group}})
	script(t, interpreter, randomRows(4, 6, -1), "testdata/triton.py", h.tcp.url[len("http://"):], h.grpcTCP, token)
}
