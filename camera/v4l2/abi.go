package v4l2

// The kernel's interface, linux/videodev2.h, as it is on 64-bit little-endian systems. Names
// are those of the kernel without their prefixes; abi_test.go pins sizes, offsets and request
// numbers to what a C compiler makes of the header.

type (
	capability struct {
		Driver                            [16]byte
		Card, Bus                         [32]byte
		Version, Capabilities, DeviceCaps uint32
		_                                 [3]uint32
	}

	fmtDesc struct {
		Index, Type, Flags    uint32
		Description           [32]byte
		PixelFormat, MBusCode uint32
		_                     [3]uint32
	}

	frmSizeEnum struct {
		Index, PixelFormat, Type uint32
		// Discrete: width, height. Else: least, most and step of the width, then of the height.
		Size [6]uint32
		_    [2]uint32
	}

	pixFormat struct {
		Width, Height, PixelFormat, Field uint32
		BytesPerLine, SizeImage           uint32
		Colorspace, Private, Flags        uint32
		Encoding, Quantization, Transfer  uint32
	}

	planeFormat struct {
		SizeImage, BytesPerLine uint32 // the other way round than in pixFormat
		_                       [3]uint32
	}

	pixFormatMPlane struct {
		Width, Height, PixelFormat, Field, Colorspace      uint32
		Planes                                             [maxPlanes]planeFormat
		NumPlanes, Flags, Encoding, Quantization, Transfer uint8
		_                                                  [7]uint8
	}

	// format has a union, which is one of two here.
	format struct {
		Type, _ uint32
		Pix     pixFormat
		_       [152]byte
	}
	formatMPlane struct {
		Type, _ uint32
		Pix     pixFormatMPlane
		_       [8]byte
	}

	requestBuffers struct {
		Count, Type, Memory, Capabilities uint32
		Flags                             uint8
		_                                 [3]uint8
	}

	bufferHead struct {
		Index, Type, BytesUsed, Flags, Field, _ uint32
		Seconds, Microseconds                   int64
		_                                       [16]byte // time code
		Sequence, Memory                        uint32
	}

	// buffer ends with a union of an offset and a pointer, which is one of two here, so that
	// the garbage collector sees pointers and nothing else as such.
	buffer struct {
		bufferHead
		Offset                uint64
		Length, _, Request, _ uint32
	}
	bufferMPlane struct {
		bufferHead
		Planes                *[maxPlanes]plane
		Length, _, Request, _ uint32 // Length is the number of planes
	}

	plane struct {
		BytesUsed, Length uint32
		Offset            uint64
		DataOffset        uint32
		_                 [11]uint32
	}

	selection struct {
		Type, Target, Flags uint32
		Left, Top           int32
		Width, Height       uint32
		_                   [9]uint32
	}

	streamParm struct {
		Type, Capability, CaptureMode uint32
		Numerator, Denominator        uint32 // of the time per frame, seconds
		ExtendedMode, ReadBuffers     uint32
		_                             [176]byte
	}

	queryExtCtrl struct {
		ID, Type               uint32
		Name                   [32]byte
		Minimum, Maximum       int64
		Step                   uint64
		Default                int64
		Flags, ElemSize, Elems uint32
		NumDims                uint32
		_                      [4]uint32
		_                      [32]uint32
	}

	queryMenu struct {
		ID, Index uint32
		Name      [32]byte // or an int64
		_         uint32
	}

	// extControl is packed: its value is not aligned.
	extControl struct {
		ID, Size, _ uint32
		Value       [8]byte
	}

	extControls struct {
		Which, Count, ErrorIndex uint32
		Request                  int32
		_, _                     uint32
		Controls                 *extControl
	}
)

const maxPlanes = 8

// Requests: direction, size of the argument, 'V' and a number.
const (
	reqQueryCap       = 0x80685600
	reqEnumFmt        = 0xc0405602
	reqGetFmt         = 0xc0d05604
	reqSetFmt         = 0xc0d05605
	reqReqBufs        = 0xc0145608
	reqQueryBuf       = 0xc0585609
	reqQBuf           = 0xc058560f
	reqDQBuf          = 0xc0585611
	reqStreamOn       = 0x40045612
	reqStreamOff      = 0x40045613
	reqGetParm        = 0xc0cc5615
	reqQueryMenu      = 0xc02c5625
	reqGetExtCtrls    = 0xc0205647
	reqSetExtCtrls    = 0xc0205648
	reqEnumFrameSizes = 0xc02c564a
	reqGetSelection   = 0xc040565e
	reqSetSelection   = 0xc040565f
	reqQueryExtCtrl   = 0xc0e85667
)

const (
	typeCapture       = 1 // of buffers
	typeCaptureMPlane = 9

	memoryMMap = 1

	fieldAny  = 0
	fieldNone = 1 // whole frames

	colorspaceRaw = 11

	capCapture       = 0x1
	capCaptureMPlane = 0x1000
	capStreaming     = 0x4000000
	capDeviceCaps    = 0x80000000

	bufError       = 0x40
	bufClockMask   = 0xe000
	bufClockMono   = 0x2000
	bufTimeOfMask  = 0x70000
	bufTimeOfStart = 0x10000 // of the exposure

	fmtCompressed = 0x1

	sizeDiscrete = 1

	targetCrop        = 0
	targetCropDefault = 1
	selectGE          = 1 // not smaller than asked for

	maxBuffers = 32 // of a queue
)

// Controls.
const (
	ctrlInteger     = 1
	ctrlBoolean     = 2
	ctrlMenu        = 3
	ctrlButton      = 4
	ctrlInteger64   = 5
	ctrlBitmask     = 8
	ctrlIntegerMenu = 9

	ctrlDisabled  = 0x1
	ctrlReadOnly  = 0x4
	ctrlWriteOnly = 0x40
	ctrlNext      = 0x80000000

	cidBlackLevel       = 0x98090b
	cidGamma            = 0x980910
	cidExposure         = 0x980911 // in lines
	cidAutoGain         = 0x980912
	cidSharpness        = 0x98091b
	cidBacklight        = 0x98091c
	cidAutoBrightness   = 0x980920
	cidExposureAuto     = 0x9a0901
	cidExposureAbsolute = 0x9a0902 // in units of 100 us
	cidExposureDynamic  = 0x9a0903
	cidWideRange        = 0x9a0915
	cidStabilization    = 0x9a0916
	cidISOAuto          = 0x9a0918
	cidHBlank           = 0x9e0902
	cidPixelRate        = 0x9f0902
	cidTestPattern      = 0x9f0903
)

// text is a string of the kernel's.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
