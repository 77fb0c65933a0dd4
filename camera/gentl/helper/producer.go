//go:build linux && cgo

package helper

/*
#cgo CFLAGS: -O2 -Wall -Wextra
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "gentl.h"
*/
import "C"

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unsafe"
)

// failure is what a function of a producer answered.
type failure struct {
	what string
	code int32
	text string
}

func (f *failure) Error() string {
	name, ok := codes[f.code]
	if !ok {
		name = "an error of its own"
	}
	text := fmt.Sprintf("%s: %s (%d)", f.what, name, f.code)
	if f.text != "" {
		text += ": " + f.text
	}
	return text
}

// codes are the errors of GenTL.
var codes = map[int32]string{
	-1001: "error", -1002: "not initialised", -1003: "not implemented", -1004: "in use", -1005: "access denied",
	-1006: "the handle is of nothing any more", -1007: "no such id", -1008: "no data", -1009: "bad parameter",
	-1010: "input or output failed", -1011: "timed out", -1012: "aborted", -1013: "not one of its buffers",
	-1014: "not available", -1015: "no such address", -1016: "buffer too small", -1017: "no such index",
	-1018: "chunk data make no sense", -1019: "bad value", -1020: "out of resources", -1021: "out of memory",
	-1022: "busy", -1023: "ambiguous",
}

const (
	codeNotImplemented = -1003
	codeTimeout        = -1011
	codeAbort          = -1012
)

// producer is a library that was loaded. It is never unloaded: several crash when they are.
type producer struct {
	c    *C.producer
	text *[C.TEXT_SIZE]C.char // of the control goroutine
}

// handle is what a producer calls one of its things.
type handle = C.uintptr_t

func load(path string) (*producer, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	p := &producer{text: new([C.TEXT_SIZE]C.char)}
	if p.c = C.producer_load(name, &p.text[0]); p.c == nil {
		return nil, fmt.Errorf("cannot load it: %s", C.GoString(&p.text[0]))
	}
	return p, p.check("GCInitLib", C.producer_init(p.c, &p.text[0]))
}

// check turns a code into an error.
func (p *producer) check(what string, code C.int32_t) error {
	if code == 0 {
		return nil
	}
	return &failure{what, int32(code), strings.ToValidUTF8(C.GoString(&p.text[0]), "?")}
}

// infoSize bounds texts that producers tell.
const infoSize = 4096

// ask calls an info function: the answer is zero bytes beyond its end.
func ask(call func(to unsafe.Pointer, size *C.size_t) C.int32_t) ([]byte, bool) {
	b := make([]byte, infoSize)
	size := C.size_t(infoSize)
	if call(unsafe.Pointer(&b[0]), &size) != 0 {
		return make([]byte, 8), false
	}
	return b, true
}

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.ToValidUTF8(string(b), "?")
}

func number(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// info is GCGetInfo.
func (p *producer) info(command int) []byte {
	b, _ := ask(func(to unsafe.Pointer, size *C.size_t) C.int32_t {
		return C.producer_info(p.c, C.int32_t(command), to, size, &p.text[0])
	})
	return b
}

// id reads the index-th id of a list.
func (p *producer) id(what string, call func(id *C.char, size *C.size_t) C.int32_t) (string, error) {
	b := make([]byte, infoSize)
	size := C.size_t(infoSize)
	err := p.check(what, call((*C.char)(unsafe.Pointer(&b[0])), &size))
	return text(b), err
}

// access are the flags of IFOpenDevice that are tried, in this order.
const (
	accessControl   = 3
	accessExclusive = 4
)

// read reads registers; fewer bytes than asked for may come.
func (p *producer) read(port handle, address uint64, b []byte) (int, error) {
	size := C.size_t(len(b))
	err := p.check("GCReadPort", C.port_read(p.c, port, C.uint64_t(address), unsafe.Pointer(unsafe.SliceData(b)), &size, &p.text[0]))
	return min(int(size), len(b)), err
}

func (p *producer) write(port handle, address uint64, b []byte) error {
	size := C.size_t(len(b))
	if err := p.check("GCWritePort", C.port_write(p.c, port, C.uint64_t(address), unsafe.Pointer(unsafe.SliceData(b)), &size, &p.text[0])); err != nil {
		return err
	}
	if int(size) != len(b) {
		return fmt.Errorf("GCWritePort: %d of %d bytes were written", size, len(b))
	}
	return nil
}

// urls says where a port's description is.
func (p *producer) urls(port handle) ([]string, error) {
	var n C.uint32_t
	if err := p.check("GCGetNumPortURLs", C.port_urls(p.c, port, &n, &p.text[0])); err != nil {
		return nil, err
	}
	var all []string
	for i := range min(n, 100) {
		url, err := p.id("GCGetPortURLInfo", func(url *C.char, size *C.size_t) C.int32_t {
			return C.port_url(p.c, port, i, url, size, &p.text[0])
		})
		if err != nil {
			return nil, err
		}
		all = append(all, url)
	}
	return all, nil
}

// shut closes the producer itself.
func (p *producer) shut(tl handle) {
	C.tl_close(p.c, tl, &p.text[0])
	C.producer_close(p.c, &p.text[0])
}
