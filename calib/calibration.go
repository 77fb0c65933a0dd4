package calib

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// Calibration is what was learnt about a rig, and how good it is. It is saved as
// JSON (Save, Load); the tags are its format. Frequencies are in cycles per pixel,
// levels in counts of the camera.
type Calibration struct {
	// Where it comes from.
	Created  time.Time `json:"created"`
	SLM      Device    `json:"slm"`
	Camera   Device    `json:"camera"`
	Settings Settings  `json:"settings"`

	// What defines the matrix.
	Layout  Layout  `json:"layout"`
	Carrier Carrier `json:"carrier"`
	Kernel  Kernel  `json:"kernel"`
	Outputs int     `json:"outputs"` // complex; the first of the kernel's grid on the region of interest
	Scale   float64 `json:"scale"`   // demodulated counts of an entry of B with modulus 1
	Probe   Probe   `json:"probe"`

	Witness *Witness `json:"witness,omitempty"` // by which frames prove themselves

	// How good it is.
	Levels  Levels  `json:"levels"`
	Quality Quality `json:"quality"`

	// Notes say what was corrected on the way. They are no part of the epoch, nor is
	// Examined: what an examination found before the calibration was saved.
	Notes    []string `json:"notes,omitempty"`
	Examined *Figures `json:"examined,omitempty"`

	// Recorded is there if it was learnt from recorded frames, without a rig: what
	// belongs to mirrors, exposure and scale is zero then.
	Recorded *Recorded `json:"recorded,omitempty"`
}

// Device names a device that the calibration belongs to.
type Device struct {
	Model  string `json:"model"`
	Serial string `json:"serial"`
}

// Settings are those the frames were taken with.
type Settings struct {
	Period   time.Duration `json:"period_ns"`
	Exposure time.Duration `json:"exposure_ns"`
	BitDepth int           `json:"bit_depth"`
	ROI      camera.ROI    `json:"roi"`
}

// Layout is the map from features to mirrors.
type Layout struct {
	Kind     string       `json:"kind"`
	Features int          `json:"features"`
	Chip     slm.Geometry `json:"chip"`
	Area     int          `json:"mirrors_per_feature"`
	Seed     uint64       `json:"seed"`
	Mask     []byte       `json:"mask,omitempty"` // lit mirrors, one bit each, row by row; absent: the whole chip
}

// Carrier is where the sideband lies.
type Carrier struct {
	Fu         float64 `json:"fu"`
	Fv         float64 `json:"fv"`
	Radius     float64 `json:"radius"`
	SidebandDB float64 `json:"sideband_db"` // power density of the sideband over that of the floor
}

// Band is the carrier as the demodulators take it.
func (c Carrier) Band() holo.Band { return holo.Band{Fu: c.Fu, Fv: c.Fv, R: c.Radius} }

// Kernel is the demodulator's (holo.Kernel).
type Kernel struct {
	Taps   int    `json:"taps"`
	Stride int    `json:"stride"`
	Re     []int8 `json:"re"` // taps x taps, row-major
	Im     []int8 `json:"im"`
}

// Probe is a pattern and the field it made when the rig was calibrated.
type Probe struct {
	Seed  uint64 `json:"seed"`
	Field Field  `json:"field"` // demodulated counts at the first outputs of the grid

	// Likeness is the correlation of one exposure's field with Field that noise alone
	// leaves, over 0 and at most 1.
	Likeness float64 `json:"likeness"`
}

// Levels are means of frames, in counts.
type Levels struct {
	Black     float64 `json:"black"`     // no light
	Off       float64 `json:"off"`       // all mirrors off: the reference beam
	Half      float64 `json:"half"`      // half of the mirrors on
	Saturated float64 `json:"saturated"` // share of saturated pixels with all mirrors on
}

// Quality says how good the calibration is.
type Quality struct {
	SNR           float64 `json:"snr_db"`           // of a half-on pattern of the layout, one exposure
	Linearity     float64 `json:"linearity_db"`     // y(a) + y(b) against y(a or b), noise included
	Repeatability float64 `json:"repeatability_db"` // the probe shown twice
	OneHot        float64 `json:"one_hot_snr_db"`   // of a pattern of one feature
	Rho           float64 `json:"rho"`              // power of the reference over that of half-on speckle
	Visibility    float64 `json:"visibility"`       // of the fringes, 0 to 1, the pixels' own blur aside; about
}

// Epoch names the matrix: equal calibrations of one rig have equal epochs, and
// whatever may change B changes it. It says nothing about when it was learnt.
func (c *Calibration) Epoch() string {
	id := *c
	id.Created, id.Notes, id.Examined = time.Time{}, nil, nil
	text, err := json.Marshal(&id)
	if err != nil { // only a NaN can do that, and check refuses those
		panic(err)
	}
	sum := sha256.Sum256(text)
	return "b-" + hex.EncodeToString(sum[:8])
}

// LayoutSpec is the layout as slm.NewLayout takes it.
func (c *Calibration) LayoutSpec() (slm.LayoutSpec, error) {
	kind, err := slm.ParseKind(c.Layout.Kind)
	if err != nil {
		return slm.LayoutSpec{}, err
	}
	spec := slm.LayoutSpec{Kind: kind, Features: c.Layout.Features, Chip: c.Layout.Chip, Area: c.Layout.Area, Seed: c.Layout.Seed}
	if c.Layout.Mask != nil {
		spec.Mask, err = unpackMask(c.Layout.Chip, c.Layout.Mask)
	}
	return spec, err
}

func layoutOf(l *slm.Layout) Layout {
	spec := l.Spec()
	out := Layout{Kind: spec.Kind.String(), Features: spec.Features, Chip: spec.Chip, Area: l.Area(), Seed: spec.Seed}
	if spec.Mask != nil {
		out.Mask = packMask(spec.Mask)
	}
	return out
}

// packMask packs a mask into bytes, mirror i = v*width + u in bit i%8 of byte i/8.
func packMask(p *slm.Pattern) []byte {
	g := p.Geometry()
	packed := make([]byte, (g.Mirrors()+7)/8)
	for i := range g.Mirrors() {
		if p.On(i%g.Width, i/g.Width) {
			packed[i/8] |= 1 << (i % 8)
		}
	}
	return packed
}

func unpackMask(g slm.Geometry, packed []byte) (*slm.Pattern, error) {
	if len(packed) != (g.Mirrors()+7)/8 {
		return nil, fmt.Errorf("cannot use a mask of %d bytes for a chip of %v mirrors: %d are needed", len(packed), g, (g.Mirrors()+7)/8)
	}
	p := slm.NewPattern(g)
	for i := range g.Mirrors() {
		p.Set(i%g.Width, i/g.Width, packed[i/8]>>(i%8)&1 != 0)
	}
	return p, nil
}

// Demodulator makes the demodulator for the first outputs of the calibrated grid.
func (c *Calibration) Demodulator(outputs int) (*holo.Direct, error) {
	k := holo.Kernel{Taps: c.Kernel.Taps, Stride: c.Kernel.Stride, Re: c.Kernel.Re, Im: c.Kernel.Im}
	return holo.NewDirect(k, c.Settings.ROI.Width, c.Settings.ROI.Height, outputs)
}

// maxOutputs is how many outputs the calibrated grid has.
func (c *Calibration) maxOutputs() int {
	return holo.MaxOutputs(holo.Kernel{Taps: c.Kernel.Taps, Stride: c.Kernel.Stride}, c.Settings.ROI.Width, c.Settings.ROI.Height)
}

// apply sets a rig up as it was calibrated, if the calibration is for such a one.
func (c *Calibration) apply(ctx context.Context, r *rig.Rig) error {
	if err := c.OnRig(); err != nil {
		return err
	}
	if r.SLM().Geometry != c.Layout.Chip {
		return fmt.Errorf("cannot look at the rig with this calibration: it is for a chip of %v mirrors, the rig has %v: %w", c.Layout.Chip, r.SLM().Geometry, ErrFile)
	}
	s := c.Settings
	_, err := r.Configure(ctx, camera.Config{Exposure: s.Exposure, ROI: s.ROI, BitDepth: s.BitDepth})
	return err
}

// ProbePattern is the pattern of the probe.
func (c *Calibration) ProbePattern() *slm.Pattern { return FinePattern(c.Layout.Chip, c.Probe.Seed) }

// Check says whether the fields make sense together. Load calls it; a calibration
// that passes can be used without further checks.
func (c *Calibration) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot use the calibration: %s: %w", fmt.Sprintf(format, args...), ErrFile)
	}
	if c.Recorded != nil {
		return c.checkRecorded(fail)
	}
	for name, x := range map[string]float64{
		"scale": c.Scale, "black level": c.Levels.Black, "off level": c.Levels.Off, "half-on level": c.Levels.Half,
		"saturated share": c.Levels.Saturated, "SNR": c.Quality.SNR, "linearity": c.Quality.Linearity,
		"repeatability": c.Quality.Repeatability, "one-hot SNR": c.Quality.OneHot, "rho": c.Quality.Rho, "visibility": c.Quality.Visibility, "sideband power": c.Carrier.SidebandDB,
	} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fail("the %s is %g", name, x)
		}
	}
	if !(c.Scale > 0) {
		return fail("the scale %g is not positive", c.Scale)
	}
	if err := c.Layout.Chip.Check(); err != nil {
		return fail("%v", err)
	}
	if n := c.Layout.Features; n < 1 || n > c.Layout.Chip.Mirrors() {
		return fail("%d features on a chip of %v", n, c.Layout.Chip)
	}
	if _, err := c.LayoutSpec(); err != nil {
		return fail("%v", err)
	}
	s := c.Settings
	if s.Period <= 0 || s.Exposure <= 0 || s.Exposure > s.Period || s.BitDepth < 8 || s.BitDepth > 16 {
		return fail("exposure %v in a period of %v at %d bits", s.Exposure, s.Period, s.BitDepth)
	}
	if r := s.ROI; r.U < 0 || r.V < 0 || r.Width < 1 || r.Height < 1 || r.Width > camera.MaxSide || r.Height > camera.MaxSide {
		return fail("region of interest %v", r)
	}
	if _, err := c.Demodulator(c.Outputs); err != nil {
		return fail("%v", err)
	}
	if len(c.Probe.Field) == 0 {
		return fail("the probe has no field")
	}
	if !(c.Probe.Likeness > 0 && c.Probe.Likeness <= 1) {
		return fail("the probe's likeness %g is not above 0 and at most 1", c.Probe.Likeness)
	}
	if _, err := c.Demodulator(len(c.Probe.Field)); err != nil {
		return fail("the probe has %d outputs: %v", len(c.Probe.Field), err)
	}
	if c.Witness != nil {
		if err := c.Witness.check(c); err != nil {
			return fail("%v", err)
		}
	}
	power := 0.0
	for i, z := range c.Probe.Field {
		re, im := float64(real(z)), float64(imag(z))
		if power += re*re + im*im; math.IsNaN(power) || math.IsInf(power, 0) {
			return fail("output %d of the probe is %v", i, z)
		}
	}
	if power == 0 {
		return fail("the probe's field is zero")
	}
	return nil
}
