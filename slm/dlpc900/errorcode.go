package dlpc900

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/light-in-the-loop/opu/slm"
)

// ErrorCode is the board's account of its last command (0x0100; DLPU018F, error codes).
type ErrorCode byte

var errorCodes = map[ErrorCode]struct{ what, remedy string }{
	0:   {"no error", ""},
	1:   {"checksum of the batch file wrong", "write the batch file again"},
	2:   {"device failure", "power-cycle the board"},
	3:   {"unknown command", "update the firmware"},
	4:   {"controller and DMD do not fit", "write the firmware of this DMD"},
	5:   {"not allowed in the current mode", "close other programs that use the board"},
	6:   {"invalid parameter", "report this with the output of opuctl dmd info"},
	7:   {"referenced item absent", "load the patterns again"},
	8:   {"out of memory", "use fewer slots"},
	9:   {"invalid compression of an image", "load the patterns again"},
	10:  {"bit number out of range", "report this with the output of opuctl dmd info"},
	11:  {"image not in flash", "report this with the output of opuctl dmd info"},
	12:  {"dark time out of range", "change the period or the exposure"},
	13:  {"delay of a signal out of range", "change the trigger's delays"},
	14:  {"exposure out of range", "lower the rate"},
	15:  {"pattern number out of range", "play a shorter order"},
	16:  {"invalid pattern definition", "change the period or the exposure"},
	17:  {"address in pattern memory out of range", "use fewer slots"},
	255: {"internal error", "power-cycle the board"},
}

func (c ErrorCode) String() string {
	if e, ok := errorCodes[c]; ok {
		return fmt.Sprintf("error %d, %s", byte(c), e.what)
	}
	return fmt.Sprintf("error %d", byte(c))
}

// RefusedError is a command that the board refused. It wraps slm.ErrRefused.
type RefusedError struct {
	Code ErrorCode // 0: the board does not say
	Text string    // the board's own words; may be empty
}

func (e *RefusedError) Error() string {
	s := "the board says " + e.Code.String()
	if e.Code == 0 {
		s = "the board refuses it and does not say why; power-cycle it"
	}
	if e.Text != "" && e.Code != 0 {
		s += fmt.Sprintf(" (%q)", e.Text)
	}
	if remedy := errorCodes[e.Code].remedy; remedy != "" {
		s += "; " + remedy
	}
	return s
}

func (e *RefusedError) Unwrap() error { return slm.ErrRefused }

// refusal asks why the last command failed. The question must be a read, else it earns an
// error itself (field report), and its answer may be empty.
func (l *line) refusal(ctx context.Context) error {
	reply, err := l.exchange(ctx, replyTimeout, read, cmdErrorCode)
	if err != nil || len(reply) == 0 {
		return &RefusedError{}
	}
	return l.refused(ctx, ErrorCode(reply[0]))
}

// refused adds the board's own words to a code.
func (l *line) refused(ctx context.Context, code ErrorCode) error {
	e := &RefusedError{Code: code}
	if reply, err := l.exchange(ctx, replyTimeout, read, cmdErrorText); err == nil {
		e.Text = parseText(reply)
	}
	return e
}

// parseText returns the characters up to the first NUL: behind it the board leaves the tail
// of an older text. What cannot be printed is dropped.
func parseText(b []byte) string {
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(b)))
}
