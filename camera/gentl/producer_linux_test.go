package gentl

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera/gentl/helper"
	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// scratch holds the producers that were compiled.
var scratch string

// The test binary is the helper as well.
func TestMain(m *testing.M) {
	if os.Getenv(wire.Variable) != "" {
		os.Exit(helper.Main())
	}
	self, err := os.Executable()
	if err == nil {
		scratch, err = os.MkdirTemp("", "gentl")
	}
	if err != nil {
		panic(err)
	}
	os.Setenv(HelperVariable, self)
	os.Unsetenv(PathVariable) // what is installed here is not meant
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// build compiles the test producer.
func build(file string, flags ...string) (string, error) {
	folder := filepath.Join(scratch, file)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	var header strings.Builder
	for _, name := range []string{"camera", "stream"} {
		text, err := os.ReadFile("testdata/" + name + ".xml")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&header, "static const char %s_xml[] = {", name)
		for _, b := range text {
			fmt.Fprintf(&header, "%d,", b)
		}
		header.WriteString("0};\n")
	}
	if err := os.WriteFile(filepath.Join(folder, "xml.h"), []byte(header.String()), 0o600); err != nil {
		return "", err
	}
	path := filepath.Join(folder, file+suffix)
	arguments := append([]string{"-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-fvisibility=hidden", "-pthread", "-I", folder, "-o", path}, flags...)
	out, err := exec.Command("gcc", append(arguments, "testdata/producer.c")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

var (
	buildNew = sync.OnceValues(func() (string, error) { return build("test") })
	buildOld = sync.OnceValues(func() (string, error) { return build("old", "-DOLD") })

	// With a sensor of the size that the project is about.
	buildLarge = sync.OnceValues(func() (string, error) { return build("large", "-DSENSOR_WIDTH=1280", "-DSENSOR_HEIGHT=1280") })
)

// producer is the test producer's file; old is one of GenTL 1.0.
func producer(t testing.TB, old bool) string {
	t.Helper()
	if old {
		return built(t, buildOld)
	}
	return built(t, buildNew)
}

func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil || !helper.Built {
		t.Skip("NOT TESTED: GenTL needs a C compiler, for the producer of the tests and for the helper (CGO_ENABLED=1)")
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// model is the camera behind the test producer, which connects when it is opened.
type model struct {
	t      testing.TB
	listen *net.UnixListener
	conn   net.Conn
	lines  *bufio.Reader
}

// newModel waits for the next camera that is opened.
func newModel(t testing.TB) *model {
	t.Helper()
	path := filepath.Join(scratch, "orders")
	os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	os.Setenv("OPU_TEST_PRODUCER", path)
	m := &model{t: t, listen: l}
	t.Cleanup(m.close)
	return m
}

func (m *model) close() {
	os.Unsetenv("OPU_TEST_PRODUCER")
	m.listen.Close()
	if m.conn != nil {
		m.conn.Close()
	}
}

// accept waits until the camera is there.
func (m *model) accept() {
	m.t.Helper()
	m.listen.SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := m.listen.Accept()
	if err != nil {
		m.t.Fatal(err)
	}
	m.conn, m.lines = conn, bufio.NewReader(conn)
}

// do gives the camera an order and waits until it has obeyed.
func (m *model) do(order string, n int) {
	m.t.Helper()
	m.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(m.conn, "%s %d\n", order, n); err != nil {
		m.t.Fatal(err)
	}
	if line, err := m.lines.ReadString('\n'); err != nil || line != "ok\n" {
		m.t.Fatalf("the camera answered %q, %v", line, err)
	}
}

// TestList finds the camera, and says what it cannot look at.
func TestList(t *testing.T) {
	path := producer(t, false)
	broken := filepath.Join(t.TempDir(), "broken.cti")
	if err := os.WriteFile(broken, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(PathVariable, path+":"+broken)
	found, err := List(t.Context())
	if len(found) != 1 || found[0].Serial != "T-0001" || found[0].Ref() != "gentl:test/T-0001" || found[0].Interface != "Test card" || found[0].Busy {
		t.Errorf("found %+v", found)
	}
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a file that is no library: %v", err)
	}
}

// connectTo opens the camera without its features.
func connectTo(ctx context.Context, t testing.TB, path string) (*process, wire.Opened) {
	t.Helper()
	c, opened, err := connect(ctx, Ref{Producer: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.p.close)
	return c.p, opened
}
