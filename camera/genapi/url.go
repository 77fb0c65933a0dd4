package genapi

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxText bounds a description, packed and unpacked. Those of cameras have up to 3 MB.
const maxText = 32 << 20

// Scheme is where a description is.
type Scheme uint8

const (
	Local Scheme = iota // in the camera's memory
	File                // on the host
	HTTP                // elsewhere
)

func (s Scheme) String() string {
	if names := [...]string{"local", "file", "http"}; int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("Scheme(%d)", uint8(s))
}

// URL says where a description is.
type URL struct {
	Scheme  Scheme
	Name    string // of the file; its whole path, if it is a file on the host; the whole URL of HTTP
	Address uint64 // in the camera's memory; of Local alone
	Length  int    // bytes; of Local alone
}

// ParseURL reads what cameras say: "Local:name.xml;address;length?SchemaVersion=1.1.0" with
// two hexadecimal numbers, "File:///path" or "http://...". The text may end with NULs. A
// length beyond 32 MiB is refused.
func ParseURL(text string) (URL, error) {
	text, _, _ = strings.Cut(text, "\x00")
	text = strings.TrimSpace(text)
	fail := func(why string) (URL, error) {
		return URL{}, fmt.Errorf("cannot find the camera's description at %.200q: %s: %w", text, why, ErrDescription)
	}
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok {
		return fail("it has no scheme such as local:")
	}
	switch strings.ToLower(scheme) {
	case "http", "https":
		return URL{Scheme: HTTP, Name: text}, nil
	case "file":
		path, _, _ := strings.Cut(rest, "?")
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return fail("no file is named")
		}
		return URL{Scheme: File, Name: path}, nil
	case "local":
	default:
		return fail("the scheme is not local, file or http")
	}
	rest, _, _ = strings.Cut(rest, "?")
	parts := strings.Split(strings.TrimLeft(rest, "/"), ";")
	if len(parts) != 3 || parts[0] == "" {
		return fail("it is not a name, an address and a length")
	}
	hex := func(s string) (uint64, error) {
		s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "0x")
		return strconv.ParseUint(s, 16, 64)
	}
	address, err := hex(parts[1])
	if err != nil {
		return fail("the address is no hexadecimal number")
	}
	length, err := hex(parts[2])
	if err != nil || length < 1 || length > maxText {
		return fail(fmt.Sprintf("the length is not 1 to %x", maxText))
	}
	return URL{Scheme: Local, Name: parts[0], Address: address, Length: int(length)}, nil
}

// Read reads a description from the camera's memory and unpacks it. It is for Local alone;
// what lies elsewhere the caller gets for itself and gives to Unpack.
func (u URL) Read(ctx context.Context, port Port) ([]byte, error) {
	if u.Scheme != Local || u.Length < 1 || u.Length > maxText {
		return nil, fmt.Errorf("cannot read the camera's description %q from its memory: it is not there (%v): %w", u.Name, u.Scheme, ErrDescription)
	}
	data := make([]byte, u.Length)
	if err := port.ReadAt(ctx, data, u.Address); err != nil {
		return nil, fmt.Errorf("cannot read the camera's description %q: %w", u.Name, err)
	}
	return Unpack(data)
}

// Unpack returns the XML of a description, which may be the first file of a ZIP archive and
// may be followed by rubbish.
func Unpack(data []byte) ([]byte, error) {
	if len(data) > maxText {
		return nil, fmt.Errorf("cannot use a description of %d bytes; the most are %d: %w", len(data), maxText, ErrDescription)
	}
	if bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		var err error
		if data, err = unzip(data); err != nil {
			return nil, fmt.Errorf("cannot unzip the camera's description: %v: %w", err, ErrDescription)
		}
	}
	end := bytes.LastIndexByte(data, '>')
	if end < 0 {
		return nil, fmt.Errorf("cannot use the camera's description: it is no XML: %w", ErrDescription)
	}
	return data[:end+1], nil
}

func unzip(data []byte) ([]byte, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	for _, f := range archive.File {
		if f.FileInfo().IsDir() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(r, maxText+1))
		if err != nil {
			return nil, err
		}
		if len(text) > maxText {
			return nil, fmt.Errorf("%s has more than %d bytes", f.Name, maxText)
		}
		return text, nil
	}
	return nil, fmt.Errorf("the archive is empty")
}
