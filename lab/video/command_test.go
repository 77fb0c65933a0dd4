//go:build linux && (amd64 || arm64)

package video_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// opuctl runs a command in the lab, which must end well.
func opuctl(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "/lab/opuctl", arguments...).CombinedOutput()
	t.Logf("opuctl %s\n%s", strings.Join(arguments, " "), out)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// What people do first with a camera.
func TestCameraCommands(t *testing.T) {
	needLab(t)
	period(t)
	ref := "v4l2:" + node(t, looped, "vid-cap")
	if list := opuctl(t, "camera", "list"); !strings.Contains(list, ref) || !strings.Contains(list, "platform:vivid-001") {
		t.Errorf("the list lacks %s or the planar one", ref)
	}
	if info := opuctl(t, "camera", "info", "--camera", ref); !strings.Contains(info, "vivid") || !strings.Contains(info, "640x480") {
		t.Error("it is not described")
	}
	opuctl(t, "camera", "grab", "--camera", ref, "--count", "3", "--out", filepath.Join(t.TempDir(), "frames.npy"))
}
