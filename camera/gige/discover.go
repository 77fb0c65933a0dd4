package gige

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// Found is a camera on the network.
type Found struct {
	Address netip.Addr // that it has; it may be of another network than the host's
	Vendor  string
	Model   string
	Version string
	Serial  string
	Name    string // that a user gave it
	MAC     net.HardwareAddr
}

func (f Found) String() string {
	return fmt.Sprintf("%s %s, serial %s, at %v", f.Vendor, f.Model, f.Serial, f.Address)
}

// discoveryLength is that of the answer: the first bootstrap registers.
const discoveryLength = 0xF8

// parseFound reads the answer to a discovery.
func parseFound(body []byte) (Found, error) {
	if len(body) < discoveryLength {
		return Found{}, errShort
	}
	text := func(at, n int) string {
		s, _, _ := bytes.Cut(body[at:at+n], []byte{0})
		return strings.TrimSpace(strings.ToValidUTF8(string(s), "?"))
	}
	return Found{
		Address: netip.AddrFrom4([4]byte(body[0x24:0x28])),
		Vendor:  text(0x48, 32), Model: text(0x68, 32), Version: text(0x88, 32),
		Serial: text(0xD8, 16), Name: text(0xE8, 16),
		MAC: net.HardwareAddr(bytes.Clone(body[0x0A:0x10])),
	}, nil
}

const (
	// listenTime is how long answers are waited for after a question; cameras may take up to a
	// second, and most take a millisecond.
	listenTime = 400 * time.Millisecond
	questions  = 2
)

// Discover asks on all networks of the host which cameras are there, for less than a second,
// and returns them by address. It disturbs nobody.
func Discover(ctx context.Context) ([]Found, error) {
	networks, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot look for cameras: %w", err)
	}
	var where []question
	for _, n := range networks {
		addresses, err := n.Addrs()
		if err != nil || n.Flags&net.FlagUp == 0 {
			continue
		}
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil || !prefix.Addr().Is4() {
				continue
			}
			q := question{from: prefix.Addr(), to: []netip.Addr{lastOf(prefix)}}
			if n.Flags&net.FlagLoopback != 0 {
				q.to = append(q.to, prefix.Addr())
			} else {
				q.to = append(q.to, netip.AddrFrom4([4]byte{255, 255, 255, 255}))
			}
			where = append(where, q)
		}
	}
	return ask(ctx, where)
}

// lastOf is the broadcast address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	x := binary.BigEndian.Uint32(a[:]) | uint32(1<<(32-p.Bits())-1)
	binary.BigEndian.PutUint32(a[:], x)
	return netip.AddrFrom4(a)
}

// lookAt asks one address for the camera that is there.
func lookAt(ctx context.Context, address netip.Addr) (Found, error) {
	found, err := ask(ctx, []question{{from: netip.IPv4Unspecified(), to: []netip.Addr{address}, one: true}})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("cannot find a camera at %v: nobody answers; check its power, its cable and its address: %w", address, camera.ErrUnplugged)
	}
	if err != nil {
		return Found{}, err
	}
	f := found[0]
	f.Address = address // the one by which it was reached
	return f, nil
}

// A question is a discovery, from an address of the host to some others.
type question struct {
	from netip.Addr
	to   []netip.Addr
	one  bool // who answers first is the only one
}

// ask asks all questions at once and collects the answers.
func ask(ctx context.Context, where []question) ([]Found, error) {
	ctx, cancel := context.WithTimeout(ctx, questions*listenTime)
	defer cancel()
	answers := make(chan []Found)
	for _, q := range where {
		go func() { answers <- q.ask(ctx) }()
	}
	var all []Found
	for range where {
		all = append(all, <-answers...)
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("cannot look for cameras: %w", err)
	}
	slices.SortFunc(all, func(a, b Found) int { return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Serial, b.Serial)) })
	return slices.CompactFunc(all, func(a, b Found) bool { return a.Address == b.Address && a.Serial == b.Serial }), nil
}

// ask asks from one address, and again for those that did not hear it. A network that cannot
// be asked has no cameras.
func (q question) ask(ctx context.Context) (found []Found) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(q.from, 0)))
	if err != nil {
		return nil
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	packet := appendCommand(nil, wantAnswer|allowBroadcast, discoveryCommand, 1)
	for range questions {
		for _, to := range q.to {
			conn.WriteToUDPAddrPort(packet, netip.AddrPortFrom(to, controlPort)) // where it cannot go, nobody answers
		}
		conn.SetReadDeadline(time.Now().Add(listenTime))
		for ctx.Err() == nil {
			var reply [maxControl]byte
			n, from, err := conn.ReadFromUDPAddrPort(reply[:])
			if err != nil {
				break
			}
			a, err := parseAnswer(reply[:n])
			if err != nil || a.code != discoveryCommand+1 || a.status != 0 || a.id != 1 || from.Port() != controlPort {
				continue
			}
			if f, err := parseFound(a.body); err == nil {
				found = append(found, f)
				if q.one {
					return found
				}
			}
		}
	}
	return found
}

// find finds the camera that a reference means: an address, a serial number, or the name
// that a user gave it.
func find(ctx context.Context, reference string) (Found, error) {
	if reference == "" {
		return Found{}, fmt.Errorf("cannot open a GigE Vision camera without its address or its serial number: %w", camera.ErrInput)
	}
	if address, err := netip.ParseAddr(reference); err == nil {
		if !address.Is4() {
			return Found{}, fmt.Errorf("cannot open the camera at %v: GigE Vision is for IPv4: %w", address, camera.ErrInput)
		}
		return lookAt(ctx, address)
	}
	all, err := Discover(ctx)
	if err != nil {
		return Found{}, err
	}
	var these []Found
	for _, f := range all {
		if f.Serial == reference || f.Name == reference {
			these = append(these, f)
		}
	}
	switch len(these) {
	case 1:
		return these[0], nil
	case 0:
		return Found{}, fmt.Errorf("cannot find the camera %q on any network; there: %s: %w", reference, list(all), camera.ErrUnplugged)
	}
	return Found{}, fmt.Errorf("cannot tell which camera %q is: there are %s; give its address: %w", reference, list(these), camera.ErrInput)
}

func list(all []Found) string {
	if len(all) == 0 {
		return "none"
	}
	var texts []string
	for _, f := range all {
		texts = append(texts, f.String())
	}
	return strings.Join(texts, "; ")
}
