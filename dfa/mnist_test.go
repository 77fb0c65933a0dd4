package dfa

import (
	"os"
	"testing"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// One epoch of MNIST against the reference, section 12: 92.1 % ternary.
func TestMNIST(t *testing.T) {
	dir := os.Getenv("OPU_MNIST_DIR")
	if testing.Short() || os.Getenv("OPU_LONG") != "1" || dir == "" {
		t.Skip("TRAINING ON MNIST IS NOT TESTED: it takes a minute, set OPU_LONG=1 and OPU_MNIST_DIR to the folder with the four files")
	}
	d, err := dataset.Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Epochs = 1
	r, _ := train(t, c, &d, nil, Options{})
	t.Logf("%.2f %% in %.0f s", 100*r.TestAccuracy, r.Seconds)
	if r.TestAccuracy < 0.90 || r.Diverged != "" {
		t.Errorf("%.2f %%, want 90 %% or more; %s", 100*r.TestAccuracy, r.Diverged)
	}
}
