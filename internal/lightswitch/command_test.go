package lightswitch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// shell is a command that writes a word for each order to a file; on is what else its open
// command does.
func shell(t *testing.T, on string) (c Config, told func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "told")
	c.Command = &Command{
		Open:  []string{"sh", "-c", on + `; echo open >>"$1"`, "sh", path},
		Close: []string{"sh", "-c", `echo close >>"$1"`, "sh", path},
	}
	return c, func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(text)), " ")
	}
}

func TestCommand(t *testing.T) {
	c, told := shell(t, ":")
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{true, false, true} {
		if err := s.Set(t.Context(), on); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Set(t.Context(), true); !errors.Is(err, slm.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if got, want := told(), "close open close open close"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

// A program that fails or hangs says so, and the light is closed again at once.
func TestCommandFails(t *testing.T) {
	for _, c := range []struct {
		on     string
		want   error
		saying string
	}{
		{"echo the door is open >&2; exit 3", slm.ErrRefused, `exit status 3, saying "the door is open"`},
		{"head -c 100000 /dev/zero >&2; exit 1", slm.ErrRefused, "exit status 1"},
		{"echo wait >&2; sleep 60", slm.ErrTimeout, `did not end in time and was killed, saying "wait"`},
	} {
		config, told := shell(t, c.on)
		s, err := Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == slm.ErrTimeout {
			s.limit = 200 * time.Millisecond
		}
		began := time.Now()
		err = s.Set(t.Context(), true)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: took %v", c.on, took)
		}
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.saying) || !strings.HasPrefix(err.Error(), "cannot open the light") {
			t.Errorf("%s: %.400v", c.on, err)
		}
		if len(err.Error()) > 3000 {
			t.Errorf("%s: an error of %d bytes", c.on, len(err.Error()))
		}
		if c.want != slm.ErrTimeout { // its closing may be late, too, on a slow machine
			if got := told(); got != "close close" {
				t.Errorf("%s: told %q", c.on, got)
			}
		}
	}
}

func TestMissingProgram(t *testing.T) {
	for _, name := range []string{"opu-no-such-program", "/opu/no/such/program"} {
		_, err := Open(t.Context(), Config{Command: &Command{Open: []string{"true"}, Close: []string{name, "x"}}})
		if !errors.Is(err, slm.ErrInput) || !strings.Contains(err.Error(), name+" x") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A context that has ended opens nothing, and does not keep the light from being closed.
func TestContextEnded(t *testing.T) {
	c, told := shell(t, ":")
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Set(ctx, true); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	if err := s.Set(ctx, false); err != nil {
		t.Errorf("close: %v", err)
	}
	if got := told(); got != "close close" {
		t.Errorf("told %q", got)
	}
	if _, err := Open(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}

// ended is an actuator in whose opening the context ends.
type ended struct {
	cancel context.CancelFunc
	on     bool
}

func (e *ended) set(_ context.Context, on bool) error {
	if e.on = on; on {
		e.cancel()
	}
	return nil
}

func (*ended) close() error { return nil }

func TestContextEndsWhileOpening(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := &ended{cancel: cancel}
	s := &Switch{by: e, limit: limit}
	if err := s.Set(ctx, true); !errors.Is(err, context.Canceled) || e.on {
		t.Errorf("%v, on %v", err, e.on)
	}
}

func TestCheck(t *testing.T) {
	program, argv := &Command{Open: []string{"a"}, Close: []string{"b"}}, []string{"a"}
	for want, c := range map[string]Config{
		"one of the tables":     {},
		"one of":                {Command: program, Serial: &Serial{Port: "p", Level: "dtr"}},
		"name programs":         {Command: &Command{Open: argv}},
		"with their arguments":  {Command: &Command{Open: argv, Close: []string{""}}},
		"name a port":           {Serial: &Serial{Level: "dtr"}},
		"serial.baud is -1":     {Serial: &Serial{Port: "p", Level: "dtr", Baud: -1}},
		"open and close, or":    {Serial: &Serial{Port: "p", Open: "o"}},
		"either open and close": {Serial: &Serial{Port: "p", Open: "o", Level: "dtr"}},
		"dtr and rts":           {Serial: &Serial{Port: "p", Level: "cts"}},
		"257 bytes":             {Serial: &Serial{Port: "p", Open: "o", Close: strings.Repeat("c", 257)}},
	} {
		if err := c.Check(); !errors.Is(err, slm.ErrInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
		if _, err := Open(t.Context(), c); !errors.Is(err, slm.ErrInput) {
			t.Errorf("Open: %v", err)
		}
	}
	for _, c := range []Config{{Command: program}, {Serial: &Serial{Port: "p", Level: "rts"}}, {Serial: &Serial{Port: "p", Open: "o", Close: "c", Baud: 115200}}} {
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
}
