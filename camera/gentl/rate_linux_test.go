package gentl

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/camera"
)

// bursting is a camera of 1280x1280 pixels that exposes as fast as it finds buffers.
func bursting(t testing.TB, frames int) *Device {
	t.Helper()
	d, m := openDevice(t, built(t, buildLarge), Options{})
	arm(t, d, frames)
	m.do("burst", frames)
	return d
}

// Frames cost no memory and are not copied: their pixels are where the producer put them, and
// what goes through the sockets is a record each.
func TestFramesAreFree(t *testing.T) {
	const runs = 200
	d := bursting(t, 10000)
	room := make([]camera.Frame, 1)
	next := func() {
		if _, err := d.Wait(t.Context(), room); err != nil {
			t.Fatal(err)
		}
		f := &room[0]
		if k := binary.LittleEndian.Uint64(f.Pix); k != f.Seq {
			t.Fatalf("frame %d shows %d", f.Seq, k)
		}
		start, memory := uintptr(unsafe.Pointer(&f.Pix[0])), uintptr(unsafe.Pointer(&d.stream.memory.bytes[0]))
		if start < memory || start+uintptr(len(f.Pix)) > memory+uintptr(len(d.stream.memory.bytes)) {
			t.Fatalf("the pixels of frame %d are not in the shared memory", f.Seq)
		}
		d.Requeue(*f)
	}
	for range 2 * d.Info().Buffers {
		next()
	}
	ours, helpers := read(t, "self"), read(t, strconv.Itoa(d.p.cmd.Process.Pid))
	// Waiting allocates nothing; AllocsPerRun counts what all goroutines do.
	if n := testing.AllocsPerRun(runs, next); n != 0 {
		t.Errorf("%v allocations for a frame, want none", n)
	}
	frame := int64(1280 * 1280)
	for what, got := range map[string]int64{"this program": read(t, "self") - ours, "the helper": read(t, strconv.Itoa(d.p.cmd.Process.Pid)) - helpers} {
		if got > runs*frame/100 {
			t.Errorf("%s read %d bytes for %d frames of %d", what, got, runs, frame)
		}
	}
}

// read is how many bytes a process has read by system calls.
func read(t testing.TB, pid string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/io")
	if err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "rchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("there is no rchar")
	return 0
}

// How many frames of 1280x1280 bytes pass from a producer to a caller, what that costs the
// processors, both processes together, and how that compares to copying them once.
func BenchmarkFrames(b *testing.B) {
	d := bursting(b, 1<<30)
	ctx := context.Background()
	room := make([]camera.Frame, d.Info().Buffers)
	take := func(n int) {
		for n > 0 {
			k, err := d.Wait(ctx, room[:min(n, len(room))])
			if err != nil {
				b.Fatal(err)
			}
			d.Requeue(room[:k]...)
			n -= k
		}
	}
	take(100)
	b.ReportAllocs()
	helper := fmt.Sprint(d.p.cmd.Process.Pid)
	before, began := cpu(b, "self")+cpu(b, helper), time.Now()
	b.ResetTimer()
	take(b.N)
	b.StopTimer()
	spent, elapsed := cpu(b, "self")+cpu(b, helper)-before, time.Since(began)

	from, to := make([]byte, 32<<20), make([]byte, 32<<20) // out of the caches
	copy(to, from)
	began = time.Now()
	const copies = 8
	for range copies {
		copy(to, from)
	}
	const frame = 1280 * 1280
	copying := time.Since(began).Seconds() / copies / float64(len(from)) * frame
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "frames/s")
	b.ReportMetric(spent.Seconds()/float64(b.N)*1e6, "cpu-us/frame")
	b.ReportMetric(spent.Seconds()/float64(b.N)/copying, "of-copying")
}

// cpu is what a process has computed, in steps of 10 ms.
func cpu(t testing.TB, pid string) time.Duration {
	t.Helper()
	if pid == "self" {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
