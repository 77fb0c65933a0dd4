package genapi

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// variables of the tests.
func lookup(name string) (number, error) {
	switch name {
	case "A":
		return ofInt(7), nil
	case "B":
		return ofInt(-3), nil
	case "X":
		return ofFloat(2.5), nil
	case "A.Max":
		return ofInt(100), nil
	}
	return number{}, fmt.Errorf("no %s", name)
}

func compute(t testing.TB, text string, integers bool) (number, error) {
	t.Helper()
	e, err := parseFormula(text)
	if err != nil {
		return number{}, err
	}
	return environment{lookup, integers}.eval(e)
}

// The values are those of the operators' definitions, worked out by hand.
func TestFormula(t *testing.T) {
	for text, want := range map[string]any{
		"1 + 2 * 3":                        7,
		"(1 + 2) * 3":                      9,
		"2 ** 3 ** 2":                      512, // to the right
		"-2 ** 2":                          4,   // the sign binds more
		"10 - 4 - 3":                       3,   // to the left
		"17 / 5":                           3,
		"-17 / 5":                          -3,
		"17 % 5 * 2":                       4,
		"7 / 2.0":                          3.5,
		"0x10 + 0XfF":                      271,
		"0xffffffffffffffff":               -1,
		"1e3 + .5":                         1000.5,
		"1.5e-1":                           0.15,
		"A > 5 ? 1 : 2":                    1,
		"A < 5 ? 1 : A = 7 ? 2 : 3":        2,
		"A <> 7 || B = -3":                 1,
		"A = 7 && B <> -3":                 0,
		"A >= 7":                           1,
		"A <= 6":                           0,
		"1 << 4 + 1":                       32, // + binds more than <<
		"256 >> 4":                         16,
		"-256 >> 4":                        -16,
		"1 << 64":                          0,
		"6 & 3 | 8":                        10,
		"6 ^ 3":                            5,
		"5 | 2 ^ 3 & 1":                    7, // 5 | (2 ^ (3 & 1)) = 5 | 3
		"~0":                               -1,
		"- - 3":                            3,
		"+3":                               3,
		"ABS(B)":                           3,
		"abs(-2.5)":                        2.5,
		"SGN(B) + SGN(0)":                  -1,
		"NEG(A)":                           -7,
		"TRUNC(-X)":                        -2.0,
		"FLOOR(-X)":                        -3.0,
		"CEIL(X)":                          3.0,
		"ROUND(X)":                         3.0,
		"SQRT(16) + LN(EXP(2)) + LG(1000)": 9.0,
		"ATAN(TAN(0.5)) + ACOS(COS(0.25)) + ASIN(SIN(0.125))": 0.875,
		"2 ** -1":                 0.5,
		"A.Max - 1":               99,
		"0 && 1 / 0":              0, // the right side is not looked at
		"1 || 1 / 0":              1,
		"(A = 0) ? (1 / A) : 5":   5,
		"9223372036854775807 + 1": math.MinInt64,
	} {
		var x number
		switch want := want.(type) {
		case int:
			x = ofInt(int64(want))
		case float64:
			x = ofFloat(want)
		}
		got, err := compute(t, text, true)
		if err != nil || got.real != x.real || got.i != x.i || math.Abs(got.f-x.f) > 1e-12 {
			t.Errorf("%s = %v, %v, want %v", text, got, err, x)
		}
	}
	// In a SwissKnife all numbers are real.
	for text, want := range map[string]float64{"17 / 5": 3.4, "1 = 1": 1, "(A & 3) / 2": 1.5, "A / 2": 3.5, "(1=1)/(2=2)": 1, "5 % 1.5": 0.5} {
		if got, err := compute(t, text, false); err != nil || !got.real || math.Abs(got.f-want) > 1e-12 {
			t.Errorf("with real numbers %s = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestBadFormulas(t *testing.T) {
	for _, text := range []string{
		"", " ", "1 +", "(1", "1)", "1 2", "A B", "1 ? 2", "1 : 2", "?", "NOSUCH(1)", "SIN", "SIN()", "SIN(1, 2)",
		"1 == 1", "a $ b", "0x", "1e", "1.2.3", "1 / 0", "1 % 0", "1 << -1", "UNKNOWN", "~1e300", "()",
		strings.Repeat("(", 5000), strings.Repeat("-", 5000) + "1", strings.Repeat("2**", 1000) + "2", strings.Repeat("1?1:", 1000) + "1",
		strings.Repeat("1+", maxFormula) + "1",
	} {
		if x, err := compute(t, text, true); err == nil {
			t.Errorf("%.30q = %v", text, x)
		}
	}
	if x, err := compute(t, strings.Repeat("1+", 5000)+"1", true); err != nil || x.i != 5001 {
		t.Errorf("a long sum is %v, %v", x, err)
	}
}

// rendered writes a formula with all brackets, as it was understood.
func rendered(e *expr) string {
	switch e.op {
	case "number":
		return "(0+" + e.literal.String() + ")"
	case "name":
		return e.name
	case "call":
		return e.name + "(" + rendered(e.args[0]) + ")"
	case "?":
		return "((" + rendered(e.args[0]) + ")?(" + rendered(e.args[1]) + "):(" + rendered(e.args[2]) + "))"
	}
	if len(e.args) == 1 {
		return "(" + e.op + rendered(e.args[0]) + ")"
	}
	return "(" + rendered(e.args[0]) + e.op + rendered(e.args[1]) + ")"
}

// Whatever is understood means the same when all its brackets are written.
func FuzzFormula(f *testing.F) {
	for _, s := range []string{"1+2*3", "A>5?SIN(X):~B<<2", "2**-1", "0xff&A||B<>.5e1", "((A))", "A.Max%3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseFormula(text)
		if err != nil {
			return
		}
		again, err := parseFormula(rendered(e))
		if err != nil {
			if len(rendered(e)) > maxFormula || strings.Contains(err.Error(), "nested") || strings.Contains(text, "e") || strings.Contains(text, "E") {
				return // brackets nest, and infinities have no numeral
			}
			t.Fatalf("%q, with brackets %q: %v", text, rendered(e), err)
		}
		for _, integers := range []bool{true, false} {
			env := environment{lookup, integers}
			x, err := env.eval(e)
			y, errAgain := env.eval(again)
			if (err == nil) != (errAgain == nil) || err == nil && x.String() != y.String() {
				t.Errorf("%q = %v, %v; with brackets %q = %v, %v", text, x, err, rendered(e), y, errAgain)
			}
		}
	})
}
