package controller_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/sim/controller"
)

// commandTable is the manual's list of commands as the protocol reference gives it: code,
// bytes to write and bytes to read; "-" cannot be written, or read.
const commandTable = `
	0100 - 1     0101 - 128   0200 1 1     0201 1 1     0205 - 16    0206 - 32    0609 1 1     0802 1 -
	1000 16 16   1008 1 1     1009 1 1     1100 6 6     1203 1 1     1204 12 12
	1A00 1 1     1A01 1 1     1A02 1 1     1A03 1 1     1A07 1 1     1A0A - 1     1A0B - 1     1A0C - 1
	1A14 1 15    1A15 1 -     1A16 4 -     1A1B 1 1     1A1D 5 5     1A1E 5 5     1A1F 5 5     1A20 5 5     1A21 5 5
	1A24 1 -     1A25 1 1     1A2A 6 -     1A2B 2 -     1A2C 6 -     1A2D 2 -
	1A30 1 1     1A31 6 6     1A32 6 -     1A34 12 -    1A35 3 3     1A36 1 1     1A37 1 1     1A39 1 1
	1A3C - 18    1A40 2 2     1A42 - 32    1A48 - 1     1A49 - 1`

// The model has each command of the list, with as many bytes, and no others. Left out are
// 0x0202 and 0x1A33, which boards do not need, 0x1A53, which reads memory, and 0x1A38, which reads
// fewer bytes than it takes.
func TestCommandTable(t *testing.T) {
	known := map[string]bool{"1A38": true}
	fields := strings.Fields(commandTable)
	for i := 0; i < len(fields); i += 3 {
		code, write, read := fields[i], fields[i+1], fields[i+2]
		known[code] = true
		swapped := code[2:] + code[:2]
		h := connect(t, controller.Config{DMD: controller.DLP6500()})
		reply := h.ask("C0 01 02 00" + swapped)
		if refused := reply[0]&0x20 != 0; refused && (read != "-" && code != "1A14") { // it names a batch
			t.Errorf("0x%s cannot be read: % x", code, reply[:6])
		} else if !refused && fmt.Sprint(reply[2]) != read {
			t.Errorf("0x%s reads %d bytes, want %s", code, reply[2], read)
		}
		// One byte fewer than it takes is refused as that; the board is asked for the reason
		// by a read, which never has one itself.
		var bytes int
		if n, _ := fmt.Sscan(write, &bytes); n == 0 {
			continue
		}
		if code == "1A14" { // its byte is the parameter of a read
			continue
		}
		short := hex.EncodeToString([]byte{byte(2 + bytes - 1), 0})
		if reply := h.ask("40 01" + short + swapped + strings.Repeat("00", bytes-1)); reply[0]&0x20 == 0 {
			t.Errorf("0x%s takes %d bytes, want %d", code, bytes-1, bytes)
		}
		h.ask("40 01" + hex.EncodeToString([]byte{byte(2 + bytes), 0}) + swapped + strings.Repeat("00", bytes))
		if reason := h.ask("C0 02 02 00 00 01")[4]; reason == 3 {
			t.Errorf("0x%s with %d bytes is an unknown command", code, bytes)
		}
	}
	h := connect(t, controller.Config{DMD: controller.DLP6500()})
	for code := range 0x10000 {
		if code>>8 > 0x1A || known[fmt.Sprintf("%04X", code)] {
			continue
		}
		if reply := h.ask(fmt.Sprintf("C0 01 02 00 %02X %02X", code&0xff, code>>8)); reply[0]&0x20 == 0 {
			t.Errorf("0x%04X is no command, and can be read", code)
		}
	}
}
