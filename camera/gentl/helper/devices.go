//go:build linux && cgo

package helper

/*
#include <stdlib.h>
#include "gentl.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// How long a producer may look for interfaces and for devices, in ms. Links with many lanes
// take seconds to be trained.
const (
	interfacePatience = 1000
	devicePatience    = 5000
)

// system is a producer's own module, open.
func (p *producer) open() (tl handle, err error) {
	err = p.check("TLOpen", C.tl_open(p.c, &tl, &p.text[0]))
	return tl, err
}

// interfaces are the ids of those that there are.
func (p *producer) interfaces(tl handle) ([]string, error) {
	if err := p.check("TLUpdateInterfaceList", C.tl_update(p.c, tl, interfacePatience, &p.text[0])); err != nil {
		return nil, err
	}
	var n C.uint32_t
	if err := p.check("TLGetNumInterfaces", C.tl_count(p.c, tl, &n, &p.text[0])); err != nil {
		return nil, err
	}
	var ids []string
	for i := range n {
		id, err := p.id("TLGetInterfaceID", func(id *C.char, size *C.size_t) C.int32_t {
			return C.tl_id(p.c, tl, i, id, size, &p.text[0])
		})
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// link opens an interface.
func (p *producer) link(tl handle, id string) (link handle, err error) {
	name := C.CString(id)
	defer C.free(unsafe.Pointer(name))
	err = p.check("TLOpenInterface", C.tl_open_interface(p.c, tl, name, &link, &p.text[0]))
	return link, err
}

// linkInfo is TLGetInterfaceInfo.
func (p *producer) linkInfo(tl handle, id string, command int) string {
	name := C.CString(id)
	defer C.free(unsafe.Pointer(name))
	b, _ := ask(func(to unsafe.Pointer, size *C.size_t) C.int32_t {
		return C.tl_interface_info(p.c, tl, name, C.int32_t(command), to, size, &p.text[0])
	})
	return text(b)
}

// devices lists those of an open interface.
func (p *producer) devices(link handle) ([]wire.Found, error) {
	if err := p.check("IFUpdateDeviceList", C.if_update(p.c, link, devicePatience, &p.text[0])); err != nil {
		return nil, err
	}
	var n C.uint32_t
	if err := p.check("IFGetNumDevices", C.if_count(p.c, link, &n, &p.text[0])); err != nil {
		return nil, err
	}
	var found []wire.Found
	for i := range n {
		id, err := p.id("IFGetDeviceID", func(id *C.char, size *C.size_t) C.int32_t {
			return C.if_id(p.c, link, i, id, size, &p.text[0])
		})
		if err != nil {
			return nil, err
		}
		name := C.CString(id)
		info := func(command C.int32_t) []byte {
			b, _ := ask(func(to unsafe.Pointer, size *C.size_t) C.int32_t {
				return C.if_device_info(p.c, link, name, command, to, size, &p.text[0])
			})
			return b
		}
		found = append(found, wire.Found{
			Device: id, Vendor: text(info(1)), Model: text(info(2)), Type: text(info(3)),
			Access: int(int32(number(info(5)))), User: text(info(6)), Serial: text(info(7)),
		})
		C.free(unsafe.Pointer(name))
	}
	return found, nil
}

// list looks at every interface. Those that cannot be looked at are told, and left out.
func (p *producer) list(tl handle) (found []wire.Found, notes []string, err error) {
	ids, err := p.interfaces(tl)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		link, err := p.link(tl, id)
		if err != nil {
			notes = append(notes, fmt.Sprintf("interface %s: %v", id, err))
			continue
		}
		devices, err := p.devices(link)
		if err != nil {
			notes = append(notes, fmt.Sprintf("interface %s: %v", id, err))
		}
		for _, d := range devices {
			d.Interface, d.InterfaceName = id, p.linkInfo(tl, id, 1)
			found = append(found, d)
		}
		if err := p.check("IFClose", C.if_close(p.c, link, &p.text[0])); err != nil {
			notes = append(notes, fmt.Sprintf("interface %s: %v", id, err))
		}
	}
	return found, notes, nil
}

// device is one that is open, with what hangs on it.
type device struct {
	link, handle handle
	camera       handle // its remote port
	stream       handle
	opened       wire.Opened
}

// openDevice opens a device, alone if the producer knows how, and its first stream.
func (p *producer) openDevice(tl handle, interfaceID, deviceID string) (_ *device, err error) {
	d := new(device)
	defer func() {
		if err != nil {
			p.closeDevice(d)
		}
	}()
	if d.link, err = p.link(tl, interfaceID); err != nil {
		return nil, err
	}
	if err = p.check("IFUpdateDeviceList", C.if_update(p.c, d.link, devicePatience, &p.text[0])); err != nil {
		return nil, err
	}
	name := C.CString(deviceID)
	defer C.free(unsafe.Pointer(name))
	if C.if_open_device(p.c, d.link, name, accessExclusive, &d.handle, &p.text[0]) != 0 { // not every producer knows it
		if err = p.check("IFOpenDevice", C.if_open_device(p.c, d.link, name, accessControl, &d.handle, &p.text[0])); err != nil {
			d.handle = 0
			return nil, err
		}
		d.opened.Shared = true
	}
	if err = p.check("DevGetPort", C.dev_port(p.c, d.handle, &d.camera, &p.text[0])); err != nil {
		return nil, err
	}
	var n C.uint32_t
	if err = p.check("DevGetNumDataStreams", C.dev_streams(p.c, d.handle, &n, &p.text[0])); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("the device has no stream of frames")
	}
	id, err := p.id("DevGetDataStreamID", func(id *C.char, size *C.size_t) C.int32_t {
		return C.dev_stream_id(p.c, d.handle, 0, id, size, &p.text[0])
	})
	if err != nil {
		return nil, err
	}
	stream := C.CString(id)
	defer C.free(unsafe.Pointer(stream))
	if err = p.check("DevOpenDataStream", C.dev_open_stream(p.c, d.handle, stream, &d.stream, &p.text[0])); err != nil {
		return nil, err
	}
	info := func(command C.int32_t) []byte {
		b, _ := ask(func(to unsafe.Pointer, size *C.size_t) C.int32_t {
			return C.dev_info(p.c, d.handle, command, to, size, &p.text[0])
		})
		return b
	}
	d.opened.Type, d.opened.TicksPerSecond = text(info(3)), number(info(9))
	return d, nil
}

// closeDevice closes what is open, from the inside out. What fails is left as it is: the
// process ends next.
func (p *producer) closeDevice(d *device) {
	if d.stream != 0 {
		C.ds_close(p.c, d.stream, &p.text[0])
	}
	if d.handle != 0 {
		C.dev_close(p.c, d.handle, &p.text[0])
	}
	if d.link != 0 {
		C.if_close(p.c, d.link, &p.text[0])
	}
}
