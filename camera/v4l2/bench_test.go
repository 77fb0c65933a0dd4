package v4l2

import (
	"context"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// BenchmarkFrames is what the driver itself costs a frame of 1280x1024, on a kernel that costs
// next to nothing. copied is how many bytes of a frame are not the kernel's own, and of-a-copy
// the driver's time in those of one plain copy of the frame, measured in the same run.
func BenchmarkFrames(b *testing.B) {
	for _, format := range []string{"GREY", "Y12 ", "Y10P"} {
		b.Run(name(code(format)), func(b *testing.B) {
			f := newFake(func(m *fakeModel) { m.width, m.height, m.codes = 1280, 1024, []uint32{code(format)} })
			d := f.device(b, Options{})
			if err := d.Arm(b.Context(), camera.Run{Frames: 1 << 30}); err != nil {
				b.Fatal(err)
			}
			f.fillNothing(b)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			room := make([]camera.Frame, 1)
			cycle := func() {
				f.trigger(1)
				if _, err := d.Wait(ctx, room); err != nil {
					b.Fatal(err)
				}
				d.Requeue(room[0])
			}
			cycle()
			copied := len(room[0].Pix)
			if inKernel(f, room[0].Pix) {
				copied = 0
			}
			b.ReportAllocs()
			for b.Loop() {
				cycle()
			}
			perFrame := b.Elapsed() / time.Duration(b.N)

			plain := make([]byte, len(room[0].Pix))
			began, copies := time.Now(), 0
			for ; time.Since(began) < 20*time.Millisecond; copies++ {
				copy(plain, room[0].Pix)
			}
			perCopy := time.Since(began) / time.Duration(copies)
			b.ReportMetric(1/perFrame.Seconds(), "frames/s")
			b.ReportMetric(float64(copied), "copied-B/frame")
			b.ReportMetric(float64(perFrame)/float64(perCopy), "of-a-copy")
		})
	}
}
