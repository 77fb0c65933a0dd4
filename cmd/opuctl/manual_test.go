package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const manualFile = "../../docs/reference/opuctl.md"

// The manual in the documentation is what the commands say of themselves. To write it
// anew:
//
//	OPU_MANUAL=1 go test -run TestManual ./cmd/opuctl
func TestManual(t *testing.T) {
	want := manual(newRoot())
	if os.Getenv("OPU_MANUAL") != "" {
		if err := os.WriteFile(manualFile, want, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manualFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the commands say; write it anew with OPU_MANUAL=1 go test -run TestManual ./cmd/opuctl", manualFile)
	}
}

// manual is a page of the command and those below it.
func manual(root *cobra.Command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# opuctl\n\nWritten from the commands themselves (`OPU_MANUAL=1 go test -run TestManual ./cmd/opuctl`); `%s help COMMAND` says the same.\n", root.Name())
	var page func(c *cobra.Command)
	page = func(c *cobra.Command) {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n```text\n%s\n", c.CommandPath(), c.Short, strings.TrimSpace(c.Long))
		if c.Runnable() && c != root {
			fmt.Fprintf(&b, "\nUsage:\n  %s\n", c.UseLine())
		}
		if flags := strings.TrimRight(c.NonInheritedFlags().FlagUsages(), "\n "); flags != "" {
			fmt.Fprintf(&b, "\nFlags:\n%s\n", flags)
		}
		b.WriteString("```\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				page(sub)
			}
		}
	}
	page(root)
	return b.Bytes()
}
