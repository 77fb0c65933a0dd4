//go:build !unix

package server

// privately has f make files: there are no modes here.
func privately(f func()) { f() }
