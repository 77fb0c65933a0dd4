package main

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
)

// What calibrate finds comes from frames: a bench that lies about itself, in its
// configuration and its truth, changes nothing but the truth that is printed.
func TestCalibrateDoesNotAsk(t *testing.T) {
	calibrate := func() (r bench.CalibrationResult) {
		must(t, &r, "calibrate", "--sim", "--seed", "5")
		return r
	}
	honest := calibrate()
	t.Cleanup(func() { newBench = bench.New })
	newBench = func(ctx context.Context, c sim.Config, name string, w rig.Config) (*bench.Bench, error) {
		b, err := bench.New(ctx, c, name, w)
		if err == nil {
			b.Sim.Pretend(func(c *sim.Config) {
				c.Carrier, c.Radius, c.Rho = [2]float64{-0.2, 0.4}, 0.1, 9
				c.BlackLevel, c.MeanElectrons, c.Visibility = 20, 100, 0.5
			})
		}
		return b, err
	}
	lied := calibrate()
	if want := (bench.Truth{Carrier: [2]float64{-0.2, 0.4}, Radius: 0.1, Rho: 9}); *lied.Truth != want || *honest.Truth == want {
		t.Fatalf("the bench did not lie: it says %+v", *lied.Truth)
	}
	if honest.Verdict.Verdict != calib.VerdictGood {
		t.Errorf("an honest bench: %+v", honest.Verdict)
	}
	// The epoch is a hash of all that was learnt, to the last bit.
	if *honest.EpochOfB != *lied.EpochOfB || *honest.Carrier != *lied.Carrier || *honest.Radius != *lied.Radius ||
		*honest.SNRDB != *lied.SNRDB || *honest.Rho != *lied.Rho || !reflect.DeepEqual(honest.Reasons, lied.Reasons) {
		t.Errorf("the lie was heard: epoch %s, carrier %v, %v; honestly %s, %v, %v",
			*lied.EpochOfB, *lied.Carrier, lied.Verdict, *honest.EpochOfB, *honest.Carrier, honest.Verdict)
	}
}

// The object that calibrate prints has what programs are promised.
func TestCalibrateJSON(t *testing.T) {
	_, stdout, _ := opuctl(t, "calibrate", "--sim=broken", "--seed", "2", "--format", "json")
	var r map[string]any
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"carrier", "radius", "snr_db", "linearity_db", "repeatability_db", "saturated", "verdict", "reasons", "truth"} {
		if _, ok := r[key]; !ok {
			t.Errorf("no %q in %s", key, stdout)
		}
	}
	truth := r["truth"].(map[string]any)
	for _, key := range []string{"carrier", "radius", "rho"} {
		if truth[key] == nil {
			t.Errorf("no %q in the truth %v", key, truth)
		}
	}
}

// Benches drawn at random, with plain discs and with all that glass does, are
// calibrated as users do it. Set OPU_LONG for 50 and 25 of them.
func TestRandomBenches(t *testing.T) {
	for _, x := range []struct {
		preset      string
		short, long int
		bins        float64 // within which the carrier must be found
		near, good  float64 // the share that must be within, and that must be good
	}{
		{"random", 3, 50, 0.3, 48.0 / 50, 0.9},
		{"random-glass", 2, 25, 1, 0, 20.0 / 25},
	} {
		seeds := x.short
		if os.Getenv("OPU_LONG") != "" {
			seeds = x.long
		}
		near, good := 0, 0
		for seed := 1; seed <= seeds; seed++ {
			_, stdout, stderr := opuctl(t, "calibrate", "--sim="+x.preset, "--seed", strconv.Itoa(seed), "--format", "json")
			var r bench.CalibrationResult
			if err := json.Unmarshal([]byte(stdout), &r); err != nil {
				t.Fatalf("%s %d: %v: %s", x.preset, seed, err, stderr)
			}
			bins := math.Inf(1)
			if r.Carrier != nil {
				bins = 256 * math.Hypot(math.Remainder(r.Carrier[0]-r.Truth.Carrier[0], 1), math.Remainder(r.Carrier[1]-r.Truth.Carrier[1], 1))
				t.Logf("%s %d: %.2f bins off, radius %.4f of %.4f, %s %q", x.preset, seed, bins, *r.Radius, r.Truth.Radius, r.Verdict.Verdict, r.Reasons)
			}
			if bins < x.bins {
				near++
			}
			if r.Verdict.Verdict == calib.VerdictGood {
				good++
				if bins > 1 {
					t.Errorf("%s %d: good, and the carrier is %.2f bins off", x.preset, seed, bins)
				}
			}
		}
		t.Logf("%s: of %d benches %d are within %g bins, %d good", x.preset, seeds, near, x.bins, good)
		if n := float64(seeds); float64(near) < x.near*n || float64(good) < x.good*n {
			t.Errorf("%s: of %d benches %d are within %g bins and %d good", x.preset, seeds, near, x.bins, good)
		}
	}
}
