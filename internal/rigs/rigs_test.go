package rigs

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/internal/lightswitch"
	"github.com/light-in-the-loop/opu/shifter"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

func TestSimulated(t *testing.T) {
	for _, c := range []struct {
		r      Rig
		preset string
		fault  string // in the error; "": none
	}{
		{Rig{SLM: "sim", Camera: "sim"}, "good", ""},
		{Rig{SLM: "sim:glass", Camera: "sim"}, "glass", ""},
		{Rig{SLM: "sim", Camera: "sim:glass", Shifter: "sim:glass"}, "glass", ""},
		{Rig{SLM: "sim", Camera: "sim", Shifter: "serial:/dev/ttyACM0"}, "good", ""},
		{Rig{SLM: "sim"}, "", "needs both"},
		{Rig{}, "", "needs both"},
		{Rig{SLM: "dmd", Camera: "sim"}, "", "known: dlpc900, replay, sim"},
		{Rig{SLM: "sim", Camera: "phone:1"}, "", "there is no kind"},
		{Rig{SLM: "sim", Camera: "sim", Shifter: "usb:1"}, "", "known: serial, sim"},
		{Rig{SLM: "sim", Camera: "sim", Shifter: "serial"}, "", "say where"},
		{Rig{SLM: "sim:glass", Camera: "sim:good"}, "", "name one preset"},
		{Rig{SLM: "sim", Camera: "sim", RateHz: 30}, "good", ""},
		{Rig{SLM: "sim", Camera: "sim", RateHz: -1}, "", "rates are"},
		{Rig{SLM: "sim", Camera: "sim", RateHz: math.NaN()}, "", "rates are"},
		{Rig{SLM: "sim", Camera: "sim", Blocks: []int{0, 3}}, "", "leave them out"},
		{Rig{SLM: "dlpc900:usb-1-2", Camera: "sim", Blocks: []int{3}}, "", "two numbers"},
		{Rig{SLM: "sim:gold", Camera: "sim"}, "", "gold"},
		{Rig{SLM: "dlpc900:usb-1-2", Camera: "sim"}, "", "simulated camera"},
	} {
		preset, err := c.r.Simulated()
		if preset != c.preset || (err != nil) != (c.fault != "") {
			t.Errorf("%+v: %q, %v", c.r, preset, err)
		}
		if err != nil && (!errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.fault) || !strings.HasPrefix(err.Error(), "cannot")) {
			t.Errorf("%+v: error %v, want it to say %q", c.r, err, c.fault)
		}
	}
}

// A device that is absent is told so, before anything else is opened.
func TestOpenAbsent(t *testing.T) {
	cameras["none"] = cameraKind{} // opened after the SLM, so never here
	defer delete(cameras, "none")
	if _, err := Open(t.Context(), Rig{SLM: "dlpc900:usb-99-99", Camera: "none"}, nil); !errors.Is(err, slm.ErrUnplugged) {
		t.Errorf("absent board: %v", err)
	}
	if _, err := OpenShifter(t.Context(), Rig{Shifter: "serial:/dev/opu-that-is-not-there"}, nil); !errors.Is(err, shifter.ErrUnplugged) {
		t.Errorf("absent port: %v", err)
	}
	if _, err := OpenShifter(t.Context(), Rig{}, nil); !errors.Is(err, ErrInput) {
		t.Errorf("no shifter: %v", err)
	}
}

// A simulated shifter moves the bench's reference, as the table says.
func TestSimulatedShifter(t *testing.T) {
	b, err := sim.New(sim.Good(1))
	if err != nil {
		t.Fatal(err)
	}
	d, err := OpenShifter(t.Context(), Rig{Shifter: "sim", Piezo: Piezo{Max: 60, SettleMS: 1, RadiansPerVolt: 0.2}}, b)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if i := d.Info(); i.Max != 60 || i.RadiansPerVolt != 0.2 || i.Settle.Milliseconds() != 1 {
		t.Errorf("%+v", i)
	}
	if _, err := OpenShifter(t.Context(), Rig{Shifter: "sim", Piezo: Piezo{PauseMS: -1}}, b); !errors.Is(err, shifter.ErrInput) {
		t.Errorf("a pause of -1 ms: %v", err)
	}
}

// load reads a file with this text.
func load(t *testing.T, text string) (Named, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "opud.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

// A laser is switched in one way, by keys that are known, and where there is a real board.
func TestLaser(t *testing.T) {
	cameras["none"] = cameraKind{}
	defer delete(cameras, "none")
	const board = "[rig.west]\nslm = 'dlpc900:usb-99-99'\ncamera = 'none'\n"
	const command = "[rig.west.laser.command]\nopen = ['true', 'open']\nclose = ['true']\n"
	const level = "[rig.west.laser.serial]\nport = '/dev/opu-that-is-not-there'\nlevel = 'rts'\n"
	n, err := load(t, board+command)
	if err != nil {
		t.Fatal(err)
	}
	if l := n["west"].Laser; l == nil || l.Serial != nil || !slices.Equal(l.Command.Open, []string{"true", "open"}) {
		t.Errorf("%+v", l)
	}
	if n, err := load(t, board); err != nil || n["west"].Laser != nil {
		t.Errorf("no laser: %+v, %v", n, err)
	}
	if n, err := load(t, board+level); err != nil || n["west"].Laser.Serial.Level != "rts" {
		t.Errorf("a level: %+v, %v", n, err)
	} else if _, err := Open(t.Context(), n["west"], nil); !errors.Is(err, slm.ErrUnplugged) || !strings.Contains(err.Error(), "opu-that-is-not-there") {
		t.Errorf("a laser that is not there: %v", err)
	}
	for text, fault := range map[string]string{
		board + command + level:                                                                 "one of the tables",
		board + "[rig.west.laser]\n":                                                            "one of the tables",
		board + "[rig.west.laser]\npower = 3\n":                                                 "line 5",
		board + command + "shell = true\n":                                                      "line 7",
		board + strings.ReplaceAll(command, "close", "shut"):                                    "line 6",
		board + strings.ReplaceAll(level, "rts", "cts"):                                         "dtr and rts",
		board + level + "parity = 'even'\n":                                                     "line 7",
		strings.NewReplacer("dlpc900:usb-99-99", "sim", "none", "sim").Replace(board) + command: "its own light",
	} {
		if _, err := load(t, text); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: %v, want it to say %q", text, err, fault)
		}
	}
}

// The light is off before the board is looked for, and after it was not found.
func TestLaserOfAbsentBoard(t *testing.T) {
	cameras["none"] = cameraKind{}
	defer delete(cameras, "none")
	path := filepath.Join(t.TempDir(), "told")
	order := func(word string) []string { return []string{"sh", "-c", `echo "$1" >>"$2"`, "sh", word, path} }
	r := Rig{SLM: "dlpc900:usb-99-99", Camera: "none", Laser: &lightswitch.Config{Command: &lightswitch.Command{Open: order("open"), Close: order("close")}}}
	if _, err := Open(t.Context(), r, nil); !errors.Is(err, slm.ErrUnplugged) || !strings.Contains(err.Error(), "DLPC900 board") {
		t.Errorf("absent board: %v", err)
	}
	if told, err := os.ReadFile(path); err != nil || string(told) != "close\nclose\n" {
		t.Errorf("told %q, %v", told, err)
	}
}

func TestLoad(t *testing.T) {
	n, err := load(t, "[matrix]\ninputs = 3\n[rig.east]\nslm = 'sim:glass'\ncamera = 'sim'\n[rig.east.piezo]\nmax_volts = 60\n")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := n.Find("east"); err != nil || r.SLM != "sim:glass" || r.Piezo.Max != 60 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := n.Find("west"); !errors.Is(err, ErrNoRigs) || !strings.Contains(err.Error(), "east") {
		t.Errorf("unknown name: %v", err)
	}
	for text, fault := range map[string]string{
		"[rig.east]\nslm = 'sim'\ncamera = 'sim'\nlens = 3": "line 4",
		"[rig.east]\nslm = 'sim'\ncamera = 3":               "line 3",
		"[rig.east]\nslm = 'sim'":                           "rig.east",
		"[rig":                                              "line 1",
	} {
		if _, err := load(t, text); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: %v, want it to say %q", text, err, fault)
		}
	}
	if _, err := Load("/that/is/not/there"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
