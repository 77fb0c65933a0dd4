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

// candidate is a camera that a reference may mean, in its helper.
type candidate struct {
	p     *process
	found Found
}

// find starts the helper of the one camera that a reference means.
func find(ctx context.Context, r Ref) (candidate, error) {
	paths, err := r.choose()
	if err != nil {
		return candidate{}, err
	}
	var fit []candidate
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
		before := len(fit)
		for _, f := range found {
			seen = append(seen, f.Ref())
			if f.fits(r.Device) {
				fit = append(fit, candidate{p, f})
			}
		}
		if len(fit) == before {
			p.close()
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	for _, c := range fit {
		c.p.close()
	}
	switch err := errors.Join(failures...); {
	case len(fit) > 1:
		return candidate{}, fmt.Errorf("cannot choose between the cameras %s; name one: %w", strings.Join(seen, ", "), camera.ErrInput)
	case len(seen) > 0:
		return candidate{}, fmt.Errorf("cannot find the camera %s; there are %s: %w", r, strings.Join(seen, ", "), camera.ErrUnplugged)
	case err != nil:
		return candidate{}, err
	}
	return candidate{}, fmt.Errorf("cannot find the camera %s: its producer lists none; see that it is plugged in and has power: %w", r, camera.ErrUnplugged)
}

// connect starts a helper and opens the camera that a reference means.
func connect(ctx context.Context, r Ref) (candidate, wire.Opened, error) {
	c, err := find(ctx, r)
	if err != nil {
		return c, wire.Opened{}, err
	}
	reply, err := c.p.ask(ctx, searchLimit, wire.Request{Do: wire.Open, Interface: c.found.link, Device: c.found.Device})
	switch {
	case err != nil && slices.Contains([]int32{-1004, -1005, -1022}, reply.Code): // in use, denied, busy
		err = fmt.Errorf("%w; another program has it: close that", err)
	case err == nil && reply.Opened == nil:
		err = c.p.fault(camera.ErrProtocol, "open", "the helper told nothing of the camera")
	}
	if err != nil {
		c.p.close()
		return c, wire.Opened{}, err
	}
	return c, *reply.Opened, nil
}
