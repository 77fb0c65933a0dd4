package server

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/internal/picture"
)

// views keeps the last look at the rig, so that many who look cost no more than one.
type views struct {
	mu   sync.Mutex // held while the rig is looked at
	last *calib.View
	at   time.Time
}

// freshView is how old a look may be.
const freshView = time.Second

// view looks at the rig when it is the client's turn.
func (s *Server) view(r *http.Request) (*calib.View, error) {
	if s.o.View == nil {
		return nil, fmt.Errorf("cannot show frames: this device has none: %w", errNotHere)
	}
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	if s.views.last != nil && time.Since(s.views.at) < freshView {
		return s.views.last, nil
	}
	if err := s.leases.admit(r.URL.Query().Get("lease")); err != nil {
		return nil, err
	}
	var seen *calib.View
	err := s.queue.Do(r.Context(), peerOf(r), func(ctx context.Context) (err error) {
		seen, err = s.o.View(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.views.last, s.views.at = seen, time.Now()
	return seen, nil
}

// show answers with what write makes of a view.
func (s *Server) show(contentType string, write func(b *bytes.Buffer, v *calib.View) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, err := s.view(r)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := write(&b, v); err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.Itoa(b.Len()))
		h.Set("Cache-Control", "no-store")
		w.Write(b.Bytes()) // whoever has gone does not miss it
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

// spectrumPNG is the mean spectrum with the sideband drawn.
func (s *Server) spectrumPNG(b *bytes.Buffer, v *calib.View) error {
	h := picture.Hologram{Title: s.o.Device, Width: v.Width, Height: v.Height, Power: v.Power}
	if s.o.Simulated != "" {
		h.Title = fmt.Sprintf("simulated bench %q", s.o.Simulated)
	}
	if c := s.o.Calibration; c != nil {
		h.Fu, h.Fv, h.Radius = c.Carrier.Fu, c.Carrier.Fv, c.Carrier.Radius
	}
	return h.WriteSpectrum(b)
}

// spectrumNPY is the mean power spectrum, height x width, bin 0 first.
func spectrumNPY(b *bytes.Buffer, v *calib.View) error {
	return npy.Write(b, v.Power, v.Height, v.Width)
}
