package sim

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// light is what falls on the sensor during one exposure.
type light struct {
	field       []complex64 // S on the whole sensor
	aged        []complex64 // S through what the medium turns into; nil if it stays
	now, later  complex64   // how much of the two
	reference   []complex64
	phase       complex64 // of the reference at this moment, unit modulus
	contrast    float32   // of the cross term
	share       float32   // of the exposure in which the mirrors stood still
	electrons   float32   // per unit of intensity
	showSignal  bool
	showBeam    bool
	sensorWidth int
}

// repulsePeriod is how often a DMD re-pulses its mirrors to hold them.
const repulsePeriod = 105 * time.Microsecond

// light gathers what falls on the sensor in an exposure.
func (b *Bench) light(settings camera.Config, x exposure) light {
	c := &b.config
	moment := newStream(c.Seed, forFrame, x.index)
	t := x.time.Seconds()
	phase := x.shift + c.PhaseDrift*t + c.PhaseJitter*moment.normal() + c.FanJitter*math.Sin(2*math.Pi*c.FanFrequency*t)
	power := x.power * (1 + c.PowerNoise*moment.normal())
	sin, cos := math.Sincos(phase)
	l := light{
		field: b.medium.field(x.pattern), reference: b.reference,
		phase:    complex64(complex(cos, sin)),
		contrast: b.contrast,
		share:    1,
		electrons: float32(c.MeanElectrons / (1 + c.Rho) * math.Max(power, 0) *
			settings.Exposure.Seconds() / c.NominalExposure.Seconds()),
		showSignal: !x.blocked.Signal, showBeam: !x.blocked.Reference, sensorWidth: c.Width,
	}
	if b.aged != nil {
		l.aged = b.aged.field(x.pattern)
		l.now, l.later = complex(float32(x.memory), 0), complex(float32(math.Sqrt(1-x.memory*x.memory)), 0)
	}
	if c.RepulseDip > 0 {
		pulses := (x.time+settings.Exposure)/repulsePeriod - x.time/repulsePeriod
		l.share = float32(math.Max(0, 1-float64(pulses)*c.RepulseDip.Seconds()/settings.Exposure.Seconds()))
	}
	return l
}

// render makes the pixels of one exposure: reference, section 10. Everything
// random comes from the exposure's own stream, so that frames may be rendered in
// any order and on any core.
func (b *Bench) render(f *camera.Frame, room buffer, settings camera.Config, x exposure) {
	c := &b.config
	l := b.light(settings, x)
	neighbours := b.neighbours(settings, x)
	noise := newStream(c.Seed, forPixels, x.index)
	rows := newStream(c.Seed, forRows, x.index)
	level := room.level[:f.Width]
	for v := range f.Height {
		first := (settings.ROI.V+v)*c.Width + settings.ROI.U
		l.row(level, room.mixed, first)
		for i := range neighbours {
			neighbours[i].add(level, room, first)
		}
		b.sensor.see(level, first)
		var offset float32
		if c.RowNoise > 0 {
			offset = float32(c.RowNoise * rows.normal())
		}
		c.expose(level, offset, &noise)
		row := f.Pix[v*f.Stride:]
		if f.BitDepth <= 8 {
			for u, e := range level {
				row[u] = byte(e)
			}
		} else {
			for u, e := range level {
				binary.LittleEndian.PutUint16(row[2*u:], uint16(e))
			}
		}
	}
}

// neighbour is the light of another pattern, for a part of an exposure.
type neighbour struct {
	light
	share, rest float32 // of it, and of what is there before it is added
}

// neighbours are those that an exposure sees a part of; most see none.
func (b *Bench) neighbours(settings camera.Config, x exposure) (all []neighbour) {
	left := 1 - x.before.share - x.after.share
	for _, m := range []mixed{x.before, x.after} {
		if m.share == 0 {
			continue
		}
		x.pattern = m.pattern
		n := neighbour{light: b.light(settings, x), share: m.share, rest: 1}
		if len(all) == 0 {
			n.rest = max(0, left)
		}
		all = append(all, n)
	}
	return all
}

// add mixes the light into a row of mean electrons.
func (n *neighbour) add(dst []float32, room buffer, first int) {
	other := room.other[:len(dst)]
	n.row(other, room.mixed, first)
	for u := range dst {
		dst[u] = n.rest*dst[u] + n.share*other[u]
	}
}

// row computes mean electrons of the pixels from index i on:
// abs(Rf)^2 + abs(S)^2 + 2 C Re(conj(Rf) S). mixed is room for as many fields.
func (l *light) row(dst []float32, mixed []complex64, i int) {
	signal, beam := l.field[i:i+len(dst)], l.reference[i:i+len(dst)]
	if l.aged != nil {
		for u, s := range l.aged[i : i+len(dst)] {
			mixed[u] = l.now*signal[u] + l.later*s
		}
		signal = mixed[:len(dst)]
	}
	if !l.showSignal || !l.showBeam {
		for u := range dst {
			var one complex64
			share := float32(1)
			if l.showSignal {
				one, share = signal[u], l.share
			} else if l.showBeam {
				one = beam[u]
			}
			dst[u] = l.electrons * share * (real(one)*real(one) + imag(one)*imag(one))
		}
		return
	}
	cos, sin, cross := real(l.phase), imag(l.phase), 2*l.contrast
	for u := range dst {
		sr, si := real(signal[u]), imag(signal[u])
		br, bi := real(beam[u]), imag(beam[u])
		rr, ri := br*cos-bi*sin, br*sin+bi*cos
		dst[u] = l.electrons * (rr*rr + ri*ri + l.share*(sr*sr+si*si+cross*(rr*sr+ri*si)))
	}
}

// Below this mean a photon count is drawn exactly; above, the corrected normal
// form of expose is right to a fraction of a count.
const exactPoisson = 16

// expose turns mean electrons into ADC counts, in place: photon and read noise,
// full well, black level, rounding.
//
// Photon noise of mean m and read noise s together are drawn as one number,
// m + sqrt(m + s^2) z + (z^2 - 1)/6 * m/(m + s^2), with z normal. The last term is
// the first of the Cornish-Fisher expansion: it gives the Poisson distribution's
// own skewness.
//
// offset electrons are added to the whole row behind the noise.
func (c *Config) expose(level []float32, offset float32, noise *stream) {
	gain := float32(float64(int(1)<<c.BitDepth-1) / c.FullWell)
	limit := float32(int(1)<<c.BitDepth - 1)
	well, black := float32(c.FullWell), float32(c.BlackLevel)+0.5
	read := float32(c.ReadNoise)
	read2 := read * read
	quiet := !c.ShotNoise && read == 0
	var words uint64
	for u, m := range level {
		e := m
		if !quiet {
			if u&3 == 0 {
				words = noise.word()
			}
			z := normals[words&(1<<14-1)]
			words >>= 16
			switch {
			case !c.ShotNoise:
				e += read * z
			case m >= exactPoisson:
				variance := m + read2
				e += float32(math.Sqrt(float64(variance)))*z + (z*z-1)*m/(6*variance)
			default:
				e = float32(noise.poisson(float64(m))) + read*z
			}
		}
		level[u] = max(0, min(min(e+offset, well)*gain+black, limit)) // the conversion to an integer rounds down
	}
}

// poisson draws a count of small mean by inversion.
func (s *stream) poisson(mean float64) int {
	p := math.Exp(-mean)
	sum, u := p, s.uniform()
	k := 0
	for u > sum && k < 200 {
		k++
		p *= mean / float64(k)
		sum += p
	}
	return k
}
