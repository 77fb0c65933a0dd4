package shm

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Memory in a folder of the test's own.
func memory(t *testing.T, name string, size int, mode os.FileMode) string {
	t.Helper()
	folder = t.TempDir()
	t.Cleanup(func() { folder = "/dev/shm" })
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, bytes.Repeat([]byte{7}, size), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

var ours = Rule{Prefix: "opu-", UID: os.Getuid(), GID: -1}

func TestReadAndWrite(t *testing.T) {
	path := memory(t, "opu-1", 100, 0o600)
	for _, key := range []string{"opu-1", "/opu-1", "//opu-1"} {
		o, err := Open(key, 10, 50, ours)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.WriteAt([]byte("hello"), 45); err != nil {
			t.Error(err)
		}
		got := make([]byte, 6)
		if err := o.ReadAt(got, 44); err != nil || string(got) != "\x07hello" {
			t.Errorf("read %q, %v", got, err)
		}
		if all, err := os.ReadFile(path); err != nil || len(all) != 100 || string(all[54:61]) != "\x07hello\x07" {
			t.Errorf("the memory is %q (%v)", all, err)
		}
		for _, c := range []struct {
			offset int64
			size   int
		}{{46, 5}, {-1, 5}, {51, 0}, {0, 51}, {math.MaxInt64, 5}} {
			if err := o.ReadAt(make([]byte, c.size), c.offset); !errors.Is(err, ErrRange) {
				t.Errorf("reading %d from %d: %v, want ErrRange", c.size, c.offset, err)
			}
			if err := o.WriteAt(make([]byte, c.size), c.offset); !errors.Is(err, ErrRange) {
				t.Errorf("writing %d at %d: %v, want ErrRange", c.size, c.offset, err)
			}
		}
		o.Close()
		if err := o.ReadAt(got, 0); !errors.Is(err, ErrClosed) {
			t.Errorf("reading when closed: %v, want ErrClosed", err)
		}
		if err := o.WriteAt(got, 0); !errors.Is(err, ErrClosed) {
			t.Errorf("writing when closed: %v, want ErrClosed", err)
		}
	}
}

// Whoever made the memory cuts it short while it is used: an error, and it stays short.
func TestCutShort(t *testing.T) {
	path := memory(t, "opu-1", 100, 0o600)
	o, err := Open("opu-1", 0, 100, ours)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := os.Truncate(path, 50); err != nil {
		t.Fatal(err)
	}
	if err := o.ReadAt(make([]byte, 100), 0); !errors.Is(err, ErrRange) {
		t.Errorf("reading: %v, want ErrRange", err)
	}
	if err := o.WriteAt(make([]byte, 100), 0); !errors.Is(err, ErrRange) {
		t.Errorf("writing: %v, want ErrRange", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 50 {
		t.Errorf("it has %d bytes (%v), want the 50 that its owner left", info.Size(), err)
	}
	if err := o.ReadAt(make([]byte, 50), 0); err != nil {
		t.Errorf("what is left: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	path := memory(t, "opu-1", 100, 0o600)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(outside, filepath.Join(folder, "opu-link")), syscall.Mkfifo(filepath.Join(folder, "opu-pipe"), 0o600),
		os.Mkdir(filepath.Join(folder, "opu-folder"), 0o700), os.WriteFile(filepath.Join(folder, "other"), make([]byte, 100), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key          string
		offset, size int64
		want         error
	}{
		{"", 0, 1, ErrKey},
		{"/", 0, 1, ErrKey},
		{"///", 0, 1, ErrKey},
		{"..", 0, 1, ErrKey},
		{"other", 0, 1, ErrKey},
		{"opu-/../other", 0, 1, ErrKey},
		{"opu-folder/x", 0, 1, ErrKey},
		{"../" + filepath.Base(folder) + "/opu-1", 0, 1, ErrKey},
		{"opu-1\x00", 0, 1, ErrKey},
		{"opu-" + strings.Repeat("x", 300), 0, 1, ErrKey},
		{"opu-missing", 0, 1, ErrAccess},
		{"opu-link", 0, 1, ErrAccess},
		{"opu-pipe", 0, 0, ErrAccess},
		{"opu-folder", 0, 0, ErrAccess},
		{"opu-1", 0, 101, ErrRange},
		{"opu-1", 101, 0, ErrRange},
		{"opu-1", -1, 1, ErrRange},
		{"opu-1", 0, -1, ErrRange},
		{"opu-1", 50, math.MaxInt64, ErrRange},
		{"opu-1", math.MaxInt64, math.MaxInt64, ErrRange},
	} {
		o, err := Open(c.key, c.offset, c.size, ours)
		if !errors.Is(err, c.want) {
			t.Errorf("%.30q, %d bytes from %d on: %v, %v; want %v", c.key, c.size, c.offset, o, err, c.want)
		} else if strings.Contains(err.Error(), folder) || strings.Contains(err.Error(), "no such file") || strings.Contains(err.Error(), "denied") {
			t.Errorf("%.30q: the error tells of the file system: %v", c.key, err)
		}
	}
	if _, err := Open("other", 0, 1, Rule{UID: os.Getuid(), GID: -1}); !errors.Is(err, ErrKey) {
		t.Errorf("without a prefix: %v, want ErrKey", err)
	}

	// Of another user; and of the group, if the group can use it.
	stat, _ := os.Stat(path)
	gid := int(stat.Sys().(*syscall.Stat_t).Gid)
	for _, c := range []struct {
		name string
		mode os.FileMode
		rule Rule
		want error
	}{
		{"another user", 0o666, Rule{Prefix: "opu-", UID: os.Getuid() + 1, GID: -1}, ErrAccess},
		{"nobody known", 0o666, Rule{Prefix: "opu-", UID: -1, GID: -1}, ErrAccess},
		{"the group", 0o660, Rule{Prefix: "opu-", UID: -1, GID: gid}, nil},
		{"a group that may only read", 0o640, Rule{Prefix: "opu-", UID: -1, GID: gid}, ErrAccess},
		{"another group", 0o666, Rule{Prefix: "opu-", UID: -1, GID: gid + 1}, ErrAccess},
	} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		o, err := Open("opu-1", 0, 100, c.rule)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil {
			o.Close()
		}
	}
}

// Whatever the key: no panic, and nothing outside of the folder.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"opu-1", "/opu-1", "../opu-1", "opu-/..", "opu-\x00"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		name, err := ours.name(key)
		if err != nil {
			return
		}
		if filepath.Dir(filepath.Join("/a/b", name)) != "/a/b" || !strings.HasPrefix(name, "opu-") {
			t.Errorf("%q leads to %q", key, name)
		}
	})
}
