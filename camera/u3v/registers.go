package u3v

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
)

// Registers that every camera has (ABRM), from address 0 on.
const (
	regManufacturer = 0x0004
	regModel        = 0x0044
	regSerial       = 0x0144
	regAnswerTime   = 0x01CC // ms
	regManifest     = 0x01D0
	regSBRM         = 0x01D8

	textSize = 64
)

// Registers of USB3 Vision, from what regSBRM says on.
const (
	sbrmMostCommand = 0x14
	sbrmMostAck     = 0x18
	sbrmStreams     = 0x1C
	sbrmSIRM        = 0x20
)

// Registers of a stream, from what sbrmSIRM says on.
const (
	sirmInfo         = 0x00 // bits 31 to 24: transfers are multiples of two to the power of this
	sirmControl      = 0x04 // bit 0: frames are sent
	sirmPayload      = 0x08 // required, 64 bits; leader and trailer follow
	sirmLeader       = 0x10
	sirmTrailer      = 0x14
	sirmMostLeader   = 0x18 // what the host takes; the five that follow are next to each other
	sirmTransferSize = 0x1C
	sirmTransfers    = 0x20
	sirmFinal1       = 0x24
	sirmFinal2       = 0x28
	sirmMostTrailer  = 0x2C
)

// bootstrap is what is read of a camera before its description.
type bootstrap struct {
	vendor, model, serial string
	manifest              uint64
	sirm                  uint64
}

// readBootstrap reads the registers, and sets the control's limits by them.
func readBootstrap(ctx context.Context, c *control) (b bootstrap, err error) {
	text := func(address uint64) string {
		p := make([]byte, textSize)
		if err == nil {
			err = c.ReadAt(ctx, p, address)
		}
		p, _, _ = bytes.Cut(p, []byte{0})
		return strings.TrimSpace(strings.ToValidUTF8(string(p), "?"))
	}
	long := func(address uint64) uint64 {
		var p [8]byte
		if err == nil {
			err = c.ReadAt(ctx, p[:], address)
		}
		return binary.LittleEndian.Uint64(p[:])
	}
	word := func(address uint64) uint32 {
		var p [4]byte
		if err == nil {
			err = c.ReadAt(ctx, p[:], address)
		}
		return binary.LittleEndian.Uint32(p[:])
	}
	answer := word(regAnswerTime)
	sbrm := long(regSBRM)
	command, ack := word(sbrm+sbrmMostCommand), word(sbrm+sbrmMostAck)
	if err == nil {
		err = c.limit(command, ack, time.Duration(answer)*time.Millisecond)
	}
	b.vendor, b.model, b.serial = text(regManufacturer), text(regModel), text(regSerial)
	b.manifest = long(regManifest)
	streams := word(sbrm + sbrmStreams)
	b.sirm = long(sbrm + sbrmSIRM)
	if err == nil && (streams == 0 || b.sirm == 0) {
		err = fmt.Errorf("it has no stream of frames: %w", camera.ErrRefused)
	}
	return b, err
}

// The manifest is a number of entries, and the entries.
const (
	entrySize    = 64
	mostEntries  = 64
	mostFile     = 32 << 20
	kindDevice   = 0 // description of the camera
	kindMask     = 7
	plain        = 0
	zipped       = 1
	packingShift = 10
	packingMask  = 0x3f
)

// readDescription reads the newest description of the camera that the manifest lists.
func readDescription(ctx context.Context, c *control, manifest uint64) ([]byte, error) {
	var count [8]byte
	if err := c.ReadAt(ctx, count[:], manifest); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(count[:])
	if n < 1 || n > mostEntries {
		return nil, fmt.Errorf("the camera's manifest has %d entries, 1 to %d make sense: %w", n, mostEntries, camera.ErrProtocol)
	}
	var address, size uint64
	var version uint32
	for i := range n {
		e := make([]byte, entrySize)
		if err := c.ReadAt(ctx, e, manifest+8+i*entrySize); err != nil {
			return nil, err
		}
		le := binary.LittleEndian
		info := le.Uint32(e[4:])
		packing := info >> packingShift & packingMask
		if info&kindMask != kindDevice || packing != plain && packing != zipped || size > 0 && le.Uint32(e) <= version {
			continue
		}
		version, address, size = le.Uint32(e), le.Uint64(e[8:]), le.Uint64(e[16:])
	}
	if size < 1 || size > mostFile {
		return nil, fmt.Errorf("the camera's manifest has a description of %d bytes, 1 to %d make sense: %w", size, mostFile, camera.ErrProtocol)
	}
	data := make([]byte, size)
	if err := c.ReadAt(ctx, data, address); err != nil {
		return nil, err
	}
	return genapi.Unpack(data)
}

// writeWords writes registers that are next to each other.
func writeWords(ctx context.Context, c *control, address uint64, words ...uint32) error {
	for i, w := range words { // one by one: cameras need not take several at once
		if err := c.WriteAt(ctx, binary.LittleEndian.AppendUint32(nil, w), address+uint64(4*i)); err != nil {
			return err
		}
	}
	return nil
}

// plan is how a frame is cut into transfers.
type plan struct {
	payload   int // bytes that the camera needs
	size      int // of a transfer
	count     int // of transfers of that size
	final     int // what the last one may bring, rounded up; 0: there is none
	leader    int // at most
	trailer   int
	inFlight  int // transfers asked for at a time
	alignment int
	packet    int // of the bus
}

// mostPayload bounds a frame: what camera.MaxSide allows, at two bytes a pixel.
const mostPayload = 2 * camera.MaxSide * camera.MaxSide

// newPlan cuts a payload into transfers of one size at most. Sizes are multiples of the
// alignment, and of the packets of the bus.
func newPlan(payload uint64, leader, trailer, info uint32, o Options, packet int) (plan, error) {
	shift := info >> 24
	if payload < 1 || payload > mostPayload || leader > 1<<20 || trailer > 1<<20 || shift > 20 {
		return plan{}, fmt.Errorf("the camera needs %d bytes for a frame, %d for its leader, %d for its trailer, aligned to 2^%d: that makes no sense: %w", payload, leader, trailer, shift, camera.ErrProtocol)
	}
	p := plan{payload: int(payload), alignment: max(1<<shift, packet), packet: packet}
	p.leader = roundUp(max(int(leader), leaderSize), p.alignment)
	p.trailer = roundUp(max(int(trailer), trailerSize), p.alignment)
	// Leaders and trailers come in transfers of the same size as pixels.
	most := max(o.Transfer/p.alignment*p.alignment, p.leader, p.trailer)
	p.size = min(most, roundUp(p.payload, p.alignment))
	p.size = max(p.size, p.leader, p.trailer)
	p.count = p.payload / p.size
	p.final = roundUp(p.payload%p.size, p.alignment)
	p.inFlight = max(2, o.InFlight/p.size)
	return p, nil
}
