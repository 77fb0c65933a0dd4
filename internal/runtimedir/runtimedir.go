// Package runtimedir says where opud and its clients meet if nobody says otherwise.
package runtimedir

import (
	"fmt"
	"os"
	"path/filepath"
)

// Socket is the name of opud's socket in its folder.
const Socket = "opud.sock"

// System is the folder of an opud that serves the whole machine.
const System = "/run/opud"

// Folder is that of a user's own opud: RUNTIME_DIRECTORY where systemd made one, else
// one in XDG_RUNTIME_DIR, else one among the temporary files.
func Folder(getenv func(string) string) string {
	if systemd := getenv("RUNTIME_DIRECTORY"); systemd != "" {
		return systemd
	}
	if user := getenv("XDG_RUNTIME_DIR"); user != "" {
		return filepath.Join(user, "opud")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("opud-%d", os.Getuid()))
}

// FindSocket is the socket that clients try: the user's own if it is there, else the
// system's.
func FindSocket(getenv func(string) string) string {
	own := filepath.Join(Folder(getenv), Socket)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return filepath.Join(System, Socket)
}
