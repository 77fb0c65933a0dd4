//go:build !linux

package server

import "net"

// peerUID cannot tell users apart here: they share a budget.
func peerUID(*net.UnixConn) (uid int, ok bool) { return 0, false }
