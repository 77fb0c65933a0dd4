package gentl

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
)

func TestProducers(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(a, "one.cti"), filepath.Join(a, "readme.txt"), filepath.Join(b, "two.cti")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(a, "folder.cti"), 0o700), os.Symlink(filepath.Join(a, "one.cti"), filepath.Join(b, "again.cti"))); err != nil {
		t.Fatal(err)
	}
	found, err := producers(strings.Join([]string{a, "", b, filepath.Join(b, "two.cti")}, ":"))
	if want := []string{filepath.Join(a, "one.cti"), filepath.Join(b, "two.cti")}; err != nil || !slices.Equal(found, want) {
		t.Errorf("found %q, %v; want %q", found, err, want)
	}
	found, err = producers("/that/is/not/there:" + a + ":/nor/this.cti")
	if len(found) != 1 || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/that/is") || !strings.Contains(err.Error(), "/nor/this") {
		t.Errorf("found %q, %v", found, err)
	}
	if found, err := producers(""); len(found) != 0 || err != nil {
		t.Errorf("found %q, %v", found, err)
	}
}

func TestRef(t *testing.T) {
	for text, want := range map[string]Ref{
		"":                          {},
		"coaxlink":                  {"coaxlink", ""},
		"coaxlink/123":              {"coaxlink", "123"},
		"coaxlink/a/b":              {"coaxlink", "a/b"},
		"/opt/x/lib/coaxlink.cti":   {"/opt/x/lib/coaxlink.cti", ""},
		"/opt/x/coaxlink.cti/1/2":   {"/opt/x/coaxlink.cti", "1/2"},
		"coaxlink.cti/T-0001":       {"coaxlink.cti", "T-0001"},
		"/T-0001":                   {"", "T-0001"},
		"./producers/test.cti/west": {"./producers/test.cti", "west"},
	} {
		if got := ParseRef(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

func TestReference(t *testing.T) {
	r, o, err := ParseReference("coaxlink/7,buffers=16,parts=8,source=Line2,edge=falling")
	if err != nil || r != (Ref{"coaxlink", "7"}) || o.Buffers != 16 || o.Parts != 8 || o.Camera.Source != "Line2" || !o.Camera.Falling {
		t.Errorf("%+v, %+v, %v", r, o, err)
	}
	if r, o, err := ParseReference(""); err != nil || r != (Ref{}) || o != (Options{}) {
		t.Errorf("%+v, %+v, %v", r, o, err)
	}
	for _, text := range []string{"x,buffers=0", "x,buffers=many", "x,buffers=999", "x,parts=-1", "x,edge=both", "x,colour=red"} {
		if _, _, err := ParseReference(text); !errors.Is(err, camera.ErrInput) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestChoose(t *testing.T) {
	folder := t.TempDir()
	t.Setenv(PathVariable, "")
	if _, err := (Ref{}).choose(); !errors.Is(err, camera.ErrUnplugged) || !strings.Contains(err.Error(), PathVariable) {
		t.Errorf("without producers: %v", err)
	}
	for _, name := range []string{"one.cti", "two.cti"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(PathVariable, folder)
	for producer, want := range map[string]int{"": 2, "one": 1, "two.cti": 1, "/any/file.cti": 1} {
		if paths, err := (Ref{Producer: producer}).choose(); err != nil || len(paths) != want {
			t.Errorf("%q may be %q, %v; want %d", producer, paths, err, want)
		}
	}
	if _, err := (Ref{Producer: "three"}).choose(); !errors.Is(err, camera.ErrUnplugged) || !strings.Contains(err.Error(), "one, two") {
		t.Errorf("a producer that is not there: %v", err)
	}
}
