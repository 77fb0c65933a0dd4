//go:build unix

package doctor

import (
	"os"
	"os/user"

	"golang.org/x/sys/unix"
)

// ThisHost is the machine and the user of this process.
func ThisHost() Host {
	h := Host{Root: "/", UID: os.Getuid(), Producers: os.Getenv("GENICAM_GENTL64_PATH"), User: "$USER"}
	h.Usable = func(path string) bool { return unix.Access(path, unix.R_OK|unix.W_OK) == nil }
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	h.Groups, _ = os.Getgroups() // none: then the user is said to be in none
	h.Groups = append(h.Groups, os.Getgid())
	return h
}
