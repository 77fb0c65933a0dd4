// Package plan is what the outside of the virtual lab tells its inside: a file in the
// initramfs, written by lab/vm and read by lab/init.
package plan

import (
	"encoding/json"
	"fmt"
	"io/fs"
)

// Path is where init finds the plan, without the leading slash.
const Path = "lab/plan.json"

// Status codes of the program that are not its own.
const (
	Failed  = 125 // the lab could not run the program
	Stopped = 124 // it was killed, or took too long
)

// A Plan is run from top to bottom.
type Plan struct {
	Modules []Module // in the order in which they are loaded
	Udev    bool     // run udevd
	Command []string // the program, by its path in the lab, and its arguments
	Env     []string // KEY=VALUE
}

// Module is a kernel module.
type Module struct {
	Path       string // in the lab
	Parameters string // as modprobe takes them
}

// Read reads the plan of a file system.
func Read(root fs.FS) (Plan, error) {
	var p Plan
	text, err := fs.ReadFile(root, Path)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err == nil && len(p.Command) == 0 {
		err = fmt.Errorf("it has no command")
	}
	if err != nil {
		return Plan{}, fmt.Errorf("cannot read the plan of the lab: %w", err)
	}
	return p, nil
}
