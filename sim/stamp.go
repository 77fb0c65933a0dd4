package sim

import "github.com/light-in-the-loop/opu/camera"

// A stamp is four bits in each of the first pixels of a frame, as counts from
// stampLevel on: near the counts that light makes, so that whoever looks at the
// statistics of a frame hardly notices it.
const (
	stampLevel    = 16
	positionStamp = 8  // pixels: 32 bits
	patternStamp  = 16 // pixels: 64 bits
)

// stamp writes the position in the run and the hash of the pattern into a frame.
func stamp(f *camera.Frame, position int, pattern uint64) {
	for i := range positionStamp {
		setCount(f, i, stampLevel+byte(position>>(4*i)&15))
	}
	for i := range patternStamp {
		setCount(f, positionStamp+i, stampLevel+byte(pattern>>(4*i)&15))
	}
}

// setCount sets pixel i of a frame's first row.
func setCount(f *camera.Frame, i int, value byte) {
	bytes := camera.BytesPerPixel(f.BitDepth)
	clear(f.Pix[i*bytes : (i+1)*bytes])
	f.Pix[i*bytes] = value
}

// ReadStamp returns what a bench with Config.Stamp wrote into the frame: the
// position in the run, and the Hash of the pattern whose light it was.
func ReadStamp(f *camera.Frame) (position int, pattern uint64) {
	for i := range positionStamp {
		position |= (f.At(i, 0) - stampLevel) << (4 * i)
	}
	for i := range patternStamp {
		pattern |= uint64(f.At(positionStamp+i, 0)-stampLevel) << (4 * i)
	}
	return position, pattern
}
