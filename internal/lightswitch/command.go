package lightswitch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Command switches the light by programs: the names and their arguments, without a shell. Each
// returns when the light has changed, with status 0.
type Command struct {
	Open  []string `toml:"open" json:"open"`
	Close []string `toml:"close" json:"close"`
}

func (c *Command) check() error {
	for _, argv := range [][]string{c.Open, c.Close} {
		if len(argv) == 0 || argv[0] == "" {
			return errors.New("command.open and command.close have to name programs, with their arguments")
		}
	}
	return nil
}

// pipeTime is what is waited for somebody who holds a program's standard error after its end.
const pipeTime = 100 * time.Millisecond

// set runs a program. One that does not end in time is killed.
func (c *Command) set(ctx context.Context, on bool) error {
	argv := c.Close
	if on {
		argv = c.Open
	}
	var said excerpt
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = &said
	cmd.WaitDelay = pipeTime
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	what := fmt.Sprintf("%q", strings.Join(argv, " "))
	switch ended := context.Cause(ctx); {
	case ended != nil:
		return fmt.Errorf("%s did not end in time and was killed%s: %w", what, said.told(), ended)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot run %s: %w; install it, or name it by its whole path: %w", what, err, slm.ErrInput)
	}
	return fmt.Errorf("%s failed: %w%s: %w", what, err, said.told(), slm.ErrRefused)
}

func (c *Command) close() error { return nil }

// excerpt keeps the first bytes that are written to it.
type excerpt []byte

const maxExcerpt = 300

func (e *excerpt) Write(b []byte) (int, error) {
	*e = append(*e, b[:min(len(b), maxExcerpt-len(*e))]...)
	return len(b), nil
}

func (e *excerpt) told() string {
	if text := strings.TrimSpace(string(*e)); text != "" {
		return fmt.Sprintf(", saying %q", text)
	}
	return ""
}
