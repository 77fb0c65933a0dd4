package controller

import "encoding/binary"

// Layout of messages (manual, on USB transactions): a header of flags,
// sequence number and length, the command, its data, padded to whole reports.
const (
	reportSize   = 64
	headerSize   = 4
	commandSize  = 2
	bufferSize   = 512 // of the board, for one message with its header
	replyPayload = reportSize - headerSize

	flagRead  = 0x80
	flagReply = 0x40
	flagError = 0x20
	maskDest  = 0x07
)

// command is one message of the host.
type command struct {
	flags, seq byte
	code       uint16
	data       []byte // valid until the next report is taken
}

// A collector puts reports together to commands. Only the first report of a
// command has a header; the rest are its bytes going on.
type collector struct {
	buffer [bufferSize]byte
	have   int
	need   int // bytes of the message; 0: a header comes next
}

// take adds a report. ok tells whether a command is complete; refused is the code of
// a header that no command can have. Its further reports are not waited for, so the next one counts
// as a header: no source says what a board does.
func (m *collector) take(report []byte) (c command, ok bool, refused errorCode) {
	if m.need == 0 {
		m.have = 0
		m.need = headerSize + int(binary.LittleEndian.Uint16(report[2:]))
		c = command{flags: report[0], seq: report[1]}
		switch {
		case m.need < headerSize+commandSize:
			m.need = 0
			return c, true, invalidCommand
		case m.need > bufferSize:
			m.need = 0
			return c, true, invalidParameter
		}
	}
	m.have += copy(m.buffer[m.have:], report)
	if m.have < m.need {
		return command{}, false, noError
	}
	message := m.buffer[:m.need]
	m.need = 0
	return command{
		flags: message[0], seq: message[1], code: binary.LittleEndian.Uint16(message[headerSize:]),
		data: message[headerSize+commandSize:],
	}, true, noError
}

// reply makes the reports that answer a command. What does not fit the first is
// sent after it, or, if spans is false, never.
func reply(c command, data []byte, failed, spans bool) [][reportSize]byte {
	flags := c.flags
	if failed {
		flags |= flagError
		data = nil
	}
	first := [reportSize]byte{flags, c.seq}
	binary.LittleEndian.PutUint16(first[2:], uint16(len(data)))
	data = data[copy(first[headerSize:], data):]
	reports := [][reportSize]byte{first}
	for spans && len(data) > 0 {
		var next [reportSize]byte
		data = data[copy(next[:], data):]
		reports = append(reports, next)
	}
	return reports
}
