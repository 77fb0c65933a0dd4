package usb

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReset(t *testing.T) {
	sys := t.TempDir()
	device := filepath.Join(sys, "bus/usb/devices/1-2.4")
	if err := os.MkdirAll(device, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"busnum": "1\n", "devnum": "250\n"} {
		if err := os.WriteFile(filepath.Join(device, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if node, err := nodeOf(sys, "1-2.4"); err != nil || node != "/dev/bus/usb/001/250" {
		t.Errorf("the node is %q, %v", node, err)
	}
	if _, err := nodeOf(sys, "1-2"); err == nil {
		t.Error("a port without a device has a node")
	}
	if err := Reset(sys, "1-2"); err == nil {
		t.Error("a port without a device is reset")
	}
	// The request goes to the node, and what the node says of it comes back.
	file := filepath.Join(t.TempDir(), "node")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := reset(file); err == nil {
		t.Error("a file is reset as if it were a device")
	}
}
