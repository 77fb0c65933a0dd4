package usb

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestInterfaceOf(t *testing.T) {
	sys := t.TempDir()
	device := filepath.Join(sys, "devices/pci0000:00/usb1/1-2")
	node := filepath.Join(device, "1-2:1.0/0003:0451:C900.0001/hidraw/hidraw3")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(node, "uevent"), "")
	write(filepath.Join(device, "bNumInterfaces"), " 2\n")
	for name, address := range map[string]string{"ep_81": "81\n", "ep_01": "01\n"} {
		end := filepath.Join(device, "1-2:1.0", name)
		write(filepath.Join(end, "bEndpointAddress"), address)
		write(filepath.Join(end, "type"), "Interrupt\n")
		write(filepath.Join(end, "interval"), "1ms\n")
	}
	if err := os.MkdirAll(filepath.Join(sys, "class/hidraw"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(node, filepath.Join(sys, "class/hidraw/hidraw3")); err != nil {
		t.Fatal(err)
	}
	got, err := InterfaceOf(sys, "/dev/hidraw3")
	want := Interface{Number: 0, Of: 2, Endpoints: []Endpoint{{0x01, "Interrupt", "1ms"}, {0x81, "Interrupt", "1ms"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := InterfaceOf(sys, "/dev/hidraw4"); err == nil {
		t.Error("a node that is not there has an interface")
	}
	write(filepath.Join(device, "bNumInterfaces"), "many")
	if _, err := InterfaceOf(sys, "/dev/hidraw3"); err == nil {
		t.Error("nonsense passes")
	}
}
