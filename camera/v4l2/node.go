package v4l2

import (
	"syscall"
	"unsafe"
)

// node is all that a Device needs of the kernel, so that a model can take its place. Its
// errors are the kernel's, of type syscall.Errno.
type node interface {
	// ioctl passes a request and its argument, one of the structs of abi.go.
	ioctl(request uint32, argument unsafe.Pointer) error

	// mmap maps a buffer. unmap unmaps it; if somebody may still read it, its addresses stay
	// valid and read as zeros from then on.
	mmap(offset int64, length int) ([]byte, error)
	unmap(b []byte, read bool) error

	// poll blocks until a buffer is done, wake was called, or something is wrong, which the
	// next request will tell (trouble). It may return early. ENODEV: the device is gone.
	poll() (trouble bool, err error)

	// wake ends poll, or the next one if there is none.
	wake()

	// close ends poll and then closes the node. It is called once.
	close() error
}

// call is ioctl with a typed argument.
func call[T any](n node, request uint32, argument *T) error {
	return n.ioctl(request, unsafe.Pointer(argument))
}

// notThere tells that a device does not have an optional request, in one of the ways in which
// drivers say so.
func notThere(err error) bool {
	return err == syscall.ENOTTY || err == syscall.EINVAL || err == syscall.ENODATA
}
