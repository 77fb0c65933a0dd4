//go:build !linux || !cgo

package helper

import (
	"fmt"
	"os"
)

// Built tells whether this build can load producers.
const Built = false

// Main says what is missing. It returns the process's exit code.
func Main() int {
	fmt.Fprintln(os.Stderr, "cannot load GenTL producers: this opu-gentl was built without C; build it on Linux with CGO_ENABLED=1 and a C compiler")
	return 1
}
