//go:build linux && libusb

package vision_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
	"github.com/light-in-the-loop/opu/camera/u3v"
	"github.com/light-in-the-loop/opu/lab/usbip"
	"github.com/light-in-the-loop/opu/lab/vision"
	"github.com/light-in-the-loop/opu/sim/u3vcam"
)

// needLab skips a test outside of the virtual lab, where it would plug cameras into somebody's
// machine.
func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("OPU_LAB") == "" {
		t.Skip("needs the virtual lab: run lab/run")
	}
}

// options are for small frames, in several transfers.
var options = u3v.Options{Buffers: 4, Transfer: 4096, InFlight: 64 << 10}

// plug plugs a camera in; the test pulls it at its end.
func plug(t *testing.T, c u3vcam.Config) (*vision.Camera, *usbip.Port) {
	t.Helper()
	cam, err := vision.New(c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := usbip.Plug(cam)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pull(t, p) })
	return cam, p
}

func pull(t *testing.T, p *usbip.Port) {
	t.Helper()
	if err := p.Pull(); err != nil {
		t.Error(err)
	}
}

// open opens a camera as soon as the system has made it known.
func open(t *testing.T, serial string) *u3v.Device {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		d, err := u3v.OpenUSB(t.Context(), serial, options)
		if err == nil {
			t.Cleanup(func() { d.Close() })
			return d
		}
		if time.Since(began) > 5*time.Second || !errors.Is(err, camera.ErrUnplugged) && !errors.Is(err, os.ErrPermission) {
			t.Fatal(err)
		}
	}
}

func TestConformance(t *testing.T) {
	needLab(t)
	cam, _ := plug(t, u3vcam.Config{Width: 100, Height: 50})
	fault := func(f u3vcam.FrameFault) func(*testing.T, camera.Device, int) {
		return func(_ *testing.T, _ camera.Device, k int) {
			cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{k: f}})
		}
	}
	cameratest.Run(t, cameratest.Harness{
		Open: func(t *testing.T) camera.Device { return open(t, "U3V0001") },
		Trigger: func(_ *testing.T, _ camera.Device, n int) {
			cam.Trigger(n)
			cam.SetFaults(u3vcam.Faults{})
		},
		Drop: fault(u3vcam.Drop), Damage: fault(u3vcam.Discarded), Free: true,
	})
}

func arm(t *testing.T, d camera.Device, frames int) {
	t.Helper()
	if err := d.Arm(t.Context(), camera.Run{Frames: frames}); err != nil {
		t.Fatal(err)
	}
}

// take waits for n frames and gives each back at once: their pixels are not looked at.
func take(t *testing.T, d camera.Device, n int) []camera.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var all []camera.Frame
	room := make([]camera.Frame, 1)
	for range n {
		if _, err := d.Wait(ctx, room); err != nil {
			t.Fatalf("Wait for frame %d of %d: %v", len(all), n, err)
		}
		all = append(all, room[0])
		d.Requeue(room...)
	}
	return all
}

// Faults of frames, over the kernel's own USB: each is told, and the next frame is whole again.
func TestFrameFaults(t *testing.T) {
	needLab(t)
	for _, size := range [][2]int{{100, 50}, {128, 64}} { // with a rest, and of whole packets
		cam, p := plug(t, u3vcam.Config{Width: size[0], Height: size[1]})
		d := open(t, "")
		for fault, want := range map[u3vcam.FrameFault]camera.Status{
			u3vcam.ShortPixels: camera.Incomplete, u3vcam.LongPixels: camera.Incomplete, u3vcam.NoTrailer: camera.Incomplete,
			u3vcam.ShortTrailer: camera.Incomplete, u3vcam.Overrun: camera.Overrun, u3vcam.WrongID: camera.Damaged,
		} {
			cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{1: fault}})
			arm(t, d, 4)
			cam.Trigger(4)
			for k, f := range take(t, d, 4) {
				if f.Seq != uint64(k) || k == 1 && f.Status != want || k != 1 && f.Status != camera.OK {
					t.Errorf("%v, fault %d: frame %d is %d, %v", size, fault, k, f.Seq, f.Status)
				}
			}
			if c, err := d.Stop(t.Context()); err != nil || c.Frames != 4 || c.Delivered != 4 {
				t.Errorf("%v, fault %d: %+v, %v", size, fault, c, err)
			}
		}
		for _, fault := range []u3vcam.FrameFault{u3vcam.NoLeader, u3vcam.ShortLeader} {
			cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{1: fault}})
			arm(t, d, 4)
			cam.Trigger(4)
			for i, f := range take(t, d, 3) {
				if want := []uint64{0, 2, 3}[i]; f.Seq != want || f.Status != camera.OK {
					t.Errorf("%v, fault %d: frame %d is %d, %v", size, fault, want, f.Seq, f.Status)
				}
			}
			if c, err := d.Stop(t.Context()); err != nil || c.Frames != 4 || c.Lost != 1 {
				t.Errorf("%v, fault %d: %+v, %v", size, fault, c, err)
			}
		}
		d.Close()
		pull(t, p)
	}
}

// Edges that make two frames or none, a pipe that stalls, commands that stall or are lost.
func TestFaults(t *testing.T) {
	needLab(t)
	cam, _ := plug(t, u3vcam.Config{})
	d := open(t, "")
	cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{1: u3vcam.Twice}})
	arm(t, d, 3)
	cam.Trigger(3)
	take(t, d, 4)
	if c, err := d.Stop(t.Context()); err != nil || c.Frames != 4 {
		t.Errorf("an edge that makes two frames: %+v, %v", c, err)
	}

	cam.SetFaults(u3vcam.Faults{Deaf: true})
	arm(t, d, 3)
	cam.Trigger(3)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := d.Wait(ctx, make([]camera.Frame, 1)); !errors.Is(err, camera.ErrTimeout) {
		t.Errorf("a camera that does not hear: %v", err)
	}
	if c, err := d.Stop(t.Context()); err != nil || c != (camera.Counts{}) {
		t.Errorf("a camera that does not hear: %+v, %v", c, err)
	}

	cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{1: u3vcam.Stall}})
	arm(t, d, 3)
	cam.Trigger(3)
	take(t, d, 1)
	if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); !errors.Is(err, u3v.ErrHalted) {
		t.Errorf("a pipe that stalls: %v", err)
	}
	if _, err := d.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	cam.SetFaults(u3vcam.Faults{})
	arm(t, d, 2)
	cam.Trigger(2)
	take(t, d, 2)
	if _, err := d.Stop(t.Context()); err != nil {
		t.Error(err)
	}

	for name, f := range map[string]u3vcam.Faults{"stalls": {Stalls: 1}, "is lost": {Silent: 1}, "takes longer": {Pending: 1500}} {
		cam.SetFaults(f)
		if c, err := d.Configure(t.Context(), camera.Config{Exposure: 123 * time.Microsecond}); err != nil || c.Exposure != 123*time.Microsecond {
			t.Errorf("a command that %s: %v, %v", name, c.Exposure, err)
		}
	}
}

// A cable that is pulled in the middle of a run ends it within a second, and a camera that is
// plugged in again works. Nothing is left behind.
func TestUnplug(t *testing.T) {
	needLab(t)
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	var descriptors, goroutines int
	for round := range rounds {
		cam, p := plug(t, u3vcam.Config{})
		d := open(t, "")
		arm(t, d, 4)
		cam.Trigger(1)
		take(t, d, 1)
		pending := make(chan error, 1)
		go func() {
			_, err := d.Wait(t.Context(), make([]camera.Frame, 1))
			pending <- err
		}()
		pull(t, p)
		select {
		case err := <-pending:
			if !errors.Is(err, camera.ErrUnplugged) {
				t.Errorf("Wait: %v, want ErrUnplugged", err)
			}
		case <-time.After(time.Second):
			t.Error("Wait did not notice within a second that the cable was pulled")
		}
		if _, err := d.Stop(t.Context()); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Stop: %v, want ErrUnplugged", err)
		}
		d.Close()
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		if n, g := len(open), runtime.NumGoroutine(); round == 1 {
			descriptors, goroutines = n, g
		} else if round > 1 && (n > descriptors || g > goroutines+2) {
			t.Errorf("after round %d there are %d descriptors and %d goroutines, after the second %d and %d", round, n, g, descriptors, goroutines)
		}
	}
	if _, err := u3v.OpenUSB(t.Context(), "", options); !errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("without a camera: %v", err)
	}
}

// Two cameras are told apart by their serial numbers.
func TestTwo(t *testing.T) {
	needLab(t)
	plug(t, u3vcam.Config{Serial: "A"})
	plug(t, u3vcam.Config{Serial: "B"})
	d := open(t, "A")
	if d.Info().Serial != "A" {
		t.Errorf("A is %q", d.Info().Serial)
	}
	if _, err := u3v.OpenUSB(t.Context(), "A", options); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a camera that is open: %v", err)
	}
	b := open(t, "B")
	found, err := u3v.List()
	if err != nil || len(found) != 2 {
		t.Errorf("found %+v, %v", found, err)
	}
	b.Close()
	d.Close()
	if _, err := u3v.OpenUSB(t.Context(), "", options); !errors.Is(err, camera.ErrInput) {
		t.Errorf("either of two: %v", err)
	}
	if _, err := u3v.OpenUSB(t.Context(), "C", options); !errors.Is(err, camera.ErrUnplugged) || !strings.Contains(err.Error(), "u3v:A") {
		t.Errorf("one that is not there: %v", err)
	}
}

// The rules of this tree, under Debian's udevd: the camera is the group's and nobody else's,
// whoever made it.
func TestUdevRule(t *testing.T) {
	needLab(t)
	_, p := plug(t, u3vcam.Config{})
	number := func(file string) string {
		text, err := os.ReadFile("/sys/bus/usb/devices/" + p.Name + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	node := fmt.Sprintf("/dev/bus/usb/%03s/%03s", number("busnum"), number("devnum"))
	const groupOPU = 900 // of the lab
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		info, err := os.Stat(node)
		if err != nil {
			t.Fatal(err)
		}
		s := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() == 0o660 && s.Uid == 0 && s.Gid == groupOPU {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%s is %o of %d:%d", node, info.Mode().Perm(), s.Uid, s.Gid)
		}
	}
}
