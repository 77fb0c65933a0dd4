package slmtest_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"testing/synctest"

	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/slmtest"
)

// bugVariable names the bug that a child process of TestRefusesBugs has.
const bugVariable = "SLMTEST_BUG"

// The suite accepts a device that is right, and in a child process refuses one
// that is not.
func TestAccepts(t *testing.T) {
	b := bug(os.Getenv(bugVariable))
	slmtest.RunWith(t, slmtest.Harness{
		Open:   func(*testing.T) slm.Device { return newFake(b) },
		Shown:  func(d slm.Device) []*slm.Pattern { return d.(*fake).shown() },
		Around: synctest.Test,
	})
}

// In real time, and knowing nothing of the mirrors, it accepts it as well.
func TestAcceptsInRealTime(t *testing.T) {
	slmtest.Run(t, func(*testing.T) slm.Device { return newFake("") })
}

// A suite that cannot fail is worth nothing: each bug must be found by the check
// that is there for it.
func TestRefusesBugs(t *testing.T) {
	for _, c := range []struct {
		bug   bug
		check string
	}{
		{"Info counts its calls", "info"},
		{"Info has no serial", "info"},
		{"Info has no shortest period", "info"},
		{"Load keeps the caller's pattern", "copies"},
		{"Load forgets the last column", "content"},
		{"Load leaves a slot that is full", "content"},
		{"Load mixes slots up", "content"},
		{"Load checks when it is too late", "bad-loads"},
		{"Load takes patterns of any size", "bad-loads"},
		{"Load refuses with an error of its own", "bad-loads"},
		{"Load disturbs a run", "busy"},
		{"Load ignores its context", "ended-contexts"},
		{"Load hides the context's error", "ended-contexts"},
		{"Load works after Close", "close"},
		{"Play takes runs that are too long", "bad-runs"},
		{"Play takes periods that are too short", "bad-runs"},
		{"Play takes long exposures", "bad-runs"},
		{"Play takes short runs only", "longest-run"},
		{"Play forgets the last run when it refuses", "bad-runs"},
		{"Play replaces a run", "busy"},
		{"Play shows empty slots", "bad-runs"},
		{"Play shows repeated slots once", "content"},
		{"Play begins one slot late", "content"},
		{"Play swaps the last two", "content"},
		{"Play ignores its context", "ended-contexts"},
		{"Play works after Close", "close"},
		{"Wait counts one less", "counts"},
		{"Wait counts only once", "counts"},
		{"Wait ignores its context", "wait-deadline"},
		{"Wait hides the context's error", "wait-deadline"},
		{"Wait stops the run when it gives up", "wait-deadline"},
		{"Wait works after Close", "close"},
		{"Stop does nothing", "stop"},
		{"Stop needs a run", "stop"},
		{"Stop forgets the patterns", "stop"},
		{"Stop pretends that all was shown", "stop"},
		{"Stop ignores its context", "ended-contexts"},
		{"Stop works after Close", "close"},
		{"Close works once", "close"},
		{"Close leaves Wait pending", "close-ends-wait"},
		{"Close leaves Wait without an error", "close-ends-wait"},
	} {
		t.Run(string(c.bug), func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0], "-test.run=^TestAccepts$/^"+c.check+"$")
			child.Env = append(os.Environ(), bugVariable+"="+string(c.bug))
			output, err := child.CombinedOutput()
			if _, failed := err.(*exec.ExitError); !failed {
				t.Fatalf("the suite accepts the device (%v):\n%s", err, output)
			}
			if !regexp.MustCompile(`--- FAIL: TestAccepts/` + c.check + ` `).Match(output) {
				t.Fatalf("check %s did not fail:\n%s", c.check, output)
			}
		})
	}
}
