//go:build unix

package server

import "syscall"

// privately has f make files and sockets that only their owner can use. The mask is the
// whole process's: what others make meanwhile is private as well.
func privately(f func()) {
	defer syscall.Umask(syscall.Umask(0o077))
	f()
}
