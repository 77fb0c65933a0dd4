// Package report writes what a calibration or a self-test found as a folder for
// people: a page with a verdict, its checks and pictures.
package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/picture"
)

// Report is what there is to tell. What is nil or empty is left out.
type Report struct {
	Title     string // what was done: "Calibration", "Self-test", ...
	Subject   string // of what: devices, or a file
	Simulated string // the preset, if the rig is a simulated bench
	Time      time.Time
	Verdict   calib.Verdict
	Carrier   calib.Carrier // radius 0: none was found
	Seen      *calib.View
	Figures   *calib.Figures
	Facts     []Fact
	NotJudged []string // what could not be looked at
	Result    any      // for programs: report.json
}

// Fact is a line of the page.
type Fact struct{ Name, Value string }

// Picture is an image of the page.
type Picture struct {
	File, Caption string
	write         func(w io.Writer) error
}

//go:embed report.html.tmpl
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// Files that a report consists of; a picture of something that was not seen is not
// there.
const (
	PageFile     = "report.html"
	ResultFile   = "report.json"
	FrameFile    = "frame.png"
	SpectrumFile = "spectrum.png"
	SelfTestFile = "selftest.png"
)

// File is one of a report.
type File struct {
	Name    string
	Content []byte
}

// Files makes all files of the report: the page first.
func (r *Report) Files() ([]File, error) {
	pictures := r.pictures()
	var page, result bytes.Buffer
	err := pageTemplate.Execute(&page, struct {
		*Report
		Good     bool
		Pictures []Picture
	}{r, r.Verdict.Verdict == calib.VerdictGood, pictures})
	if err != nil {
		return nil, fmt.Errorf("cannot make the report: %w", err)
	}
	e := json.NewEncoder(&result)
	e.SetIndent("", "  ")
	if err := e.Encode(r.Result); err != nil {
		return nil, fmt.Errorf("cannot make the report: %w", err)
	}
	files := []File{{PageFile, page.Bytes()}, {ResultFile, result.Bytes()}}
	for _, p := range pictures {
		var drawn bytes.Buffer
		if err := p.write(&drawn); err != nil {
			return nil, fmt.Errorf("cannot make the report: %w", err)
		}
		files = append(files, File{p.File, drawn.Bytes()})
	}
	return files, nil
}

// Write writes the report to a folder, which is made if there is none.
func (r *Report) Write(dir string) error {
	files, err := r.Files()
	if err != nil {
		return err
	}
	return WriteFiles(dir, files)
}

// WriteFiles writes the files of a report to a folder, the page last. Files of an
// earlier report in it are replaced, and pictures that do not belong to this one
// removed.
func WriteFiles(dir string, files []File) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	for _, name := range []string{FrameFile, SpectrumFile, SelfTestFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("cannot replace a picture of an earlier report: %w", err)
		}
	}
	for _, f := range slices.Backward(files) {
		err := atomicfile.Write(filepath.Join(dir, f.Name), func(w io.Writer) error {
			_, err := w.Write(f.Content)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pictures that can be drawn of what was seen.
func (r *Report) pictures() (all []Picture) {
	title := r.Title
	if r.Simulated != "" {
		title += fmt.Sprintf(", simulated bench %q", r.Simulated)
	}
	if v := r.Seen; v != nil {
		h := picture.Hologram{
			Title: title, Width: v.Width, Height: v.Height, Frame: v.Frame, Full: float64(int(1)<<v.BitDepth - 1),
			Power: v.Power, Fu: r.Carrier.Fu, Fv: r.Carrier.Fv, Radius: r.Carrier.Radius,
		}
		all = append(all, Picture{FrameFile, "One frame, and how often each count occurs in it. " +
			"A good frame is clear of 0 and hardly touches the end of the range; fringes cross its speckle grains.", h.WriteFrame})
		if v.Power != nil {
			all = append(all, Picture{SpectrumFile, "The mean spectrum of frames of random patterns. The carrier is good if the sideband " +
				"is a disc of its own, clear of its twin and of |S|² in the middle: its centre lies outside of the dashed circles.", h.WriteSpectrum})
		}
	}
	if f := r.Figures; f != nil {
		s := picture.SelfTest{Title: title, Sample: f.Sample, Norms: f.Norms}
		for _, p := range f.Probes {
			s.Time, s.Phase = append(s.Time, p.Time), append(s.Phase, p.Phase)
			s.Power, s.Health = append(s.Power, p.Power), append(s.Health, p.Drift.Health)
		}
		all = append(all, Picture{SelfTestFile, "The self-test: outputs are distributed as speckle is (the dashed line), " +
			"columns are of one size, phase and health of the probe stay where they are.", s.WritePNG})
	}
	return all
}
