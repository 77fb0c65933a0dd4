package rigs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
)

// What is listed can be opened; a kind that cannot be looked for does not hide the others.
func TestCameras(t *testing.T) {
	cameras["broken"] = cameraKind{list: func(context.Context) ([]FoundCamera, error) {
		return []FoundCamera{{Ref: "broken:1"}}, errors.New("no net")
	}}
	cameras["mute"] = cameraKind{}
	t.Cleanup(func() { delete(cameras, "broken"); delete(cameras, "mute") })
	found, err := Cameras(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cannot look for cameras of kind broken: no net") {
		t.Errorf("a kind that cannot be looked for: %v", err)
	}
	for _, ref := range []string{"broken:1", "sim:good"} {
		if !slices.ContainsFunc(found, func(f FoundCamera) bool { return f.Ref == ref }) {
			t.Errorf("%s is not among %+v", ref, found)
		}
	}
	cam, err := OpenCamera(t.Context(), "sim:good")
	if err != nil {
		t.Fatal(err)
	}
	defer cam.Close()
	if err := cam.Arm(t.Context(), camera.Run{Frames: 1, Free: true}); err != nil {
		t.Fatal(err)
	}
	frames := make([]camera.Frame, 1)
	if _, err := cam.Wait(t.Context(), frames); err != nil {
		t.Fatal(err)
	}
	least, most := 1<<16, 0
	for v := range frames[0].Height {
		for u := range frames[0].Width {
			least, most = min(least, frames[0].At(u, v)), max(most, frames[0].At(u, v))
		}
	}
	if most < 3*least || most < 20 {
		t.Errorf("pixels from %d to %d: the camera does not see a hologram", least, most)
	}
}

func TestOpenCameraRefuses(t *testing.T) {
	for ref, fault := range map[string]string{"": "there is no kind", "phone:1": "known: ", "sim:gold": "gold"} {
		if _, err := OpenCamera(t.Context(), ref); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), fault) {
			t.Errorf("camera %q: %v", ref, err)
		}
	}
}
