package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/holo"
)

// The page for people. The server writes all of it; where a browser runs scripts, the
// parts that change come again as events, and pictures are asked for anew.

//go:embed page
var pageFiles embed.FS

var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{
	"grouped": grouped, "duration": briefDuration, "share": share, "significant": significant, "clock": clock, "doing": doing,
}).ParseFS(pageFiles, "page/*.tmpl"))

// liveParts are the templates that come again, and the ids of their places.
var liveParts = []string{"state", "figures", "circles", "work", "matrix", "trouble"}

// pagePolicy lets a page use nothing but what this server has files for.
const pagePolicy = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// pageRoutes are those of the page.
func (s *Server) pageRoutes(open, closed func(path, method string, h handler)) {
	open("/{$}", "GET", s.page)
	open("/page/sign-in", "POST", s.signIn)
	open("/page/sign-out", "POST", s.signOut)
	closed("/page/jobs", "POST", s.readable(s.startFromPage))
	closed("/page/jobs/{id}/cancel", "POST", s.readable(s.cancelFromPage))
	closed("/page/events", "GET", s.pageEvents)
	closed("/page/view", "GET", s.pageView)
	closed("/page/frame.png", "GET", s.show("image/png", framePixels))
	closed("/page/spectrum.png", "GET", s.show("image/png", spectrumPixels))
	for _, file := range pageAssets() {
		open(path.Join("/page", file.name), "GET", file.serve)
	}
}

// asset is a file of the page, which anyone may have.
type asset struct {
	name, contentType, tag string
	content                []byte
}

// pageAssets are the files that are no templates.
func pageAssets() (all []asset) {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", "": "text/plain; charset=utf-8"}
	err := fs.WalkDir(pageFiles, "page", func(name string, d fs.DirEntry, err error) error {
		contentType, known := types[path.Ext(name)]
		if err != nil || d.IsDir() || !known {
			return err
		}
		content, err := pageFiles.ReadFile(name)
		sum := sha256.Sum256(content)
		all = append(all, asset{strings.TrimPrefix(name, "page/"), contentType, `"` + hex.EncodeToString(sum[:8]) + `"`, content})
		return err
	})
	if err != nil {
		panic(err) // they are part of the program
	}
	return all
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("ETag", a.tag)
	h.Set("Cache-Control", "no-cache") // asked for again, and answered with 304
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
	return nil
}

// pageData is what the templates show.
type pageData struct {
	Status
	State       pageState
	Calibration *calib.Calibration
	Judged      calib.Verdict // when it was learnt
	Offered     []jobKind
	Last        []Job   // the last of each kind that has ended
	Sample      *Sample // the newest; nil: none yet
	View        *viewData
	Circles     []circle
	Program     string
	SignedIn    bool
	HasView     bool
	HasReport   bool
}

// pageState is how the device is, in a few words.
type pageState struct {
	Level  string // good, busy or bad
	Title  string
	Detail string
}

func (s *Server) pageData() *pageData {
	d := &pageData{Status: s.Status(), Program: s.o.Version, Offered: s.offered(), Last: s.jobs.last()}
	if m := s.matrix.Load(); m != nil {
		d.Calibration, d.Judged, d.HasView, d.HasReport = m.Calibration, m.Verdict, m.View != nil, len(m.Report) > 0
	}
	d.State = s.pageState(d.Status)
	d.HasView = d.HasView || s.o.Look != nil && s.matrix.Load() == nil
	if c := d.Calibration; c != nil {
		d.Circles = circles(c.Carrier.Band())
	}
	if x, ok := s.history.last(); ok {
		d.Sample = &x
	}
	return d
}

func (s *Server) pageState(st Status) pageState {
	err := s.ready()
	switch {
	case st.Job != nil && st.Job.Began != nil:
		return pageState{"busy", doing(st.Job.Kind), st.Stage + ". Projections wait until it is over."}
	case errors.Is(err, driver.ErrMatrixLost):
		return pageState{"bad", "The matrix is lost", st.Reason + ". No calibration brings it back; a new one brings another matrix."}
	case err != nil:
		return pageState{"bad", "Not ready", st.Reason}
	case st.Queue.Rows > 0 || st.Rates.Projections > 0:
		return pageState{"good", "Projecting", ""}
	}
	return pageState{"good", "Ready", "Nobody is waiting for a projection."}
}

// htmlHeader is that of every page.
func htmlHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// writePage answers with a template.
func writePage(w http.ResponseWriter, status int, name string, data any) error {
	var b bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	htmlHeader(w)
	w.WriteHeader(status)
	w.Write(b.Bytes()) // whoever has gone does not miss it
	return nil
}

// viewPatience is how long the page waits for a look before it goes without.
const viewPatience = 500 * time.Millisecond

// page is GET /.
func (s *Server) page(w http.ResponseWriter, r *http.Request) error {
	if s.authorise(r) != nil {
		return s.signInPage(w, "")
	}
	d := s.pageData()
	d.SignedIn = s.signedIn(r)
	ctx, cancel := context.WithTimeout(r.Context(), viewPatience)
	defer cancel()
	d.View = s.viewData(r.WithContext(ctx))
	return writePage(w, http.StatusOK, "page", d)
}

// signInPage asks for the token.
func (s *Server) signInPage(w http.ResponseWriter, wrong string) error {
	return writePage(w, http.StatusUnauthorized, "sign-in", struct {
		Wrong, Simulated string
		Closed           bool // there is no token
	}{wrong, s.o.Simulated, s.token() == ""})
}

// pageEvents sends the parts of the page that have changed, once a second.
func (s *Server) pageEvents(w http.ResponseWriter, r *http.Request) error {
	sent := map[string]string{}
	return s.stream(w, r, "page", func() (any, error) {
		d := s.pageData()
		changed := map[string]string{}
		for _, part := range liveParts {
			var b strings.Builder
			if err := pageTemplates.ExecuteTemplate(&b, part, d); err != nil {
				return nil, err
			}
			if html := b.String(); sent[part] != html {
				sent[part], changed[part] = html, html
			}
		}
		var samples columns
		if d.Sample != nil {
			samples.add(*d.Sample)
		}
		return struct {
			Parts   map[string]string `json:"parts"`
			Samples columns           `json:"samples"`
			Title   string            `json:"title"`
			Build   string            `json:"build"` // of the page
		}{changed, samples, "OPU: " + d.State.Title, pageBuild}, nil
	})
}

// pageBuild tells a page that it was written by another program.
var pageBuild = func() string {
	sum := sha256.New()
	for _, a := range pageAssets() {
		sum.Write(a.content)
	}
	templates, _ := fs.Glob(pageFiles, "page/*.tmpl")
	for _, name := range templates {
		content, _ := pageFiles.ReadFile(name)
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}()

// pageView is the figures and the histogram of the present view, or why there is none.
func (s *Server) pageView(w http.ResponseWriter, r *http.Request) error {
	return writePage(w, http.StatusOK, "view", s.viewData(r))
}

// viewData is what is said of a view.
type viewData struct {
	Missing string // why there is none

	Number    uint64
	At        time.Time
	Width     int
	Height    int
	Full      int // the largest count
	Mean      float64
	Saturated float64 // share of pixels
	Health    float64
	Bars      []bar
	Alignment *alignmentData // nil: not looked for
}

// alignmentData is how the light lies, for the person who turns its screws.
type alignmentData struct {
	*AlignmentFigures
	Found   bool     // a sideband
	Circles []circle // of what is seen; none where those of a calibration are drawn
	Turning bool
	Arrow   string  // its direction
	By      float64 // cycles per pixel
	Path    string  // of the arrow in the spectrum, with fv downwards
}

// newAlignmentData draws an alignment; nil: there is none.
func newAlignmentData(a *calib.Alignment, calibrated bool) *alignmentData {
	if a == nil {
		return nil
	}
	d := &alignmentData{AlignmentFigures: Alignment(a), Found: a.Band.R > 0}
	if !calibrated {
		d.Circles = circles(a.Band)
	}
	if d.Turning = a.Turn != [2]float64{}; d.Turning {
		const head = 0.02 // cycles per pixel
		d.By, d.Arrow = math.Hypot(a.Turn[0], a.Turn[1]), a.Arrow()
		du, dv := a.Turn[0], -a.Turn[1]
		eu, ev := head*du/d.By, head*dv/d.By // along it
		u, v := du-a.Band.Fu, dv+a.Band.Fv   // its tip
		d.Path = fmt.Sprintf("M%.4f %.4fL%.4f %.4fM%.4f %.4fL%.4f %.4fL%.4f %.4f", -a.Band.Fu, a.Band.Fv, u, v,
			u-eu+ev/2, v-ev-eu/2, u, v, u-eu-ev/2, v-ev+eu/2)
	}
	return d
}

// viewData looks at the rig, or remembers.
func (s *Server) viewData(r *http.Request) (d *viewData) {
	err := s.withView(r, 0, func(l *look) error {
		full := 1<<l.BitDepth - 1
		d = &viewData{
			Number: l.number, At: l.at, Width: l.Width, Height: l.Height, Full: full, Mean: l.Mean, Saturated: l.Saturated,
			Health: l.Drift.Health, Bars: histogram(l.Frame, full), Alignment: newAlignmentData(l.Alignment, l.of != nil),
		}
		return nil
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &viewData{Missing: "The device is at work; the camera is looked at when it is free."}
	case errors.Is(err, errNoMatrix):
		return &viewData{Missing: "Pictures come when the OPU is calibrated."}
	case err != nil:
		return &viewData{Missing: err.Error()}
	}
	return d
}

// bar of a histogram, in units of a box of 128 x 48.
type bar struct {
	X, Y, Width, Height float64
	Full                bool // holds the largest count
}

const histogramWidth, histogramHeight, histogramBars = 128, 48, 64

// histogram of counts from 0 to full. The heights are roots of the shares, so that a few
// saturated pixels can be seen.
func histogram(frame []float64, full int) []bar {
	n := min(histogramBars, full+1)
	count := make([]float64, n)
	for _, x := range frame {
		count[max(0, min(n-1, int(x*float64(n)/float64(full+1))))]++
	}
	most := max(slices.Max(count), 1)
	bars := make([]bar, 0, n)
	for i, c := range count {
		if c == 0 {
			continue
		}
		height := max(1, histogramHeight*root(c/most))
		bars = append(bars, bar{
			X: float64(i) * histogramWidth / float64(n), Width: histogramWidth / float64(n),
			Y: histogramHeight - height, Height: height, Full: i == n-1,
		})
	}
	return bars
}

// circle of the spectrum, with fv downwards as drawings have it.
type circle struct {
	Class   string
	X, Y, R float64
}

// circles are the sideband, its twin, and where the sideband's centre may not lie
// (picture.Hologram), wrapped round the edges.
func circles(c holo.Band) (all []circle) {
	if c.R <= 0 {
		return nil
	}
	for _, of := range []struct {
		class        string
		u, v, radius float64
	}{
		{"sideband", -c.Fu, -c.Fv, c.R}, {"twin", c.Fu, c.Fv, c.R}, {"square", 0, 0, 2 * c.R},
		{"forbidden", 0, 0, 3 * c.R}, {"forbidden", 0.5, 0, c.R}, {"forbidden", 0, 0.5, c.R}, {"forbidden", 0.5, 0.5, c.R},
	} {
		for _, du := range []float64{-1, 0, 1} {
			for _, dv := range []float64{-1, 0, 1} {
				u, v := of.u+du, of.v+dv
				if max(u, -u) < 0.5+of.radius && max(v, -v) < 0.5+of.radius {
					all = append(all, circle{of.class, u, -v, of.radius})
				}
			}
		}
	}
	return all
}
