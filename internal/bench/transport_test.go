package bench_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/gige"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/sim/gigecam"
	"github.com/light-in-the-loop/opu/slm"
)

// A camera whose packets are lost, some of them for good, gives frames of their own patterns
// and no others; what was lost is shown again, and counted.
func TestLossyCamera(t *testing.T) {
	c := sim.Ideal(6)
	c.Width, c.Height, c.Chip, c.Stamp = 32, 32, slm.Geometry{Width: 32, Height: 24}, true
	var model *gigecam.Camera
	var device *gige.Device
	through := func(ctx context.Context, sensor camera.Device) (camera.Device, error) {
		address := fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, rand.IntN(255), 2+rand.IntN(250))
		var err error
		if model, err = gigecam.New(gigecam.Config{Address: address, Sensor: sensor, MTU: 576}); err != nil {
			return nil, err
		}
		device, err = gige.Open(ctx, address, gige.Options{})
		return device, err
	}
	b, err := bench.NewThrough(t.Context(), c, "ideal", rig.Config{}, through)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	defer b.Close()
	random := rand.New(rand.NewPCG(7, 7))
	lost := map[gigecam.Packet]bool{}
	model.SetFaults(func(p gigecam.Packet) gigecam.Fate {
		first := p
		first.Resent = false
		switch {
		case p.Resent && lost[first]: // for good
			return gigecam.Drop
		case p.Resent || p.Frame >= 10: // where a last frame is lost, the run lasts as long as a busy host may
			return gigecam.Arrive
		case random.IntN(120) == 0: // for now
			return gigecam.Drop
		case random.IntN(120) == 0:
			lost[p] = true
			return gigecam.Drop
		case random.IntN(120) == 0:
			return gigecam.Double
		case random.IntN(120) == 0:
			return gigecam.Late
		}
		return gigecam.Arrive
	})
	shown := 0
	for range 8 {
		err := show(t, b, someFresh(random, c.Chip, 8)) // which compares the stamps
		switch {
		case err == nil:
			shown++
		case !errors.Is(err, rig.ErrUnproven):
			t.Error(err)
		}
	}
	s, packets, m := b.Rig.Stats(), device.Stats(), model.Stats()
	t.Logf("%d of 8 runs; rig %+v, driver %+v, camera %+v", shown, s, packets, m)
	if shown < 6 || s.Repeated == 0 || s.Lost+s.Damaged == 0 || len(lost) == 0 {
		t.Errorf("%d of 8 runs, %+v", shown, s)
	}
	if packets.Incomplete != s.Damaged || packets.Missing == 0 || packets.Missing > m.Dropped {
		t.Errorf("the rig counts %+v, the driver %+v, the camera %+v", s, packets, m)
	}
}
