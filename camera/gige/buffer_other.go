//go:build !linux

package gige

import "net"

// setReceiveBuffer asks the system to keep so many bytes of packets; what it does is not
// known.
func setReceiveBuffer(conn *net.UDPConn, bytes int) int {
	conn.SetReadBuffer(bytes)
	return 0
}
