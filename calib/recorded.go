package calib

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
)

// Recorded says what recorded frames told about themselves. A calibration that has
// it was learnt without a rig: it knows where the field is in a frame and nothing of
// mirrors, exposure and scale. It demodulates, and drives nothing (OnRig).
type Recorded struct {
	Frames      int     `json:"frames"`
	Independent float64 `json:"independent"`     // as many independent patterns would leave the spectrum as rough
	Mean        float64 `json:"mean"`            // counts
	Saturated   float64 `json:"saturated"`       // share of the pixels at the largest value that occurs
	Noise       float64 `json:"noise"`           // variance of a pixel, counts squared: the spectrum's floor
	PredictedDB float64 `json:"predicted_db"`    // linear part of the outputs over noise and |S|^2, one frame
	Repeated    int     `json:"repeated_frames"` // equal to the frame before, to the last bit
}

// NotJudged lists what frames alone cannot tell, in words for people.
var NotJudged = []string{
	"exposure: whether more or less light would be better",
	"black level: it is in the mean and cannot be told from light",
	"linearity of the camera, apart from pixels at the end of its range",
	"repeatability: no pattern is known to have been shown twice",
	"drift of the reference's phase and of the laser's power",
	"scale: which field makes how many counts",
	"the matrix: which mirrors made which frame, dead inputs, unequal columns",
	"order: whether frame k belongs to pattern k",
}

// Limits of a recording that can be trusted.
const (
	minRecorded    = 16 // frames; with them the carrier is within 0.4 DFT bins (reference, section 6a)
	minIndependent = 8
)

// Refused is the error about frames that cannot be trusted. Each reason says what is
// wrong with them and what to turn.
type Refused struct{ Reasons []error }

func (r *Refused) Error() string {
	return fmt.Sprintf("cannot trust the recorded frames: %v", errors.Join(r.Reasons...))
}

// Unwrap gives the reasons, for errors.Is.
func (r *Refused) Unwrap() []error { return r.Reasons }

// Recording learns from recorded frames of different patterns, whoever took them. It
// takes one frame at a time and keeps sums only, so that its memory does not grow
// with the frames. It must not be used concurrently.
type Recording struct {
	width, height, bytes int // of a frame, and of a pixel
	spectrum             *holo.Spectrum
	histogram            []uint64 // of all counts
	before               []byte   // pixels of the frame before
	repeated             int
}

// NewRecording returns an empty recording of frames of the given size: 32 to 2^15
// pixels on each side, of one byte each if bitDepth is 8 and of two otherwise.
func NewRecording(width, height, bitDepth int) (*Recording, error) {
	if width < 32 || height < 32 {
		return nil, fmt.Errorf("cannot learn from frames of %dx%d pixels: each side must be at least 32: %w", width, height, holo.ErrImage)
	}
	spectrum, err := holo.NewSpectrum(width, height)
	if err != nil {
		return nil, err
	}
	r := &Recording{width: width, height: height, bytes: 1, spectrum: spectrum, histogram: make([]uint64, 1<<8)}
	if bitDepth > 8 {
		r.bytes, r.histogram = 2, make([]uint64, 1<<16)
	}
	return r, nil
}

// Add takes one more frame. Its BitDepth only says how large its pixels are.
func (r *Recording) Add(img holo.Image) error {
	if bytes := 1 + (img.BitDepth-1)/8; bytes != r.bytes {
		return fmt.Errorf("cannot add a frame of %d bits to a recording of %d bytes a pixel: %w", img.BitDepth, r.bytes, holo.ErrImage)
	}
	if err := r.spectrum.Add(img); err != nil {
		return err
	}
	same := r.before != nil
	if !same {
		r.before = make([]byte, r.height*r.width*r.bytes)
	}
	for v := range r.height {
		row := img.Pix[v*img.Stride:][:r.width*r.bytes]
		last := r.before[v*len(row):][:len(row)]
		same = same && string(row) == string(last)
		copy(last, row)
		for u := 0; u < len(row); u += r.bytes {
			if r.bytes == 1 {
				r.histogram[row[u]]++
			} else {
				r.histogram[binary.LittleEndian.Uint16(row[u:])]++
			}
		}
	}
	if same {
		r.repeated++
	}
	return nil
}

// Frames is the number of frames added.
func (r *Recording) Frames() int { return r.spectrum.Frames() }

// Power is the mean spectrum so far (holo.Spectrum).
func (r *Recording) Power() []float64 { return r.spectrum.Power() }

// View shows the last frame and the mean spectrum so far, or is nil before the first
// frame.
func (r *Recording) View() *View {
	if r.before == nil {
		return nil
	}
	stride := r.width * r.bytes
	v := newView(holo.Image{Pix: r.before, Width: r.width, Height: r.height, Stride: stride, BitDepth: 8 * r.bytes})
	v.Power = r.spectrum.Power()
	return v
}

// RecordedOptions are choices that frames cannot make. The zero value means the
// usual.
type RecordedOptions struct {
	BitDepth     int // of the camera; 0: the fewest bits, of 9 to 16, that hold all counts
	Outputs      int // complex; 0: as many as a frame gives
	Taps, Stride int // of the kernel, in pixels; 0: 8 and 4
}

// Learn makes a calibration of the frames so far. If they cannot be trusted, the
// error is *Refused, and the calibration holds what was found, for people to look at.
//
// The design of the kernel takes the noise from the floor of the spectrum, and rho
// from the power of the sideband over that of |S|^2 around zero. That ratio is rho
// times the fringes' visibility squared if the frames' speckles are independent; with
// random half-on patterns, which have a part in common, it is two thirds of that. The
// kernel hardly depends on it.
func (r *Recording) Learn(o RecordedOptions) (*Calibration, error) {
	mean, largest, saturated := r.levels()
	depth := o.BitDepth
	if depth == 0 {
		depth = max(bits.Len(uint(largest)), 1+8*(r.bytes-1), 8)
	}
	switch {
	case r.bytes == 1 && depth != 8 || r.bytes == 2 && (depth < 9 || depth > 16):
		return nil, fmt.Errorf("cannot take frames of %d bytes a pixel for frames of %d bits: one byte holds 8, two hold 9 to 16: %w", r.bytes, depth, holo.ErrImage)
	case largest >= 1<<depth:
		return nil, fmt.Errorf("cannot take the frames for %d bits: a pixel has %d counts: %w", depth, largest, holo.ErrImage)
	}
	if o.Taps == 0 {
		o.Taps = 8
	}
	if o.Stride == 0 {
		o.Stride = 4
	}
	most := holo.MaxOutputs(holo.Kernel{Taps: o.Taps, Stride: o.Stride}, r.width, r.height)
	if o.Outputs == 0 {
		o.Outputs = most
	}
	if o.Outputs < 1 || o.Outputs > most {
		return nil, fmt.Errorf("cannot make %d outputs: frames of %dx%d pixels with one every %d pixels give 1 to %d: %w",
			o.Outputs, r.width, r.height, o.Stride, most, holo.ErrOutputs)
	}

	rec := &Recorded{Frames: r.Frames(), Mean: mean, Saturated: saturated, Repeated: r.repeated}
	cal := &Calibration{
		Created:  time.Now().UTC().Truncate(time.Second),
		Camera:   Device{Model: "recorded frames"},
		Settings: Settings{BitDepth: depth, ROI: camera.ROI{Width: r.width, Height: r.height}},
		Outputs:  o.Outputs, Recorded: rec,
	}
	var reasons []error
	refuse := func(format string, args ...any) { reasons = append(reasons, fmt.Errorf(format, args...)) }
	frozen := rec.Repeated >= rec.Frames-1
	switch n := rec.Frames - rec.Repeated; {
	case frozen:
		refuse("the %d frames are equal to the last bit; record frames of different patterns", rec.Frames)
	case n < minRecorded:
		refuse("%d of the %d frames differ from the one before; at least %d are needed, each of another pattern, and 64 are better",
			n, rec.Frames, minRecorded)
	}
	if saturated > maxSaturated {
		refuse("%.2g %% of the pixels are at the largest value that occurs (%d), at most %.2g %% may be; "+
			"shorten the exposure or attenuate both beams", 100*saturated, largest, 100*maxSaturated)
	}
	power := r.Power()
	plane := &plane{power: power, width: r.width, height: r.height}
	band, quality, err := FindCarrier(power, r.width, r.height)
	cal.Carrier = Carrier{Fu: band.Fu, Fv: band.Fv, Radius: band.R, SidebandDB: quality.PowerDB}
	switch {
	case err == nil || frozen:
	case plane.white():
		refuse("the frames differ by no more than their noise; show another pattern for each, and check that the signal beam is open: %w", ErrNoCarrier)
	default:
		refuse("%w", err)
	}
	if !frozen && quality.PowerDB >= minSideband {
		l := plane.light(band)
		rec.Noise, cal.Quality.Rho = l.noise, l.rho
		if rec.Independent = math.Min(l.independent, float64(rec.Frames)); rec.Independent < minIndependent {
			refuse("the %d frames tell as much as %.1f independent patterns, at least %d are needed; "+
				"show more different ones, random and fine", rec.Frames, rec.Independent, minIndependent)
		}
		if err == nil {
			if err := cal.makeKernel(l.design(band), o); err != nil {
				return nil, err
			}
		}
	}
	if len(reasons) > 0 {
		return cal, &Refused{reasons}
	}
	return cal, cal.Check()
}

// makeKernel designs the kernel and predicts what it will do.
func (c *Calibration) makeKernel(d holo.Design, o RecordedOptions) error {
	d.Taps, d.Stride = o.Taps, o.Stride
	kernel, err := holo.DesignKernel(d)
	if err != nil {
		return err
	}
	prediction, err := d.Predict(kernel)
	if err != nil {
		return err
	}
	c.Kernel = Kernel{Taps: kernel.Taps, Stride: kernel.Stride, Re: kernel.Re, Im: kernel.Im}
	c.Recorded.PredictedDB = prediction.LinearDB
	return nil
}

// levels are the mean of all pixels, their largest value, and the share that has it.
// Only where the camera ends do many pixels have the largest value, whatever the depth.
func (r *Recording) levels() (mean float64, largest int, saturated float64) {
	var sum, n float64
	for x, count := range r.histogram {
		if count > 0 {
			largest = x
		}
		sum += float64(x) * float64(count)
		n += float64(count)
	}
	n = math.Max(1, n)
	return sum / n, largest, float64(r.histogram[largest]) / n
}

// checkRecorded is Check for a calibration without a rig.
func (c *Calibration) checkRecorded(fail func(string, ...any) error) error {
	r := c.Recorded
	for name, x := range map[string]float64{
		"number of independent frames": r.Independent, "mean": r.Mean, "saturated share": r.Saturated, "noise": r.Noise,
		"prediction": r.PredictedDB, "rho": c.Quality.Rho, "sideband power": c.Carrier.SidebandDB,
	} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fail("the %s is %g", name, x)
		}
	}
	if r.Frames < 1 || c.Settings.BitDepth < 8 || c.Settings.BitDepth > 16 {
		return fail("%d frames of %d bits were recorded", r.Frames, c.Settings.BitDepth)
	}
	if c.Layout.Features != 0 || len(c.Probe.Field) != 0 || c.Scale != 0 {
		return fail("recorded frames tell nothing of features, a probe and a scale, and it has some")
	}
	if _, err := c.Demodulator(c.Outputs); err != nil {
		return fail("%v", err)
	}
	return nil
}

// OnRig says whether a rig can run with the calibration: not if it was learnt from
// recorded frames. The error wraps ErrFile.
func (c *Calibration) OnRig() error {
	if c.Recorded == nil {
		return nil
	}
	return fmt.Errorf("cannot run a rig with a calibration of recorded frames: it knows no mirrors, no exposure and no scale; "+
		"calibrate on the rig: %w", ErrFile)
}
