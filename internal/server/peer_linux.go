package server

import (
	"fmt"
	"net"
	"syscall"
)

// peerUser names the user at the other end of a Unix socket, as the kernel knows them.
func peerUser(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return "unknown"
	}
	var cred *syscall.Ucred
	if e := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); e != nil || err != nil {
		return "unknown"
	}
	return fmt.Sprintf("uid %d", cred.Uid)
}
