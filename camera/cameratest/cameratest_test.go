package cameratest_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
)

// bugVariable names the bug that a child process of TestRefusesBugs has.
const bugVariable = "CAMERATEST_BUG"

func harness(open func() *fake) cameratest.Harness {
	return cameratest.Harness{
		Open:    func(*testing.T) camera.Device { return open() },
		Trigger: func(_ *testing.T, d camera.Device, n int) { d.(*fake).trigger(n) },
		Drop:    func(_ *testing.T, d camera.Device, k int) { d.(*fake).fault(k, -1) },
		Damage:  func(_ *testing.T, d camera.Device, k int) { d.(*fake).fault(-1, k) },
	}
}

// The suite accepts a camera that is right, and in a child process refuses one
// that is not.
func TestAccepts(t *testing.T) {
	h := harness(func() *fake { return newFake(bug(os.Getenv(bugVariable))) })
	h.Around = synctest.Test
	cameratest.Run(t, h)
}

// In real time, and without a clock or a counter, it accepts it as well.
func TestAcceptsInRealTime(t *testing.T) {
	cameratest.Run(t, harness(plainFake))
}

// And one that takes frames by itself.
func TestAcceptsFreeRunning(t *testing.T) {
	cameratest.Run(t, cameratest.Harness{
		Open: func(*testing.T) camera.Device {
			f := newFake("")
			go func() {
				for {
					select {
					case <-f.closed:
						return
					case <-time.After(time.Millisecond):
						f.trigger(1)
					}
				}
			}()
			return f
		},
		Around: synctest.Test,
	})
}

// A suite that cannot fail is worth nothing: each bug must be found by the check
// that is there for it.
func TestRefusesBugs(t *testing.T) {
	for _, c := range []struct {
		bug   bug
		check string
	}{
		{"Info promises more buffers than there are", "all-buffers-held"},
		{"Info has no model", "info"},
		{"Info forgets the exposures", "info"},
		{"Info changes", "info"},
		{"Configure works during a run", "armed"},
		{"Configure changes half before it refuses", "bad-settings"},
		{"Configure takes the nearest good settings", "bad-settings"},
		{"Configure ignores the exposure", "settings"},
		{"Configure takes another exposure each time", "settings"},
		{"Configure resets what is not named", "settings"},
		{"Configure rounds beyond the sensor", "settings"},
		{"Configure answers what was asked", "settings"},
		{"Configure ignores its context", "ended-contexts"},
		{"Configure works after Close", "close"},
		{"Arm is armed even if it fails", "not-armed"},
		{"Arm is armed even if it fails", "ended-contexts"},
		{"Arm starts again", "armed"},
		{"Arm takes runs of no frames", "not-armed"},
		{"Arm keeps the counters", "next-run"},
		{"Arm keeps the frames", "next-run"},
		{"Arm keeps buffers that are too small", "region"},
		{"Arm forgets buffers that were held", "counts"},
		{"Arm counts triggers of before", "not-armed"},
		{"Arm ignores its context", "ended-contexts"},
		{"Arm works after Close", "close"},
		{"Arm does not run free", "free-run"},
		{"Arm refuses to run free and is armed", "free-run"},
		{"Arm stays free", "free-run"},
		{"Stop counts triggers of a free run", "free-run"},
		{"Wait waits for a run", "not-armed"},
		{"Wait waits without room", "not-armed"},
		{"Wait waits for buffers", "all-buffers-held"},
		{"Wait fills more than its room", "batches"},
		{"Wait skips damaged frames", "damaged-frame"},
		{"Wait calls every frame good", "damaged-frame"},
		{"Wait calls a good frame damaged", "frames"},
		{"Wait hands out the newest first", "frames"},
		{"Wait hands out one buffer only", "held-frames"},
		{"Wait takes back what it lent", "held-frames"},
		{"Wait numbers from 1", "frames"},
		{"Wait renumbers after a loss", "dropped-frame"},
		{"Wait gives no trigger", "frames"},
		{"Wait gives no device time", "frames"},
		{"Wait gives no host time", "frames"},
		{"Wait gives the sensor's geometry", "region"},
		{"Wait left-justifies", "region"},
		{"Wait returns without a frame", "timeout"},
		{"Wait has a limit of its own", "timeout"},
		{"Wait ignores its context", "timeout"},
		{"Wait hides the context's error", "timeout"},
		{"Wait says nothing of a timeout", "timeout"},
		{"Wait drops the next frame after a timeout", "timeout"},
		{"Wait works after Close", "close"},
		{"Requeue forgets the last of several", "frames"},
		{"Requeue takes stale frames", "stale-frames"},
		{"Stop needs a run", "counts"},
		{"Stop counts once", "counts"},
		{"Stop does not stop", "counts"},
		{"Stop hides losses", "counts"},
		{"Stop pretends that all was delivered", "counts"},
		{"Stop counts a frame twice", "frames"},
		{"Stop ignores its context", "ended-contexts"},
		{"Stop works after Close", "close"},
		{"Close works once", "close"},
		{"Close leaves Wait pending", "close-ends-wait"},
		{"Close looks like a timeout", "close-ends-wait"},
	} {
		t.Run(string(c.bug), func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0], "-test.run=^TestAccepts$/^"+c.check+"$")
			child.Env = append(os.Environ(), bugVariable+"="+string(c.bug))
			output, err := child.CombinedOutput()
			if _, failed := err.(*exec.ExitError); !failed {
				t.Fatalf("the suite accepts the camera (%v):\n%s", err, output)
			}
			if !regexp.MustCompile(`--- FAIL: TestAccepts/` + c.check + ` `).Match(output) {
				t.Fatalf("check %s did not fail:\n%s", c.check, output)
			}
		})
	}
}
