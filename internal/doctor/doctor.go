// Package doctor looks at what a Linux host must offer to cameras and boards: limits of
// the kernel, interfaces, groups, rules, nodes. It changes nothing and needs no device.
//
//	for _, f := range doctor.Look(doctor.ThisHost()) { ... }
package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Verdict is what came of a question.
type Verdict string

const (
	Success Verdict = "SUCCESS" // the host is as it should be
	Failure Verdict = "FAILURE" // it is not, and Command changes it
	Ignored Verdict = "IGNORED" // it is not there, or matters to some alone
)

// Finding is one thing that was looked at.
type Finding struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Need    string  `json:"need"`              // what for, too
	Command string  `json:"command,omitempty"` // that sets it; "" if it is set, or none can
}

// Host is what is looked at.
type Host struct {
	Root string // of /proc, /sys, /dev, /etc; "/" but in tests

	UID    int
	User   string
	Groups []int // of this process

	// Usable says whether this process may read and write a node below Root.
	Usable func(path string) bool
	// Producers is GENICAM_GENTL64_PATH.
	Producers string
	// Interfaces are those on which GigE Vision cameras are. The others are told of, and
	// cannot fail.
	Interfaces []string
}

// What cameras need. The figures are those that makers and other drivers recommend: a
// second's worth of frames of fast USB cameras, some tens of frames of 1 Mpx in a socket,
// packets that carry 9000 bytes.
const (
	needUSBMB   = 1000
	needReceive = 32 << 20
	needMTU     = 9000
)

// group is that of the udev rules.
const group = "opu"

// rules is the name of the file of udev rules.
const rules = "70-opu.rules"

// Look looks at everything, in a fixed order.
func Look(h Host) (all []Finding) {
	all = append(all, h.usbMemory(), h.receiveBuffer())
	all = append(all, h.interfaces()...)
	all = append(all, h.group(), h.rules())
	all = append(all, h.nodes()...)
	return append(all, h.clockSource(), h.governor(), h.producers())
}

// read is the text of a small file below Root, trimmed.
func (h Host) read(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(h.Root, name))
	return strings.TrimSpace(string(text)), err
}

// number is a file that holds one.
func (h Host) number(name string) (int, error) {
	text, err := h.read(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// glob lists what is below Root, as paths from there.
func (h Host) glob(pattern string) (names []string) {
	found, _ := filepath.Glob(filepath.Join(h.Root, pattern)) // the patterns are ours, and good
	for _, name := range found {
		if rel, err := filepath.Rel(h.Root, name); err == nil {
			names = append(names, "/"+rel)
		}
	}
	return names
}

// unread is the finding of a file that could not be read.
func unread(f Finding, name string, err error) Finding {
	f.Verdict, f.Command = Ignored, ""
	if f.Found = fmt.Sprintf("cannot read %s: %v", name, err); errors.Is(err, fs.ErrNotExist) {
		f.Found = fmt.Sprintf("this system has no %s", name)
	}
	return f
}

func (h Host) usbMemory() Finding {
	const file = "/sys/module/usbcore/parameters/usbfs_memory_mb"
	f := Finding{
		Name: "usbfs memory", Need: fmt.Sprintf("%d MB or more, or 0 for no limit: for USB3 Vision cameras", needUSBMB),
		Command: fmt.Sprintf("echo %d | sudo tee %s", needUSBMB, file),
	}
	mb, err := h.number(file)
	if err != nil {
		return unread(f, file, err)
	}
	f.Found, f.Verdict = fmt.Sprintf("%d MB", mb), Failure
	if mb >= needUSBMB || mb == 0 {
		f.Verdict, f.Command = Success, ""
	}
	return f
}

func (h Host) receiveBuffer() Finding {
	const file = "/proc/sys/net/core/rmem_max"
	f := Finding{
		Name: "net.core.rmem_max", Need: fmt.Sprintf("%d or more: for GigE Vision cameras, whose packets wait in it", needReceive),
		Command: fmt.Sprintf("sudo sysctl -w net.core.rmem_max=%d", needReceive),
	}
	n, err := h.number(file)
	if err != nil {
		return unread(f, file, err)
	}
	f.Found, f.Verdict = strconv.Itoa(n), Failure
	if n >= needReceive {
		f.Verdict, f.Command = Success, ""
	}
	return f
}

// ethernet is the type of an interface, as the kernel numbers them.
const ethernet = 1

// interfaces looks at wired interfaces that have hardware behind them, and at those that
// were named.
func (h Host) interfaces() (all []Finding) {
	var names []string
	for _, dir := range h.glob("/sys/class/net/*") {
		kind, err := h.number(dir + "/type")
		wired := err == nil && kind == ethernet && len(h.glob(dir+"/device")) > 0 && len(h.glob(dir+"/wireless")) == 0
		if name := path.Base(dir); wired || slices.Contains(h.Interfaces, name) {
			names = append(names, name)
		}
	}
	for _, name := range h.Interfaces {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		all = append(all, h.mtu(name))
	}
	if len(all) == 0 {
		all = append(all, Finding{Name: "MTU", Verdict: Ignored, Found: "there is no wired interface", Need: fmt.Sprintf("%d on that of GigE Vision cameras", needMTU)})
	}
	return all
}

func (h Host) mtu(name string) Finding {
	file := "/sys/class/net/" + name + "/mtu"
	f := Finding{
		Name: "MTU of " + name, Need: fmt.Sprintf("%d, if a GigE Vision camera is on it: larger packets are fewer", needMTU),
		Command: fmt.Sprintf("sudo ip link set dev %s mtu %d", name, needMTU),
	}
	named := slices.Contains(h.Interfaces, name)
	mtu, err := h.number(file)
	if err != nil {
		if f = unread(f, file, err); named {
			f.Verdict = Failure
		}
		return f
	}
	f.Found = strconv.Itoa(mtu)
	switch {
	case mtu >= needMTU:
		f.Verdict, f.Command = Success, ""
	case named:
		f.Verdict = Failure
	default:
		f.Verdict = Ignored
	}
	return f
}

// members reads a group of /etc/group.
func (h Host) members(name string) (id int, users []string, err error) {
	file, err := os.Open(filepath.Join(h.Root, "/etc/group"))
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) == 4 && fields[0] == name {
			id, err := strconv.Atoi(fields[2])
			return id, strings.Split(fields[3], ","), err
		}
	}
	return 0, nil, fs.ErrNotExist
}

func (h Host) group() Finding {
	f := Finding{Name: "group " + group, Verdict: Failure, Need: "this user in it: the udev rules give it the devices"}
	id, users, err := h.members(group)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Found = "there is no such group"
		f.Command = fmt.Sprintf("sudo groupadd --system %s && sudo usermod --append --groups %s %s", group, group, h.User)
	case err != nil:
		return unread(f, "/etc/group", err)
	case h.UID != 0 && slices.Contains(users, h.User) && !slices.Contains(h.Groups, id):
		f.Found, f.Command = fmt.Sprintf("%s is in it, but this session began before", h.User), "log in again"
	case h.UID != 0 && !slices.Contains(h.Groups, id):
		f.Found = fmt.Sprintf("%s is not in it", h.User)
		f.Command = fmt.Sprintf("sudo usermod --append --groups %s %s", group, h.User) + " && echo log in again"
	default:
		f.Verdict, f.Found = Success, fmt.Sprintf("%s is in it", h.User)
	}
	if f.Verdict == Failure && h.UID == 0 {
		f.Verdict, f.Found = Ignored, f.Found+"; root needs none"
	}
	return f
}

func (h Host) rules() Finding {
	f := Finding{
		Name: "udev rules", Verdict: Failure, Found: "none of this project are installed", Need: rules + ": they give the devices to the group " + group,
		Command: "sudo install -m 0644 udev/" + rules + " /etc/udev/rules.d/ && sudo udevadm control --reload && sudo udevadm trigger",
	}
	if len(h.glob("/etc/udev"))+len(h.glob("/usr/lib/udev"))+len(h.glob("/lib/udev")) == 0 {
		return unread(f, "/etc/udev", fs.ErrNotExist)
	}
	for _, dir := range []string{"/etc/udev/rules.d/", "/run/udev/rules.d/", "/usr/lib/udev/rules.d/", "/lib/udev/rules.d/"} {
		if len(h.glob(dir+rules)) > 0 {
			f.Verdict, f.Found, f.Command = Success, dir+rules, ""
			break
		}
	}
	return f
}

// nodes looks at the nodes of devices that may be part of a rig.
func (h Host) nodes() (all []Finding) {
	nodes := slices.Concat(h.boards(), h.glob("/dev/video*"), h.glob("/dev/ttyUSB*"), h.glob("/dev/ttyACM*"))
	for _, node := range nodes {
		f := Finding{Name: "access to " + node, Verdict: Success, Found: "this user may read and write it", Need: "the same"}
		if !h.Usable(filepath.Join(h.Root, node)) {
			f.Verdict, f.Found = Failure, "this user may not read and write it"
			switch {
			case strings.HasPrefix(node, "/dev/tty"):
				f.Command = fmt.Sprintf("sudo usermod --append --groups dialout %s && echo log in again", h.User)
			case strings.HasPrefix(node, "/dev/video"):
				f.Command = fmt.Sprintf("sudo usermod --append --groups video %s && echo log in again", h.User)
			default:
				f.Command = "see udev rules and group " + group
			}
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		all = append(all, Finding{Name: "nodes of devices", Verdict: Ignored, Found: "there are none of DLPC900 boards, video devices and serial ports", Need: "read and write access, once they are plugged in"})
	}
	return all
}

// boards are the HID nodes of DLPC900 controllers.
func (h Host) boards() (nodes []string) {
	for _, dir := range h.glob("/sys/class/hidraw/*") {
		if text, err := h.read(dir + "/device/uevent"); err == nil && strings.Contains(strings.ToLower(text), ":00000451:0000c900") {
			nodes = append(nodes, "/dev/"+path.Base(dir))
		}
	}
	return nodes
}

// slow are clock sources that cost a system call, or microseconds, each time.
var slow = []string{"hpet", "acpi_pm", "pit", "jiffies"}

func (h Host) clockSource() Finding {
	const file = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
	f := Finding{Name: "clock source", Need: "one that is read quickly, such as tsc: every frame gets the time of its arrival"}
	source, err := h.read(file)
	if err != nil {
		return unread(f, file, err)
	}
	f.Found, f.Verdict = source, Success
	if slices.Contains(slow, source) {
		f.Verdict, f.Command = Failure, "echo tsc | sudo tee "+file
	}
	return f
}

func (h Host) governor() Finding {
	const files = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
	f := Finding{Name: "frequency of the CPU", Need: "performance, if frames are lost at high rates only"}
	var all []string
	for _, name := range h.glob(files) {
		if text, err := h.read(name); err == nil && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	f.Found, f.Verdict = strings.Join(all, ", "), Ignored
	switch {
	case len(all) == 0:
		f.Found = "this system does not tell"
	case slices.Equal(all, []string{"performance"}):
		f.Verdict = Success
	default:
		f.Command = "echo performance | sudo tee " + files
	}
	return f
}

func (h Host) producers() Finding {
	f := Finding{Name: "GenTL producers", Verdict: Ignored, Need: "GENICAM_GENTL64_PATH names the folders of their .cti files: for frame grabbers"}
	if h.Producers == "" {
		f.Found = "GENICAM_GENTL64_PATH is not set"
		return f
	}
	var found []string
	for _, dir := range filepath.SplitList(h.Producers) {
		for _, file := range h.glob(filepath.Join(dir, "*.cti")) {
			found = append(found, path.Base(file))
		}
	}
	f.Verdict, f.Found = Success, strings.Join(found, ", ")
	if len(found) == 0 {
		f.Verdict, f.Found = Failure, "no .cti file in "+h.Producers
		f.Command = "install the grabber's software, or set GENICAM_GENTL64_PATH as its manual says"
	}
	return f
}
