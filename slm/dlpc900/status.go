package dlpc900

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Version is a version of firmware, software or configuration.
type Version struct{ Major, Minor, Patch int }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// before tells whether v is older than major.minor.
func (v Version) before(major, minor int) bool {
	return v.Major < major || v.Major == major && v.Minor < minor
}

// Versions of a board (0x0205; DLPU018F, version).
type Versions struct{ Application, API, Software, Sequencer Version }

// parseVersions reads four words: patch (16 bits), minor, major.
func parseVersions(b []byte) Versions {
	word := func(b []byte) Version {
		return Version{Major: int(b[3]), Minor: int(b[2]), Patch: int(binary.LittleEndian.Uint16(b))}
	}
	return Versions{word(b), word(b[4:]), word(b[8:]), word(b[12:])}
}

// Hardware is the hardware status (0x1A0A; DLPU018F and J, status commands).
type Hardware byte

const (
	HardwareReady     Hardware = 1 << 0 // internal initialisation done; must be set
	HardwareMismatch  Hardware = 1 << 1 // controller and DMD do not fit, or the firmware is wrong
	HardwareReset     Hardware = 1 << 2 // error of the DMD's reset controller
	HardwareSwap      Hardware = 1 << 3 // forced swap: a pattern was cut short
	HardwareSecondary Hardware = 1 << 4 // second controller present and ready
	HardwareReserved  Hardware = 1 << 5
	HardwareAbort     Hardware = 1 << 6 // the sequencer was aborted
	HardwareSequencer Hardware = 1 << 7 // error of the sequencer
)

// flaws are the bits that mean that something is wrong. Two are not trusted: bit 5 is
// reserved and may read 1, and bit 6 stays latched after any Stop, and at boot, while all is
// well (field report of a healthy rig that showed 0x61).
func (h Hardware) flaws(controllers int) []string {
	var flaws []string
	add := func(wrong bool, what string) {
		if wrong {
			flaws = append(flaws, what)
		}
	}
	add(h&HardwareReady == 0, "initialisation is not done")
	add(h&HardwareMismatch != 0, "controller, DMD and firmware do not fit")
	add(h&HardwareReset != 0, "the reset controller reports an error")
	add(h&HardwareSwap != 0, "a pattern was cut short (forced swap)")
	add(controllers == 2 && h&HardwareSecondary == 0, "the second controller is missing")
	add(controllers == 1 && h&HardwareSecondary != 0, "there is a second controller where none is expected")
	add(h&HardwareSequencer != 0, "the sequencer reports an error")
	return flaws
}

// Check says what is wrong with a board of so many controllers. The error wraps
// slm.ErrRefused.
func (h Hardware) Check(controllers int) error {
	if flaws := h.flaws(controllers); len(flaws) > 0 {
		return fmt.Errorf("hardware status 0x%02X: %s; power-cycle the board: %w", byte(h), strings.Join(flaws, ", "), slm.ErrRefused)
	}
	return nil
}

// MainStatus is what the sequencer and the inputs do (0x1A0C; DLPU018F, main status).
type MainStatus byte

const (
	MainParked  MainStatus = 1 << 0
	MainRunning MainStatus = 1 << 1 // the sequencer
	MainFrozen  MainStatus = 1 << 2
	MainLocked  MainStatus = 1 << 3 // an external video source
)

// Status is all that a board says of itself.
type Status struct {
	DMD      string
	Tag      string // of the firmware
	Versions Versions
	Hardware Hardware
	System   byte // bit 0: the memory test passed
	Main     MainStatus
	Mode     byte // 0 video, 1 flash, 2 video pattern, 3 on the fly

	// MinExposures are what the board itself gives as the shortest exposures of 1 to 8 bits
	// (0x1A42, from TI's program; the guide gives it three numbers); nil if it does not say.
	MinExposures []time.Duration
}

// identity reads the type byte of the DMD and the tag of the firmware (0x0206).
func (l *line) identity(ctx context.Context) (kind byte, tag string, err error) {
	b, err := l.get(ctx, cmdIdentity, 1)
	if err != nil {
		return 0, "", err
	}
	return b[0], parseText(b[1:min(len(b), 32)]), nil
}

func (l *line) versions(ctx context.Context) (Versions, error) {
	b, err := l.get(ctx, cmdVersions, 16)
	if err != nil {
		return Versions{}, err
	}
	return parseVersions(b), nil
}

func (l *line) byteOf(ctx context.Context, c command) (byte, error) {
	b, err := l.get(ctx, c, 1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (l *line) hardware(ctx context.Context) (Hardware, error) {
	b, err := l.byteOf(ctx, cmdHardware)
	return Hardware(b), err
}

func (l *line) main(ctx context.Context) (MainStatus, error) {
	b, err := l.byteOf(ctx, cmdMain)
	return MainStatus(b), err
}

// minExposures asks for the shortest exposures; a board that refuses, or says what cannot
// be, has none.
func (l *line) minExposures(ctx context.Context) ([]time.Duration, error) {
	b, err := l.once(ctx, read, cmdMinExposures)
	if err != nil {
		return nil, ignoreRefusal(err)
	}
	if len(b) < 16 {
		return nil, nil
	}
	d := make([]time.Duration, 8)
	for i := range d {
		d[i] = time.Duration(binary.LittleEndian.Uint16(b[2*i:])) * time.Microsecond
		if d[i] == 0 || i > 0 && d[i] < d[i-1] {
			return nil, nil
		}
	}
	return d, nil
}
