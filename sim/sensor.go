package sim

import "math"

// sensor is what is wrong with the pixels themselves, the same in every frame.
type sensor struct {
	response []float32 // by which light is multiplied; nil: 1
	dark     []float32 // electrons without light; nil: 0
}

const (
	// hotCharge is the largest dark charge of a hot pixel, in full wells.
	hotCharge = 0.5
)

// etalonFrequency is that of the cover glass's fringes, in cycles per pixel: a wedge
// of a few wavelengths over the sensor.
var etalonFrequency = [2]float64{0.021, 0.013}

func newSensor(c Config) sensor {
	var s sensor
	n := c.Width * c.Height
	if c.GainSpread > 0 || c.Etalon > 0 {
		draw := newStream(c.Seed, forGain, 0)
		phase := 2 * math.Pi * draw.uniform()
		s.response = make([]float32, n)
		for i := range s.response {
			u, v := float64(i%c.Width), float64(i/c.Width)
			fringe := 1 + c.Etalon*math.Cos(2*math.Pi*(etalonFrequency[0]*u+etalonFrequency[1]*v)+phase)
			s.response[i] = float32(math.Max(0, fringe*(1+c.GainSpread*draw.normal())))
		}
	}
	if c.HotPixels > 0 {
		draw := newStream(c.Seed, forHot, 0)
		s.dark = make([]float32, n)
		for i := range s.dark {
			if draw.uniform() < c.HotPixels {
				s.dark[i] = float32(draw.uniform() * hotCharge * c.FullWell)
			}
		}
	}
	return s
}

// see turns the light on the pixels from index i on into what they collect.
func (s *sensor) see(level []float32, i int) {
	if s.response != nil {
		for u, r := range s.response[i : i+len(level)] {
			level[u] *= r
		}
	}
	if s.dark != nil {
		for u, d := range s.dark[i : i+len(level)] {
			level[u] += d
		}
	}
}
