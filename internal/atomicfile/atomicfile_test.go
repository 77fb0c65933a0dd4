package atomicfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

func writeString(path, s string) error {
	return Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	})
}

func checkContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("content %q, want %q", got, want)
	}
}

// checkAlone fails if dir holds anything but the named files.
func checkAlone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("directory holds %q, want %q", got, names)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, content := range []string{"first", "second, longer", "", "x"} {
		if err := writeString(path, content); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path, content)
	}
	checkAlone(t, dir, "a")
}

func TestFailedWriteKeepsTheOldFile(t *testing.T) {
	errDisk := errors.New("disk full")
	for name, write := range map[string]func(io.Writer) error{
		"at once":       func(io.Writer) error { return errDisk },
		"in the buffer": func(w io.Writer) error { io.WriteString(w, "new"); return errDisk },
		"on the disk":   func(w io.Writer) error { w.Write(make([]byte, 1<<20)); return errDisk },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a")
			if err := writeString(path, "old"); err != nil {
				t.Fatal(err)
			}
			if err := Write(path, write); !errors.Is(err, errDisk) {
				t.Errorf("error %v, want %v", err, errDisk)
			}
			checkContent(t, path, "old")
			checkAlone(t, dir, "a")
		})
	}
}

func TestPanicLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the write function was swallowed")
			}
		}()
		Write(filepath.Join(dir, "a"), func(io.Writer) error { panic("bug") })
	}()
	checkAlone(t, dir)
}

func TestRefusedTargets(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"directory":      dir,
		"device":         os.DevNull,
		"pipe":           fifo,
		"missing folder": filepath.Join(dir, "nowhere", "a"),
		"file as folder": filepath.Join(fifo, "a"),
	} {
		called := false
		err := Write(path, func(io.Writer) error { called = true; return nil })
		if err == nil || called {
			t.Errorf("%s: error %v, write called %v; want an error before anything is written", name, err, called)
		}
	}
	checkAlone(t, dir, "fifo")
}

func TestUnwritableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := writeString(filepath.Join(dir, "a"), "x"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v, want permission denied", err)
	}
}

func TestMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	path := filepath.Join(t.TempDir(), "a")
	check := func(want os.FileMode) {
		t.Helper()
		if err := writeString(path, "x"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != want {
			t.Errorf("mode %v, want %v", got, want)
		}
	}
	check(0o640)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	check(0o600)
}

func TestLinkStaysALink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := writeString(target, "old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if err := writeString(link, "new"); err != nil {
		t.Fatal(err)
	}
	checkContent(t, target, "new")
	if got, err := os.Readlink(link); err != nil || got != "target" {
		t.Errorf("the link reads %q, %v", got, err)
	}
}

func TestConcurrentWritersWinWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := writeString(path, string(bytes.Repeat([]byte{byte('a' + i)}, 100_000))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	checkWhole(t, path, 100_000)
	checkAlone(t, dir, "a")
}

func checkWhole(t *testing.T, path string, size int) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != size || bytes.Count(got, got[:1]) != size {
		t.Fatalf("torn file: %d bytes, %d of them equal to the first", len(got), bytes.Count(got, got[:1]))
	}
}

func TestRemoveLeftovers(t *testing.T) {
	dir := t.TempDir()
	young, old := temporaryName(), temporaryName()
	foreign := []string{".opu-partial-notes", prefix + "0123456789abcdeg", "opu-partial-0123456789abcdef", "a"}
	for _, name := range append(foreign, young, old) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		hourAgo := time.Now().Add(-time.Hour)
		if name != young {
			if err := os.Chtimes(filepath.Join(dir, name), hourAgo, hourAgo); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		age  time.Duration
		want int
	}{{2 * time.Hour, 0}, {time.Minute, 1}, {0, 1}, {0, 0}} {
		if n, err := RemoveLeftovers(dir, step.age); n != step.want || err != nil {
			t.Errorf("age %v: removed %d, %v; want %d", step.age, n, err, step.want)
		}
	}
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("a foreign file is gone: %v", err)
		}
	}
	if n, err := RemoveLeftovers(filepath.Join(dir, "nowhere"), 0); n != 0 || err != nil {
		t.Errorf("missing folder: removed %d, %v; want 0 and no error", n, err)
	}
}

// The child of TestKill rewrites one file for ever with content of one repeated
// byte, and says on stdout whenever it is in the middle of a write.
func TestMain(m *testing.M) {
	if path := os.Getenv("ATOMICFILE_TEST_CHILD"); path != "" {
		for b := byte(0); ; b++ {
			half := bytes.Repeat([]byte{b}, killSize/2)
			err := Write(path, func(w io.Writer) error {
				w.Write(half)
				os.Stdout.Write([]byte{'.'})
				_, err := w.Write(half)
				return err
			})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

const killSize = 1 << 20

func TestKill(t *testing.T) {
	const kills = 15
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := writeString(path, string(make([]byte, killSize))); err != nil {
		t.Fatal(err)
	}
	const seed = 1
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	leftovers := 0
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "ATOMICFILE_TEST_CHILD="+path)
		child.Stderr = os.Stderr
		stdout, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		_, err = bufio.NewReaderSize(stdout, 16).Discard(1 + rng.IntN(6))
		// The mark above is sent in mid-write; wander on through sync and rename.
		for range rng.IntN(2_000_000) {
			rng.Uint64()
		}
		child.Process.Kill()
		child.Wait()
		if err != nil {
			t.Fatalf("the child ended by itself: %v", err)
		}
		checkWhole(t, path, killSize)
		n, err := RemoveLeftovers(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		leftovers += n
		checkAlone(t, dir, "a")
	}
	t.Logf("%d kills, no torn file, %d leftovers removed", kills, leftovers)
	if leftovers == 0 {
		t.Errorf("no kill hit a write: the test proves nothing")
	}
}
