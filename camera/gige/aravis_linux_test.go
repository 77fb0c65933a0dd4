package gige_test

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
	"github.com/light-in-the-loop/opu/camera/gige"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/sim/gigecam"
)

// Aravis and Wireshark know the protocol and neither our driver nor our model. Debian has
// them as aravis-tools, aravis-tools-cli and tshark; OPU_LONG=1 has them used.

// program finds a program, or skips the test, loudly.
func program(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("OPU_LONG") == "" {
		t.Skip("the programs of others take a minute or two; OPU_LONG=1 runs them")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("NOT TESTED: %s is not installed; it is in Debian's aravis-tools, aravis-tools-cli or tshark", name)
	}
	return path
}

// fake starts Aravis's camera, with a serial number of its own, at 127.0.0.1.
func fake(t *testing.T, args ...string) (serial string) {
	t.Helper()
	path := program(t, "arv-fake-gv-camera-0.8")
	free, err := net.ListenPacket("udp4", "127.0.0.1:3956")
	if err != nil {
		t.Skipf("NOT TESTED: another camera is at 127.0.0.1: %v", err)
	}
	free.Close()
	runtime.LockOSThread() // the camera ends with the thread that started it
	t.Cleanup(runtime.UnlockOSThread)
	serial = fmt.Sprintf("T%d", os.Getpid())
	c := exec.Command(path, append([]string{"-i", "127.0.0.1", "-s", serial}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // even if the test is killed
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	for range 50 {
		found, err := gige.Discover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Serial == serial {
				return serial
			}
		}
	}
	t.Fatal("Aravis's camera was not discovered")
	return ""
}

// openFake opens Aravis's camera with frames that are small enough for a test.
func openFake(t *testing.T, o gige.Options) *gige.Device {
	t.Helper()
	var d *gige.Device
	var err error
	for range 5 { // what a check left open is free soon
		if d, err = gige.Open(t.Context(), "127.0.0.1", o); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if _, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{U: 16, V: 8, Width: 128, Height: 96}, Exposure: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	return d
}

// triggerFake gives Aravis's camera n triggers by software, each after the frame of the one
// before: of triggers that come together it takes one. Where no frame comes, as without a run,
// it goes on after a while.
func triggerFake(t *testing.T, d *gige.Device, n int) {
	t.Helper()
	const poll, still, patience = time.Millisecond, 10, 1000
	for range n {
		before := d.Stats().Packets
		if err := d.SoftwareTrigger(context.Background()); err != nil {
			t.Fatal(err)
		}
		now, same := before, 0
		for i := 0; i < patience && (now == before || same < still); i++ {
			<-time.After(poll)
			same++
			if p := d.Stats().Packets; p != now {
				now, same = p, 0
			}
		}
	}
}

func TestAravisCameraConformance(t *testing.T) {
	fake(t)
	cameratest.Run(t, cameratest.Harness{
		Open:    func(t *testing.T) camera.Device { return openFake(t, gige.Options{Source: "Software"}) },
		Trigger: func(t *testing.T, d camera.Device, n int) { triggerFake(t, d.(*gige.Device), n) },
		Free:    true,
	})
}

// ramp says whether the pixels are those of Aravis's camera: a diagonal ramp that moves.
func ramp(f *camera.Frame) bool {
	first := f.At(0, 0)
	for v := range f.Height {
		for u := range f.Width {
			if f.At(u, v) != (first+u+v)%255 {
				return false
			}
		}
	}
	return true
}

// Aravis's camera loses one packet in twenty and cannot send them again: frames are whole or
// say that they are not, and the counters have every packet.
func TestAravisCameraLosesPackets(t *testing.T) {
	const lossy = 50 // of a thousand
	fake(t, "-r", strconv.Itoa(lossy))
	d := openFake(t, gige.Options{PacketSize: 576})
	const n = 30
	if err := d.Arm(t.Context(), camera.Run{Frames: n, Free: true}); err != nil {
		t.Fatal(err)
	}
	whole, broken, next := 0, 0, uint64(0)
	for next < n {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		frames := make([]camera.Frame, 1)
		_, err := d.Wait(ctx, frames)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		f := &frames[0]
		if f.Seq < next {
			t.Fatalf("frame %d came where %d was expected", f.Seq, next)
		}
		next = f.Seq + 1
		switch {
		case f.Status == camera.OK && !ramp(f):
			t.Errorf("frame %d is good, and its pixels are not those that were sent", f.Seq)
		case f.Status == camera.OK:
			whole++
		case f.Status == camera.Incomplete:
			broken++
		default:
			t.Errorf("frame %d is %v", f.Seq, f.Status)
		}
		d.Requeue(frames...)
	}
	counts, err := d.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := d.Stats()
	t.Logf("%d whole frames, %d incomplete, counts %+v, %+v", whole, broken, counts, s)
	const perFrame = (128*96+576-36-1)/(576-36) + 2
	if got := s.Packets + s.Missing; got != counts.Frames*perFrame {
		t.Errorf("%d packets came and %d are missing: %d frames have %d", s.Packets, s.Missing, counts.Frames, counts.Frames*perFrame)
	}
	// Each is lost by chance: five standard deviations are never exceeded.
	all := float64(counts.Frames * perFrame)
	if share, want := float64(s.Missing)/all, lossy/1000.0; math.Abs(share-want) > 5*math.Sqrt(want*(1-want)/all) {
		t.Errorf("%.4f of the packets are missing, %.4f were lost", share, want)
	}
	if broken == 0 || whole == 0 || s.Asked != 0 {
		t.Error("one packet in twenty leaves some frames whole, and nothing can be asked for")
	}
}

// run runs a program of others and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// figure is a number that arv-camera-test prints.
func figure(t *testing.T, out, name string) int {
	t.Helper()
	m := regexp.MustCompile(name + ` *= (\d+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("it does not tell %s:\n%s", name, out)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// Aravis finds our model, understands its description, sets it up and streams from it.
func TestAravisToolsOnModel(t *testing.T) {
	for name, c := range map[string]gigecam.Config{
		"16-bit numbers": {}, "small packets": {MTU: 576}, "64-bit numbers": {Extended: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.Serial = fmt.Sprintf("M%d", os.Getpid())
			x := newTable(t, withDepth(12), c)
			if out := run(t, "arv-tool-0.8"); !strings.Contains(out, "opu-SimulatedCamera-"+c.Serial+" ("+x.at+")") {
				t.Errorf("arv-tool does not list it: %s", out)
			}
			out := run(t, "arv-tool-0.8", "-a", x.at, "control", "Width=16", "ExposureTime=250", "PixelFormat=Mono12p", "GammaEnable=false")
			for _, want := range []string{"Width = 16 min:4 max:32 inc:4", "ExposureTime = 250 us min:1 max:1e+06", "PixelFormat = Mono12p", "GammaEnable = false"} {
				if !strings.Contains(out, want) {
					t.Errorf("arv-tool does not say %q: %s", want, out)
				}
			}
			out = run(t, "arv-camera-test-0.8", "-n", "opu-"+c.Serial, "--no-packet-socket", "--duration=1")
			if got := figure(t, out, "n_completed_buffers"); got < 50 {
				t.Errorf("%d frames came in a second of 100 frames", got)
			}
			for _, bad := range []string{"n_failures", "n_missing_packets", "n_error_packets", "n_missing_frames", "n_size_mismatch_errors", "n_ignored_packets"} {
				if got := figure(t, out, bad); got != 0 {
					t.Errorf("%s is %d:\n%s", bad, got, out)
				}
			}
		})
	}
}

// Packets that our model loses Aravis asks for again, and gets.
func TestAravisAsksModelAgain(t *testing.T) {
	x := newTable(t, sim.Good(1), gigecam.Config{Serial: fmt.Sprintf("R%d", os.Getpid()), MTU: 576})
	x.model.SetFaults(func(p gigecam.Packet) gigecam.Fate {
		if p.Frame%5 == 2 && p.ID == 1 && !p.Resent {
			return gigecam.Drop
		}
		return gigecam.Arrive
	})
	out := run(t, "arv-camera-test-0.8", "-n", fmt.Sprintf("opu-R%d", os.Getpid()), "--no-packet-socket", "--duration=1")
	s := x.model.Stats()
	if failed := figure(t, out, "n_failures"); failed != 0 || s.Dropped == 0 || figure(t, out, "n_resent_packets") < int(s.Dropped)/2 {
		t.Errorf("of %d packets that were lost:\n%s", s.Dropped, out)
	}
}

// capture has tshark record what passes on the loopback network while f runs, and returns a
// function that tells of each packet whether it is malformed, its command or answer, and the
// kind of its part of a frame.
func capture(t *testing.T, f func()) func(args ...string) []string {
	t.Helper()
	tshark := program(t, "tshark")
	file := filepath.Join(t.TempDir(), "capture.pcapng")
	c := exec.Command(tshark, "-i", "lo", "-f", "udp", "-w", file, "-P", "-l", "-T", "fields", "-e", "udp.dstport")
	ports, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	seen := make(chan struct{}, 1) // holds a token when a mark was captured
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(ports); lines.Scan(); {
			if lines.Text() == "9" {
				select {
				case seen <- struct{}{}:
				default:
				}
			}
		}
	}()
	// What was captured comes in order and late. Marks tell when it has begun, and is complete.
	mark := func() {
		nobody, err := net.Dial("udp4", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		defer nobody.Close()
		for range 100 {
			nobody.Write([]byte("mark"))
			select {
			case <-seen:
				return
			case <-ended:
				t.Skip("not captured: tshark needs the right to capture (CAP_NET_RAW)")
			case <-time.After(200 * time.Millisecond):
			}
		}
		t.Fatal("tshark does not capture what passes")
	}
	mark()
	f()
	for { // marks of the beginning that come late
		select {
		case <-seen:
			continue
		case <-time.After(time.Second):
		}
		break
	}
	mark()
	c.Process.Signal(os.Interrupt)
	<-ended
	c.Wait()
	return func(args ...string) []string {
		out, err := exec.Command(tshark, append([]string{"-r", file, "-T", "fields", "-E", "separator=,", "-e", "_ws.malformed", "-e", "gvcp.cmd.command", "-e", "gvcp.ack", "-e", "gvsp.format"}, args...)...).Output()
		if err != nil {
			t.Fatalf("tshark cannot read what it captured: %v", err)
		}
		return strings.Fields(string(out))
	}
}

// Wireshark understands every packet of our driver, of our model and of Aravis's camera.
func TestWiresharkUnderstands(t *testing.T) {
	for name, c := range map[string]struct {
		open func(t *testing.T) *gige.Device
	}{
		"the model": {func(t *testing.T) *gige.Device {
			x := newTable(t, withDepth(12), gigecam.Config{MTU: 1500})
			x.model.SetFaults(func(p gigecam.Packet) gigecam.Fate {
				if p.Frame == 1 && p.ID == 1 && !p.Resent {
					return gigecam.Drop
				}
				return gigecam.Arrive
			})
			return x.open(t, gige.Options{})
		}},
		"Aravis's camera": {func(t *testing.T) *gige.Device {
			fake(t)
			return openFake(t, gige.Options{PacketSize: 1500})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 5
			port := ""
			read := capture(t, func() {
				d := c.open(t)
				if err := d.Arm(t.Context(), camera.Run{Frames: n, Free: true}); err != nil {
					t.Fatal(err)
				}
				port = strconv.Itoa(int(d.StreamPort()))
				for range n {
					frames := make([]camera.Frame, 1)
					if _, err := d.Wait(t.Context(), frames); err != nil || frames[0].Status != camera.OK {
						t.Fatal(frames[0].Status, err)
					}
					d.Requeue(frames...)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			})
			found := map[string]int{}
			for _, packet := range read("-d", "udp.port=="+port+",gvsp") {
				found[packet]++
			}
			t.Log(found)
			for packet, n := range found {
				if !strings.HasPrefix(packet, ",") {
					t.Errorf("%d packets are malformed: %s", n, packet)
				}
			}
			for packet, least := range map[string]int{
				",0x0002,,": 1, ",0x0084,,": 20, ",0x0082,,": 5, ",,0x0085,": 20, ",,,0x01": n, ",,,0x02": n, ",,,0x03": n,
			} {
				if got := found[packet]; got < least {
					t.Errorf("%d packets are %s, want at least %d", got, packet, least)
				}
			}
			if name == "the model" && found[",0x0040,,"] == 0 {
				t.Error("no packet is a request for a lost one")
			}
		})
	}
}
