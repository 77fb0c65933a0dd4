package controller

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/light-in-the-loop/opu/slm"
)

// The pattern memory and its loading (manual, on pattern BMP load and on the splash
// image header).

const (
	planesPerImage   = 24
	documentedImages = 18
	maxImages        = 64
	maxBlock         = 504 // image bytes of one command

	imageHeaderSize = 48
)

// planes are the 24 bit planes of an image, or of one controller's half of it. They are never
// changed once they are here.
type planes [planesPerImage]*slm.Pattern

// place is a bit plane of the memory.
type place struct{ image, bit int }

type memory struct {
	halves [][]*planes // of each controller and image; nil: nothing was loaded
	loads  []load      // of each controller
	black  *slm.Pattern
	splash *slm.Pattern // what the memory holds before anything is loaded; made when it shows
	shown  map[place]*slm.Pattern
}

// load is an image on its way to one controller.
type load struct {
	active      bool
	image, size int
	data        []byte
}

func newMemory(d DMD) memory {
	m := memory{
		loads: make([]load, d.Controllers),
		black: slm.NewPattern(d.Geometry),
		shown: map[place]*slm.Pattern{},
	}
	for range d.Controllers {
		m.halves = append(m.halves, make([]*planes, d.images()))
	}
	return m
}

// splash is a start-up picture: stripes, which no layout of features makes.
func splash(g slm.Geometry) *slm.Pattern {
	p := slm.NewPattern(g)
	for v := range g.Height {
		for u := range g.Width {
			p.Set(u, v, (u+2*v)%5 == 0)
		}
	}
	return p
}

// forget drops what was worked out of the memory's content.
func (m *memory) forget() { clear(m.shown) }

// writeImageInit takes the index of an image and its size, header included.
func (b *Board) writeImageInit(controller int, data []byte) errorCode {
	image, size := int(binary.LittleEndian.Uint16(data)), int(binary.LittleEndian.Uint32(data[2:]))
	switch {
	case controller >= b.dmd.Controllers, b.mode.display != onTheFlyMode, b.sequencer.state != stopped:
		return notAllowed
	case image >= b.dmd.images():
		return addressOutOfRange
	case size < imageHeaderSize:
		return invalidParameter
	case size > imageHeaderSize+2*rawSize(b.dmd.half())+bufferSize: // no encoding needs more
		return outOfMemory
	}
	b.memory.loads[controller] = load{active: true, image: image, size: size}
	b.memory.halves[controller][image] = nil
	b.memory.drop(image)
	return noError
}

// drop forgets what is known of an image.
func (m *memory) drop(image int) {
	for bit := range planesPerImage {
		delete(m.shown, place{image, bit})
	}
}

// writeImageData takes a block of bytes. The last block decides whether the image is
// one.
func (b *Board) writeImageData(controller int, data []byte) errorCode {
	if controller >= b.dmd.Controllers || b.sequencer.state != stopped {
		return notAllowed
	}
	n, l := int(binary.LittleEndian.Uint16(data)), &b.memory.loads[controller]
	block := data[2:]
	switch {
	case !l.active:
		return itemAbsent
	case n > maxBlock, n > len(block), len(l.data)+n > l.size:
		return invalidParameter
	}
	l.data = append(l.data, block[:n]...)
	if len(l.data) < l.size {
		return noError
	}
	image, refused := decodeImage(l.data, b.dmd.half())
	if refused == noError {
		b.memory.halves[controller][l.image] = image
		b.memory.drop(l.image)
	}
	*l = load{}
	return refused
}

// decodeImage checks the header of an image and decompresses it. The header's own
// byte count is not looked at: programs that fill it differently all work.
func decodeImage(encoded []byte, g slm.Geometry) (*planes, errorCode) {
	if len(encoded) < imageHeaderSize {
		return nil, invalidParameter
	}
	header, data := encoded[:imageHeaderSize], encoded[imageHeaderSize:]
	noSubImage := bytes.Repeat([]byte{0xff}, 8)
	switch {
	case string(header[:4]) != "Spld",
		int(binary.LittleEndian.Uint16(header[4:])) != g.Width,
		int(binary.LittleEndian.Uint16(header[6:])) != g.Height,
		!bytes.Equal(header[12:20], noSubImage),
		header[24] > 1, // both 0 and 1 are in use for 24 bits
		header[26] != 1:
		return nil, invalidParameter
	}
	rows := newRows(g)
	var ok bool
	switch header[25] {
	case 0:
		ok = rows.raw(data)
	case 1:
		ok = rows.rle(data)
	case 2:
		ok = rows.enhancedRLE(data)
	}
	if !ok {
		return nil, badCompression
	}
	return rows.planes, noError
}

// mirrors is what the chip shows of a bit plane, orientation and stuck mirrors
// included.
func (b *Board) mirrors(image, bit int) *slm.Pattern {
	if b.config.Quirks.NeedsBitZero {
		lowest := planesPerImage
		for _, e := range b.table.lut {
			lowest = min(lowest, e.bit)
		}
		bit -= lowest
	}
	m, at := &b.memory, place{image, bit}
	if p := m.shown[at]; p != nil {
		return p
	}
	var p *slm.Pattern
	for c, images := range m.halves {
		var half *slm.Pattern
		if images[image] != nil {
			half = images[image][bit]
		} else {
			if m.splash == nil {
				m.splash = splash(b.dmd.half())
			}
			half = m.splash
		}
		if len(m.halves) == 1 {
			p = half
			break
		}
		if p == nil {
			p = slm.NewPattern(b.dmd.Geometry)
		}
		paste(p, half, c*b.dmd.half().Width)
	}
	p = b.orient(p)
	m.shown[at] = p
	return p
}

// paste lays a pattern into a wider one, from a column on.
func paste(dst, src *slm.Pattern, from int) {
	word, shift := from/64, from%64
	for v := range src.Geometry().Height {
		out := dst.Row(v)
		for i, w := range src.Row(v) {
			out[word+i] |= w << shift
			if shift > 0 && word+i+1 < len(out) {
				out[word+i+1] |= w >> (64 - shift)
			}
		}
	}
}

// orient turns what the memory holds into what the mirrors do: inverted, flipped,
// cut to the blocks in use, with a block that holds.
func (b *Board) orient(p *slm.Pattern) *slm.Pattern {
	on := func(code uint16) bool { return b.registers[code][0]&1 != 0 }
	invert, long, short := on(codeInvert), on(codeLongFlip), on(codeShortFlip)
	first, last := b.blocks[0], b.blocks[0]+b.blocks[1]
	all := len(b.dmd.Blocks)
	if !invert && !long && !short && last-first == all && !b.mode.stuck {
		return p
	}
	g := b.dmd.Geometry
	out := slm.NewPattern(g)
	for v := range g.Height {
		for u := range g.Width {
			from, row := u, v
			if long {
				from = g.Width - 1 - u
			}
			if short {
				row = g.Height - 1 - v
			}
			block := v * all / g.Height
			on := p.On(from, row) != invert && block >= first && block < last
			out.Set(u, v, on || b.mode.stuck && block == 0)
		}
	}
	return out
}

// rows takes the pixels of an image, row by row, and keeps their bits.
type rows struct {
	planes   *planes
	geometry slm.Geometry
	v        int      // rows that are complete
	row      []uint32 // pixels of the present row
	before   []uint32 // of the row before
}

func newRows(g slm.Geometry) *rows {
	r := &rows{planes: new(planes), geometry: g, row: make([]uint32, 0, g.Width), before: make([]uint32, 0, g.Width)}
	for k := range r.planes {
		r.planes[k] = slm.NewPattern(g)
	}
	return r
}

// full tells whether all rows are there.
func (r *rows) full() bool { return r.v == r.geometry.Height }

// room tells whether n pixels fit the present row.
func (r *rows) room(n int) bool { return !r.full() && len(r.row)+n <= r.geometry.Width }

// repeat adds n equal pixels.
func (r *rows) repeat(n int, pixel uint32) {
	for range n {
		r.row = append(r.row, pixel)
	}
	r.done()
}

// literal adds pixels of three bytes.
func (r *rows) literal(data []byte) {
	for ; len(data) > 0; data = data[3:] {
		r.row = append(r.row, pixel(data))
	}
	r.done()
}

// copy adds n pixels of the row before.
func (r *rows) copy(n int) {
	at := len(r.row)
	r.row = append(r.row, r.before[at:at+n]...)
	r.done()
}

// pixel is a word of three bytes: bits 23 to 16 first.
func pixel(data []byte) uint32 { return uint32(data[0])<<16 | uint32(data[1])<<8 | uint32(data[2]) }

// done keeps the bits of the present row if it is complete, and begins the next.
func (r *rows) done() {
	if len(r.row) < r.geometry.Width {
		return
	}
	for i := 0; i < len(r.row); i += 64 {
		r.keep(i/64, r.row[i:min(i+64, len(r.row))])
	}
	r.row, r.before = r.before[:0], r.row
	r.v++
}

// keep sets one word of each plane's row from up to 64 pixels. Neighbours are often
// equal: each run of them is one mask.
func (r *rows) keep(word int, pixels []uint32) {
	for i := 0; i < len(pixels); {
		j := i + 1
		for j < len(pixels) && pixels[j] == pixels[i] {
			j++
		}
		mask := ^uint64(0) >> (64 - (j - i)) << i
		for v := pixels[i]; v != 0; v &= v - 1 {
			r.planes[bits.TrailingZeros32(v)].Row(r.v)[word] |= mask
		}
		i = j
	}
}
