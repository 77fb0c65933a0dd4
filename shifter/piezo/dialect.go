package piezo

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/light-in-the-loop/opu/shifter"
)

// dialect is how a family of controllers is spoken to. In read, min, max and set, %s is the
// axis.
type dialect struct {
	models  []string // what the answer to identify contains
	prompts string   // characters that end an answer
	refusal string   // the prompt of a refusal; empty: its text tells

	quiet    string // echo off
	identify string
	serial   string // "": it cannot be asked
	limit    string // the switch at the back
	read     string
	min, max string
	set      string // and the volts
}

// dialects are what controllers speak, by the name that a configuration uses.
var dialects = map[string]*dialect{
	"mdt69xb": {
		models: []string{"MDT693B", "MDT694B"}, prompts: ">",
		quiet: "echo=0", identify: "id?", serial: "serial?", limit: "vlimit?",
		read: "%svoltage?", min: "%smin?", max: "%smax?", set: "%svoltage=%.3f",
	},
	"mdt69xa": {
		models: []string{"MDT693", "MDT694"}, prompts: "*!", refusal: "!",
		quiet: "E0", identify: "I", limit: "%",
		read: "%sR?", min: "%sL?", max: "%sH?", set: "%sV%.3f",
	},
}

// DefaultKind is the controllers that are sold now.
const DefaultKind = "mdt69xb"

// Kinds are the families of controllers that can be driven.
func Kinds() []string { return []string{"mdt69xb", "mdt69xa"} }

// model finds who answered.
func (d *dialect) model(identity string) (string, bool) {
	for _, m := range d.models {
		if i := strings.Index(identity, m); i >= 0 {
			word, _, _ := strings.Cut(identity[i:], " ")
			return strings.TrimSpace(word), true
		}
	}
	return "", false
}

// parseVolts reads "[  24.8]" or "24.8".
func parseVolts(text string) (float64, error) {
	inner := strings.TrimSpace(text)
	if strings.HasPrefix(inner, "[") && strings.HasSuffix(inner, "]") && len(inner) > 1 {
		inner = strings.TrimSpace(inner[1 : len(inner)-1])
	}
	volts, err := strconv.ParseFloat(inner, 64)
	if err != nil || !(math.Abs(volts) < 1e4) {
		return 0, fmt.Errorf("%q is no voltage: %w", text, shifter.ErrProtocol)
	}
	return volts, nil
}

// clean takes an answer, without its prompt, apart: the echo of the command is dropped,
// and what no controller says is an error.
func clean(answer, command string) (string, error) {
	for _, r := range answer {
		if (r < ' ' || r > '~') && r != '\r' && r != '\n' && r != '\t' {
			return "", fmt.Errorf("%q is no text: %w", answer, shifter.ErrProtocol)
		}
	}
	answer = strings.TrimSpace(strings.ReplaceAll(answer, "\n", "\r"))
	first, rest, more := strings.Cut(answer, "\r")
	if strings.EqualFold(strings.TrimSpace(first), command) {
		answer = ""
		if more {
			answer = strings.TrimSpace(rest)
		}
	}
	if answer == "CMD_NOT_DEFINED" || answer == "CMD_ARG_INVALID" || strings.HasPrefix(answer, "Command error") {
		return "", fmt.Errorf("it says %s: %w", answer, shifter.ErrRefused)
	}
	return answer, nil
}
