package genicam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
)

// Options say how a camera is used. The zero value is good for one whose trigger comes in at
// its first line.
type Options struct {
	// Source is the line of the trigger, such as Line2, or Software. "": the one that the camera
	// has now, if it is a line, else its first.
	Source string

	// Falling edges trigger, instead of rising ones.
	Falling bool

	// Packed prefers formats whose pixels share bytes, for links that are slower than the sensor.
	Packed bool
}

// Camera is the features of a camera. Its methods are for one goroutine at a time, but
// Settings. What fails because the link does is the error of the port; what the camera does
// not take is camera.ErrRefused.
type Camera struct {
	m       *genapi.Map
	options Options
	info    camera.Info
	formats map[int]Format // by depth
	config  camera.Config
	format  Format
	pace    time.Duration
	lines   []string // that a trigger can come in at
	unsure  bool     // a setting failed half-way: config may be wrong

	counts bool // a counter counts frames

	armed struct { // for what the camera was prepared last, so that it need not be again
		ready, free bool
	}

	mu       sync.Mutex // guards what follows
	settings []camera.Setting
	input    camera.Trigger // Line "": not known yet
}

// Image is what the pixels of a frame are like on their way.
type Image struct {
	Width, Height int
	Format        Format
	Bytes         int // without what may be at the ends of rows
}

// Open takes a camera into use. What another program left running is stopped, the region of
// interest becomes the whole sensor, exposure is by time and no longer automatic. Info is
// what the driver knows: model, serial, buffers, latency, clock.
func Open(ctx context.Context, m *genapi.Map, info camera.Info, o Options) (*Camera, error) {
	c := &Camera{m: m, options: o, info: info}
	if err := c.open(ctx); err != nil {
		return nil, fmt.Errorf("cannot use camera %s (%s): %w", info.Model, info.Serial, err)
	}
	return c, nil
}

func (c *Camera) open(ctx context.Context) error {
	for _, f := range []func(context.Context) error{c.Stop, c.findFormats, c.findSensor, c.findExposures, c.findPace, c.findTrigger} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	settings, err := c.inspect(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings = settings
	return err
}

// featureError tells what a feature does not do from what the link does not.
func featureError(err error) bool {
	for _, e := range []error{genapi.ErrAbsent, genapi.ErrAccess, genapi.ErrRange, genapi.ErrKind, genapi.ErrDescription, camera.ErrRefused} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refused says that it was the camera that did not take something.
func refused(err error) error {
	if featureError(err) && !errors.Is(err, camera.ErrRefused) {
		return fmt.Errorf("%w: %w", err, camera.ErrRefused)
	}
	return err
}

// first returns the first of the features that the camera has, or "".
func (c *Camera) first(ctx context.Context, names ...string) (string, error) {
	for _, name := range names {
		a, err := c.m.Access(ctx, name)
		if err != nil && !featureError(err) {
			return "", err
		}
		if err == nil && a != genapi.Absent {
			return name, nil
		}
	}
	return "", nil
}

// attempt brings a feature to a value if the camera has it and lets it be written. It says
// whether it is there then.
func (c *Camera) attempt(ctx context.Context, name, value string) (bool, error) {
	a, err := c.m.Access(ctx, name)
	if err == nil && (a == genapi.ReadOnly || a == genapi.ReadWrite) {
		var now string
		if now, err = c.m.Text(ctx, name); err == nil && now == value {
			return true, nil
		}
	}
	if (err == nil || featureError(err)) && (a == genapi.ReadWrite || a == genapi.WriteOnly) {
		if err = c.m.SetText(ctx, name, value); err == nil && a == genapi.ReadWrite {
			var now string
			now, err = c.m.Text(ctx, name)
			return now == value, ignoring(err)
		}
	}
	return false, ignoring(err)
}

// ignoring drops errors that are about a feature.
func ignoring(err error) error {
	if featureError(err) {
		return nil
	}
	return err
}

// findFormats learns which pixel formats there are, and chooses one that is known.
func (c *Camera) findFormats(ctx context.Context) error {
	names, err := c.m.Choices(ctx, "PixelFormat")
	if err != nil {
		return refused(err)
	}
	c.formats = map[int]Format{}
	for f, x := range formats {
		if !slices.Contains(names, x.name) {
			continue
		}
		other, taken := c.formats[x.depth]
		if !taken || c.better(f, other) {
			c.formats[x.depth] = f
		}
	}
	if len(c.formats) == 0 {
		return fmt.Errorf("of its pixel formats none is monochrome and known here: %s: %w", strings.Join(names, ", "), camera.ErrRefused)
	}
	c.info.BitDepths = nil
	for depth := range c.formats {
		c.info.BitDepths = append(c.info.BitDepths, depth)
	}
	slices.Sort(c.info.BitDepths)
	now, err := c.m.Int(ctx, "PixelFormat")
	if err != nil && !featureError(err) {
		return err
	}
	depth := Format(now).BitDepth()
	if err != nil || c.formats[depth] == 0 {
		depth = c.info.BitDepths[0]
	}
	return c.setDepth(ctx, depth)
}

// better says which of two formats of a depth is preferred: a fast link has pixels as hosts
// want them, and between two that are packed the newer one is chosen.
func (c *Camera) better(f, g Format) bool {
	if f.Packed() != g.Packed() {
		return f.Packed() == c.options.Packed
	}
	return f.bits() < g.bits() || f.bits() == g.bits() && f > g
}

func (c *Camera) setDepth(ctx context.Context, depth int) error {
	f := c.formats[depth]
	if ok, err := c.attempt(ctx, "PixelFormat", f.String()); err != nil || !ok {
		return cmp.Or(err, fmt.Errorf("it does not take the pixel format %v: %w", f, camera.ErrRefused))
	}
	c.format, c.config.BitDepth = f, depth
	return nil
}

// findSensor opens the region of interest as wide as it goes.
func (c *Camera) findSensor(ctx context.Context) error {
	err := c.setRegion(ctx, camera.ROI{Width: camera.MaxSide, Height: camera.MaxSide})
	r := c.config.ROI
	c.info.Width, c.info.Height = r.U+r.Width, r.V+r.Height
	return err
}

func (c *Camera) setRegion(ctx context.Context, r camera.ROI) (err error) {
	if r.U, r.Width, err = c.side(ctx, "Width", "OffsetX", r.U, r.Width); err == nil {
		r.V, r.Height, err = c.side(ctx, "Height", "OffsetY", r.V, r.Height)
	}
	if err == nil {
		c.config.ROI = r
	}
	return err
}

// side sets one side of the region of interest to what begins at start, or before, and has
// the size, or more, in the camera's increments. It returns what the camera took.
func (c *Camera) side(ctx context.Context, sizeName, offsetName string, start, size int) (int, int, error) {
	offsetInc := 1
	a, err := c.m.Access(ctx, offsetName)
	if err != nil {
		return 0, 0, refused(err)
	}
	if a == genapi.ReadWrite { // sizes have room only where nothing is before them
		l, err := c.m.Limits(ctx, offsetName)
		if err == nil {
			offsetInc = int(l.Inc)
			err = c.m.SetInt(ctx, offsetName, int64(l.Min))
		}
		if err != nil {
			return 0, 0, refused(err)
		}
	}
	l, err := c.m.Limits(ctx, sizeName)
	if err != nil {
		return 0, 0, refused(err)
	}
	if l.Min < 1 || l.Max < l.Min || l.Max > camera.MaxSide || l.Inc < 1 || offsetInc < 1 {
		return 0, 0, fmt.Errorf("%s is %v to %v in steps of %d: that makes no sense: %w", sizeName, l.Min, l.Max, l.Inc, camera.ErrProtocol)
	}
	least, most, inc := int(l.Min), int(l.Min)+(int(l.Max)-int(l.Min))/int(l.Inc)*int(l.Inc), int(l.Inc)
	start, size = round(start, size, offsetInc, least, most, inc)
	if a != genapi.ReadWrite {
		start, size = 0, min(most, least+max(0, start+size-least+inc-1)/inc*inc)
	}
	// A camera whose width cannot be set has one all the same.
	if a, err := c.m.Access(ctx, sizeName); err != nil || a == genapi.ReadWrite {
		if err = cmp.Or(err, c.m.SetInt(ctx, sizeName, int64(size))); err != nil {
			return 0, 0, refused(err)
		}
	}
	if start > 0 {
		if err := c.m.SetInt(ctx, offsetName, int64(start)); err != nil {
			return 0, 0, refused(err)
		}
	}
	return c.readSide(ctx, sizeName, offsetName)
}

// round makes a range larger until it fits the increments, 0 <= start and start+size <= most.
func round(start, size, startInc, least, most, inc int) (int, int) {
	size = min(size, most)
	end := min(start+size, most)
	start = start / startInc * startInc
	for {
		size = least + max(0, end-start-least+inc-1)/inc*inc
		if start+size <= most || start == 0 {
			return start, min(size, most)
		}
		start = max(0, (most-size)/startInc*startInc)
	}
}

func (c *Camera) readSide(ctx context.Context, sizeName, offsetName string) (start, size int, err error) {
	n, err := c.m.Int(ctx, sizeName)
	if err == nil && (n < 1 || n > camera.MaxSide) {
		err = fmt.Errorf("%s is %d: that makes no sense: %w", sizeName, n, camera.ErrProtocol)
	}
	if err != nil {
		return 0, 0, refused(err)
	}
	offset, err := c.m.Int(ctx, offsetName)
	if err != nil && !featureError(err) {
		return 0, 0, err
	}
	if offset < 0 || offset > camera.MaxSide {
		return 0, 0, fmt.Errorf("%s is %d: that makes no sense: %w", offsetName, offset, camera.ErrProtocol)
	}
	return int(offset), int(n), nil
}

// findExposures learns how long the camera can expose. What would keep the exposure from
// being set, or short, is switched off before.
func (c *Camera) findExposures(ctx context.Context) error {
	for _, x := range [][2]string{{"AcquisitionFrameRateEnable", "false"}, {"ExposureAuto", "Off"}, {"ExposureMode", "Timed"}} {
		if _, err := c.attempt(ctx, x[0], x[1]); err != nil {
			return err
		}
	}
	name, err := c.exposureName(ctx)
	if err != nil {
		return err
	}
	l, err := c.m.Limits(ctx, name)
	if err != nil {
		return refused(err)
	}
	const longest = 1e9 // microseconds
	least, most := math.Ceil(l.Min*1000), math.Floor(min(l.Max, longest)*1000)
	if !(most >= 1) || least > most {
		return fmt.Errorf("%s is %v to %v us: that makes no sense: %w", name, l.Min, l.Max, camera.ErrProtocol)
	}
	c.info.MinExposure, c.info.MaxExposure = time.Duration(max(1, least)), time.Duration(most)
	return c.readExposure(ctx)
}

func (c *Camera) exposureName(ctx context.Context) (string, error) {
	name, err := c.first(ctx, "ExposureTime", "ExposureTimeAbs")
	if err == nil && name == "" {
		err = fmt.Errorf("it has no ExposureTime: %w", camera.ErrRefused)
	}
	return name, err
}

func (c *Camera) readExposure(ctx context.Context) error {
	name, err := c.exposureName(ctx)
	if err != nil {
		return err
	}
	us, err := c.m.Float(ctx, name)
	if err != nil {
		return refused(err)
	}
	d := time.Duration(math.Round(us * 1000))
	c.config.Exposure = min(max(d, c.info.MinExposure), c.info.MaxExposure) // a camera may round beyond its own limits
	return nil
}

// Info describes the camera.
func (c *Camera) Info() camera.Info { return c.info }

// Image describes the frames of the next run.
func (c *Camera) Image() Image {
	r := c.config.ROI
	return Image{r.Width, r.Height, c.format, c.format.Size(r.Width * r.Height)}
}

// Configure is that of camera.Device; the driver sees to it that the camera is not armed.
// Regions of interest grow to the camera's increments.
func (c *Camera) Configure(ctx context.Context, want camera.Config) (camera.Config, error) {
	if err := c.info.CheckConfig(want); err != nil {
		return camera.Config{}, err
	}
	if want == (camera.Config{}) && !c.unsure {
		return c.config, nil
	}
	if err := c.change(ctx, want); err != nil {
		return camera.Config{}, fmt.Errorf("cannot configure %s (%s): %w", c.info.Model, c.info.Serial, err)
	}
	return c.config, nil
}

// change sets what is wanted. If that fails half-way, how the camera stands is asked before
// it is used again.
func (c *Camera) change(ctx context.Context, want camera.Config) error {
	c.armed.ready = false
	if c.unsure {
		if err := c.refresh(ctx); err != nil {
			return err
		}
	}
	c.unsure = true
	if err := c.set(ctx, want); err != nil {
		return err
	}
	c.unsure = false
	return nil
}

// refresh reads all settings.
func (c *Camera) refresh(ctx context.Context) error {
	code, err := c.m.Int(ctx, "PixelFormat")
	if err != nil {
		return refused(err)
	}
	f := Format(code)
	if f.BitDepth() == 0 {
		return fmt.Errorf("it has changed to the %v: %w", f, camera.ErrRefused)
	}
	r := camera.ROI{}
	if r.U, r.Width, err = c.readSide(ctx, "Width", "OffsetX"); err != nil {
		return err
	}
	if r.V, r.Height, err = c.readSide(ctx, "Height", "OffsetY"); err != nil {
		return err
	}
	c.format, c.config.BitDepth, c.config.ROI = f, f.BitDepth(), r
	return c.readExposure(ctx)
}

func (c *Camera) set(ctx context.Context, want camera.Config) error {
	if want.BitDepth != 0 {
		if err := c.setDepth(ctx, want.BitDepth); err != nil {
			return err
		}
	}
	if want.ROI != (camera.ROI{}) {
		if err := c.setRegion(ctx, want.ROI); err != nil {
			return err
		}
	}
	if want.Exposure != 0 {
		name, err := c.exposureName(ctx)
		if err != nil {
			return err
		}
		if err := c.m.SetFloat(ctx, name, float64(want.Exposure)/1000); err != nil {
			return refused(err)
		}
	}
	return c.readExposure(ctx) // other settings may have changed it, too
}

// Start lets frames come. The stream is open.
func (c *Camera) Start(ctx context.Context) error {
	if err := c.lock(ctx, 1); err != nil {
		return err
	}
	return refused(c.m.Execute(ctx, "AcquisitionStart"))
}

// Stop ends what Start began. It does no harm if nothing runs.
func (c *Camera) Stop(ctx context.Context) error {
	return errors.Join(ignoring(c.m.Execute(ctx, "AcquisitionStop")), c.lock(ctx, 0))
}

// lock tells the camera that the stream's parameters will not, or may, change.
func (c *Camera) lock(ctx context.Context, locked int64) error {
	a, err := c.m.Access(ctx, "TLParamsLocked")
	if err == nil && a == genapi.ReadWrite {
		err = c.m.SetInt(ctx, "TLParamsLocked", locked)
	}
	return ignoring(err)
}
