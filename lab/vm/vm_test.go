package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/lab/plan"
)

// What QEMU ends with is the program's status, or says that there is none.
func TestStatus(t *testing.T) {
	for _, want := range []int{0, 1, 2, plan.Stopped, plan.Failed} {
		written := want + 1 // by init, to the port
		if got, err := status(2*written + 1); got != want || err != nil {
			t.Errorf("a program with status %d: %d, %v", want, got, err)
		}
	}
	for _, qemu := range []int{-1, 0, 1, 2} {
		if got, err := status(qemu); got != plan.Failed || err == nil {
			t.Errorf("QEMU's own %d: %d, %v", qemu, got, err)
		}
	}
}

// Another program reads the archive, and init the plan in it.
func TestArchive(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio is not installed")
	}
	var image bytes.Buffer
	a := newArchive(&image)
	a.file("/lab/deep/file", 0o640, []byte("content"))
	a.file("/lab/deep/file", 0o600, []byte("twice"))
	a.link("/bin/other", "/lab/deep/file")
	want := plan.Plan{Udev: true, Command: []string{"/lab/program", "-flag"}, Modules: []plan.Module{{Path: "/lab/m.ko", Parameters: "a=1 b=2"}}}
	if err := a.finish(want); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	c := exec.CommandContext(t.Context(), cpio, "-i", "--quiet", "--make-directories", "--no-absolute-filenames")
	c.Dir, c.Stdin = root, &image
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("cpio says %s, %v", out, err)
	}
	content, err := os.ReadFile(filepath.Join(root, "lab/deep/file"))
	if err != nil || string(content) != "content" {
		t.Errorf("the file has %q, %v", content, err)
	}
	if info, err := os.Stat(filepath.Join(root, "lab/deep/file")); err != nil || info.Mode() != 0o640 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if to, err := os.Readlink(filepath.Join(root, "bin/other")); err != nil || !strings.HasSuffix(to, "lab/deep/file") {
		t.Errorf("the link leads to %s, %v", to, err)
	}
	got, err := plan.Read(os.DirFS(root))
	if err != nil || !got.Udev || !slices.Equal(got.Command, want.Command) || !slices.Equal(got.Modules, want.Modules) {
		t.Errorf("the plan is %+v, %v", got, err)
	}
}

func TestPlanThatIsNone(t *testing.T) {
	root := t.TempDir()
	if _, err := plan.Read(os.DirFS(root)); err == nil {
		t.Error("a plan that is not there")
	}
	os.Mkdir(filepath.Join(root, "lab"), 0o777)
	for _, text := range []string{"", "{", "{}"} {
		if err := os.WriteFile(filepath.Join(root, plan.Path), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if p, err := plan.Read(os.DirFS(root)); err == nil {
			t.Errorf("%q is the plan %+v", text, p)
		}
	}
}

func TestLibraries(t *testing.T) {
	const said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibusb-1.0.so.0 => /lib/x86_64-linux-gnu/libusb-1.0.so.0 (0x00007f01)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n"
	var got []string
	for _, m := range library.FindAllStringSubmatch(said, -1) {
		got = append(got, m[1])
	}
	if want := []string{"/lib/x86_64-linux-gnu/libusb-1.0.so.0", "/lib64/ld-linux-x86-64.so.2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestModuleName(t *testing.T) {
	for file, want := range map[string]string{"vhci-hcd": "vhci_hcd", "kernel/drivers/hid/hid-generic.ko": "hid_generic", "usbhid.ko.xz": "usbhid"} {
		if got := moduleName(file); got != want {
			t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
}

// This program stands for a kernel: compressed behind other bytes, among them the first bytes of
// another compression.
func TestUncompress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("programs are ELF files on Linux")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "gzip", "-1", "-c", program)
	packed, err := c.Output()
	if err != nil {
		t.Skip(err)
	}
	whole, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	image := slices.Concat([]byte("MZ boot \x1f\x8b\x08 code"), packed, []byte("what follows"))
	got, err := uncompress(t.Context(), image)
	if err != nil || !bytes.Equal(got, whole) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(whole), err)
	}
	if _, err := uncompress(t.Context(), []byte("MZ nothing")); err == nil {
		t.Error("a kernel was found where none is")
	}
}
