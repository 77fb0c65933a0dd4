package rigs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/gige"
	"github.com/light-in-the-loop/opu/sim/gigecam"
)

func openGigE(ctx context.Context, where string) (camera.Device, error) {
	name, o, err := gige.ParseReference(where)
	if err != nil {
		return nil, err
	}
	d, err := gige.Open(ctx, name, o)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func listGigE(ctx context.Context) (found []FoundCamera, err error) {
	all, err := gige.Discover(ctx)
	for _, f := range all {
		c := FoundCamera{Ref: "gige:" + f.Serial, Model: f.Vendor + " " + f.Model, Serial: f.Serial, Note: "at " + f.Address.String()}
		if f.Serial == "" {
			c.Ref = "gige:" + f.Address.String()
		}
		if f.Name != "" {
			c.Note += fmt.Sprintf(", named %q", f.Name)
		}
		found = append(found, c)
	}
	return found, err
}

// carried is a camera over a network, and the model at its other end.
type carried struct {
	*gige.Device
	model *gigecam.Camera
}

func (c carried) Close() error { return errors.Join(c.Device.Close(), c.model.Close()) }

// carryGigE has the frames of a simulated camera sent over the host's own network, by a
// model of a GigE Vision camera.
func carryGigE(ctx context.Context, where string, sensor camera.Device) (camera.Device, error) {
	name, o, err := gige.ParseReference(where)
	if err != nil {
		return nil, err
	}
	if address, err := netip.ParseAddr(name); err != nil || !address.IsLoopback() {
		return nil, fmt.Errorf("cannot simulate the camera gige:%s: a simulated SLM's light reaches one at an address of this host alone, such as gige:127.0.0.2: %w", name, ErrInput)
	}
	model, err := gigecam.New(gigecam.Config{Address: name, Sensor: sensor, Serial: sensor.Info().Serial})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrInput)
	}
	d, err := gige.Open(ctx, name, o)
	if err != nil {
		return nil, errors.Join(err, model.Close())
	}
	return carried{d, model}, nil
}
