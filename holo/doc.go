// Package holo turns frames of an off-axis hologram into the complex field of the
// speckle. It is pure numerics: it knows no devices, starts no goroutines and does
// no I/O.
//
// # What a frame holds
//
// The camera sees I = |S + Rf|^2, where S is the speckle's field, which is linear in
// what the SLM shows, and Rf = A exp(i(2 pi f.r + phi)) a reference beam that falls
// in at an angle. Expanded,
//
//	I = A^2 + |S|^2 + conj(Rf) S + Rf conj(S)
//
// and in the plane of spatial frequencies the four terms lie apart: a spike at 0, a
// disc of radius 2R around 0, the speckle's own disc of radius R at -f (the
// sideband), and its mirror image at +f (the twin). R is set by the aperture of
// the optics. A demodulator keeps the sideband; what it returns is A exp(-i phi) S,
// seen through a fixed linear filter. A Band is the pair of f and R.
//
// Frequencies are in cycles per pixel (Nyquist is 0.5), lengths in pixels. Pixels
// have a column u and a row v, frequencies are written (fu, fv), and arrays are
// row-major: index = v*width + u. One frame cannot tell f from -f; f is by rule the
// one with fv > 0, or fv = 0 and fu > 0, and the disc at -f is the one that is
// kept, so that results equal S and not conj(S).
//
// # Two demodulators
//
// FFT is the textbook: a Fourier transform of the frame, the disc, and a transform
// back. It is exact where the bands are apart, and slow. Direct computes each output
// as the dot product of one patch of pixels with one small table of complex integer
// weights, a Kernel, in one pass over the frame; DesignKernel makes the weights that
// are best for a band, a ratio of beams and a level of noise.
//
//	kernel, err := holo.DesignKernel(holo.Design{Band: band, Rho: 4, MeanElectrons: 5000})
//	d, err := holo.NewDirect(kernel, 256, 256, 1024)
//	z := make([]complex64, d.Outputs())
//	err = d.Demodulate(z, holo.Image{Pix: pix, Width: 256, Height: 256, Stride: 256, BitDepth: 8})
//
// Both are linear in the frame. They differ in what the random matrix B = z(x) is,
// not in whether it is one: a carrier that is a little off, leakage of the twin
// or dust on a lens make another matrix. What spoils linearity is |S|^2 in the band,
// saturation, and whatever changes between frames.
//
// Spectrum is the mean power spectrum of a set of frames, which shows where the band
// lies.
//
// The method is that of E. Cuche, P. Marquet and C. Depeursinge, Spatial filtering
// for zero-order and twin-image elimination in digital off-axis holography, Applied
// Optics 39, 4070 (2000).
package holo

// A Demodulator makes complex outputs out of frames of one size.
type Demodulator interface {
	// Outputs is the number of complex values per frame.
	Outputs() int

	// Demodulate writes the outputs of img into dst, which must have exactly Outputs
	// elements, and allocates nothing. On error dst is untouched.
	Demodulate(dst []complex64, img Image) error
}

var (
	_ Demodulator = (*FFT)(nil)
	_ Demodulator = (*Direct)(nil)
)
