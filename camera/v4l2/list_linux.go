//go:build amd64 || arm64

package v4l2

import (
	"os"
	"path/filepath"
	"strings"
)

// sysVideo has a folder for each video node.
const sysVideo = "/sys/class/video4linux"

// serialOf is the serial number of a USB camera, by its node; "": it has none, or is no USB
// camera.
func serialOf(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	// The node's device is an interface, whose parent is the USB device.
	device, err := filepath.EvalSymlinks(filepath.Join(sysVideo, filepath.Base(path), "device"))
	if err != nil {
		return ""
	}
	serial, err := os.ReadFile(filepath.Join(filepath.Dir(device), "serial"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(serial))
}

// Found is a video node that captures frames.
type Found struct {
	Path   string // /dev/video0
	Model  string
	Serial string
	Err    error // why nothing more is known of it, for example that it may not be opened
}

// List returns the video nodes of this machine that are cameras or grabbers, without setting
// anything. Nodes that may not be opened are in the list, by the name that the kernel gives.
func List() ([]Found, error) {
	entries, err := os.ReadDir(sysVideo)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Found
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "video") {
			continue
		}
		f := Found{Path: "/dev/" + e.Name()}
		kernel, _ := os.ReadFile(filepath.Join(sysVideo, e.Name(), "name"))
		f.Model, f.Serial = strings.TrimSpace(string(kernel)), serialOf(f.Path)
		n, err := openNode(f.Path)
		if err != nil {
			f.Err = err
			all = append(all, f)
			continue
		}
		var c capability
		err = call(n, reqQueryCap, &c)
		n.close()
		if err != nil || c.can()&(capCapture|capCaptureMPlane) == 0 || c.can()&capStreaming == 0 {
			continue
		}
		f.Model = text(c.Card[:])
		if f.Serial == "" {
			f.Serial = text(c.Bus[:])
		}
		all = append(all, f)
	}
	return all, nil
}
