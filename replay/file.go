package replay

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// Limits of a recording that is read.
const (
	maxLine        = 1 << 20
	maxPatterns    = 1 << 20
	maxCalibration = 256 << 20
	maxMirrors     = 1 << 26
)

// recording is what a file holds, its frames by where they are.
type recording struct {
	slm         slm.Info
	camera      camera.Info
	patterns    []*slm.Pattern
	settings    []setting
	frames      map[key][]stored
	period      time.Duration // of the first run; 0: there is none
	counts      Summary
	calibration []byte
}

// setting is a call of Configure.
type setting struct{ before, asked, taken camera.Config }

// key is what a frame is found by.
type key struct {
	pattern int
	config  camera.Config
}

// stored is a frame in the file.
type stored struct {
	at       int64 // of its pixels
	size     int
	position int // in its run
}

// Summary says how much a recording holds.
type Summary struct {
	Patterns int `json:"patterns"`
	Runs     int `json:"runs"`
	Unproven int `json:"unproven_runs"` // whose counts disagree: their frames are never shown
	Frames   int `json:"frames"`        // that can be shown
	Bad      int `json:"bad_frames"`    // of all that came, with an error
}

// counter knows where it reads.
type counter struct {
	r  *bufio.Reader
	at int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.at += int64(n)
	return n, err
}

// line is the next one, without its end.
func (c *counter) line() ([]byte, error) {
	var line []byte
	for {
		part, err := c.r.ReadSlice('\n')
		c.at += int64(len(part))
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("a line has more than %d bytes: %w", maxLine, ErrFile)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF:
			return line, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		return line[:len(line)-1], nil
	}
}

// parser reads a recording from its start to its end, checking everything.
type parser struct {
	in  *counter
	sum io.Writer
	recording

	config  camera.Config // now
	armed   bool
	order   []int    // patterns of the camera's run
	pending []stored // frames of the run
	at      int64    // where the present record's payload begins
}

// parse reads a whole recording. Pixels are passed over, and no more is kept than the file
// is large.
func parse(r io.Reader) (*recording, error) {
	sum := sha256.New()
	p := &parser{in: &counter{r: bufio.NewReaderSize(r, 1<<16)}, sum: sum, recording: recording{frames: map[key][]stored{}}}
	first, err := p.in.line()
	if err != nil || string(first)+"\n" != firstLine {
		return nil, fmt.Errorf("its first line is not that of a recording this program reads: %w", ErrFile)
	}
	sum.Write([]byte(firstLine))
	for n := 0; ; n++ {
		line, err := p.in.line()
		if err != nil {
			return nil, fmt.Errorf("it ends without its last record: %w: %w", err, ErrFile)
		}
		p.at = p.in.at
		var x record
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&x); err != nil {
			return nil, fmt.Errorf("record %d: %w: %w", n, err, ErrFile)
		}
		if x.Kind == kindEnd {
			if got := hex.EncodeToString(sum.Sum(nil)); got != x.Checksum {
				return nil, fmt.Errorf("its checksum is wrong, the file was altered: %w", ErrFile)
			}
			if rest, err := p.in.Read(make([]byte, 1)); rest > 0 || err != io.EOF {
				return nil, fmt.Errorf("something follows its end: %w", ErrFile)
			}
			return &p.recording, nil
		}
		sum.Write(line)
		sum.Write([]byte{'\n'})
		if err := p.take(&x, n); err != nil {
			return nil, fmt.Errorf("record %d (%q): %w: %w", n, x.Kind, err, ErrFile)
		}
	}
}

// payload is the record's, when it must have so many bytes.
func (p *parser) payload(x *record, size int) ([]byte, error) {
	if x.Bytes != size {
		return nil, fmt.Errorf("it has %d bytes, %d are needed", x.Bytes, size)
	}
	var b bytes.Buffer // grows with what is there, whatever the record claims
	_, err := io.CopyN(io.MultiWriter(&b, p.sum), p.in, int64(size))
	return b.Bytes(), err
}

// skip passes over the record's payload.
func (p *parser) skip(x *record, size int) error {
	if x.Bytes != size {
		return fmt.Errorf("it has %d bytes, %d are needed", x.Bytes, size)
	}
	_, err := io.CopyN(p.sum, p.in, int64(size))
	return err
}

// take takes a record.
func (p *parser) take(x *record, n int) (err error) {
	switch {
	case x.Kind == kindSLM && n == 0 && x.SLM != nil:
		p.slm = x.SLM.info()
		if p.slm.Geometry.Check() != nil || p.slm.Geometry.Mirrors() > maxMirrors || p.slm.Capacity < 1 || p.slm.MaxRun < 1 || p.slm.MinPeriod <= 0 {
			return fmt.Errorf("it describes no SLM: %+v", p.slm)
		}
		return p.skip(x, 0)
	case x.Kind == kindCamera && n == 1 && x.Camera != nil:
		p.camera = x.Camera.info()
		if i := p.camera; i.Width < 1 || i.Height < 1 || i.Width > camera.MaxSide || i.Height > camera.MaxSide ||
			len(i.BitDepths) == 0 || i.Buffers < 1 || i.Buffers > maxBuffers || i.MinExposure <= 0 || i.MaxExposure < i.MinExposure || i.Latency < 0 {
			return fmt.Errorf("it describes no camera: %+v", i)
		}
		return p.skip(x, 0)
	case n < 2:
		return errors.New("a recording begins with its SLM and its camera")
	case x.Kind == kindSettings && x.Asked != nil && x.Taken != nil:
		taken := x.Taken.config()
		if err := p.camera.CheckConfig(taken); err != nil {
			return err
		}
		if taken.Exposure == 0 || taken.BitDepth == 0 || taken.ROI == (camera.ROI{}) {
			return fmt.Errorf("settings are missing: %+v", taken)
		}
		p.settings = append(p.settings, setting{p.config, x.Asked.config(), taken})
		p.config = taken
		return p.skip(x, 0)
	case x.Kind == kindPattern:
		bits, err := p.payload(x, bitsSize(p.slm.Geometry))
		if err == nil && len(p.patterns) == maxPatterns {
			err = fmt.Errorf("it is one too many: %d are read", maxPatterns)
		}
		if err == nil {
			p.patterns = append(p.patterns, patternOf(p.slm.Geometry, bits))
			p.counts.Patterns++
		}
		return err
	case x.Kind == kindArm:
		if p.armed { // a run that never ended: its frames are nobody's
			p.counts.Unproven++
		}
		p.armed, p.order, p.pending = true, nil, nil
		p.counts.Runs++
		return p.skip(x, 0)
	case x.Kind == kindPlay && x.Play != nil && p.armed:
		return errors.Join(p.play(x.Play), p.skip(x, 0))
	case x.Kind == kindFrame && x.Frame != nil && p.armed:
		return p.frame(x)
	case x.Kind == kindCounts && x.Counts != nil && p.armed:
		p.finish(x.Counts)
		return p.skip(x, 0)
	case x.Kind == kindCalibration && p.calibration == nil && x.Bytes <= maxCalibration:
		p.calibration, err = p.payload(x, x.Bytes)
		return err
	}
	return errors.New("it is of no kind that belongs here")
}

// play adds to the camera's run.
func (p *parser) play(r *playRecord) error {
	for _, number := range r.Order {
		if number < 0 || number >= len(p.patterns) {
			return fmt.Errorf("pattern %d was not recorded before", number)
		}
	}
	if p.config.BitDepth == 0 {
		return errors.New("settings of the camera must come before")
	}
	if r.PeriodNS < int64(p.slm.MinPeriod) {
		return fmt.Errorf("a period of %v is shorter than the SLM's %v", time.Duration(r.PeriodNS), p.slm.MinPeriod)
	}
	if p.period == 0 {
		p.period = time.Duration(r.PeriodNS)
	}
	p.order = append(p.order, r.Order...)
	return nil
}

// statuses are the words of frames.
var statuses = map[string]camera.Status{}

func init() {
	for s := camera.OK; s <= camera.Overrun; s++ {
		statuses[s.String()] = s
	}
}

func (p *parser) frame(x *record) error {
	f := x.Frame
	status, ok := statuses[f.Status]
	if !ok {
		return fmt.Errorf("there is no status %q", f.Status)
	}
	size := 0
	good := status == camera.OK
	if f.Width != 0 || f.Height != 0 {
		if f.Width < 1 || f.Height < 1 || f.Width > camera.MaxSide || f.Height > camera.MaxSide || f.BitDepth < 8 || f.BitDepth > 16 {
			return fmt.Errorf("a frame of %dx%d pixels with %d bits", f.Width, f.Height, f.BitDepth)
		}
		size = f.Width * f.Height * camera.BytesPerPixel(f.BitDepth)
	}
	if c := p.config; f.Width != c.ROI.Width || f.Height != c.ROI.Height || f.BitDepth != c.BitDepth {
		good = false
	}
	if !good {
		p.counts.Bad++
	} else if f.Seq < math.MaxInt32 {
		p.pending = append(p.pending, stored{at: p.at, size: size, position: int(f.Seq)})
	}
	return p.skip(x, size)
}

// finish ends the run. Its frames count if all patterns were shown, triggered and taken.
func (p *parser) finish(c *countsRecord) {
	n := uint64(len(p.order))
	if c.Shown != n || c.Frames != n || p.camera.CountsTriggers && c.Triggers != n {
		p.counts.Unproven++
	} else {
		seen := map[int]bool{}
		for _, s := range p.pending {
			if seen[s.position] || s.position >= len(p.order) {
				continue // it came twice, or is of nothing
			}
			seen[s.position] = true
			k := key{p.order[s.position], p.config}
			p.frames[k] = append(p.frames[k], s)
			p.counts.Frames++
		}
	}
	p.armed, p.pending = false, nil
}

// Open reads a recording: all of it once, to see that it is whole. Frames stay in the file
// until they are shown. Close closes it.
func Open(path string) (*Replay, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open a recording: %w", err)
	}
	r, err := parse(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot use the recording %s: %w", path, err)
	}
	return newReplay(path, file, r), nil
}

// Read is Open for a recording in memory, which is not copied.
func Read(content []byte) (*Replay, error) {
	r, err := parse(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("cannot use the recording: %w", err)
	}
	return newReplay("in memory", memory{bytes.NewReader(content)}, r), nil
}

// memory is a file that nothing need be done to close.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }
