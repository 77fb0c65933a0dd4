package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a host of files.
func tree(t *testing.T, files map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return Host{Root: root, UID: 1000, User: "ada", Groups: []int{1000}, Usable: func(string) bool { return false }}
}

// find is the finding of a name.
func find(t *testing.T, h Host, name string) Finding {
	t.Helper()
	for _, f := range Look(h) {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("nothing is said of %q", name)
	return Finding{}
}

// A host as it comes from the installer, and as the commands make it.
func TestLook(t *testing.T) {
	const (
		usb      = "/sys/module/usbcore/parameters/usbfs_memory_mb"
		receive  = "/proc/sys/net/core/rmem_max"
		clock    = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
		governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
	)
	for _, c := range []struct {
		name    string
		files   map[string]string
		change  func(*Host)
		verdict Verdict
		found   string
		command string // part of it; "": none
	}{
		{"usbfs memory", map[string]string{usb: "16\n"}, nil, Failure, "16 MB", "echo 1000 | sudo tee " + usb},
		{"usbfs memory", map[string]string{usb: "1000\n"}, nil, Success, "1000 MB", ""},
		{"usbfs memory", map[string]string{usb: "0\n"}, nil, Success, "0 MB", ""},
		{"usbfs memory", nil, nil, Ignored, "has no " + usb, ""},
		{"usbfs memory", map[string]string{usb: "many\n"}, nil, Ignored, "cannot read", ""},
		{"net.core.rmem_max", map[string]string{receive: "212992\n"}, nil, Failure, "212992", "sysctl -w net.core.rmem_max=33554432"},
		{"net.core.rmem_max", map[string]string{receive: "33554432\n"}, nil, Success, "33554432", ""},
		{"MTU", map[string]string{"/sys/class/net/lo/type": "772\n", "/sys/class/net/lo/mtu": "65536\n"}, nil, Ignored, "no wired", ""},
		{"MTU of eth1", map[string]string{"/sys/class/net/eth1/type": "1\n", "/sys/class/net/eth1/mtu": "1500\n", "/sys/class/net/eth1/device/x": ""},
			nil, Ignored, "1500", "ip link set dev eth1 mtu 9000"},
		{"MTU of eth1", map[string]string{"/sys/class/net/eth1/type": "1\n", "/sys/class/net/eth1/mtu": "1500\n"},
			func(h *Host) { h.Interfaces = []string{"eth1"} }, Failure, "1500", "ip link set dev eth1 mtu 9000"},
		{"MTU of eth1", map[string]string{"/sys/class/net/eth1/type": "1\n", "/sys/class/net/eth1/mtu": "9000\n"},
			func(h *Host) { h.Interfaces = []string{"eth1"} }, Success, "9000", ""},
		{"MTU of eth7", nil, func(h *Host) { h.Interfaces = []string{"eth7"} }, Failure, "has no", ""},
		{"group opu", map[string]string{"/etc/group": "root:x:0:\n"}, nil, Failure, "no such group", "groupadd --system opu"},
		{"group opu", map[string]string{"/etc/group": "opu:x:117:bob\n"}, nil, Failure, "ada is not in it", "usermod --append --groups opu ada"},
		{"group opu", map[string]string{"/etc/group": "opu:x:117:bob,ada\n"}, nil, Failure, "began before", "log in again"},
		{"group opu", map[string]string{"/etc/group": "opu:x:117:ada\n"}, func(h *Host) { h.Groups = []int{117} }, Success, "ada is in it", ""},
		{"group opu", map[string]string{"/etc/group": "root:x:0:\n"}, func(h *Host) { h.UID = 0 }, Ignored, "root needs none", "groupadd"},
		{"udev rules", map[string]string{"/etc/udev/rules.d/x.rules": ""}, nil, Failure, "none", "install -m 0644 udev/70-opu.rules"},
		{"udev rules", map[string]string{"/lib/udev/rules.d/70-opu.rules": ""}, nil, Success, "/lib/udev/rules.d/70-opu.rules", ""},
		{"udev rules", nil, nil, Ignored, "has no /etc/udev", ""},
		{"nodes of devices", map[string]string{"/dev/hidraw0": "", "/sys/class/hidraw/hidraw0/device/uevent": "HID_ID=0003:0000046D:0000C900\n"}, nil, Ignored, "none", ""},
		{"access to /dev/hidraw3", map[string]string{"/dev/hidraw3": "", "/sys/class/hidraw/hidraw3/device/uevent": "HID_ID=0003:00000451:0000C900\n"}, nil, Failure, "may not", "udev rules"},
		{"access to /dev/video0", map[string]string{"/dev/video0": ""}, nil, Failure, "may not", "groups video ada"},
		{"access to /dev/ttyACM0", map[string]string{"/dev/ttyACM0": ""}, nil, Failure, "may not", "groups dialout ada"},
		{"access to /dev/video0", map[string]string{"/dev/video0": ""},
			func(h *Host) { h.Usable = func(path string) bool { return strings.HasSuffix(path, "/dev/video0") } }, Success, "may read", ""},
		{"clock source", map[string]string{clock: "tsc\n"}, nil, Success, "tsc", ""},
		{"clock source", map[string]string{clock: "hpet\n"}, nil, Failure, "hpet", "echo tsc | sudo tee " + clock},
		{"frequency of the CPU", map[string]string{governor: "powersave\n"}, nil, Ignored, "powersave", "echo performance"},
		{"frequency of the CPU", map[string]string{governor: "performance\n"}, nil, Success, "performance", ""},
		{"GenTL producers", nil, nil, Ignored, "not set", ""},
		{"GenTL producers", map[string]string{"/opt/x/euresys.cti": ""}, func(h *Host) { h.Producers = "/none:/opt/x" }, Success, "euresys.cti", ""},
		{"GenTL producers", nil, func(h *Host) { h.Producers = "/none" }, Failure, "no .cti file in /none", "install"},
	} {
		h := tree(t, c.files)
		if c.change != nil {
			c.change(&h)
		}
		f := find(t, h, c.name)
		if f.Verdict != c.verdict || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Command, c.command) || (f.Command == "") != (c.command == "") || f.Need == "" {
			t.Errorf("%s with %v: %+v", c.name, c.files, f)
		}
	}
}

// This machine can be looked at, whatever it is.
func TestThisHost(t *testing.T) {
	for _, f := range Look(ThisHost()) {
		if f.Name == "" || f.Found == "" || f.Need == "" || f.Verdict == "" {
			t.Errorf("%+v", f)
		}
	}
}
