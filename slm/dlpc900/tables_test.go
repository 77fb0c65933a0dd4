package dlpc900

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Tables of the protocol reference, whole, so that a slip of the pen in ours is found.

// The shortest exposures, in microseconds: DLPU018F, minimum exposures; rows are depths of 1 to
// 8 bits, columns are DLP6500, DLP9000, DLP670S and DLP500YX.
var exposureTable = [8][4]int{
	{105, 105, 100, 62},
	{304, 304, 343, 184},
	{394, 380, 438, 269},
	{823, 733, 768, 458},
	{1215, 1215, 1299, 682},
	{1487, 1487, 1488, 807},
	{1998, 1998, 2000, 1083},
	{4046, 4046, 4046, 2263},
}

// Those of one bit by the number of blocks that move, from one on: DLPU018F, DMD block load.
var blockTable = [4][]int{
	{24, 45, 45, 45, 48, 54, 60, 66, 72, 78, 84, 90, 96, 101, 105},
	{24, 42, 42, 42, 45, 51, 56, 61, 67, 72, 77, 83, 88, 93, 99, 105},
	{27, 27, 27, 33, 38, 38, 49, 55, 61, 66, 72, 77, 83, 89, 94, 100},
	{30, 30, 30, 30, 34, 38, 42, 46, 50, 54, 58, 62},
}

func TestExposureTables(t *testing.T) {
	us := func(d time.Duration) int { return int(d / time.Microsecond) }
	for kind := range 4 {
		d := dmds[byte(kind+1)]
		for depth, row := range exposureTable {
			if got, err := d.MinExposure(depth + 1); err != nil || us(got) != row[kind] {
				t.Errorf("%s, %d bits: %v, %v, want %d us", d.Name, depth+1, got, err, row[kind])
			}
		}
		if len(d.BlockExposures) != len(blockTable[kind]) {
			t.Errorf("%s has %d blocks, want %d", d.Name, len(d.BlockExposures), len(blockTable[kind]))
		}
		for n, want := range blockTable[kind] {
			if got, err := d.MinBlockExposure(n + 1); err != nil || us(got) != want {
				t.Errorf("%s, %d blocks: %v, %v, want %d us", d.Name, n+1, got, err, want)
			}
		}
	}
	if len(dmds) != 4 {
		t.Errorf("%d kinds of DMD, want 4", len(dmds))
	}
}

// The error codes of 0x0100, by a word of what they mean.
func TestErrorCodeTable(t *testing.T) {
	words := map[ErrorCode]string{
		0: "no error", 1: "batch", 2: "device", 3: "command", 4: "controller and DMD", 5: "mode", 6: "parameter", 7: "absent",
		8: "memory", 9: "compression", 10: "bit number", 11: "flash", 12: "dark time", 13: "delay", 14: "exposure",
		15: "pattern number", 16: "definition", 17: "address", 255: "internal",
	}
	if len(words) != len(errorCodes) {
		t.Errorf("%d codes, want %d", len(errorCodes), len(words))
	}
	for code, word := range words {
		if e := errorCodes[code]; !strings.Contains(e.what, word) || (e.remedy == "") != (code == 0) {
			t.Errorf("code %d: %q, %q", code, e.what, e.remedy)
		}
	}
}

// The codes of the commands that are used, and to which a reply must not be asked.
func TestCommandTable(t *testing.T) {
	want := map[command]int{
		cmdErrorCode: 0x0100, cmdErrorText: 0x0101, cmdPower: 0x0200, cmdIdle: 0x0201, cmdVersions: 0x0205, cmdIdentity: 0x0206,
		cmdPark: 0x0609, cmdHardware: 0x1A0A, cmdSystem: 0x1A0B, cmdMain: 0x1A0C, cmdMode: 0x1A1B, cmdTriggerOut1: 0x1A1D,
		cmdTriggerOut2: 0x1A1E, cmdRun: 0x1A24, cmdInit1: 0x1A2A, cmdData1: 0x1A2B, cmdInit2: 0x1A2C, cmdData2: 0x1A2D,
		cmdInvert: 0x1A30, cmdConfigure: 0x1A31, cmdReorder: 0x1A32, cmdDefine: 0x1A34, cmdTriggerIn1: 0x1A35,
		cmdTriggerIn2: 0x1A36, cmdBlocks: 0x1A40, cmdMinExposures: 0x1A42, cmdConnectionFlaw: 0x1A49,
	}
	for got, code := range want {
		if int(got) != code {
			t.Errorf("a command has the code %#04x, want %#04x", int(got), code)
		}
	}
}

// What the images of random macropixels may take on the USB: the reference's sizes, 24 planes;
// those of single mirrors gain nothing and are sent raw, the others are TestSizes.
func TestSizeOfSingleMirrors(t *testing.T) {
	if testing.Short() {
		t.Skip("a large image")
	}
	const want = 6220848
	random := rand.New(rand.NewPCG(1, 1))
	im := new(image)
	for k := range im {
		im[k] = macropixels(dmds[1].Geometry, 1, random)
	}
	data := newEncoder(0, dmds[1].Geometry.Width, dmds[1].Geometry.Height).encode(im)
	if len(data) != want || !slices.Equal(data[:4], []byte("Spld")) {
		t.Errorf("single mirrors take %d bytes, want %d", len(data), want)
	}
}
