package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// Every frame of a calibration and of a training comes as packets of GigE Vision. With
// OPU_LONG what is learnt is compared with what the same bench teaches without: it is the same.
func TestTrainThroughGigE(t *testing.T) {
	dir := t.TempDir()
	data, _ := saveDigits(t, dir, dataset.Digits(3, 300, 200))
	type result struct {
		Accuracy    float64 `json:"test_accuracy"`
		Simulated   string
		Projections int
		Frames      int
		Repeated    int
	}
	train := func(name string, flags ...string) (r result) {
		must(t, &r, append([]string{"train", "--data", data, "--epochs", "1", "--batch", "32", "--layers", "16", "--seed", "2", "--out", filepath.Join(dir, name)}, flags...)...)
		return r
	}
	address := fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, rand.IntN(255), 2+rand.IntN(250))
	carried := train("carried", "--slm", "sim", "--camera", "gige:"+address)
	if carried.Projections == 0 || carried.Frames <= carried.Projections || carried.Repeated != 0 || carried.Simulated == "" {
		t.Errorf("over a network that loses nothing %+v", carried)
	}
	if os.Getenv("OPU_LONG") != "" {
		if direct := train("direct", "--sim"); carried != direct {
			t.Errorf("over a network that loses nothing %+v, without it %+v", carried, direct)
		}
	}
	code, _, messages := opuctl(t, "calibrate", "--slm", "sim", "--camera", "gige:192.0.2.7")
	if code != exitInput || !strings.Contains(messages, "127.0.0.2") {
		t.Errorf("an address that is not of this host: exit code %d\n%s", code, messages)
	}
}
