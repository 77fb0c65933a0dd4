package gige

import (
	"net"

	"golang.org/x/sys/unix"
)

// setReceiveBuffer has the kernel keep so many bytes of packets, or as many as it allows,
// and returns how many: privileged programs are allowed any number.
func setReceiveBuffer(conn *net.UDPConn, bytes int) (got int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
		got, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	return got / 2 // the kernel doubles it, for its own needs
}
