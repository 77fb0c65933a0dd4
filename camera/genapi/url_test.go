package genapi

import (
	"archive/zip"
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]URL{
		"Local:arv-fake-camera.xml;10000;3e67":                  {Local, "arv-fake-camera.xml", 0x10000, 0x3e67},
		"local:///cam.zip;0x8001000;1F\x00\x00\x00junk":         {Local, "cam.zip", 0x8001000, 0x1f},
		"LOCAL:a.xml; ffffffff00000000 ;10?SchemaVersion=1.1.0": {Local, "a.xml", 0xffffffff00000000, 16},
		"File:///usr/share/cam.xml":                             {Scheme: File, Name: "/usr/share/cam.xml"},
		"file:C:\\cam.xml?SchemaVersion=1.0.0":                  {Scheme: File, Name: "C:\\cam.xml"},
		"http://example.org/cam.zip":                            {Scheme: HTTP, Name: "http://example.org/cam.zip"},
	} {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "cam.xml", "ftp://x", "local:a.xml", "local:a.xml;1", "local:;1;1", "local:a;x;1", "local:a;1;0",
		"local:a;1;fffffffff", "local:a;1;-1", "local:a;1;1;1", "file:", "local:a;11112222333344445;1"} {
		if got, err := ParseURL(text); !errors.Is(err, ErrDescription) {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("Local:a.xml;10;20?SchemaVersion=1.1.0")
	f.Add("File:///a")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil {
			if !errors.Is(err, ErrDescription) {
				t.Fatal(err)
			}
			return
		}
		if u.Name == "" || u.Scheme == Local && (u.Length < 1 || u.Length > maxText) {
			t.Fatalf("%q is %+v", text, u)
		}
	})
}

func zipped(t testing.TB, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err == nil {
		_, err = f.Write([]byte(content))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadDescription(t *testing.T) {
	const text = "<R><Integer Name='N'><Value>5</Value></Integer></R>"
	for name, data := range map[string][]byte{
		"plain": []byte(text), "with NULs behind it": []byte(text + "\x00\x00\xff"), "zipped": zipped(t, "a.xml", text),
	} {
		d := newDevice(0x100, len(data))
		copy(d.data, data)
		got, err := URL{Local, "a", 0x100, len(data)}.Read(t.Context(), d)
		if err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := (URL{Scheme: File, Name: "a", Length: 1}).Read(t.Context(), newDevice(0, 9)); !errors.Is(err, ErrDescription) {
		t.Errorf("a file was read from the camera: %v", err)
	}
	if _, err := (URL{Local, "a", 0, 10}).Read(t.Context(), newDevice(0, 9)); !errors.Is(err, errUnmapped) {
		t.Errorf("more was read than there is: %v", err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "no XML": []byte("hello"), "a broken archive": []byte("PK\x03\x04>"), "an archive that is too large": zipped(t, "a.xml", strings.Repeat(" ", maxText+1)),
	} {
		if _, err := Unpack(data); !errors.Is(err, ErrDescription) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
