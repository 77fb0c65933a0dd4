package usb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree makes a sysfs with one HID device for each path below devices, with what its uevent
// file says.
func tree(t *testing.T, devices map[string]string) string {
	t.Helper()
	sys := t.TempDir()
	class := filepath.Join(sys, "class", "hidraw")
	if err := os.MkdirAll(class, 0o777); err != nil {
		t.Fatal(err)
	}
	for path, facts := range devices {
		dir := filepath.Join(sys, "devices", path)
		hid := filepath.Dir(filepath.Dir(dir))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(hid, "uevent"), []byte(facts), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../..", filepath.Join(dir, "device")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..", "..", "devices", path), filepath.Join(class, filepath.Base(dir))); err != nil {
			t.Fatal(err)
		}
	}
	return sys
}

func TestFindHIDRaw(t *testing.T) {
	const board = "DRIVER=hid-generic\nHID_ID=0003:00000451:0000C900\nHID_NAME=Texas Instruments DLPC900\nHID_PHYS=usb-x-2/input0\nHID_UNIQ=C900\n"
	sys := tree(t, map[string]string{
		"pci0/usb1/1-2/1-2:1.0/0003:0451:C900.0001/hidraw/hidraw7":            board,
		"pci0/usb1/1-10/1-10.3/1-10.3:1.1/0003:0451:C900.0003/hidraw/hidraw2": board,
		"pci0/usb1/1-10/1-10.3/1-10.3:1.0/0003:0451:C900.0002/hidraw/hidraw9": board,
		"pci0/usb1/1-3/1-3:1.0/0003:046D:C31C.0004/hidraw/hidraw0":            "HID_ID=0003:0000046D:0000C31C\nHID_NAME=a keyboard\n",
		"pci0/usb1/1-4/1-4:1.0/0003:0451:C900.0005/hidraw/hidraw4":            "HID_ID=garbage\n",
		"virtual/misc/uhid/0003:0451:C900.0006/hidraw/hidraw5":                board,
	})
	got, err := FindHIDRaw(sys, 0x0451, 0xC900)
	if err != nil {
		t.Fatal(err)
	}
	const name = "Texas Instruments DLPC900"
	want := []HIDRaw{
		{"/dev/hidraw9", "1-10.3", 0, 0x0451, 0xC900, name},
		{"/dev/hidraw2", "1-10.3", 1, 0x0451, 0xC900, name},
		{"/dev/hidraw7", "1-2", 0, 0x0451, 0xC900, name},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, err := FindHIDRaw(t.TempDir(), 0x0451, 0xC900); err != nil || len(got) != 0 {
		t.Errorf("a system without HID devices: %v, %v", got, err)
	}
}

func TestParseEvent(t *testing.T) {
	const path = "/devices/pci0/usb1/1-2/1-2:1.0/0003:0451:C900.0001/hidraw/hidraw3"
	e, ok := parseEvent([]byte("add@" + path + "\x00ACTION=add\x00DEVPATH=" + path + "\x00SUBSYSTEM=hidraw\x00MAJOR=240\x00DEVNAME=hidraw3\x00SEQNUM=4711\x00"))
	if want := (Event{"add", path, "hidraw", "/dev/hidraw3"}); !ok || e != want {
		t.Errorf("got %+v, %t", e, ok)
	}
	for _, s := range []string{"", "add@/x", "libudev\x00\xfe\xed\xca\xfe", "add@/x\x00SUBSYSTEM=usb\x00"} {
		if e, ok := parseEvent([]byte(s)); ok {
			t.Errorf("%q is %+v", s, e)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte("add@/d\x00ACTION=add\x00DEVPATH=/d\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parseEvent(b); ok && (e.Action == "" || e.Path == "") {
			t.Errorf("%q is %+v", b, e)
		}
	})
}
