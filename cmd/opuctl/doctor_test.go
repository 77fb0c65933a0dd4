package main

import (
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/internal/doctor"
)

// What a machine lacks decides the exit code; an interface that is not there is lacking.
func TestDoctor(t *testing.T) {
	code, out, messages := opuctl(t, "doctor", "--interface", "opu-that-is-not-there", "--format", "json")
	if code != exitFailed || !strings.Contains(messages, "not ready") || !strings.Contains(out, `"name": "MTU of opu-that-is-not-there"`) {
		t.Errorf("exit %d: %s\n%s", code, messages, out)
	}
	_, out, _ = opuctl(t, "doctor")
	for _, f := range doctor.Look(doctor.ThisHost()) {
		if !strings.Contains(out, string(f.Verdict)+"  "+f.Name) && !strings.Contains(out, string(f.Verdict)+" "+f.Name) {
			t.Errorf("nothing is said of %s: %s", f.Name, out)
		}
	}
}
