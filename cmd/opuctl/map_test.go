package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/slm"
)

// Map the chip, then calibrate with the mask.
func TestMap(t *testing.T) {
	t.Chdir(t.TempDir())
	var m struct {
		Chip      [2]int
		Blocks    [2]int
		LitShare  float64 `json:"lit_share"`
		Centre    [2]float64
		Extent    [4]int
		Exposures int
		Simulated string
	}
	must(t, &m, "map", "--sim", "--blocks", "24", "--out", "mask.npy", "--picture", "map.png")
	// The simulated chip is lit all over.
	if m.Chip != [2]int{96, 64} || m.LitShare != 1 || m.Extent != [4]int{0, 95, 0, 63} || m.Exposures != 64 || m.Simulated != "good" {
		t.Errorf("result %+v", m)
	}
	if data, err := os.ReadFile("map.png"); err != nil || !bytes.HasPrefix(data, []byte("\x89PNG")) {
		t.Errorf("the picture is none (%v)", err)
	}
	mask, err := readMask("mask.npy", slm.Geometry{Width: 96, Height: 64})
	if err != nil || mask.Count() != 96*64 {
		t.Fatalf("the mask of a lit chip: %v", err)
	}
	data, err := os.ReadFile("mask.npy")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := npy.NewReader(bytes.NewReader(data)); err != nil || r.DType != npy.Bool || r.Shape[0] != 64 || r.Shape[1] != 96 {
		t.Errorf("the mask's file: %+v, %v", r, err)
	}

	// A mask of one's own, of any type.
	part := make([]uint8, 64*96)
	for i := range part {
		if u, v := i%96, i/96; u >= 16 && u < 60 && v >= 8 {
			part[i] = 255
		}
	}
	writeArray(t, "part.npy", part, 64, 96)
	var r struct{}
	must(t, &r, "calibrate", "--sim", "--mask", "part.npy", "--features", "5", "--outputs", "20", "--out", "a.opucal")
	cal, err := calib.Load("a.opucal")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := cal.LayoutSpec()
	if err != nil || spec.Mask == nil || spec.Mask.Count() != 44*56 {
		t.Fatalf("the calibration's mask: %v, %v", spec.Mask, err)
	}
	layout, err := slm.NewLayout(spec)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		for u, v := range layout.Mirrors(i) {
			if u < 16 || u >= 60 || v < 8 {
				t.Fatalf("feature %d has mirror (%d, %d), which is dark", i, u, v)
			}
		}
	}
}

func TestMapWrongUse(t *testing.T) {
	t.Chdir(t.TempDir())
	small := writeArray(t, "small.npy", make([]bool, 12), 3, 4)
	dark := writeArray(t, "dark.npy", make([]bool, 96*64), 64, 96)
	turned := writeArray(t, "turned.npy", bytes.Repeat([]byte{1}, 96*64), 96, 64)
	halves := writeArray(t, "halves.npy", append(make([]float32, 96*64-1), 0.5), 64, 96)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitNoDevice, "use --sim", []string{"map", "--out", "m.npy"}},
		{exitInput, "--share", []string{"map", "--sim", "--share", "0"}},
		{exitInput, "--share", []string{"map", "--sim", "--share", "NaN"}},
		{exitInput, "--blocks", []string{"map", "--sim", "--blocks", "0"}},
		{exitInput, "1 to 3584", []string{"map", "--sim", "--blocks", "100000"}},
		{exitInput, "--features", []string{"map", "--sim", "--features", "0"}},
		{exitInput, "is a folder", []string{"map", "--sim", "--out", "."}},
		{exitInput, "unknown flag: --mask", []string{"map", "--sim", "--mask", dark}},
		{exitInput, "needs [64 96]", []string{"calibrate", "--sim", "--mask", small}},
		{exitInput, "needs [64 96]", []string{"calibrate", "--sim", "--mask", turned}},
		{exitInput, "lights no mirror", []string{"calibrate", "--sim", "--mask", dark}},
		{exitInput, "0.5", []string{"calibrate", "--sim", "--mask", halves}},
		{exitInput, "no such file", []string{"calibrate", "--sim", "--mask", "none.npy"}},
		{exitInput, "has its own", []string{"inspect", "--sim", "--mask", dark, "--calibration", "a.opucal"}},
	} {
		code, stdout, stderr := opuctl(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("opuctl %v: exit code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, stderr)
		}
		if stdout != "" {
			t.Errorf("opuctl %v printed a result: %s", c.args, stdout)
		}
	}
}
