//go:build openblas

package dfa

import (
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/netlib/blas/netlib"
)

// With the build tag openblas, matrix products go to OpenBLAS (needs cgo, the
// library, and CGO_LDFLAGS=-lopenblas): faster, and equal to the default build only
// to rounding.
func init() { blas32.Use(netlib.Implementation{}) }
