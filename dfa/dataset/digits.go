package dataset

import (
	"math"
	"math/rand/v2"

	"github.com/light-in-the-loop/opu/internal/parallel"
)

// Digits draws a set of 28 x 28 digits that look written by many hands, train of
// them to learn from and test others to be judged by (negative counts are 0). The
// same arguments give the same set on every machine with the same architecture;
// a longer set begins with the shorter one of the same seed, and the test samples
// do not depend on how many training samples there are.
//
// Each class has several ways to be written, as strokes of a pen (glyphs.go).
// A sample takes one of them, displaces its control points, bends, slants,
// stretches and turns the whole, draws it with a soft pen of its own width and
// pressure, and adds a little noise. As in MNIST the digit fills a box of about 20
// pixels and is centred by its mass, and the classes come in equal numbers.
//
// The set is called "drawn-digits". It is a stand-in for MNIST and of similar
// difficulty, but accuracies on it are not accuracies on MNIST.
func Digits(seed, train, test int) Data {
	const testOffset = 1 << 40 // test samples are numbered from here
	data := Data{
		Name:    "drawn-digits",
		Train:   drawSplit(seed, 0, max(train, 0)),
		Test:    drawSplit(seed, testOffset, max(test, 0)),
		Classes: len(glyphs),
		Width:   digitSize,
		Height:  digitSize,
	}
	data.Mean, data.Std = meanStd(data.Train.X)
	return data
}

const (
	digitSize   = 28
	digitPixels = digitSize * digitSize
)

func drawSplit(seed, first, n int) Split {
	s := Split{X: make([]float32, n*digitPixels), Y: make([]int, n), Features: digitPixels}
	const block = 256 // samples, which share a writer
	parallel.Do((n+block-1)/block, func(b int) {
		var w writer
		for i := b * block; i < min((b+1)*block, n); i++ {
			s.Y[i] = i % len(glyphs)
			w.rng = rand.New(rand.NewPCG(scramble(uint64(seed)), scramble(uint64(first+i))))
			w.draw(s.X[i*digitPixels:(i+1)*digitPixels], s.Y[i])
		}
	})
	return s
}

// scramble spreads neighbouring numbers over all bits (the finaliser of
// SplitMix64), so that neighbouring samples have unrelated random numbers.
func scramble(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// How much hands differ: standard deviations unless said otherwise. Lengths are
// in units of the digit's height before it is fitted to its box, pixels after.
const (
	jitter       = 0.028 // of each control point
	endJitter    = 0.045 // of the points where the pen is put down and lifted
	bend         = 0.030 // amplitude of the smooth distortion
	balance      = 0.12  // log of the exponent that makes upper or lower part larger
	narrow       = 0.14  // log of the ratio of width to height
	usualRatio   = 0.75
	slant        = 0.20 // shear, dx/dy
	usualSlant   = 0.12
	turn         = 0.10 // radians
	boxSize      = 20.0 // pixels, the larger side
	sizeSpread   = 0.06 // log of the size
	shift        = 0.6  // pixels
	penRadius    = 0.65 // pixels, to where the ink begins to fade
	penSpread    = 0.32 // log of the radius
	pressure     = 0.25 // largest relative change of the radius along a stroke
	softness     = 1.25 // pixels over which the ink fades
	largestNoise = 0.06 // of full ink
)

// A writer draws digits and keeps the buffers that drawing needs.
type writer struct {
	rng  *rand.Rand
	line []inkPoint
}

// An inkPoint is a point of the pen's path. A path is drawn from each point to the
// next, except to a point where the pen was put down.
type inkPoint struct {
	x, y, radius float64
	down         bool
}

func (w *writer) draw(image []float32, class int) {
	ways := glyphs[class]
	w.trace(ways[w.rng.IntN(len(ways))])
	w.distort()
	w.fit()
	w.ink(image)
}

// trace fills w.line with the path of a pen that follows g with an unsure hand.
func (w *writer) trace(g glyph) {
	w.line = w.line[:0]
	for _, stroke := range g {
		var last point // as displaced
		for a, arc := range stroke {
			var pts [maxArc]point
			n := copy(pts[:], arc)
			for i := range pts[:n] {
				sigma := jitter
				if a == 0 && i == 0 || a == len(stroke)-1 && i == n-1 {
					sigma = endJitter
				}
				pts[i].x += sigma * w.rng.NormFloat64()
				pts[i].y += sigma * w.rng.NormFloat64()
			}
			if a > 0 {
				pts[0] = last
			} else {
				w.line = append(w.line, inkPoint{x: pts[0].x, y: pts[0].y, down: true})
			}
			last = pts[n-1]
			w.curve(pts[:n])
		}
	}
}

// curve appends a smooth curve through pts, without the first, which is there already.
func (w *writer) curve(pts []point) {
	const steps = 7
	at := func(i int) point { return pts[min(max(i, 0), len(pts)-1)] }
	for i := range len(pts) - 1 {
		p0, p1, p2, p3 := at(i-1), at(i), at(i+1), at(i+2)
		for s := 1; s <= steps; s++ {
			t := float64(s) / steps
			w.line = append(w.line, inkPoint{
				x: catmullRom(p0.x, p1.x, p2.x, p3.x, t),
				y: catmullRom(p0.y, p1.y, p2.y, p3.y, t),
			})
		}
	}
}

// catmullRom interpolates from b (t = 0) to c (t = 1) with the tangents that the
// neighbours a and d suggest.
func catmullRom(a, b, c, d, t float64) float64 {
	return b + t/2*(c-a+t*(2*a-5*b+4*c-d+t*(3*(b-c)+d-a)))
}

// distort bends, slants, stretches and turns the path.
func (w *writer) distort() {
	rng := w.rng
	exponent := math.Exp(balance * rng.NormFloat64())
	var waves [2]struct{ fx, fy, phase, ax, ay float64 }
	for i := range waves {
		waves[i].fx, waves[i].fy = 5*rng.Float64(), 5*rng.Float64() // radians per height: less than one period
		waves[i].phase = 2 * math.Pi * rng.Float64()
		waves[i].ax, waves[i].ay = bend*rng.NormFloat64(), bend*rng.NormFloat64()
	}
	ratio := usualRatio * math.Exp(narrow*rng.NormFloat64())
	shear := usualSlant + slant*rng.NormFloat64()
	sin, cos := math.Sincos(turn * rng.NormFloat64())
	for i := range w.line {
		p := &w.line[i]
		x, y := p.x-0.5, math.Copysign(math.Pow(math.Abs(p.y), exponent), p.y)-0.5
		for _, v := range waves {
			s := math.Sin(v.fx*p.x + v.fy*p.y + v.phase)
			x += v.ax * s
			y += v.ay * s
		}
		x = ratio*x - shear*y // y grows downwards: a positive slant leans to the right
		p.x, p.y = cos*x-sin*y, sin*x+cos*y
	}
}

// fit scales the path to its box, centres it in the image and chooses the pen.
func (w *writer) fit() {
	rng := w.rng
	radius := penRadius * math.Exp(penSpread*rng.NormFloat64())
	radius = min(max(radius, 0.4), 2)

	minX, maxX := math.Inf(1), math.Inf(-1)
	minY, maxY := math.Inf(1), math.Inf(-1)
	var length, massX, massY float64
	for i, p := range w.line {
		minX, maxX = min(minX, p.x), max(maxX, p.x)
		minY, maxY = min(minY, p.y), max(maxY, p.y)
		if !p.down {
			q := w.line[i-1]
			l := math.Hypot(p.x-q.x, p.y-q.y)
			length += l
			massX += l * (p.x + q.x) / 2
			massY += l * (p.y + q.y) / 2
		}
	}
	size := min(boxSize*math.Exp(sizeSpread*rng.NormFloat64()), digitSize-3)
	scale := (size - 2*radius) / max(maxX-minX, maxY-minY)
	const centre = float64(digitSize-1) / 2
	x0 := centre - scale*massX/length + shift*rng.NormFloat64()
	y0 := centre - scale*massY/length + shift*rng.NormFloat64()

	rate, phase := 0.1+0.3*rng.Float64(), 2*math.Pi*rng.Float64()
	for i := range w.line {
		p := &w.line[i]
		p.x, p.y = x0+scale*p.x, y0+scale*p.y
		p.radius = radius * (1 + pressure*math.Sin(rate*float64(i)+phase))
	}
}

// ink draws the path: full ink within the pen's radius, fading outside. Values
// are whole bytes, as in an image file.
func (w *writer) ink(image []float32) {
	for i := 1; i < len(w.line); i++ {
		a, b := w.line[i-1], w.line[i]
		if b.down {
			continue
		}
		reach := max(a.radius, b.radius) + softness
		left, right := pixelRange(min(a.x, b.x)-reach, max(a.x, b.x)+reach)
		top, bottom := pixelRange(min(a.y, b.y)-reach, max(a.y, b.y)+reach)
		dx, dy := b.x-a.x, b.y-a.y
		squared := max(dx*dx+dy*dy, 1e-12)
		for y := top; y < bottom; y++ {
			for x := left; x < right; x++ {
				px, py := float64(x)-a.x, float64(y)-a.y
				t := min(max((px*dx+py*dy)/squared, 0), 1) // nearest point of the segment
				px, py = px-t*dx, py-t*dy
				distance := math.Sqrt(px*px + py*py)
				v := float32((a.radius + softness - distance) / softness)
				image[y*digitSize+x] = max(image[y*digitSize+x], v)
			}
		}
	}
	noise := float32(largestNoise * w.rng.Float64())
	for i, v := range image {
		v = min(v, 1) + noise*(w.rng.Float32()-0.5)
		image[i] = float32(math.Round(float64(255*min(max(v, 0), 1)))) / 255
	}
}

// pixelRange returns the pixels of one axis between two coordinates.
func pixelRange(low, high float64) (int, int) {
	return max(int(math.Ceil(low)), 0), min(int(math.Floor(high))+1, digitSize)
}
