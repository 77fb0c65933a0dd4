package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/internal/picture"
)

// look is one look at the rig, and what was drawn of it.
type look struct {
	*calib.View
	of          *live
	number      uint64 // counts up
	at          time.Time
	took        time.Duration     // of the device's time
	projections uint64            // of all clients, until then
	drawn       map[string][]byte // by path; used by whoever has the turn
}

// views keeps the last look at the rig, so that many who look cost no more than one.
type views struct {
	turn chan struct{}        // holds a value while somebody looks or draws
	last atomic.Pointer[look] // nil: none yet
	took atomic.Int64         // nanoseconds of the device's time, all together
}

// A look is good for a second. While others compute it is good for longer, so that
// watching takes no more than a fiftieth of the device's time.
const (
	freshView = time.Second
	viewShare = 50
)

// fresh says whether a look is still good, at a count of projections.
func (l *look) fresh(projections uint64) bool {
	switch {
	case l == nil:
		return false
	case projections == l.projections:
		return time.Since(l.at) < freshView
	}
	return time.Since(l.at) < max(freshView, viewShare*l.took)
}

// withView calls f with a look at the rig: the last one while it is fresh, or if it has
// the number that is asked for (0: none), else a new one when it is the client's turn.
// f's calls do not overlap.
func (s *Server) withView(r *http.Request, number uint64, f func(*look) error) error {
	m, err := s.served()
	see := s.o.Look
	switch {
	case err == nil:
		see = m.View
	case !errors.Is(err, errNoMatrix) || errors.Is(err, errAtWork) || see == nil:
		return err
	}
	if see == nil {
		return fmt.Errorf("cannot show frames: this device has none: %w", errNotHere)
	}
	select {
	case s.views.turn <- struct{}{}:
		defer func() { <-s.views.turn }()
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
	last := s.views.last.Load()
	if last != nil && last.of != m {
		last = nil
	}
	if last.fresh(s.driverStats().Projections) || last != nil && last.number == number {
		return f(last)
	}
	if err := s.leases.admit(r.URL.Query().Get("lease")); err != nil {
		return err
	}
	next := &look{of: m, number: 1, drawn: map[string][]byte{}}
	if before := s.views.last.Load(); before != nil {
		next.number = before.number + 1
	}
	err = s.queue.Do(r.Context(), peerOf(r), func(ctx context.Context) (err error) {
		if s.matrix.Load() != m {
			return fmt.Errorf("cannot look at the rig now: %w: %w", errReplaced, errBusy)
		}
		began := time.Now()
		next.View, err = see(ctx)
		next.took = time.Since(began)
		s.views.took.Add(int64(next.took))
		return err
	})
	if err != nil {
		return err
	}
	next.at, next.projections = time.Now(), s.driverStats().Projections
	s.views.last.Store(next)
	return f(next)
}

// viewFigures is GET /opu/v1/view: the present look in figures. The arrays and pictures of
// the same look are had with its number, as in frame.npy?view=7, while it is the last.
func (s *Server) viewFigures(w http.ResponseWriter, r *http.Request) error {
	var v ViewFigures
	err := s.withView(r, 0, func(l *look) error {
		v = ViewFigures{l.number, l.at, l.Width, l.Height, l.BitDepth, l.Mean, l.Saturated, l.Drift.Health, l.Drift.Phase(), Alignment(l.Alignment)}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, v)
}

// ViewFigures are what is said of a look at the rig.
type ViewFigures struct {
	Number    uint64    `json:"number"`
	At        time.Time `json:"at"`
	Width     int       `json:"width"`
	Height    int       `json:"height"`
	BitDepth  int       `json:"bit_depth"`
	Mean      float64   `json:"mean_counts"`
	Saturated float64   `json:"saturated"` // share of the pixels
	Health    float64   `json:"health"`    // of the probe
	Phase     float64   `json:"phase_rad"` // of the reference beam since the calibration

	Alignment *AlignmentFigures `json:"alignment,omitempty"`
}

// AlignmentFigures say how the light lies, and what to turn.
type AlignmentFigures struct {
	Carrier    *[2]float64 `json:"carrier"` // fu, fv, cycles per pixel; null: no sideband is seen
	Radius     float64     `json:"radius"`
	SidebandDB float64     `json:"sideband_db"`
	Turn       [2]float64  `json:"turn"` // of the sideband, at -carrier, to where it is allowed
	Grain      float64     `json:"grain_pixels"`
	Rho        float64     `json:"rho"`
	Visibility float64     `json:"visibility"`
	Saturated  float64     `json:"saturated_on"` // share of the pixels with all mirrors on
	Phase      float64     `json:"phase_rad"`
	Health     float64     `json:"health"`
	Advice     []string    `json:"advice"`
}

// Alignment is an alignment as programs read it; nil: there is none.
func Alignment(a *calib.Alignment) *AlignmentFigures {
	if a == nil {
		return nil
	}
	f := &AlignmentFigures{
		Radius: a.Band.R, SidebandDB: a.SidebandDB, Turn: a.Turn, Grain: a.Grain, Rho: a.Rho, Visibility: a.Visibility,
		Saturated: a.Saturated, Phase: a.Phase, Health: a.Health, Advice: append([]string{}, a.Advice...),
	}
	if a.Band.R > 0 {
		f.Carrier = &[2]float64{a.Band.Fu, a.Band.Fv}
	}
	return f
}

// show answers with what write makes of a view, once for all who look at it.
func (s *Server) show(contentType string, write func(b *bytes.Buffer, v *calib.View) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		number, _ := strconv.ParseUint(r.URL.Query().Get("view"), 10, 64)
		var body []byte
		err := s.withView(r, number, func(l *look) error {
			if body = l.drawn[r.URL.Path]; body != nil {
				return nil
			}
			var b bytes.Buffer
			if err := write(&b, l.View); err != nil {
				return err
			}
			body = b.Bytes()
			l.drawn[r.URL.Path] = body
			return nil
		})
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("Cache-Control", "no-store")
		w.Write(body) // whoever has gone does not miss it
		return nil
	}
}

// framePNG is the frame's own pixels, the camera's full range from black to white.
func framePNG(b *bytes.Buffer, v *calib.View) error {
	img := image.NewGray16(image.Rect(0, 0, v.Width, v.Height))
	full := float64(int(1)<<v.BitDepth - 1)
	for i, counts := range v.Frame {
		img.SetGray16(i%v.Width, i/v.Width, color.Gray16{Y: uint16(math.Round(counts / full * math.MaxUint16))})
	}
	return png.Encode(b, img)
}

// frameNPY is the frame's counts, height x width of uint16.
func frameNPY(b *bytes.Buffer, v *calib.View) error {
	counts := make([]uint16, len(v.Frame))
	for i, x := range v.Frame {
		counts[i] = uint16(x)
	}
	return npy.Write(b, counts, v.Height, v.Width)
}

// hologram is what there is to draw of a view.
func hologram(v *calib.View) picture.Hologram {
	return picture.Hologram{Width: v.Width, Height: v.Height, Frame: v.Frame, Full: float64(int(1)<<v.BitDepth - 1), Power: v.Power}
}

// pageSide is the most pixels a side of the pictures on the page.
const pageSide = 512

// framePixels is the frame for the page.
func framePixels(b *bytes.Buffer, v *calib.View) error {
	return hologram(v).WriteFramePixels(b, pageSide)
}

// spectrumPixels is the spectrum for the page, which draws what was found in it.
func spectrumPixels(b *bytes.Buffer, v *calib.View) error {
	return hologram(v).WriteSpectrumPixels(b, pageSide)
}

// spectrumPNG is the mean spectrum with the sideband drawn.
func (s *Server) spectrumPNG(b *bytes.Buffer, v *calib.View) error {
	h := hologram(v)
	h.Title = s.o.Device
	if s.o.Simulated != "" {
		h.Title = fmt.Sprintf("simulated bench %q", s.o.Simulated)
	}
	if a := v.Alignment; a != nil {
		h.Fu, h.Fv, h.Radius, h.Turn = a.Band.Fu, a.Band.Fv, a.Band.R, a.Turn
	}
	if m := s.matrix.Load(); m != nil && m.Calibration != nil {
		c := m.Calibration
		h.Fu, h.Fv, h.Radius = c.Carrier.Fu, c.Carrier.Fv, c.Carrier.Radius
	}
	return h.WriteSpectrum(b)
}

// spectrumNPY is the mean power spectrum, height x width, bin 0 first.
func spectrumNPY(b *bytes.Buffer, v *calib.View) error {
	return npy.Write(b, v.Power, v.Height, v.Width)
}
