//go:build !unix

package gigecam

import (
	"net"
	"net/netip"
)

// listen opens a socket. Sharing one is not possible here; a camera whose address is taken
// is found by its address alone.
func listen(at netip.AddrPort, _ bool) (*net.UDPConn, error) {
	return net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
}
