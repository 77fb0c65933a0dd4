package piezo

import (
	"math"
	"strings"
	"testing"
)

func TestParseVolts(t *testing.T) {
	for text, want := range map[string]float64{"[  24.8]": 24.8, "24.8": 24.8, " [ 100] ": 100, "0": 0, "[-1.5]": -1.5} {
		if v, err := parseVolts(text); err != nil || v != want {
			t.Errorf("%q: %g, %v, want %g", text, v, err, want)
		}
	}
	for _, text := range []string{"", "[]", "[", "]", "[24.8", "24.8]", "24.8 V", "NaN", "Inf", "1e9", "[ 1 2 ]", "140421-07"} {
		if v, err := parseVolts(text); err == nil {
			t.Errorf("%q: %g, want an error", text, v)
		}
	}
}

// Answers with and without an echo, as they were recorded.
func TestClean(t *testing.T) {
	for _, c := range []struct{ answer, command, want string }{
		{"xvoltage?\r[  24.8]\r", "xvoltage?", "[  24.8]"},
		{"XVOLTAGE?\r\n[  24.8]\r\n", "xvoltage?", "[  24.8]"},
		{" [  24.8]\r", "xvoltage?", "[  24.8]"},
		{"xvoltage=1\r", "xvoltage=1", ""},
		{"", "xvoltage=1", ""},
		{"\r\r\rModel MDT694B\rFirmware\r", "id?", "Model MDT694B\rFirmware"},
	} {
		if got, err := clean(c.answer, c.command); err != nil || got != c.want {
			t.Errorf("%q: %q, %v, want %q", c.answer, got, err, c.want)
		}
	}
}

// What is read is a voltage or an error, whatever comes.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"[  24.8]\r", "xvoltage?\r[ 1]\r", "CMD_NOT_DEFINED", "\x00\xff", "[NaN]", "[[1]]", "0x1p3", "1_0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		text, err := clean(answer, "xvoltage?")
		if err != nil {
			return
		}
		v, err := parseVolts(text)
		if err != nil {
			return
		}
		if math.IsNaN(v) || math.Abs(v) >= 1e4 || !strings.ContainsAny(answer, "0123456789") {
			t.Errorf("%q gives %g", answer, v)
		}
	})
}
