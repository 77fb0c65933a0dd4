package controller

// errorCode is what command 0x0100 tells of the last command (manual, on its
// error code).
type errorCode byte

const (
	noError           errorCode = 0
	invalidCommand    errorCode = 3
	notAllowed        errorCode = 5
	invalidParameter  errorCode = 6
	itemAbsent        errorCode = 7
	outOfMemory       errorCode = 8
	badCompression    errorCode = 9
	bitOutOfRange     errorCode = 10
	notInFlash        errorCode = 11
	delayOutOfRange   errorCode = 13
	exposureTooShort  errorCode = 14
	numberOutOfRange  errorCode = 15
	invalidDefinition errorCode = 16
	addressOutOfRange errorCode = 17
)

// errorTexts are the model's own words for command 0x0101.
var errorTexts = map[errorCode]string{
	noError:           "no error",
	invalidCommand:    "invalid command number",
	notAllowed:        "not allowed in the current mode",
	invalidParameter:  "invalid parameter",
	itemAbsent:        "item referred to is not there",
	outOfMemory:       "out of pattern memory",
	badCompression:    "invalid image compression",
	bitOutOfRange:     "bit number out of range",
	notInFlash:        "image not in flash",
	delayOutOfRange:   "signal delay out of range",
	exposureTooShort:  "exposure out of range",
	numberOutOfRange:  "pattern number out of range",
	invalidDefinition: "invalid pattern definition",
	addressOutOfRange: "pattern memory address out of range",
}
