package gige

import (
	"errors"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
)

func TestParseReference(t *testing.T) {
	for s, want := range map[string]struct {
		camera string
		o      Options
	}{
		"21043":                                  {"21043", Options{}},
		"192.168.1.20,source=Line2,edge=falling": {"192.168.1.20", Options{Source: "Line2", Falling: true}},
		"left arm,edge=rising,packet=1500":       {"left arm", Options{PacketSize: 1500}},
	} {
		if got, o, err := ParseReference(s); err != nil || got != want.camera || o != want.o {
			t.Errorf("%q is %q, %+v, %v", s, got, o, err)
		}
	}
	for _, s := range []string{"", ",source=Line1", "1,edge=up", "1,packet=many", "1,packet=0", "1,packet=575", "1,packet=1501", "1,line=2", "1,"} {
		if got, o, err := ParseReference(s); !errors.Is(err, camera.ErrInput) {
			t.Errorf("%q is %q, %+v, %v", s, got, o, err)
		}
	}
}

func FuzzReference(f *testing.F) {
	f.Add("192.168.1.20,source=Line2,edge=falling,packet=1500")
	f.Fuzz(func(t *testing.T, s string) {
		name, o, err := ParseReference(s)
		if err != nil && !errors.Is(err, camera.ErrInput) || err == nil && (name == "" || o.check() != nil) {
			t.Errorf("%q is %q, %+v, %v", s, name, o, err)
		}
	})
}
