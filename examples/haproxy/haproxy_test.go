package haproxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

const (
	inputs, outputs = 6, 30 // of each OPU
	token           = "token-of-this-test"
)

// A daemon serves an OPU on the simulated bench, on TCP.
type daemon interface {
	start(t *testing.T, seed uint64) // anew, and returns when it serves
	kill()                           // at once, as a power cut would
}

// site is where a daemon is.
type site struct {
	model string
	port  int
}

func (s site) address() string { return fmt.Sprint("127.0.0.1:", s.port) }

// served is a daemon in this process, on a small bench.
type served struct {
	site
	stop func()
}

func (d *served) start(t *testing.T, seed uint64) {
	t.Helper()
	c := sim.Ideal(seed)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
	b, err := bench.Open(t.Context(), c, bench.Options{Features: inputs, Outputs: outputs, Seed: seed}, func(string) {})
	if err != nil {
		t.Error(err)
		return
	}
	s, err := server.New(server.Options{Matrix: &server.Matrix{OPU: b.OPU}, Model: d.model, Token: token, Simulated: "ideal"})
	if err != nil {
		t.Error(err)
		return
	}
	l, err := server.ListenTCP(d.address(), nil, true)
	if err != nil {
		t.Error(err)
		return
	}
	lines := &cut{Listener: l}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, lines) }()
	d.stop = sync.OnceFunc(func() {
		lines.cut()
		cancel()
		<-ended // that it can listen no more is what was wanted
		b.Close()
	})
}

func (d *served) kill() {
	if d.stop != nil {
		d.stop()
	}
}

// cut is a listener whose connections can all be cut.
type cut struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cut) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cut) cut() {
	c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

// opud is a daemon that is the program itself.
type opud struct {
	site
	program string
	token   string // file
	process *exec.Cmd
}

func (o *opud) start(t *testing.T, seed uint64) {
	t.Helper()
	o.process = exec.Command(o.program, "-sim=ideal", fmt.Sprint("-seed=", seed), fmt.Sprint("-inputs=", inputs), fmt.Sprint("-outputs=", outputs),
		"-model="+o.model, "-socket=none", "-http="+o.address(), "-token-file="+o.token, "-until-eof")
	_, err := o.process.StdinPipe() // the daemon does not outlive the test
	if err != nil {
		t.Error(err)
		return
	}
	stderr, err := o.process.StderrPipe()
	if err != nil {
		t.Error(err)
		return
	}
	if err := o.process.Start(); err != nil {
		t.Error(err)
		return
	}
	log := bufio.NewScanner(stderr)
	for log.Scan() {
		if strings.Contains(log.Text(), "msg=serving") {
			go io.Copy(io.Discard, stderr)
			return
		}
		t.Log(o.model, log.Text())
	}
	t.Errorf("the daemon of %s ended before it served: %v", o.model, o.process.Wait())
}

func (o *opud) kill() {
	if o.process != nil && o.process.Process != nil {
		o.process.Process.Kill()
		o.process.Wait()
		o.process = nil
	}
}

// newDaemons are in this process; with OPU_LONG=1 they are processes of their own.
func newDaemons(t *testing.T, sites []site) (all []daemon) {
	t.Helper()
	if os.Getenv("OPU_LONG") != "1" {
		for _, s := range sites {
			all = append(all, &served{site: s})
		}
		return all
	}
	dir := t.TempDir()
	program, file := filepath.Join(dir, "opud"), filepath.Join(dir, "token")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/opud").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		all = append(all, &opud{site: s, program: program, token: file})
	}
	return all
}

// freePort is a TCP port that nobody uses, below those that the system gives to clients.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// One address for three OPUs: HAProxy with the configuration beside this file, three
// daemons, and a stack of them. One is killed and comes back; no row is ever wrong.
func TestHAProxy(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil { // not in everyone's PATH
		haproxy, err = exec.LookPath("/usr/sbin/haproxy")
	}
	if err != nil {
		t.Skip("NOT TESTED: haproxy is not installed (Debian: apt-get install haproxy)")
	}
	config, err := os.ReadFile("haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	text := string(config)
	var sites []site
	for i, model := range []string{"left", "middle", "right"} {
		s := site{model, freePort(t)}
		sites = append(sites, s)
		usual := fmt.Sprint("127.0.0.1:", 8001+i)
		if strings.Count(text, usual) != 1 {
			t.Fatalf("the configuration names %s %d times", usual, strings.Count(text, usual))
		}
		text = strings.Replace(text, usual, s.address(), 1)
	}
	front := fmt.Sprint("127.0.0.1:", freePort(t))
	text = strings.Replace(text, "127.0.0.1:8080", front, 1)
	cfg := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	daemons := newDaemons(t, sites)
	var started sync.WaitGroup
	for i, d := range daemons {
		t.Cleanup(d.kill)
		started.Go(func() { d.start(t, uint64(i+1)) })
	}
	started.Wait()
	if t.Failed() {
		t.FailNow()
	}
	proxy := exec.Command(haproxy, "-db", "-f", cfg)
	proxy.Stderr = os.Stderr
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		proxy.Process.Kill()
		proxy.Wait()
	})

	address := "http://" + front
	o, hasty := client.Options{Token: token}, client.Options{Token: token, Patience: -1}
	d, err := client.Connect(address, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Call(t.Context(), http.MethodGet, "/v2/health/ready", nil, nil); err != nil { // it waits for the proxy
		t.Fatal(err)
	}
	refused(t, d, address)

	var parts []client.Part
	for _, s := range sites {
		parts = append(parts, client.Part{URL: address, Model: s.model})
	}
	manifest, err := client.NewManifest(t.Context(), parts, o)
	if err != nil {
		t.Fatal(err)
	}
	stack, err := client.DialStack(t.Context(), manifest, o)
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	x := make([]int8, 5*inputs)
	for i := range x {
		x[i] = int8(i*i%3) - 1
	}
	y, want := make([]complex64, 5*3*outputs), make([]complex64, 5*3*outputs)
	for i, s := range sites {
		direct, err := client.Dial(t.Context(), "http://"+s.address(), client.Options{Token: token, Model: s.model})
		if err != nil {
			t.Fatal(err)
		}
		own := make([]complex64, 5*outputs)
		if err := direct.Project(t.Context(), own, x); err != nil {
			t.Fatal(err)
		}
		direct.Close()
		for r := range 5 {
			copy(want[(3*r+i)*outputs:], own[r*outputs:(r+1)*outputs])
		}
	}
	if err := stack.Project(t.Context(), y, x); err != nil || !slices.Equal(y, want) {
		t.Fatalf("through the proxy: %v, or other results than without it", err)
	}

	// One is killed: whoever does not wait is told which, and whoever waits goes on when
	// it is back, with the same matrix since its bench has the same seed.
	brief, err := client.DialStack(t.Context(), manifest, hasty)
	if err != nil {
		t.Fatal(err)
	}
	defer brief.Close()
	waiting := make(chan struct{})
	patient := o
	begun := sync.OnceFunc(func() { close(waiting) })
	patient.Waiting = func(error) { begun() } // it is told each reason
	long, err := client.DialStack(t.Context(), manifest, patient)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	daemons[1].kill()
	if err := brief.Project(t.Context(), y, x); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), "part 1 of the stack, model middle") {
		t.Errorf("without the middle: %v, want ErrUnavailable that names it", err)
	}
	clear(y)
	done := make(chan error)
	go func() { done <- long.Project(t.Context(), y, x) }()
	<-waiting
	daemons[1].start(t, 2)
	if err := <-done; err != nil || !slices.Equal(y, want) {
		t.Errorf("with the middle back: %v, or other results than before", err)
	}

	// On a bench with another seed it is another matrix, which no stack takes for its own.
	daemons[1].kill()
	daemons[1].start(t, 22)
	if err := d.Call(t.Context(), http.MethodGet, "/v2/health/ready", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := stack.Project(t.Context(), y, x); !errors.Is(err, client.ErrOtherMatrix) || !strings.Contains(fmt.Sprint(err), "middle") {
		t.Errorf("with another matrix in the middle: %v, want ErrOtherMatrix", err)
	}
}

// refused are requests that the proxy must not let through, or answers itself.
func refused(t *testing.T, d *client.Daemon, address string) {
	t.Helper()
	if _, err := client.Dial(t.Context(), address, client.Options{Token: "wrong", Model: "left"}); !errors.Is(err, client.ErrUnauthorised) {
		t.Errorf("with a wrong token: %v, want ErrUnauthorised", err)
	}
	if _, err := client.Dial(t.Context(), address, client.Options{Token: token}); !errors.Is(err, client.ErrInput) || !strings.Contains(fmt.Sprint(err), "left, middle and right") {
		t.Errorf("a model that nobody has: %v, want ErrInput and the names", err)
	}
	if _, err := client.Dial(t.Context(), address, client.Options{Token: token, Model: "lefty"}); !errors.Is(err, client.ErrInput) {
		t.Errorf("a model with a longer name: %v, want ErrInput", err)
	}
	left, err := client.Connect(address+"/left", client.Options{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Model, Simulated string }
	if err := left.Call(t.Context(), http.MethodGet, "/opu/v1/status", nil, &s); err != nil || s.Model != "left" || s.Simulated != "ideal" {
		t.Errorf("the status of left is %+v (%v)", s, err)
	}
	events := 0
	enough := errors.New("enough")
	err = left.Events(t.Context(), "/opu/v1/events", func(_ string, data []byte) error {
		if !json.Valid(data) {
			t.Errorf("an event is %s", data)
		}
		if events++; events == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("events through the proxy: %v", err)
	}
	if err := d.Call(context.Background(), http.MethodGet, "/v2/health/live", nil, nil); err != nil {
		t.Error(err)
	}
}
