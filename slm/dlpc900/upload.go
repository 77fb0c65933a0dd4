package dlpc900

import (
	"context"
	"encoding/binary"
)

// maxBlock is how many bytes of an image one command carries: the controller's buffer less
// header, command and count (DLPU018F and J; early guides say 512).
const maxBlock = maxData - 2

func appendInit(dst []byte, index, size int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(index))
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}

// upload sends an encoded image, header included, to one controller (0x1A2A and 0x1A2B, or
// 0x1A2C and 0x1A2D for the second; DLPU018F and J, pattern BMP load). A block is sent when
// the one before has been acknowledged, which is all the flow control that there is. TI's
// program asks for no acknowledgement and cannot know that a block was lost; the time that
// they take is a tenth of the block's.
//
// Without replies it is only for measuring how much faster that would be.
//
// An upload that was cut short leaves the image undefined; it begins anew.
func (l *line) upload(ctx context.Context, m mode, controller, index int, encoded []byte) error {
	begin, data := cmdInit1, cmdData1
	if controller == 1 {
		begin, data = cmdInit2, cmdData2
	}
	if err := l.set(ctx, begin, appendInit(make([]byte, 0, 6), index, len(encoded))); err != nil {
		return err
	}
	for len(encoded) > 0 {
		n := min(len(encoded), maxBlock)
		var count [2]byte
		binary.LittleEndian.PutUint16(count[:], uint16(n))
		if _, err := l.once(ctx, m, data, count[:], encoded[:n]); err != nil { // not twice: it adds to the image
			return err
		}
		encoded = encoded[n:]
	}
	return nil
}
