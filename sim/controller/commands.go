package controller

// A handler executes one command under the board's lock. Reads get the data of the
// command as their parameter.
type (
	writer func(b *Board, data []byte) errorCode
	reader func(b *Board, data []byte) ([]byte, errorCode)
)

// spec is one row of the table of commands (manual, on the list of commands). Shorter data
// than size are refused, longer ones are taken as padding.
type spec struct {
	size  int
	write writer // nil: read-only
	read  reader // nil: write-only
}

// Codes that more than one place names.
const (
	codeErrorCode       = 0x0100
	codePower           = 0x0200
	codeInputSource     = 0x1A00
	codeLUTConfig       = 0x1A31
	codeDefinition      = 0x1A34
	codeTriggerOut2     = 0x1A1E
	codeTriggerIn1      = 0x1A35
	codeLongFlip        = 0x1008
	codeShortFlip       = 0x1009
	codeInvert          = 0x1A30
	codeDisplayGeometry = 0x1000
)

var specs = allSpecs()

func allSpecs() map[uint16]spec {
	specs := map[uint16]spec{
		codeErrorCode: {read: (*Board).readErrorCode},
		0x0101:        {read: (*Board).readErrorText},
		0x0205:        {read: (*Board).readVersions},
		0x0206:        {read: (*Board).readIdentity},
		0x1A0A:        {read: (*Board).readHardwareStatus},
		0x1A0B:        {read: (*Board).readSystemStatus},
		0x1A0C:        {read: (*Board).readMainStatus},
		0x1A48:        {read: (*Board).readNoFaults},
		0x1A49:        {read: (*Board).readNoFaults},
		0x1A42:        {read: (*Board).readMinExposures},

		codePower: {1, (*Board).writePower, (*Board).readPower},
		0x0201:    {1, (*Board).writeIdle, (*Board).readIdle},
		0x0609:    {1, (*Board).writePark, (*Board).readPark},
		0x0802:    {1, (*Board).writeReset, nil},

		0x1A1B: {1, (*Board).writeMode, (*Board).readMode},
		0x1A40: {2, (*Board).writeBlocks, (*Board).readBlocks},

		codeDefinition: {12, (*Board).writeDefinition, nil},
		codeLUTConfig:  {6, (*Board).writeConfiguration, (*Board).readConfiguration},
		0x1A32:         {6, (*Board).writeReorder, nil},
		0x1A24:         {1, (*Board).writeStart, nil},

		0x1A2A: {6, func(b *Board, data []byte) errorCode { return b.writeImageInit(0, data) }, nil},
		0x1A2B: {2, func(b *Board, data []byte) errorCode { return b.writeImageData(0, data) }, nil},
		0x1A2C: {6, func(b *Board, data []byte) errorCode { return b.writeImageInit(1, data) }, nil},
		0x1A2D: {2, func(b *Board, data []byte) errorCode { return b.writeImageData(1, data) }, nil},

		0x1A14: {1, nil, (*Board).readBatchName},
		0x1A15: {1, (*Board).writeBatch, nil},
		0x1A3C: {read: (*Board).readPortGeometry},
	}
	for code, r := range registerTable {
		s := spec{size: r.size, write: remember(code, r.check)}
		if !r.unread {
			s.read = recall(code)
		}
		specs[code] = s
	}
	return specs
}

// execute runs a command and leaves its reply.
func (b *Board) execute(c command, refused errorCode) {
	data, code := []byte(nil), refused
	if code == noError {
		data, code = b.run(c)
	}
	if c.code != codeErrorCode && c.code != 0x0101 || c.flags&flagRead == 0 {
		b.lastError = code
	}
	b.pending = nil // whoever did not collect the last reply has lost it
	if c.flags&flagReply != 0 && !b.hung {
		b.pending = reply(c, data, code != noError, b.config.Quirks.LongReplies)
	}
	b.count(c)
}

func (b *Board) run(c command) ([]byte, errorCode) {
	s, known := specs[c.code]
	reading := c.flags&flagRead != 0
	switch {
	case !known, c.flags&maskDest != 0:
		return nil, invalidCommand
	case c.code == 0x1A32 && b.config.Firmware.before(5, 0):
		return nil, invalidCommand
	case reading && s.read == nil, !reading && s.write == nil && c.code == codeErrorCode:
		return nil, invalidCommand
	case !reading && s.write == nil: // ignored, says the manual
		return nil, noError
	case !reading && len(c.data) < s.size:
		return nil, invalidParameter
	case !reading && b.power.standby && c.code != codePower:
		return nil, notAllowed
	case reading:
		return s.read(b, c.data)
	}
	return nil, s.write(b, c.data)
}

// A register remembers what was written to it.
type register struct {
	size  int
	start []byte                                // nil: zeros
	check func(b *Board, data []byte) errorCode // nil: takes anything

	unread bool // it cannot be read back
}

// registerTable lists the commands that set something which the model has no mirrors
// for, or which others look up.
var registerTable = map[uint16]register{
	codeDisplayGeometry: {size: 16, check: (*Board).checkOneController},
	codeLongFlip:        {size: 1, check: (*Board).checkOneController},
	codeShortFlip:       {size: 1},
	0x1100:              {size: 6},
	0x1203:              {size: 1},
	0x1204:              {size: 12},
	codeInputSource:     {size: 1, check: atMost(0x1f)},
	0x1A01:              {size: 1, check: atMost(2)},
	0x1A02:              {size: 1, check: atMost(0)},
	0x1A03:              {size: 1, check: atMost(0x3f)},
	0x1A07:              {size: 1},
	0x1A16:              {size: 4, unread: true},
	0x1A1D:              {size: 5, check: (*Board).checkTriggerOut1},
	codeTriggerOut2:     {size: 5, check: (*Board).checkTriggerOut2},
	0x1A1F:              {size: 5},
	0x1A20:              {size: 5},
	0x1A21:              {size: 5},
	0x1A25:              {size: 1},
	codeInvert:          {size: 1, check: (*Board).checkInvert},
	codeTriggerIn1:      {size: 3, start: []byte{105, 0, 0}, check: (*Board).checkTriggerIn1},
	0x1A36:              {size: 1, check: (*Board).checkTriggerIn2},
	0x1A37:              {size: 1, start: []byte{0x08}, check: atMost(0x0b)},
	0x1A38:              {size: 2},
	0x1A39:              {size: 1, check: func(*Board, []byte) errorCode { return notInFlash }},
}

func newRegisters() map[uint16][]byte {
	registers := make(map[uint16][]byte, len(registerTable))
	for code, r := range registerTable {
		registers[code] = make([]byte, r.size)
		copy(registers[code], r.start)
	}
	return registers
}

func remember(code uint16, check func(b *Board, data []byte) errorCode) writer {
	return func(b *Board, data []byte) errorCode {
		if check != nil {
			if refused := check(b, data); refused != noError {
				return refused
			}
		}
		copy(b.registers[code], data)
		return noError
	}
}

func recall(code uint16) reader {
	return func(b *Board, _ []byte) ([]byte, errorCode) { return b.registers[code], noError }
}

// atMost refuses a first byte above the limit.
func atMost(limit byte) func(*Board, []byte) errorCode {
	return func(_ *Board, data []byte) errorCode {
		if data[0] > limit {
			return invalidParameter
		}
		return noError
	}
}

// checkOneController refuses what boards with two controllers do not have.
func (b *Board) checkOneController([]byte) errorCode {
	if b.dmd.Controllers != 1 {
		return notAllowed
	}
	return noError
}

func (b *Board) readBatchName([]byte) ([]byte, errorCode) { return nil, itemAbsent }
func (b *Board) writeBatch([]byte) errorCode              { return itemAbsent }

// readPortGeometry: nothing is connected to the parallel port.
func (b *Board) readPortGeometry([]byte) ([]byte, errorCode) { return make([]byte, 18), noError }
