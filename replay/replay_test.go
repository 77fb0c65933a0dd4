package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
	"github.com/light-in-the-loop/opu/replay"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/slmtest"
)

// table is a small bench.
func table(t testing.TB, change func(*sim.Config)) *sim.Bench {
	t.Helper()
	c := sim.Good(1)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 31}
	if change != nil {
		change(&c)
	}
	b, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recorded has work done on a bench, recorded, and returns the file.
func recorded(t testing.TB, b *sim.Bench, calibration []byte, work func(slm.Device, camera.Device)) string {
	t.Helper()
	var out bytes.Buffer
	rec, err := replay.NewRecorder(t.Context(), &out, b.DMD(), b.Camera())
	if err != nil {
		t.Fatal(err)
	}
	work(rec.SLM(), rec.Camera())
	if err := rec.Close(calibration); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "bench.opurec")
	if err := os.WriteFile(name, out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t testing.TB, name string) *replay.Replay {
	t.Helper()
	r, err := replay.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func wire(t testing.TB, dmd slm.Device, cam camera.Device) *rig.Rig {
	t.Helper()
	r, err := rig.New(dmd, cam, rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Calibrating a replay gives the calibration of the bench, to the last digit.
func TestSameCalibration(t *testing.T) {
	learn := func(dmd slm.Device, cam camera.Device) *calib.Calibration {
		c, err := calib.Learn(t.Context(), wire(t, dmd, cam), calib.Options{Layout: slm.LayoutSpec{Features: 10}, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		c.Created = time.Time{}
		return c
	}
	b := table(t, nil)
	var want *calib.Calibration
	name := recorded(t, b, []byte("a calibration"), func(dmd slm.Device, cam camera.Device) { want = learn(dmd, cam) })
	r := open(t, name)
	got := learn(r.SLM(), r.Camera())
	if got.Epoch() != want.Epoch() || !reflect.DeepEqual(got, want) {
		t.Errorf("the bench gave %s, the replay %s", want.Epoch(), got.Epoch())
	}
	if string(r.Calibration()) != "a calibration" {
		t.Errorf("the calibration that was recorded is %q", r.Calibration())
	}
	if s := r.Summary(); s.Frames < 300 || s.Patterns < 100 || s.Bad != 0 || s.Unproven != 0 {
		t.Errorf("%+v", s)
	}

	// With another seed there are other patterns, and that is said.
	again := open(t, name)
	_, err := calib.Learn(t.Context(), wire(t, again.SLM(), again.Camera()), calib.Options{Layout: slm.LayoutSpec{Features: 10}, Seed: 6})
	if !errors.Is(err, replay.ErrNotRecorded) || !errors.Is(err, slm.ErrInput) || !strings.Contains(err.Error(), "same seed") {
		t.Errorf("another seed: %v", err)
	}
}

// random are patterns.
func random(chip slm.Geometry, n int) []*slm.Pattern {
	source := rand.New(rand.NewPCG(1, 1))
	all := make([]*slm.Pattern, n)
	for k := range all {
		all[k] = slm.NewPattern(chip)
		for v := range chip.Height {
			for u := range chip.Width {
				all[k].Set(u, v, source.Uint32()&1 != 0)
			}
		}
	}
	return all
}

// Frames of a run whose trigger went astray are in the file and belong to nobody; a frame that
// was lost or damaged is not made up.
func TestFaultsAreNotReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := table(t, func(c *sim.Config) { c.Stamp = true })
		patterns := random(b.Config().Chip, 20)
		lost := random(b.Config().Chip, 22)[20:]
		name := recorded(t, b, nil, func(dmd slm.Device, cam camera.Device) {
			r := wire(t, dmd, cam)
			ignore := func(int, *camera.Frame) error { return nil }
			if err := r.Show(t.Context(), patterns[:1], ignore); err != nil { // learns the markers
				t.Fatal(err)
			}
			run := 0
			b.SetFaults(func(x sim.Exposure) sim.Fault {
				if x.Position == 0 {
					run++
				}
				switch {
				case run == 1 && x.Position == 7:
					return sim.Fault{Kind: sim.LoseTrigger}
				case run == 2 && x.Position == 9:
					return sim.Fault{Kind: sim.DamageFrame}
				case run > 3 && x.Position == 2:
					return sim.Fault{Kind: sim.DropFrame}
				}
				return sim.Fault{}
			})
			if err := r.Show(t.Context(), patterns, ignore); err != nil {
				t.Fatal(err)
			}
			if err := r.Show(t.Context(), lost[:1], ignore); !errors.Is(err, rig.ErrUnproven) {
				t.Fatal(err)
			}
		})
		r := open(t, name)
		if s := r.Summary(); s.Unproven != 1 || s.Bad != 1 {
			t.Errorf("%+v", s)
		}
		wired := wire(t, r.SLM(), r.Camera())
		for range 2 { // and again from the first
			shown := make([]uint64, len(patterns))
			err := wired.Show(t.Context(), patterns, func(k int, f *camera.Frame) error {
				_, shown[k] = sim.ReadStamp(f)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for k, hash := range shown {
				if hash != patterns[k].Hash() {
					t.Errorf("the frame of pattern %d is another's", k)
				}
			}
		}
		for what, p := range map[string]*slm.Pattern{"was lost": lost[0], "was never shown": lost[1]} {
			err := wired.Show(t.Context(), []*slm.Pattern{p}, func(int, *camera.Frame) error { return nil })
			if !errors.Is(err, replay.ErrNotRecorded) {
				t.Errorf("a pattern that %s: %v", what, err)
			}
		}
		if _, err := wired.Configure(t.Context(), camera.Config{Exposure: 17 * time.Microsecond}); !errors.Is(err, replay.ErrNotRecorded) || !errors.Is(err, camera.ErrInput) {
			t.Errorf("settings that were never set: %v", err)
		}
	})
}

// The suites are run on a bench that is recorded, and then on the replay of each check.
func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, open func(t *testing.T) (slm.Device, camera.Device))
	}{
		{"slm", func(t *testing.T, open func(t *testing.T) (slm.Device, camera.Device)) {
			slmtest.Run(t, func(t *testing.T) slm.Device { d, _ := open(t); return d })
		}},
		{"camera", func(t *testing.T, open func(t *testing.T) (slm.Device, camera.Device)) {
			var dmd slm.Device
			cameratest.Run(t, cameratest.Harness{
				Open: func(t *testing.T) camera.Device {
					d, cam := open(t)
					dmd = d
					return cam
				},
				Trigger: func(t *testing.T, _ camera.Device, n int) {
					p := slm.NewPattern(dmd.Info().Geometry)
					p.Fill()
					if err := dmd.Load(context.Background(), []int{0}, []*slm.Pattern{p}); err != nil {
						t.Fatal(err)
					}
					if err := dmd.Play(context.Background(), slm.Run{Order: make([]int, n), Period: time.Millisecond}); err != nil {
						t.Fatal(err)
					}
					if _, err := dmd.Wait(context.Background()); err != nil {
						t.Fatal(err)
					}
				},
				Around: synctest.Test,
			})
		}},
	} {
		files := map[string]string{} // of each check
		folder := t.TempDir()
		t.Run("recorded "+c.name, func(t *testing.T) {
			c.run(t, func(t *testing.T) (slm.Device, camera.Device) {
				name := filepath.Join(folder, c.name+"-"+path.Base(t.Name()))
				files[path.Base(t.Name())] = name
				out, err := os.Create(name)
				if err != nil {
					t.Fatal(err)
				}
				b := table(t, func(c *sim.Config) { c.Width, c.Height, c.Chip = 32, 24, slm.Geometry{Width: 70, Height: 9} })
				rec, err := replay.NewRecorder(t.Context(), out, b.DMD(), b.Camera())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := errors.Join(rec.Close(nil), out.Close()); err != nil {
						t.Error(err)
					}
				})
				return rec.SLM(), rec.Camera()
			})
		})
		t.Run("replayed "+c.name, func(t *testing.T) {
			c.run(t, func(t *testing.T) (slm.Device, camera.Device) {
				check := path.Base(t.Name())
				if c.name == "camera" && strings.HasPrefix(check, "close") {
					check = "frames" // whose runs have ended, and so their frames are known
				}
				r := open(t, files[check])
				return r.SLM(), r.Camera()
			})
		})
	}
}

// small is a recording of one pattern.
func small(t testing.TB) []byte {
	b := table(t, func(c *sim.Config) { c.Width, c.Height, c.Chip = 16, 16, slm.Geometry{Width: 9, Height: 3} })
	name := recorded(t, b, []byte("calibration"), func(dmd slm.Device, cam camera.Device) {
		ctx := context.Background()
		if err := errors.Join(dmd.Load(ctx, []int{0}, random(b.Config().Chip, 1)), cam.Arm(ctx, camera.Run{Frames: 2}), dmd.Play(ctx, slm.Run{Order: []int{0, 0}})); err != nil {
			t.Fatal(err)
		}
		if _, err := dmd.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		frames := make([]camera.Frame, 2)
		for n := 0; n < 2; {
			k, err := cam.Wait(ctx, frames)
			if err != nil {
				t.Fatal(err)
			}
			cam.Requeue(frames[:k]...)
			n += k
		}
		if _, err := cam.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	})
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A file that is cut short, altered or no recording is refused, whatever of it.
func TestDamagedFiles(t *testing.T) {
	content := small(t)
	refuses := func(what string, content []byte) {
		t.Helper()
		if _, err := replay.Read(content); !errors.Is(err, replay.ErrFile) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := 0; n < len(content); n += 7 {
		refuses("cut", content[:n])
		altered := bytes.Clone(content)
		altered[n] ^= 4
		refuses("altered", altered)
	}
	refuses("longer", append(bytes.Clone(content), 'x'))
	refuses("of another version", bytes.Replace(content, []byte("recording 1"), []byte("recording 2"), 1))
	if _, err := replay.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// The file is what its description says, for whoever reads it with another program.
func TestFormat(t *testing.T) {
	content := small(t)
	head, rest, _ := bytes.Cut(content, []byte("\n"))
	if string(head) != "opu-recording 1" {
		t.Errorf("it begins with %q", head)
	}
	var kinds []string
	for len(rest) > 0 {
		line, behind, _ := bytes.Cut(rest, []byte("\n"))
		var r struct {
			Kind  string
			Bytes int
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		kinds, rest = append(kinds, r.Kind), behind[r.Bytes:]
	}
	want := []string{"slm", "camera", "settings", "pattern", "arm", "play", "frame", "frame", "counts", "calibration", "end"}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("its records are %v, want %v", kinds, want)
	}
}

// FuzzOpen: no content brings the reader down, or has it read beyond the file.
func FuzzOpen(f *testing.F) {
	f.Add(small(f))
	f.Add([]byte("opu-recording 1\n{\"kind\":\"end\"}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := replay.Read(content)
		if err != nil {
			if !errors.Is(err, replay.ErrFile) {
				t.Fatalf("%v is not ErrFile", err)
			}
			return
		}
		r.Close()
	})
}
