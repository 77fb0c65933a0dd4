package cameratest

import (
	"testing"

	"github.com/light-in-the-loop/opu/camera"
)

// checkDroppedFrame: a frame that was lost on its way leaves a gap and a count. After the last
// frame of a run there is no gap, so that only a camera that counts triggers must know of one.
func checkDroppedFrame(b *bench) {
	b.faulty(b.harness.Drop, func(n, wrong int) {
		for _, f := range b.collect(n - 1) {
			if b.next == uint64(wrong) {
				b.next++ // the gap
			}
			b.judge(&f)
			b.device.Requeue(f)
		}
		taken := uint64(n)
		counts := b.stop()
		if wrong == n-1 && !b.info.CountsTriggers && counts.Lost == 0 {
			taken--
		}
		b.expectCounts(counts, taken, uint64(n-1))
	})
}

// checkDamagedFrame: a bad frame is delivered in its place, and says that it is
// bad.
func checkDamagedFrame(b *bench) {
	b.faulty(b.harness.Damage, func(n, wrong int) {
		for _, f := range b.collect(n) {
			switch {
			case b.next != uint64(wrong):
				b.judge(&f)
			case f.Status == camera.OK:
				b.Fatalf("frame %d is damaged and has status ok", f.Seq)
			default:
				b.order(&f)
			}
			b.device.Requeue(f)
		}
		b.expectCounts(b.stop(), uint64(n), uint64(n))
	})
}

// faulty makes runs in which one frame goes wrong: the first, one within and the
// last.
func (b *bench) faulty(arrange func(t *testing.T, d camera.Device, k int), check func(n, wrong int)) {
	b.Helper()
	if arrange == nil {
		b.Skip("the harness cannot arrange that")
	}
	b.needTriggers()
	b.needBuffers(3)
	n := min(6, b.info.Buffers)
	for _, wrong := range []int{0, n / 2, n - 1} {
		arrange(b.T, b.device, wrong)
		b.arm(n)
		b.trigger(n)
		check(n, wrong)
	}
	b.usable()
}
