package piezo

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Words of a controller that refuses.
const (
	unknownCommand = "CMD_NOT_DEFINED"
	badArgument    = "CMD_ARG_INVALID"
)

// carryOut returns the answer with its prompt; callers hold the lock.
func (c *Controller) carryOut(command string) string {
	command = strings.ToLower(strings.TrimSpace(command))
	text, ok := c.long(command)
	if c.config.Compatible {
		text, ok = c.short(command)
		if !ok {
			return "!"
		}
		return text + "*"
	}
	if !ok && text == "" {
		text = unknownCommand
	}
	return text + ">"
}

// axes are x, and on controllers of three y and z, whose piezos nobody looks at.
func (c *Controller) axes() string {
	if strings.Contains(c.config.Model, "694") {
		return "x"
	}
	return "xyz"
}

// axisOf tells the axis of a command such as xvoltage?, and the rest.
func (c *Controller) axisOf(command string) (axis, rest string, ok bool) {
	if command == "" || !strings.Contains(c.axes(), command[:1]) {
		return "", "", false
	}
	return command[:1], command[1:], true
}

// long are the commands of the MDT693B and MDT694B.
func (c *Controller) long(command string) (string, bool) {
	switch command {
	case "id?":
		return c.identity(), true
	case "serial?":
		return c.config.Serial + "\r", true
	case "vlimit?":
		return fmt.Sprintf("[ %.0f]\r", c.config.Switch), true
	case "echo?":
		if c.echo {
			return "[Echo On]\r", true
		}
		return "[Echo Off]\r", true
	case "echo=0", "echo=1":
		c.echo = command == "echo=1"
		return "", true
	case "cm?":
		return "[MDT693A Compatibility Mode Off]\r", true
	}
	axis, rest, ok := c.axisOf(command)
	if !ok {
		return "", false
	}
	word, value, isSet := strings.Cut(rest, "=")
	if isSet {
		volts, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return badArgument, false
		}
		if !c.set(axis, word, volts) {
			return badArgument, false
		}
		return "", true
	}
	switch rest {
	case "voltage?":
		return fmt.Sprintf("[%6.1f]\r", c.meter(axis)), true
	case "min?":
		return fmt.Sprintf("[%6.1f]\r", c.min), true
	case "max?":
		return fmt.Sprintf("[%6.1f]\r", c.max), true
	}
	return "", false
}

// set carries out a command such as xvoltage=12.
func (c *Controller) set(axis, word string, volts float64) bool {
	if !(volts >= 0 && volts <= c.config.Switch) {
		return false
	}
	switch word {
	case "voltage":
		if volts < c.min || volts > c.max {
			return false
		}
		if axis == "x" {
			c.drive(volts)
		}
	case "min":
		c.min = volts
	case "max":
		c.max = volts
	default:
		return false
	}
	return true
}

// meter is what the output's meter shows.
func (c *Controller) meter(axis string) float64 {
	if axis != "x" {
		return 0
	}
	return math.Max(0, math.Round(10*(c.volts+c.config.MeterOffset))/10)
}

// identity is what a user reads who asks who it is.
func (c *Controller) identity() string {
	return "\r\r\rModel " + c.config.Model + " Piezo Control Module\rFirmware Version: 1.05\rVoltage Range: " +
		fmt.Sprintf("%.0fV", c.config.Switch) + "\rSerial#:" + c.config.Serial + "\rName:\r"
}

// short are those of the MDT693A and MDT694A: an axis and a letter.
func (c *Controller) short(command string) (string, bool) {
	switch command {
	case "i":
		return c.identity(), true
	case "e0", "e1":
		c.echo = command == "e1"
		return "", true
	case "%":
		return fmt.Sprintf("[ %.0f]\r", c.config.Switch), true
	}
	axis, rest, ok := c.axisOf(command)
	if !ok || rest == "" {
		return "", false
	}
	switch rest {
	case "r?", "r":
		return fmt.Sprintf("[%6.1f]\r", c.meter(axis)), true
	case "l?":
		return fmt.Sprintf("[%6.1f]\r", c.min), true
	case "h?":
		return fmt.Sprintf("[%6.1f]\r", c.max), true
	}
	volts, err := strconv.ParseFloat(rest[1:], 64)
	word := map[string]string{"v": "voltage", "l": "min", "h": "max"}[rest[:1]]
	return "", err == nil && c.set(axis, word, volts)
}
