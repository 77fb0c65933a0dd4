package u3v_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/u3v"
	"github.com/light-in-the-loop/opu/sim/u3vcam"
)

// sniffed is a cable whose transfers are kept, as usbmon does.
type sniffed struct {
	*cable
	mu   sync.Mutex
	file bytes.Buffer
}

func newSniffed(cam *u3vcam.Camera) *sniffed {
	s := &sniffed{cable: newCable(cam)}
	const usbLinuxMmapped = 220
	for _, x := range []uint32{0xa1b2c3d4, 2 | 4<<16, 0, 0, 1 << 18, usbLinuxMmapped} { // the header of pcap
		binary.Write(&s.file, binary.LittleEndian, x)
	}
	return s
}

// keep writes a bulk transfer: submitted if out, else completed.
func (s *sniffed) keep(endpoint byte, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	event := byte('C')
	if endpoint&0x80 == 0 {
		event = 'S'
	}
	now := time.Now()
	n := uint32(len(data))
	for _, x := range []any{
		uint32(now.Unix()), uint32(0), 64 + n, 64 + n, // the record of pcap
		uint64(1), event, byte(3), endpoint, byte(2), uint16(1), byte('-'), byte(0), // bulk, device 2 of bus 1
		now.Unix(), int32(0), int32(0), n, n, uint64(0), int32(0), int32(0), uint32(0), uint32(0), data,
	} {
		binary.Write(&s.file, binary.LittleEndian, x)
	}
}

func (s *sniffed) Send(ctx context.Context, packet []byte) error {
	s.keep(0x01, packet)
	return s.cable.Send(ctx, packet)
}

func (s *sniffed) Receive(ctx context.Context, p []byte) (int, error) {
	n, err := s.cable.Receive(ctx, p)
	if err == nil {
		s.keep(0x81, p[:n])
	}
	return n, err
}

func (s *sniffed) Stream(ctx context.Context, size, count int) (u3v.Pipe, error) {
	p, err := s.cable.Stream(ctx, size, count)
	return &sniffedPipe{p, s}, err
}

type sniffedPipe struct {
	u3v.Pipe
	s *sniffed
}

func (p *sniffedPipe) Read(b []byte) (int, error) {
	n, err := p.Pipe.Read(b)
	if err == nil {
		p.s.keep(0x82, b[:n])
	}
	return n, err
}

// Wireshark knows the protocol, and neither of us: it understands every command, every answer,
// and every leader and trailer.
func TestWireshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("NOT TESTED: there is no tshark")
	}
	var s *sniffed
	const frames = 3
	synctest.Test(t, func(t *testing.T) {
		cam, err := u3vcam.New(u3vcam.Config{Width: 100, Height: 50})
		if err != nil {
			t.Fatal(err)
		}
		s = newSniffed(cam)
		d, err := u3v.Open(t.Context(), s, u3v.Options{Transfer: 4096})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 64, Height: 40}}); err != nil {
			t.Fatal(err)
		}
		arm(t, d, frames)
		cam.Trigger(frames)
		take(t, d, frames)
		stop(t, d)
		d.Close()
		cam.Unplug()
	})
	path := filepath.Join(t.TempDir(), "camera.pcap")
	if err := os.WriteFile(path, s.file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tell := func(filter string) []string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), tshark, "-r", path, "-Y", filter).Output()
		if err != nil {
			t.Fatalf("tshark: %v", err)
		}
		return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	}
	if bad := tell("_ws.malformed || !u3v"); bad[0] != "" {
		t.Errorf("%d transfers are not understood:\n%s", len(bad), strings.Join(bad, "\n"))
	}
	count := map[string]int{}
	for _, line := range tell("u3v") {
		for _, kind := range []string{"READMEM_CMD", "READMEM_ACK", "WRITEMEM_CMD", "WRITEMEM_ACK", "Stream Leader", "Stream Payload", "Stream Trailer"} {
			if strings.Contains(line, kind) {
				count[kind]++
			}
		}
	}
	t.Log(count)
	for kind, want := range map[string]int{
		"READMEM_ACK": count["READMEM_CMD"], "WRITEMEM_ACK": count["WRITEMEM_CMD"],
		"Stream Leader": frames, "Stream Payload": frames, "Stream Trailer": frames,
	} {
		if count[kind] != want || want == 0 {
			t.Errorf("%d transfers are %s, want %d", count[kind], kind, want)
		}
	}
}
