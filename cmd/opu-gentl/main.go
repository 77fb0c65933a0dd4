// Command opu-gentl is the process that opud and opuctl load GenTL producers into, so that a
// crash or a hang in a vendor's library ends this and not them. They start it; it is of no use
// by hand. It belongs beside them, or into PATH, or into the variable OPU_GENTL.
package main

import (
	"os"

	"github.com/light-in-the-loop/opu/camera/gentl/helper"
)

func main() { os.Exit(helper.Main()) }
