package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
)

// kernel is a Debian kernel, unpacked.
type kernel struct {
	modules string // the folder with its modules
	image   string // the kernel, uncompressed: to do that here is quicker than in the emulation
}

// dependency is the kernel that a meta-package stands for.
var dependency = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\d\S*)$`)

// versioned is the name of a package that has a kernel itself: linux-image-6.1.0-56-amd64.
var versioned = regexp.MustCompile(`^linux-image-\d+\.\d+\.\d+`)

// findKernel gives the kernel of a package, which it downloads and unpacks the first time.
func findKernel(ctx context.Context, cache, name string) (kernel, error) {
	if !versioned.MatchString(name) {
		depends, err := output(ctx, "", "apt-cache", "depends", name)
		if err != nil {
			return kernel{}, err
		}
		m := dependency.FindSubmatch(depends)
		if m == nil {
			return kernel{}, fmt.Errorf("cannot tell which kernel %s is; run apt-get update, or name a package such as linux-image-6.1.0-56-amd64", name)
		}
		name = string(m[1])
	}
	k := kernel{modules: filepath.Join(cache, name, "modules"), image: filepath.Join(cache, name, "vmlinux")}
	if _, err := os.Stat(filepath.Join(cache, name)); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(cache, 0o777); err != nil {
		return kernel{}, err
	}
	part, err := os.MkdirTemp(cache, "part-")
	if err != nil {
		return kernel{}, err
	}
	defer os.RemoveAll(part)
	if err := download(ctx, part, name); err != nil {
		return kernel{}, err
	}
	// Whole or not at all; whoever was quicker did the same.
	if err := os.Rename(part, filepath.Join(cache, name)); err != nil && !errors.Is(err, os.ErrExist) {
		return kernel{}, err
	}
	return k, nil
}

// download fills a folder with the kernel of a package.
func download(ctx context.Context, folder, name string) error {
	fmt.Fprintf(os.Stderr, "vm: downloading %s\n", name)
	me, err := user.Current()
	if err != nil {
		return err
	}
	// Without root there is no other user to download as.
	if _, err := output(ctx, folder, "apt-get", "-qq", "-o", "APT::Sandbox::User="+me.Username, "download", name); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("cannot find the package %s after its download: %v", name, debs)
	}
	if err := unpack(ctx, debs[0], folder); err != nil {
		return err
	}
	return os.Remove(debs[0])
}

// unpack takes the kernel and its modules out of a package.
func unpack(ctx context.Context, deb, folder string) error {
	modules := filepath.Join(folder, "modules")
	if err := os.Mkdir(modules, 0o777); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	c.Stderr = os.Stderr
	pipe, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("cannot unpack %s: %w", deb, err)
	}
	found := false
	for r := tar.NewReader(pipe); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("cannot unpack %s: %w", deb, err)
		}
		name := filepath.Base(h.Name)
		switch {
		case strings.HasPrefix(name, "vmlinuz-"):
			packed, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			whole, err := uncompress(ctx, packed)
			if err != nil {
				return fmt.Errorf("cannot use %s: %w", h.Name, err)
			}
			if err := os.WriteFile(filepath.Join(folder, "vmlinux"), whole, 0o666); err != nil {
				return err
			}
			found = true
		case name == "modules.builtin" || strings.Contains(name, ".ko"):
			content, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(modules, name), content, 0o666); err != nil {
				return err
			}
		}
	}
	if err := c.Wait(); err != nil {
		return fmt.Errorf("cannot unpack %s: %w", deb, err)
	}
	if !found {
		return fmt.Errorf("cannot use %s: it has no kernel", deb)
	}
	return nil
}

// packers are the ways in which kernels are compressed, by their first bytes.
var packers = []struct {
	magic   string
	command []string
}{
	{"\xfd7zXZ\x00", []string{"xz", "-dcq", "--single-stream"}},
	{"\x28\xb5\x2f\xfd", []string{"zstd", "-dcq"}},
	{"\x1f\x8b\x08", []string{"gzip", "-dcq"}},
}

// uncompress takes the kernel proper, an ELF file, out of the program that unpacks itself
// around it (bzImage).
func uncompress(ctx context.Context, image []byte) ([]byte, error) {
	for _, p := range packers {
		for rest := image; ; {
			i := bytes.Index(rest, []byte(p.magic))
			if i < 0 {
				break
			}
			rest = rest[i:]
			c := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
			c.Stdin = bytes.NewReader(rest)
			out, err := c.Output() // an error may be about what follows the kernel
			if errors.Is(err, exec.ErrNotFound) {
				return nil, fmt.Errorf("%s is not installed", p.command[0])
			}
			if bytes.HasPrefix(out, []byte("\x7fELF")) {
				return out, nil
			}
			rest = rest[1:]
		}
	}
	return nil, errors.New("no compressed kernel is in it")
}

// output runs a program in a folder and gives what it prints.
func output(ctx context.Context, folder, name string, arguments ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, name, arguments...)
	c.Dir = folder
	out, err := c.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return nil, fmt.Errorf("cannot run %s %s: %w", name, strings.Join(arguments, " "), err)
	}
	return out, nil
}
