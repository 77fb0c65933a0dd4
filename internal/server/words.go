package server

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// How numbers are written on the page.

func root(x float64) float64 { return math.Sqrt(x) }

// grouped writes a whole number with thin spaces between thousands.
func grouped(n any) string {
	text := fmt.Sprint(n)
	if x, ok := n.(float64); ok {
		text = strconv.FormatFloat(x, 'f', 0, 64)
	}
	out := ""
	for len(text) > 3 && text[len(text)-4] != '-' {
		text, out = text[:len(text)-3], "\u202f"+text[len(text)-3:]+out
	}
	return text + out
}

// significant writes a number with three digits.
func significant(x float64) string { return fmt.Sprintf("%.3g", x) }

// share writes a part of a whole in per cent.
func share(x float64) string {
	switch {
	case x == 0:
		return "0 %"
	case x < 0.0001:
		return "< 0.01 %"
	}
	return fmt.Sprintf("%.2g %%", 100*x)
}

// briefDuration writes a time in the two units that tell most.
func briefDuration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// clock writes the time of a day.
func clock(t time.Time) string { return t.Format("15:04:05") }
