// Package replay records what an SLM and a camera do, and plays it again without them: a lab
// can send its glass to somebody who has none.
//
//	file, err := os.Create("bench.opurec")
//	rec, err := replay.NewRecorder(ctx, file, dmd, cam)
//	use(rec.SLM(), rec.Camera())      // instead of dmd and cam
//	err = rec.Close(calibration)      // its file; nil: there is none
//
//	r, err := replay.Open("bench.opurec")
//	use(r.SLM(), r.Camera())          // an slm.Device and a camera.Device
//
// A recording holds patterns, settings, the order of every run, its frames as they came and
// what was counted. In a replay a frame is found by its pattern and the camera's settings,
// so that runs may be cut otherwise than they were: the first exposure of a pattern gives
// its first frame, the next its second, and behind the last they begin again. Frames of runs
// whose counts disagree are kept in the file and never shown, since nobody knows whose they
// are. A pattern that was not recorded with the present settings is ErrNotRecorded, and so
// are settings.
//
// The clock of a replay is made: frames are a period apart, whatever happened.
package replay

import (
	"errors"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// ErrFile is wrapped by the errors about a recording's content.
var ErrFile = errors.New("damaged or foreign recording")

// ErrNotRecorded is wrapped, beside the interface's ErrInput, by what a recording does not
// hold.
var ErrNotRecorded = errors.New("not in the recording")

// A recording is a line that names it and its version, and records: a line of JSON each, then
// as many bytes as it says.
const firstLine = "opu-recording 1\n"

// The kinds of records, in the order in which they may come: both devices first, the end last.
const (
	kindSLM         = "slm"
	kindCamera      = "camera"
	kindSettings    = "settings"    // what Configure was asked for, and answered
	kindPattern     = "pattern"     // payload: rows of bits, the first mirror in the lowest, each row padded to a byte
	kindArm         = "arm"         // the camera is ready; what is played and comes until the counts is one run of it
	kindPlay        = "play"        // of patterns, by the order of their records
	kindFrame       = "frame"       // payload: rows of pixels, little-endian
	kindCounts      = "counts"      // of the camera's run, which ends here
	kindCalibration = "calibration" // payload: a calibration's file
	kindEnd         = "end"         // with the SHA-256 of all bytes before it
)

// record is a line. Each kind has its field.
type record struct {
	Kind  string `json:"kind"`
	Bytes int    `json:"bytes,omitempty"` // of the payload

	SLM      *slmRecord    `json:"slm,omitempty"`
	Camera   *cameraRecord `json:"camera,omitempty"`
	Asked    *configRecord `json:"asked,omitempty"`
	Taken    *configRecord `json:"taken,omitempty"`
	Play     *playRecord   `json:"play,omitempty"`
	Frame    *frameRecord  `json:"frame,omitempty"`
	Counts   *countsRecord `json:"counts,omitempty"`
	Checksum string        `json:"sha256,omitempty"`
}

type slmRecord struct {
	Model       string `json:"model"`
	Serial      string `json:"serial"`
	Width       int    `json:"width"` // mirrors
	Height      int    `json:"height"`
	Capacity    int    `json:"capacity"`
	MaxRun      int    `json:"max_run"`
	MinPeriodNS int64  `json:"min_period_ns"`
}

type cameraRecord struct {
	Model          string `json:"model"`
	Serial         string `json:"serial"`
	Width          int    `json:"width"` // pixels
	Height         int    `json:"height"`
	BitDepths      []int  `json:"bit_depths"`
	Buffers        int    `json:"buffers"`
	MinExposureNS  int64  `json:"min_exposure_ns"`
	MaxExposureNS  int64  `json:"max_exposure_ns"`
	LatencyNS      int64  `json:"latency_ns"`
	HasTime        bool   `json:"has_time"`
	CountsTriggers bool   `json:"counts_triggers"`
}

type configRecord struct {
	ExposureNS int64  `json:"exposure_ns"`
	ROI        [4]int `json:"roi"` // left column, top row, width, height
	BitDepth   int    `json:"bit_depth"`
}

type playRecord struct {
	Order    []int `json:"order"` // numbers of patterns, in the order of their records
	PeriodNS int64 `json:"period_ns"`
}

type frameRecord struct {
	Seq      uint64    `json:"seq"`
	Trigger  uint64    `json:"trigger"`
	DeviceNS int64     `json:"device_ns"`
	Host     time.Time `json:"host_time"`
	Status   string    `json:"status"`
	Width    int       `json:"width"`
	Height   int       `json:"height"`
	BitDepth int       `json:"bit_depth"`
}

type countsRecord struct {
	Shown     uint64 `json:"shown"` // patterns, as the SLM says
	Triggers  uint64 `json:"triggers"`
	Frames    uint64 `json:"frames"`
	Delivered uint64 `json:"delivered"`
	Lost      uint64 `json:"lost"`
}

func configOf(c camera.Config) *configRecord {
	r := c.ROI
	return &configRecord{int64(c.Exposure), [4]int{r.U, r.V, r.Width, r.Height}, c.BitDepth}
}

func (c configRecord) config() camera.Config {
	r := c.ROI
	return camera.Config{Exposure: time.Duration(c.ExposureNS), ROI: camera.ROI{U: r[0], V: r[1], Width: r[2], Height: r[3]}, BitDepth: c.BitDepth}
}

func cameraOf(i camera.Info) *cameraRecord {
	return &cameraRecord{
		i.Model, i.Serial, i.Width, i.Height, i.BitDepths, i.Buffers, int64(i.MinExposure), int64(i.MaxExposure), int64(i.Latency), i.HasTime, i.CountsTriggers,
	}
}

func (c cameraRecord) info() camera.Info {
	return camera.Info{
		Model: c.Model, Serial: c.Serial, Width: c.Width, Height: c.Height, BitDepths: c.BitDepths, Buffers: c.Buffers,
		MinExposure: time.Duration(c.MinExposureNS), MaxExposure: time.Duration(c.MaxExposureNS), Latency: time.Duration(c.LatencyNS),
		HasTime: c.HasTime, CountsTriggers: c.CountsTriggers,
	}
}

func (s slmRecord) info() slm.Info {
	return slm.Info{
		Model: s.Model, Serial: s.Serial, Geometry: slm.Geometry{Width: s.Width, Height: s.Height},
		Capacity: s.Capacity, MaxRun: s.MaxRun, MinPeriod: time.Duration(s.MinPeriodNS),
	}
}

// appendBits is a pattern as its payload has it.
func appendBits(dst []byte, p *slm.Pattern) []byte {
	g := p.Geometry()
	for v := range g.Height {
		for u := 0; u < g.Width; u += 8 {
			var bits byte
			for i := range min(8, g.Width-u) {
				if p.On(u+i, v) {
					bits |= 1 << i
				}
			}
			dst = append(dst, bits)
		}
	}
	return dst
}

// bitsSize is how many bytes a pattern has.
func bitsSize(g slm.Geometry) int { return (g.Width + 7) / 8 * g.Height }

// patternOf is the pattern of a payload of bitsSize bytes.
func patternOf(g slm.Geometry, bits []byte) *slm.Pattern {
	p := slm.NewPattern(g)
	row := (g.Width + 7) / 8
	for v := range g.Height {
		for u := range g.Width {
			if bits[v*row+u/8]>>(u%8)&1 != 0 {
				p.Set(u, v, true)
			}
		}
	}
	return p
}
