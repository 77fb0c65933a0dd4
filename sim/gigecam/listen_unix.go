//go:build unix

package gigecam

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen opens a socket. A shared one hears what is sent to everyone, as other cameras of
// this host do.
func listen(at netip.AddrPort, shared bool) (*net.UDPConn, error) {
	var l net.ListenConfig
	if shared {
		l.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }); e != nil {
				return e
			}
			return err
		}
	}
	conn, err := l.ListenPacket(context.Background(), "udp4", at.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}
