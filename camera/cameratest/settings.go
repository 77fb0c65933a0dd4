package cameratest

import (
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

func checkInfo(b *bench) {
	i := b.info
	if i.Model == "" || i.Serial == "" {
		b.Errorf("model %q and serial %q: neither may be empty", i.Model, i.Serial)
	}
	if i.Width < 1 || i.Height < 1 || i.Width > camera.MaxSide || i.Height > camera.MaxSide {
		b.Errorf("a sensor of %dx%d: each side must be 1 to %d", i.Width, i.Height, camera.MaxSide)
	}
	if len(i.BitDepths) == 0 || slices.Min(i.BitDepths) < 8 || slices.Max(i.BitDepths) > 16 {
		b.Errorf("bit depths %v: at least one is needed, all 8 to 16", i.BitDepths)
	}
	if i.Buffers < 1 {
		b.Errorf("%d buffers: at least one is needed", i.Buffers)
	}
	if i.MinExposure <= 0 || i.MaxExposure < i.MinExposure {
		b.Errorf("exposures %v to %v make no range", i.MinExposure, i.MaxExposure)
	}
	if i.Latency < 0 {
		b.Errorf("a latency of %v is negative", i.Latency)
	}
	b.usable()
	if again := b.device.Info(); !reflect.DeepEqual(again, i) {
		b.Errorf("Info changed from %+v to %+v", i, again)
	}
}

// regions are some that lie on the sensor, the whole of it last.
func (b *bench) regions() []camera.ROI {
	w, h := b.info.Width, b.info.Height
	return []camera.ROI{
		{Width: (w + 1) / 2, Height: (h + 1) / 2},
		{U: w / 4, V: h / 4, Width: (w + 3) / 4, Height: (h + 1) / 2},
		{U: w / 2, V: h / 3, Width: w - w/2, Height: h - h/3},
		{Width: w, Height: h},
	}
}

// exposures are the shortest, the longest and one between.
func (b *bench) exposures() []time.Duration {
	least, most := b.info.MinExposure, b.info.MaxExposure
	return []time.Duration{least, time.Duration(math.Sqrt(float64(least) * float64(most))), most}
}

// checkSettings: what the camera answers is within its limits, stays if it is not
// named, and if it is asked for again it is answered again.
func checkSettings(b *bench) {
	sane := func(c camera.Config) {
		b.Helper()
		if c.Exposure == 0 || c.BitDepth == 0 || c.ROI == (camera.ROI{}) {
			b.Errorf("Configure answered %+v, and left something out", c)
		}
		if err := b.info.CheckConfig(c); err != nil {
			b.Errorf("Configure answered %+v, beyond the camera's own limits: %v", c, err)
		}
	}
	now := b.configure(camera.Config{})
	sane(now)
	change := func(c camera.Config) {
		b.Helper()
		got := b.configure(c)
		sane(got)
		kept := got
		if c.Exposure != 0 {
			kept.Exposure = now.Exposure
		}
		if c.ROI != (camera.ROI{}) {
			kept.ROI = now.ROI
		}
		if c.BitDepth != 0 {
			kept.BitDepth = now.BitDepth
			if got.BitDepth != c.BitDepth {
				b.Errorf("asked for %d bits, the camera took %d", c.BitDepth, got.BitDepth)
			}
		}
		if kept != now {
			b.Errorf("with %+v, Configure changed more than it was asked, from %+v to %+v", c, now, got)
		}
		if again := b.configure(got); again != got {
			b.Errorf("the camera took %+v and, asked for that, %+v", got, again)
		}
		if again := b.configure(camera.Config{}); again != got {
			b.Errorf("asked for nothing, the camera changed %+v to %+v", got, again)
		}
		now = got
	}
	var before time.Duration
	for _, exposure := range b.exposures() {
		change(camera.Config{Exposure: exposure})
		if now.Exposure < before {
			b.Errorf("a longer exposure of %v became %v, one before %v", exposure, now.Exposure, before)
		}
		before = now.Exposure
	}
	change(camera.Config{Exposure: b.info.MinExposure})
	if b.info.MinExposure < b.info.MaxExposure && now.Exposure >= before {
		b.Errorf("the shortest exposure, %v, is not shorter than the longest, %v", now.Exposure, before)
	}
	change(camera.Config{Exposure: b.exposures()[1]}) // not one that a reset might choose
	for _, depth := range b.info.BitDepths {
		change(camera.Config{BitDepth: depth})
	}
	for _, roi := range b.regions() {
		change(camera.Config{ROI: roi})
	}
	if r := now.ROI; r.Width != b.info.Width || r.Height != b.info.Height {
		b.Errorf("the whole sensor of %dx%d became %v", b.info.Width, b.info.Height, r)
	}
	change(camera.Config{Exposure: b.info.MinExposure, ROI: b.regions()[0], BitDepth: b.info.BitDepths[0]})
}

// checkBadSettings: settings of which one is wrong change nothing, not even by
// those that are right.
func checkBadSettings(b *bench) {
	i := b.info
	before := b.configure(camera.Config{Exposure: i.MinExposure, BitDepth: i.BitDepths[0], ROI: b.regions()[0]})
	for name, c := range map[string]camera.Config{
		"an exposure that is too short":        {Exposure: i.MinExposure - 1, ROI: b.regions()[3]},
		"an exposure that is too long":         {Exposure: i.MaxExposure + 1, ROI: b.regions()[3]},
		"a negative exposure":                  {Exposure: -i.MinExposure},
		"7 bits":                               {BitDepth: 7, Exposure: i.MaxExposure},
		"17 bits":                              {BitDepth: 17, Exposure: i.MaxExposure},
		"a region left of the sensor":          {Exposure: i.MaxExposure, ROI: camera.ROI{U: -1, Width: 1, Height: 1}},
		"a region above the sensor":            {Exposure: i.MaxExposure, ROI: camera.ROI{V: -1, Width: 1, Height: 1}},
		"a region wider than the sensor":       {Exposure: i.MaxExposure, ROI: camera.ROI{Width: i.Width + 1, Height: i.Height}},
		"a region that ends beyond the sensor": {Exposure: i.MaxExposure, ROI: camera.ROI{V: 1, Width: i.Width, Height: i.Height}},
		"a region without width":               {Exposure: i.MaxExposure, ROI: camera.ROI{Height: 1}},
		"a region of negative height":          {Exposure: i.MaxExposure, ROI: camera.ROI{Width: 1, Height: -1}},
		"a region that overflows":              {Exposure: i.MaxExposure, ROI: camera.ROI{U: math.MaxInt, Width: math.MaxInt, Height: 1}},
	} {
		if c.Exposure == i.MinExposure-1 && i.MinExposure == 1 {
			continue // 0 means something else
		}
		_, err := b.device.Configure(b.ctx(), c)
		b.expect("Configure with "+name, err, camera.ErrInput)
		if now := b.configure(camera.Config{}); now != before {
			b.Fatalf("Configure with %s failed and changed %+v to %+v", name, before, now)
		}
	}
	b.usable()
}

// checkRegion takes frames of several regions and depths, larger after smaller.
func checkRegion(b *bench) {
	for _, depth := range b.info.BitDepths {
		for _, roi := range b.regions() {
			b.configure(camera.Config{Exposure: b.info.MinExposure, ROI: roi, BitDepth: depth})
			b.usable()
		}
	}
}
