package gentl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// List looks for cameras through all producers at once, each in a helper of its own. It may
// take seconds: grabbers train their links. A producer that fails is told by the error, beside
// the cameras of the others.
func List(ctx context.Context) ([]Found, error) {
	paths, err := Producers()
	found, failures := make([][]Found, len(paths)), make([]error, len(paths))
	var wg sync.WaitGroup
	for i, path := range paths {
		wg.Go(func() { found[i], failures[i] = search(ctx, path) })
	}
	wg.Wait()
	return slices.Concat(found...), errors.Join(append(failures, err)...)
}

// search lists the cameras of one producer.
func search(ctx context.Context, path string) ([]Found, error) {
	p, _, err := startProcess(ctx, path)
	if err != nil {
		return nil, err
	}
	defer p.close()
	return p.list(ctx)
}

func (p *process) list(ctx context.Context) ([]Found, error) {
	reply, err := p.ask(ctx, searchLimit, wire.Request{Do: wire.List})
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, d := range reply.Devices {
		found = append(found, Found{
			Producer: p.path, Device: d.Device, Interface: d.InterfaceName, Type: d.Type,
			Vendor: d.Vendor, Model: d.Model, Serial: d.Serial, User: d.User,
			Busy: d.Access > 2, link: d.Interface,
		})
	}
	if len(reply.Notes) > 0 {
		err = p.fault(camera.ErrRefused, "look at everything", strings.Join(reply.Notes, "; "))
	}
	return found, err
}

// connect starts a helper and opens the camera that a reference means.
func connect(ctx context.Context, r Ref) (*process, Found, wire.Opened, error) {
	fail := func(err error) (*process, Found, wire.Opened, error) { return nil, Found{}, wire.Opened{}, err }
	paths, err := r.choose()
	if err != nil {
		return fail(err)
	}
	var chosen *process
	var camera1 Found
	var seen []string
	var failures []error
	for _, path := range paths {
		p, _, err := startProcess(ctx, path)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		found, err := p.list(ctx)
		failures = append(failures, err)
		keep := false
		for _, f := range found {
			seen = append(seen, f.Ref())
			if !f.fits(r.Device) {
				continue
			}
			if chosen != nil {
				if !keep {
					p.close()
				}
				chosen.close()
				return fail(fmt.Errorf("cannot choose between the cameras %s and %s: name one: %w", camera1.Ref(), f.Ref(), camera.ErrInput))
			}
			chosen, camera1, keep = p, f, true
		}
		if !keep {
			p.close()
		}
	}
	if chosen == nil {
		text := "none is there"
		if len(seen) > 0 {
			text = "there are " + strings.Join(seen, ", ")
		}
		if err := errors.Join(failures...); err != nil {
			return fail(fmt.Errorf("cannot find the camera %s: %s: %w", r, text, err))
		}
		return fail(fmt.Errorf("cannot find the camera %s: %s: %w", r, text, camera.ErrUnplugged))
	}
	reply, err := chosen.ask(ctx, searchLimit, wire.Request{Do: wire.Open, Interface: camera1.link, Device: camera1.Device})
	if err == nil && reply.Opened == nil {
		err = chosen.fault(camera.ErrProtocol, "open", "the helper told nothing of the camera")
	}
	if err != nil {
		chosen.close()
		if slices.Contains([]int32{-1004, -1005, -1022}, reply.Code) {
			err = fmt.Errorf("%w; another program has it: close that", err)
		}
		return fail(err)
	}
	return chosen, camera1, *reply.Opened, nil
}
