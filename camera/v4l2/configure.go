package v4l2

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// shape is how frames lie in the driver's buffers, and which part of them is wanted.
type shape struct {
	format        pixelFormat
	width, height int // of what the driver delivers
	stride, size  int // bytes
	cut           camera.ROI
}

// exposure is the control of the exposure; nil: there is none.
type exposure struct {
	control *ControlInfo
	unit    func() time.Duration
}

// findFormats asks which grey formats there are, and takes the best of each depth.
func (d *Device) findFormats() error {
	offered := map[uint32]bool{}
	var all []string
	for i := uint32(0); i < maxControls; i++ {
		f := fmtDesc{Index: i, Type: d.kind}
		if err := call(d.node, reqEnumFmt, &f); notThere(err) {
			break
		} else if err != nil {
			return d.failure("list the formats of", err)
		}
		if f.Flags&fmtCompressed == 0 {
			offered[f.PixelFormat] = true
		}
		all = append(all, name(f.PixelFormat))
	}
	for _, p := range pixelFormats {
		wanted := name(p.code) == d.options.Format || d.options.Format == "" && !p.bayer
		if offered[p.code] && wanted && !slices.Contains(d.info.BitDepths, p.depth) {
			d.formats = append(d.formats, p)
			d.info.BitDepths = append(d.info.BitDepths, p.depth)
		}
	}
	if len(d.formats) == 0 {
		want := "no grey format that is understood (GREY, Y10, Y12, Y14, Y16 and others; Options.Format takes Bayer formats as grey)"
		if d.options.Format != "" {
			want = "not the format " + d.options.Format
		}
		return fmt.Errorf("cannot use camera %s: it has %s, and %s: %w", d.path, strings.Join(all, ", "), want, camera.ErrRefused)
	}
	return nil
}

// findSensor finds out how large the sensor is, and whether the camera crops.
func (d *Device) findSensor() error {
	d.sensor = selection{Type: typeCapture, Target: targetCropDefault}
	if call(d.node, reqGetSelection, &d.sensor) == nil {
		whole := d.sensor
		whole.Target = targetCrop
		if err := call(d.node, reqSetSelection, &whole); err == nil {
			d.crops = true
			d.info.Width, d.info.Height = int(d.sensor.Width), int(d.sensor.Height)
		} else if isGone(err) || err == syscall.EBUSY {
			return d.failure("set the region of", err)
		}
	}
	for i := uint32(0); !d.crops && i < maxControls; i++ {
		s := frmSizeEnum{Index: i, PixelFormat: d.formats[0].code}
		if call(d.node, reqEnumFrameSizes, &s) != nil {
			break
		}
		w, h := int(s.Size[0]), int(s.Size[1])
		if s.Type != sizeDiscrete {
			w, h = int(s.Size[1]), int(s.Size[4])
		}
		if w*h > d.info.Width*d.info.Height {
			d.info.Width, d.info.Height = w, h
		}
	}
	if d.info.Width == 0 { // it has one size
		f, err := d.getFormat()
		if err != nil {
			return d.failure("read the format of", err)
		}
		d.info.Width, d.info.Height = f.width, f.height
	}
	if w, h := d.info.Width, d.info.Height; w < 1 || h < 1 || w > camera.MaxSide || h > camera.MaxSide {
		return fmt.Errorf("cannot use camera %s: it claims a sensor of %dx%d: %w", d.path, w, h, camera.ErrProtocol)
	}
	return nil
}

// answer is what a driver says of its format.
type answer struct {
	pixel, field                uint32
	width, height, stride, size int
}

func (d *Device) getFormat() (answer, error) {
	if d.kind == typeCaptureMPlane {
		f := formatMPlane{Type: d.kind}
		err := call(d.node, reqGetFmt, &f)
		return f.answer(), err
	}
	f := format{Type: d.kind}
	err := call(d.node, reqGetFmt, &f)
	return f.answer(), err
}

func (d *Device) setFormat(pixel uint32, width, height int) (answer, error) {
	if d.kind == typeCaptureMPlane {
		f := formatMPlane{Type: d.kind, Pix: pixFormatMPlane{
			Width: uint32(width), Height: uint32(height), PixelFormat: pixel, Field: fieldNone, Colorspace: colorspaceRaw, NumPlanes: 1}}
		err := call(d.node, reqSetFmt, &f)
		if err == nil && f.Pix.NumPlanes != 1 {
			err = fmt.Errorf("%d planes for grey pixels: %w", f.Pix.NumPlanes, camera.ErrProtocol)
		}
		return f.answer(), err
	}
	f := format{Type: d.kind, Pix: pixFormat{
		Width: uint32(width), Height: uint32(height), PixelFormat: pixel, Field: fieldNone, Colorspace: colorspaceRaw}}
	err := call(d.node, reqSetFmt, &f)
	return f.answer(), err
}

func (f *format) answer() answer {
	p := &f.Pix
	return answer{p.PixelFormat, p.Field, int(p.Width), int(p.Height), int(p.BytesPerLine), int(p.SizeImage)}
}

func (f *formatMPlane) answer() answer {
	p := &f.Pix
	return answer{p.PixelFormat, p.Field, int(p.Width), int(p.Height), int(p.Planes[0].BytesPerLine), int(p.Planes[0].SizeImage)}
}

// setShape sets region and depth, and puts the region that came of it into c. The buffers must
// be free.
func (d *Device) setShape(c *camera.Config) error {
	i := slices.IndexFunc(d.formats, func(p pixelFormat) bool { return p.depth == c.BitDepth })
	s := shape{format: d.formats[i], width: d.info.Width, height: d.info.Height, cut: c.ROI}
	if d.crops {
		got, err := d.crop(c.ROI)
		if err != nil {
			return err
		}
		s.width, s.height = got.Width, got.Height
	}
	got, err := d.setFormat(s.format.code, s.width, s.height)
	if err != nil {
		return d.failure("set the format of", err)
	}
	if d.crops {
		now, err := d.cropped() // which the format may have changed
		if err != nil {
			return err
		}
		s.width, s.height = now.Width, now.Height
		c.ROI, s.cut = now, camera.ROI{Width: now.Width, Height: now.Height}
	}
	refuse := func(what string, args ...any) error {
		return fmt.Errorf("cannot set the format of camera %s to %s of %dx%d: %s: %w", d.path, name(s.format.code), s.width, s.height, fmt.Sprintf(what, args...), camera.ErrRefused)
	}
	switch {
	case c.ROI.Width < 1 || c.ROI.Height < 1 || c.ROI.U < 0 || c.ROI.V < 0 || c.ROI.U+c.ROI.Width > d.info.Width || c.ROI.V+c.ROI.Height > d.info.Height:
		return fmt.Errorf("cannot set the region of camera %s: it gives %v on a sensor of %dx%d: %w", d.path, c.ROI, d.info.Width, d.info.Height, camera.ErrProtocol)
	case got.pixel != s.format.code:
		return refuse("it gives %s", name(got.pixel))
	case got.width != s.width || got.height != s.height:
		return refuse("it gives %dx%d, and scaled pixels are none", got.width, got.height)
	case got.field != fieldNone && got.field != fieldAny:
		return refuse("it gives interlaced fields (%d)", got.field)
	case got.stride < s.format.size(got.width) || got.size/got.stride < got.height-1 || got.size > math.MaxInt32:
		return fmt.Errorf("cannot set the format of camera %s: it claims rows of %d bytes and frames of %d for %dx%d pixels in %s: %w",
			d.path, got.stride, got.size, got.width, got.height, name(got.pixel), camera.ErrProtocol)
	}
	s.stride, s.size = got.stride, got.size
	d.shape = s
	return nil
}

// crop asks for a region, and for a larger one rather than for a smaller one.
func (d *Device) crop(r camera.ROI) (camera.ROI, error) {
	s := selection{Type: typeCapture, Target: targetCrop, Flags: selectGE,
		Left: d.sensor.Left + int32(r.U), Top: d.sensor.Top + int32(r.V), Width: uint32(r.Width), Height: uint32(r.Height)}
	asked := s
	err := call(d.node, reqSetSelection, &s)
	if err == syscall.ERANGE {
		s = asked
		s.Flags = 0
		err = call(d.node, reqSetSelection, &s)
	}
	if err != nil {
		return r, d.failure(fmt.Sprintf("set the region %v of", r), err)
	}
	return d.region(&s), nil
}

func (d *Device) cropped() (camera.ROI, error) {
	s := selection{Type: typeCapture, Target: targetCrop}
	if err := call(d.node, reqGetSelection, &s); err != nil {
		return camera.ROI{}, d.failure("read the region of", err)
	}
	return d.region(&s), nil
}

func (d *Device) region(s *selection) camera.ROI {
	return camera.ROI{U: int(s.Left - d.sensor.Left), V: int(s.Top - d.sensor.Top), Width: int(s.Width), Height: int(s.Height)}
}

// findExposure finds the control of the exposure and its limits.
func (d *Device) findExposure() error {
	o := d.options
	switch {
	case o.Exposure != "":
		c, err := d.named(o.Exposure)
		if err != nil {
			return err
		}
		d.exposure = exposure{c, func() time.Duration { return o.Unit }}
	case d.byID(cidExposureAbsolute) != nil:
		d.exposure = exposure{d.byID(cidExposureAbsolute), func() time.Duration { return 100 * time.Microsecond }}
	case d.byID(cidExposure) != nil && d.line() > 0:
		d.exposure = exposure{d.byID(cidExposure), d.line}
	default:
		// It is what it is: at most the time of a frame, if the camera tells.
		fixed := time.Second
		p := streamParm{Type: d.kind}
		if call(d.node, reqGetParm, &p) == nil && p.Numerator > 0 && p.Denominator > 0 {
			fixed = max(1, time.Duration(p.Numerator)*time.Second/time.Duration(p.Denominator))
		}
		d.info.MinExposure, d.info.MaxExposure, d.config.Exposure = fixed, fixed, fixed
		return nil
	}
	c, unit := d.exposure.control, d.exposure.unit()
	if err := c.read(d.node); err != nil {
		return d.failure("read the exposure of", err)
	}
	most := min(c.Max, int64(time.Hour/unit))
	least := max(c.Min, 1)
	if most < least {
		return fmt.Errorf("cannot use camera %s: %q goes from %d to %d, which is no exposure: %w", d.path, c.Name, c.Min, c.Max, camera.ErrProtocol)
	}
	d.info.MinExposure, d.info.MaxExposure = time.Duration(least)*unit, time.Duration(most)*unit
	d.config.Exposure = time.Duration(min(max(c.Value, least), most)) * unit
	return nil
}

// line is how long the sensor takes for a row, which is the unit of EXPOSURE; 0: not known
// (kernel documentation, "Image source controls").
func (d *Device) line() time.Duration {
	rate, blank := d.byID(cidPixelRate), d.byID(cidHBlank)
	if rate == nil || blank == nil || rate.read(d.node) != nil || blank.read(d.node) != nil || rate.Value < 1 {
		return 0
	}
	pixels := float64(d.info.Width) + float64(blank.Value)
	return time.Duration(pixels / float64(rate.Value) * float64(time.Second))
}

// expose sets the exposure, with the automatic one off, and returns what the camera took.
func (d *Device) expose(want time.Duration) (time.Duration, error) {
	c := d.exposure.control
	if c == nil {
		return d.config.Exposure, nil
	}
	automatic := &rules[0]
	for i := range d.controls {
		if automatic.fits(&d.controls[i]) {
			if _, err := d.apply(automatic, &d.controls[i], d.options.Fixed); err != nil {
				return 0, err
			}
		}
	}
	unit := d.exposure.unit()
	if unit <= 0 {
		return 0, fmt.Errorf("cannot set the exposure of camera %s: it no longer tells how long a line takes: %w", d.path, camera.ErrProtocol)
	}
	value := int64((want + unit/2) / unit)
	value = c.Min + (value-c.Min)/c.Step*c.Step
	value = min(max(value, c.Min, 1), c.Max)
	if err := d.write(c, value); err != nil {
		return 0, err
	}
	return min(max(time.Duration(c.Value)*unit, d.info.MinExposure), d.info.MaxExposure), nil
}

// Configure implements camera.Device. Exposures are those that the control can express, 100 us
// apart for most cameras. Regions grow to what the camera can crop.
func (d *Device) Configure(ctx context.Context, c camera.Config) (camera.Config, error) {
	var got camera.Config
	err := d.do(ctx, "configure", func() error {
		if err := d.mayConfigure("configure"); err != nil {
			return err
		}
		if err := d.info.CheckConfig(c); err != nil {
			return err
		}
		next := d.config
		if c.ROI != (camera.ROI{}) {
			next.ROI = c.ROI
		}
		if c.BitDepth != 0 {
			next.BitDepth = c.BitDepth
		}
		if c.Exposure != 0 {
			next.Exposure = c.Exposure
		}
		if err := d.setUp(next); err != nil {
			return err
		}
		got = d.config
		return nil
	}, nil)
	return got, err
}

// mayConfigure says whether there is a run, or no camera.
func (d *Device) mayConfigure(what string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.gone:
		return d.unplugged(what)
	case d.run.on:
		return fmt.Errorf("cannot %s camera %s: %w", what, d.path, camera.ErrArmed)
	}
	return nil
}

// setUp makes the camera take frames as next says. If it fails, Arm or the next Configure sets
// up anew what was.
func (d *Device) setUp(next camera.Config) error {
	now, was := d.config, d.applied
	d.applied = false
	if !was || next.ROI != now.ROI || next.BitDepth != now.BitDepth {
		if err := d.free(); err != nil {
			return d.failure("free the buffers of", err)
		}
		if err := d.setShape(&next); err != nil {
			return err
		}
	}
	if !was || next.Exposure != now.Exposure {
		took, err := d.expose(next.Exposure)
		if err != nil {
			return err
		}
		next.Exposure = took
	}
	d.config, d.applied = next, true
	return nil
}
