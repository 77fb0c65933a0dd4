package gentl

import (
	"context"
	"fmt"
	"os"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// port is the memory of one module of a device, as genapi wants it.
type port struct {
	p      *process
	module string
}

// largestRead is what one request reads at most; helpers refuse more than a MiB.
const largestRead = 64 << 10

// ReadAt implements genapi.Port.
func (m port) ReadAt(ctx context.Context, p []byte, address uint64) error {
	for len(p) > 0 {
		n := min(len(p), largestRead)
		got, err := m.read(ctx, p[:n], address)
		if err != nil {
			return err
		}
		if got < n {
			return m.p.fault(camera.ErrProtocol, "read", fmt.Sprintf("%d of %d bytes at 0x%x came", got, n, address))
		}
		p, address = p[n:], address+uint64(n)
	}
	return nil
}

// read reads what one request may; fewer bytes may come.
func (m port) read(ctx context.Context, p []byte, address uint64) (int, error) {
	reply, err := m.p.ask(ctx, callLimit, wire.Request{Do: wire.Read, Port: m.module, Address: address, Size: len(p)})
	if err != nil {
		return 0, err
	}
	return copy(p, reply.Data), nil
}

// WriteAt implements genapi.Port.
func (m port) WriteAt(ctx context.Context, p []byte, address uint64) error {
	_, err := m.p.ask(ctx, callLimit, wire.Request{Do: wire.Write, Port: m.module, Address: address, Data: p})
	return err
}

// description is that of a module: the features that it has. At the address, if it is not 0,
// the module can be read as long as it is there.
func (m port) description(ctx context.Context) (features *genapi.Map, address uint64, err error) {
	reply, err := m.p.ask(ctx, callLimit, wire.Request{Do: wire.URLs, Port: m.module})
	if err != nil {
		return nil, 0, err
	}
	if len(reply.URLs) == 0 {
		return nil, 0, m.p.fault(camera.ErrProtocol, "use", "it has no description of its "+m.module)
	}
	// Several are of different versions of the format; the first is the one that all understand.
	url, err := genapi.ParseURL(reply.URLs[0])
	if err != nil {
		return nil, 0, err
	}
	text, err := m.text(ctx, url)
	if err != nil {
		return nil, 0, err
	}
	features, err = genapi.New(text, m)
	return features, url.Address, err
}

// text reads a description. Producers put it into the module's memory or, some, into a file;
// the last bytes of either may be missing or rubbish.
func (m port) text(ctx context.Context, url genapi.URL) ([]byte, error) {
	switch url.Scheme {
	case genapi.Local:
	case genapi.File:
		text, err := os.ReadFile(url.Name)
		if err != nil {
			return nil, m.p.fault(camera.ErrRefused, "use", "its description: "+err.Error())
		}
		return genapi.Unpack(text)
	default:
		return nil, m.p.fault(camera.ErrRefused, "use", "its description is on the net, at "+url.Name+", which nobody here looks at")
	}
	data := make([]byte, url.Length)
	for at := 0; at < len(data); {
		n, err := m.read(ctx, data[at:min(at+largestRead, len(data))], url.Address+uint64(at))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break // the rest is zeros, which Unpack cuts off
		}
		at += n
	}
	return genapi.Unpack(data)
}
