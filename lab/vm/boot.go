package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/light-in-the-loop/opu/lab/plan"
)

// boot starts the machine, and returns the status of the program in it.
func boot(ctx context.Context, image, initramfs string, o options) (int, error) {
	talk := "loglevel=1" // the kernel takes every device of full speed in vhci-hcd for an error
	if o.verbose {
		talk = "loglevel=7"
	}
	arguments := []string{
		"-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1G",
		"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=1",
		"-kernel", image, "-initrd", initramfs,
		"-append", "console=ttyS0 panic=-1 oops=panic mitigations=off nokaslr tsc=reliable clocksource=tsc " + talk,
	}
	if !o.real {
		arguments = append(arguments, "-icount", "shift=1,sleep=off") // an instruction is 2 ns
	}
	late := fmt.Errorf("the machine has not ended within %v", o.timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, late)
	defer cancel()
	c := exec.CommandContext(ctx, "qemu-system-x86_64", arguments...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	err := c.Run()
	if ctx.Err() != nil {
		return plan.Stopped, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return plan.Failed, fmt.Errorf("cannot start the machine; install qemu-system-x86: %w", err)
	}
	return status(c.ProcessState.ExitCode())
}

// status takes the program's status out of QEMU's. Even ones are QEMU's own: 0 is a kernel
// that rebooted, after a panic; and 1 is an error.
func status(qemu int) (int, error) {
	if qemu%2 == 0 || qemu <= 1 {
		return plan.Failed, fmt.Errorf("the machine ended by itself (status %d of QEMU); -verbose shows what the kernel says", qemu)
	}
	return qemu/2 - 1, nil
}
