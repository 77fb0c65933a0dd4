package wire

import (
	"errors"
	"testing"
)

func TestRecord(t *testing.T) {
	want := Record{
		Kind: Frame, Run: 7, Buffer: 3, Part: 1, Parts: 4, Flags: Nanoseconds | HasID, Code: -1010, ID: 1 << 40, Time: 1 << 50,
		Offset: 123, Filled: 1 << 33, Width: 1280, Height: 800, Format: 0x01080001, Namespace: 4, PadX: 16,
	}
	var b [RecordSize]byte
	want.Encode(b[:])
	var got Record
	if err := got.Decode(b[:]); err != nil || got != want {
		t.Errorf("%+v became %+v, %v", want, got, err)
	}
	for _, bad := range []Record{{}, {Kind: 4}, {Kind: Frame}, {Kind: Frame, Part: 2, Parts: 2}} {
		bad.Encode(b[:])
		if err := got.Decode(b[:]); !errors.Is(err, ErrRecord) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, n := range []int{0, RecordSize - 1, RecordSize + 1} {
		if err := got.Decode(make([]byte, n)); !errors.Is(err, ErrRecord) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestRelease(t *testing.T) {
	var b [ReleaseSize]byte
	EncodeRelease(b[:], 7, 31)
	if run, buffer, ok := DecodeRelease(b[:]); run != 7 || buffer != 31 || !ok {
		t.Errorf("buffer %d of run %d, %t", buffer, run, ok)
	}
	if _, _, ok := DecodeRelease(b[:7]); ok {
		t.Error("seven bytes are a release")
	}
}

// What is read is what would be written.
func FuzzDecode(f *testing.F) {
	var b [RecordSize]byte
	(&Record{Kind: Frame, Parts: 1}).Encode(b[:])
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if r.Decode(b) != nil {
			return
		}
		var again [RecordSize]byte
		r.Encode(again[:])
		if string(again[:]) != string(b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
