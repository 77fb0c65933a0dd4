package shiftertest_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"testing/synctest"

	"github.com/light-in-the-loop/opu/shifter"
	"github.com/light-in-the-loop/opu/shifter/shiftertest"
)

// bugVariable names the bug that a child process of TestRefusesBugs has.
const bugVariable = "SHIFTERTEST_BUG"

// The suite accepts a device that is right, and in a child process refuses one
// that is not.
func TestAccepts(t *testing.T) {
	b := bug(os.Getenv(bugVariable))
	shiftertest.Run(t, shiftertest.Harness{
		Open:    func(*testing.T) shifter.Device { return newFake(b) },
		Output:  func(d shifter.Device) float64 { return d.(*fake).output() },
		Silence: func(d shifter.Device) { d.(*fake).silence() },
		Around:  synctest.Test,
	})
}

// In real time, and knowing nothing of the output, it accepts it as well.
func TestAcceptsInRealTime(t *testing.T) {
	shiftertest.Run(t, shiftertest.Harness{Open: func(*testing.T) shifter.Device { return newFake("") }})
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
		{"Info has no limits", "info"},
		{"Info has no resolution", "info"},
		{"Set does nothing", "set"},
		{"Set stops halfway", "set"},
		{"Set forgets the upper limit", "set"},
		{"Set does not wait", "settled"},
		{"Set passes the limits", "limits"},
		{"Set takes what is no number", "limits"},
		{"Set clamps to the limits", "limits"},
		{"Set checks when it is too late", "limits"},
		{"Set refuses with an error of its own", "limits"},
		{"Set begins under an ended context", "ended-contexts"},
		{"Set ignores its context", "deadline"},
		{"Set hides the context's error", "deadline"},
		{"Set works after Close", "close"},
		{"Read tells another scale", "set"},
		{"Read begins under an ended context", "ended-contexts"},
		{"Read ignores its context", "deadline"},
		{"Read hides the context's error", "deadline"},
		{"Read waits for ever", "deadline"},
		{"Read works after Close", "close"},
		{"Close works once", "close"},
		{"Close moves the piezo", "close"},
		{"Close leaves calls pending", "close-ends-calls"},
		{"Close ends calls with an error of its own", "close-ends-calls"},
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
