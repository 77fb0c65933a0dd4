package dlpc900

import "testing"

// A vendor's HID interface with reports of 64 bytes, as HID 1.11 has it, and others.
func TestReportBits(t *testing.T) {
	const head, tail = "06 00 FF 09 01 A1 01 15 00 26 FF 00 75 08", "C0"
	for _, c := range []struct {
		name, descriptor string
		in, out          int
		numbered         bool
	}{
		{"unnumbered 64", head + "95 40 09 01 81 02 95 40 09 01 91 02" + tail, 512, 512, false},
		{"the count in two bytes", head + "96 40 00 81 02 91 02" + tail, 512, 512, false},
		{"numbered", head + "85 01 95 3F 81 02 91 02" + tail, 504, 504, true},
		{"two fields", head + "95 20 81 02 81 02 95 40 91 02" + tail, 512, 512, false},
		{"a long item between", head + "FE 03 01 81 81 81 95 40 81 02", 512, 0, false},
		{"cut short", head + "95 40 81 02 96 40", 512, 0, false},
		{"nothing", "", 0, 0, false},
	} {
		in, out, numbered := reportBits(unhex(t, c.descriptor))
		if in != c.in || out != c.out || numbered != c.numbered {
			t.Errorf("%s: %d, %d, %v", c.name, in, out, numbered)
		}
	}
}

func FuzzReportBits(f *testing.F) {
	f.Add([]byte{0x75, 8, 0x95, 64, 0x81, 2, 0x91, 2})
	f.Add([]byte{0xFE, 0xFF, 0, 0x96})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, out, numbered := reportBits(b)
		usage := append([]byte{0x09, 0x01}, b...) // says nothing of reports
		if in2, out2, numbered2 := reportBits(usage); in2 != in || out2 != out || numbered2 != numbered {
			t.Errorf("% X: %d, %d, %v; behind a usage %d, %d, %v", b, in, out, numbered, in2, out2, numbered2)
		}
	})
}
