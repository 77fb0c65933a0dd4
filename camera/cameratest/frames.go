package cameratest

import (
	"bytes"
	"slices"
	"unsafe"

	"github.com/light-in-the-loop/opu/camera"
)

// checkFrames takes many times more frames than there are buffers.
func checkFrames(b *bench) {
	n := 5*b.info.Buffers + 3
	b.arm(n)
	b.cycle(n, b.info.Buffers)
	b.expectCounts(b.stop(), uint64(n), uint64(n))
}

// checkBatches lets frames pile up and takes them in parts of every size.
func checkBatches(b *bench) {
	n := b.info.Buffers
	marker := camera.Frame{Seq: 1 << 60}
	for size := 1; size <= n; size++ {
		b.arm(n)
		b.trigger(n)
		room := make([]camera.Frame, size+1) // one more than Wait may fill
		for got := 0; got < n; {
			for i := range room {
				room[i] = marker
			}
			k, err := b.device.Wait(b.ctx(), room[:size])
			if err != nil || k < 1 || k > size {
				b.Fatalf("Wait with room for %d = %d, %v", size, k, err)
			}
			for i := range room {
				if i < k {
					b.judge(&room[i])
				} else if room[i].Seq != marker.Seq {
					b.Fatalf("Wait returned %d frames and wrote to element %d", k, i)
				}
			}
			b.device.Requeue(room[:k]...)
			got += k
		}
		b.stop()
	}
}

// checkAllBuffersHeld: a caller that gives nothing back is told so, and loses
// nothing else.
func checkAllBuffersHeld(b *bench) {
	n := b.info.Buffers
	b.arm(n + 3)
	b.trigger(n)
	held := b.take(n)
	b.expect("Wait with all buffers held", b.waitError("Wait with all buffers held", b.ctx()), camera.ErrNoBuffers)
	b.device.Requeue() // nothing
	b.expect("Wait after nothing was given back", b.waitError("Wait with all buffers held", b.ctx()), camera.ErrNoBuffers)
	b.needTriggers()
	b.device.Requeue(held[0])
	b.trigger(1)
	held[0] = b.take(1)[0]
	b.expect("Wait with all buffers held again", b.waitError("Wait with all buffers held again", b.ctx()), camera.ErrNoBuffers)

	// A frame that is taken now has no buffer. Whether the camera keeps it is its own
	// affair, but it must not hide a loss.
	b.trigger(1)
	b.device.Requeue(held...)
	b.trigger(1)
	end := uint64(n + 3)
	delivered := uint64(n + 1)
	for b.next < end {
		var room [1]camera.Frame
		if _, err := b.device.Wait(b.ctx(), room[:]); err != nil {
			b.Fatalf("Wait for frame %d: %v", b.next, err)
		}
		if room[0].Seq < b.next || room[0].Seq >= end {
			b.Fatalf("frame %d came where %d to %d were expected", room[0].Seq, b.next, end-1)
		}
		b.next = room[0].Seq // a gap is allowed here
		b.judge(&room[0])
		b.device.Requeue(room[:]...)
		delivered++
	}
	b.expectCounts(b.stop(), end, delivered)
}

// checkHeldFrames holds some frames while others come and go.
func checkHeldFrames(b *bench) {
	b.needBuffers(2)
	n := 4 * b.info.Buffers
	b.arm(n)
	holds := (b.info.Buffers + 1) / 2
	b.trigger(holds)
	held := b.take(holds)
	copies := make([][]byte, holds)
	for i := range held {
		copies[i] = slices.Clone(held[i].Pix)
		for j := range i {
			if overlap(held[i].Pix, held[j].Pix) {
				b.Fatalf("frames %d and %d share memory", held[i].Seq, held[j].Seq)
			}
		}
	}
	for left := n - holds; left > 0; {
		k := 1 + b.random.IntN(min(left, b.info.Buffers-holds))
		b.trigger(k)
		frames := b.take(k)
		for i := range frames {
			for j := range held {
				if overlap(frames[i].Pix, held[j].Pix) {
					b.Fatalf("frame %d lies in the memory of frame %d, which was not given back", frames[i].Seq, held[j].Seq)
				}
			}
		}
		b.device.Requeue(frames...)
		left -= k
	}
	for i, f := range held {
		if !bytes.Equal(f.Pix, copies[i]) {
			b.Fatalf("the pixels of frame %d changed while it was held", f.Seq)
		}
	}
	b.device.Requeue(held...)
	b.expectCounts(b.stop(), uint64(n), uint64(n))
}

// overlap tells whether two slices share memory.
func overlap(a, c []byte) bool {
	if len(a) == 0 || len(c) == 0 {
		return false
	}
	start := func(s []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(s))) }
	return start(a) < start(c)+uintptr(len(c)) && start(c) < start(a)+uintptr(len(a))
}
