package u3v

// Found is a camera that is plugged in.
type Found struct {
	Port                  string // of USB, such as 2-1.4
	Vendor, Model, Serial string // "" if it could not be opened
	Err                   error  // why it could not
}

// Ref is how the camera is referred to: by its serial number or, without, by where it is.
func (f Found) Ref() string {
	if f.Serial == "" {
		return "u3v:" + f.Port
	}
	return "u3v:" + f.Serial
}
