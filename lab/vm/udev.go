package main

import (
	"context"
	"fmt"
	"os/exec"
)

// Debian's rules that give nodes their usual owners; the project's own come with -file.
const defaultRules = "/lib/udev/rules.d/50-udev-default.rules"

// Who is who in the lab: the groups of the default rules, the project's, and a user who is in
// none of them.
const (
	accounts = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
	groups   = "root:x:0:\ntty:x:5:\ndisk:x:6:\nlp:x:7:\nkmem:x:15:\ndialout:x:20:\ncdrom:x:24:\nfloppy:x:25:\ntape:x:26:\naudio:x:29:\n" +
		"video:x:44:\nplugdev:x:46:\ninput:x:104:\nrender:x:105:\nkvm:x:106:\nsgx:x:107:\nopu:x:900:\nnogroup:x:65534:\n"
)

// addUdev adds this machine's udevd, which is udevadm under another name.
func addUdev(ctx context.Context, a *archive) error {
	udevadm, err := exec.LookPath("udevadm")
	if err != nil {
		return fmt.Errorf("cannot run udevd in the lab; install udev: %w", err)
	}
	if err := a.program(ctx, udevadm, "/bin/udevadm"); err != nil {
		return err
	}
	a.link("/lib/systemd/systemd-udevd", "/bin/udevadm")
	a.folder("/etc/udev")
	a.file("/etc/passwd", 0o644, []byte(accounts))
	a.file("/etc/group", 0o644, []byte(groups))
	return a.program(ctx, defaultRules, defaultRules)
}
