package gentl

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newMemory is memory that a helper can share. It has no size yet.
func newMemory() (*os.File, error) {
	fd, err := unix.MemfdCreate("opu-gentl", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("cannot make shared memory: %w", err)
	}
	return os.NewFile(uintptr(fd), "memory"), nil
}

// mapping is the memory of the frames, as this program sees it.
type mapping struct{ bytes []byte }

// mapMemory gives the memory its size, for good. Pages that no frame ever touches cost nothing.
func mapMemory(f *os.File, size int) (*mapping, error) {
	fd := int(f.Fd())
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fmt.Errorf("cannot make %d bytes of shared memory: %w", size, err)
	}
	// Whoever has the descriptor could cut it short under our eyes otherwise.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, fmt.Errorf("cannot seal shared memory: %w", err)
	}
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map %d bytes of shared memory: %w", size, err)
	}
	return &mapping{bytes: b}, nil
}

// unmap gives the memory back.
func (m *mapping) unmap() {
	unix.Munmap(m.bytes)
	m.bytes = nil
}
