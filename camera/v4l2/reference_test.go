package v4l2

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/camera"
)

func TestParseReference(t *testing.T) {
	for s, want := range map[string]Options{
		"/dev/video0": {},
		"/dev/video0,trigger=Trigger Source=2,trigger=trigger_mode=1,free=trigger_mode=0": {
			Trigger: []Control{{"Trigger Source", 2}, {"trigger_mode", 1}}, Free: []Control{{"trigger_mode", 0}}},
		"/dev/video0,set=gain=-10,exposure=exposure_time:1us,format=RG10,buffers=8,latency=1s": {
			Fixed: []Control{{"gain", -10}}, Exposure: "exposure_time", Unit: time.Microsecond, Format: "RG10", Buffers: 8, Latency: time.Second},
	} {
		path, got, err := ParseReference(s)
		if err != nil || path != "/dev/video0" || !cmp.Equal(got, want) {
			t.Errorf("%q: %q, %v, %s", s, path, err, cmp.Diff(want, got))
		}
	}
	for s, fault := range map[string]string{
		"":                              "name its node",
		",buffers=8":                    "name its node",
		"/dev/video0,":                  `no option ""`,
		"/dev/video0,gain=3":            `no option "gain"`,
		"/dev/video0,set=gain":          "NAME=NUMBER",
		"/dev/video0,exposure=time":     "exposure=time",
		"/dev/video0,exposure=time:0s":  "both or neither",
		"/dev/video0,exposure=time:-1s": "negative",
		"/dev/video0,format=H264":       "H264",
		"/dev/video0,buffers=99":        "2 to 32",
		"/dev/video0,buffers=many":      "buffers=many",
		"/dev/video0,latency=-1s":       "negative",
	} {
		if _, _, err := ParseReference(s); !errors.Is(err, camera.ErrInput) || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: %v, want it to say %q", s, err, fault)
		}
	}
}

// Whatever is written, it is understood in whole or refused.
func FuzzParseReference(f *testing.F) {
	f.Add("/dev/video0,trigger=Trigger Source=2,free=trigger_mode=0,exposure=t:1us")
	f.Add("/dev/video0,set=gain=-9223372036854775808,buffers=2,latency=1h,format=GREY")
	f.Fuzz(func(t *testing.T, s string) {
		path, o, err := ParseReference(s)
		if err != nil {
			if !errors.Is(err, camera.ErrInput) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if path == "" || o.check() != nil {
			t.Errorf("%q: %q, %+v", s, path, o)
		}
	})
}
