package client_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// python is an interpreter that has NumPy, or the test is skipped.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("OPU_PYTHON"), "python3", "/usr/bin/python3"} {
		if name != "" && exec.CommandContext(t.Context(), name, "-c", "import numpy").Run() == nil {
			return name
		}
	}
	t.Skip("NOT TESTED: whether the Python client agrees with this one; install NumPy for python3, or name another Python with OPU_PYTHON")
	return ""
}

// project asks as a Python program would, over both doors, with bytes and with bits.
const project = `
import sys, numpy as np, opu
socket, tcp, token, folder = sys.argv[1:]
x = np.load(folder + "/x.npy")
for name, address in (("socket", socket), ("tcp", tcp)):
    with opu.OPU(address, token) as device:
        for packed in (False, True):
            np.save(f"{folder}/{name}-{packed}.npy", device.project(x, packed=packed))
`

// On the ideal bench the Python client gets the bits that this one gets, over the socket
// and over TCP.
func TestPythonAgrees(t *testing.T) {
	interpreter := python(t)
	c := sim.Ideal(4)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
	b, err := bench.Open(t.Context(), c, bench.Options{Features: 10, Outputs: 64, Seed: 4}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "opud.sock")
	tcp, _ := serve(t, b.OPU, path)
	x := randomRows(2, 40, 10)
	clear(x[30:40])
	y := make([]complex64, 40*64)
	if err := dial(t, path, client.Options{}).Project(t.Context(), y, x); err != nil {
		t.Fatal(err)
	}
	var asked, want bytes.Buffer
	if err := npy.Write(&asked, x, 40, 10); err != nil {
		t.Fatal(err)
	}
	if err := npy.Write(&want, y, 40, 64); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.npy"), asked.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), interpreter, "-c", project, path, tcp, token, dir)
	run.Env = append(os.Environ(), "PYTHONPATH=../python", "PYTHONDONTWRITEBYTECODE=1")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"socket-False", "socket-True", "tcp-False", "tcp-True"} {
		got, err := os.ReadFile(filepath.Join(dir, name+".npy"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) { // NumPy writes the same header
			t.Errorf("%s: not the bits that the Go client gets", name)
		}
	}
}
