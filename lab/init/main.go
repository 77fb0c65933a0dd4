//go:build linux

// Command init is process 1 of the virtual lab. It mounts the file systems of the kernel,
// follows the plan, and ends the machine with the status of the program that it ran.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/lab/plan"
)

func main() {
	status, err := run()
	if err != nil {
		fmt.Println("lab:", err)
		status = plan.Failed
	}
	leave(status)
}

func run() (int, error) {
	if err := mount(); err != nil {
		return 0, err
	}
	rawConsole()
	p, err := plan.Read(os.DirFS("/"))
	if err != nil {
		return 0, err
	}
	for _, m := range p.Modules {
		if err := load(m); err != nil {
			return 0, err
		}
	}
	// Only where a module brought it.
	unix.Mount("configfs", "/sys/kernel/config", "configfs", 0, "")
	if p.Udev {
		if err := startUdev(); err != nil {
			return 0, err
		}
	}
	return program(p)
}

func mount() error {
	for _, m := range []struct{ kind, at, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"devpts", "/dev/pts", "ptmxmode=0666,newinstance"},
		{"tmpfs", "/dev/shm", ""},
		{"tmpfs", "/run", "mode=0755"},
		{"tmpfs", os.TempDir(), "mode=1777"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("cannot mount %s: %w", m.at, err)
		}
	}
	return nil
}

// rawConsole keeps the console from adding carriage returns.
func rawConsole() {
	if t, err := unix.IoctlGetTermios(1, unix.TCGETS); err == nil {
		t.Oflag &^= unix.OPOST
		unix.IoctlSetTermios(1, unix.TCSETS, t)
	}
}

func load(m plan.Module) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), m.Parameters, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot load %s %s: %w; the kernel says why with vm -verbose", m.Path, m.Parameters, err)
	}
	return nil
}

// startUdev has udevd treat the devices that are there, and those to come.
func startUdev() error {
	for _, line := range []string{"/lib/systemd/systemd-udevd --daemon", "/bin/udevadm trigger", "/bin/udevadm settle"} {
		words := strings.Fields(line)
		c := exec.Command(words[0], words[1:]...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("cannot run %s: %w", line, err)
		}
	}
	return nil
}

// program runs the plan's command, with the console for its output.
func program(p plan.Plan) (int, error) {
	c := exec.Command(p.Command[0], p.Command[1:]...)
	c.Dir = os.TempDir()
	c.Env = append([]string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=" + os.TempDir()}, p.Env...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	err := c.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if !exit.Exited() {
		fmt.Println("lab: the program ended by", exit)
		return plan.Stopped, nil
	}
	return min(exit.ExitCode(), plan.Failed), nil
}

// leave writes the status to the port of QEMU's isa-debug-exit and does not return. QEMU makes
// 2*value+1 of it; the value is the status and one, so that 1 stays QEMU's own.
func leave(status int) {
	unix.IoctlSetInt(1, unix.TCSBRK, 1) // let the console drain
	if port, err := os.OpenFile("/dev/port", os.O_WRONLY, 0); err == nil {
		port.WriteAt([]byte{byte(status + 1)}, 0xf4)
	}
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}
