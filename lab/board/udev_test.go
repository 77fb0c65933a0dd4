//go:build linux

package board_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/light-in-the-loop/opu/lab/board"
	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// Groups of the lab: that of the rules, and one that the rules do not know.
const (
	groupOPU   = 900
	groupOther = 65534
	nobody     = 65534
)

// owned says how a node is given away; an error is text too, for it may come a moment later.
func owned(node string) string {
	info, err := os.Stat(node)
	if err != nil {
		return err.Error()
	}
	s := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%o of %d:%d", info.Mode().Perm(), s.Uid, s.Gid)
}

// The rules of this tree, under Debian's udevd: both nodes of a board are the group's and
// nobody else's, and a link by the port leads to the right one.
func TestUdevRules(t *testing.T) {
	needLab(t)
	a, b := plug(t, newBoard(t)), plug(t, newBoard(t))
	const want = "660 of 0:900"
	var found []dlpc900.BoardInfo
	eventually(t, "both boards are listed", func() (ok bool) {
		var err error
		found, err = dlpc900.Boards()
		return err == nil && len(found) == 2
	})
	for i, p := range []string{a.Name, b.Name} {
		node := found[i].Node
		if found[i].Port != "usb-"+p {
			t.Fatalf("board %d is at %s, not at %s", i, found[i].Port, p)
		}
		eventually(t, node+" is "+want, func() bool { return owned(node) == want })
		number := func(file string) string {
			text, err := os.ReadFile(filepath.Join("/sys/bus/usb/devices", p, file))
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(text))
		}
		raw := fmt.Sprintf("/dev/bus/usb/%03s/%03s", number("busnum"), number("devnum"))
		eventually(t, raw+" is "+want, func() bool { return owned(raw) == want })

		_, port, _ := strings.Cut(p, "-")
		links, err := filepath.Glob("/dev/opu/dlpc900-*-usb-0:" + port + ":1.0")
		if err != nil || len(links) != 1 {
			all, _ := filepath.Glob("/dev/opu/*")
			t.Fatalf("the links of port %s are %v, of all %v", port, links, all)
		}
		if target, err := filepath.EvalSymlinks(links[0]); err != nil || target != node {
			t.Errorf("%s leads to %s, not to %s: %v", links[0], target, node, err)
		}
		t.Logf("%s: %s, %s, %s", found[i].Port, node, raw, links[0])
	}
	pull(t, a)
	eventually(t, "the link of a board that is gone goes", func() bool {
		links, _ := filepath.Glob("/dev/opu/*")
		return len(links) == 1
	})
}

// devices runs opuctl devices as somebody of a group, and gives what it says of boards.
func devices(t *testing.T, uid, gid uint32) (boards []map[string]any, text string) {
	t.Helper()
	run := func(arguments ...string) []byte {
		c := exec.CommandContext(t.Context(), "/lab/opuctl", arguments...)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
		c.Stderr = os.Stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("opuctl %v: %v", arguments, err)
		}
		return out
	}
	var listed struct{ Devices []map[string]any }
	if err := json.Unmarshal(run("devices", "--format", "json"), &listed); err != nil {
		t.Fatal(err)
	}
	for _, d := range listed.Devices {
		if d["kind"] == "DMD" {
			boards = append(boards, d)
		}
	}
	for line := range strings.Lines(string(run("devices"))) {
		if strings.HasPrefix(line, "DMD") {
			text += line
		}
	}
	return boards, text
}

// opuctl devices lists boards for everybody: to members of the group with type, firmware and the
// flag that uses them, to others with what to do.
func TestDevicesCommand(t *testing.T) {
	needLab(t)
	large, err := board.New(controller.Config{DMD: controller.DLP6500(), RealTime: true})
	if err != nil {
		t.Fatal(err)
	}
	ports := []string{portOf(plug(t, large)), portOf(plug(t, newBoard(t)))}
	kinds := []string{"DLP6500, firmware 6.1.0", "type 0, firmware 6.1.0"}
	eventually(t, "both boards have their owners", func() bool {
		found, err := dlpc900.Boards()
		return err == nil && len(found) == 2 && owned(found[0].Node) == "660 of 0:900" && owned(found[1].Node) == "660 of 0:900"
	})
	for _, who := range []struct {
		name string
		gid  uint32
		may  bool
	}{{"of the group", groupOPU, true}, {"of another group", groupOther, false}} {
		boards, text := devices(t, nobody, who.gid)
		t.Logf("a user %s:\n%s", who.name, text)
		if len(boards) != 2 {
			t.Fatalf("a user %s sees %d boards", who.name, len(boards))
		}
		for i, b := range boards {
			state, use := fmt.Sprint(b["state"]), fmt.Sprint(b["use"])
			if b["name"] != ports[i] || !strings.Contains(text, ports[i]) {
				t.Errorf("board %d is called %v, not %s", i, b["name"], ports[i])
			}
			if told := strings.Contains(state, "70-opu.rules"); told == who.may {
				t.Errorf("a user %s reads %q", who.name, state)
			}
			if known := strings.Contains(state, kinds[i]); known != who.may {
				t.Errorf("a user %s reads %q of a board with %s", who.name, state, kinds[i])
			}
			if usable := strings.Contains(use, ports[i]); usable != who.may {
				t.Errorf("a user %s is told to use it by %q", who.name, use)
			}
		}
	}
}
