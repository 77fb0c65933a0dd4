package gige

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
)

// The packets are those of Aravis's camera, recorded.
func TestRecordedControl(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for want, got := range map[string][]byte{
		"4211000200000001":                 appendCommand(nil, wantAnswer|allowBroadcast, discoveryCommand, 1),
		"420100800004000200000a00":         appendCommand(nil, wantAnswer, readRegCommand, 2, 0, 0, 0x0a, 0),
		"420100820008000300000a0000000002": appendCommand(nil, wantAnswer, writeRegCommand, 3, 0, 0, 0x0a, 0, 0, 0, 0, 2),
		"42010084000800040000020000000040": appendCommand(nil, wantAnswer, readMemCommand, 4, 0, 0, 2, 0, 0, 0, 0, 0x40),
	} {
		if !bytes.Equal(got, unhex(want)) {
			t.Errorf("a command is %x, want %s", got, want)
		}
	}
	for packet, want := range map[string]answer{
		"000000810004000200000000": {0, readRegCommand + 1, 2, []byte{0, 0, 0, 0}},
		"000000830004000300000001": {0, writeRegCommand + 1, 3, []byte{0, 0, 0, 1}},
		"8006008300000003":         {0x8006, writeRegCommand + 1, 3, nil},
	} {
		got, err := parseAnswer(unhex(packet))
		if err != nil || got.status != want.status || got.code != want.code || got.id != want.id || !bytes.Equal(got.body, want.body) {
			t.Errorf("%s is %+v, %v", packet, got, err)
		}
	}
	if s := Status(0x8006); !errors.Is(s, camera.ErrRefused) || s.Error() != "access denied" || Status(0x8abc).Error() != "status 0x8abc" {
		t.Errorf("a status is %v", s)
	}
}

func FuzzControlPackets(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 0, 0xf8, 0, 1, 0, 1})
	f.Add(make([]byte, 8+discoveryLength))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseAnswer(data)
		if err != nil {
			return
		}
		if len(a.body) > len(data)-headerLength {
			t.Fatalf("%d bytes of %d", len(a.body), len(data))
		}
		if found, err := parseFound(a.body); err == nil && (len(found.Serial) > 3*16 || !found.Address.Is4()) {
			t.Fatalf("%+v", found)
		}
	})
}
