package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/internal/tiff"
)

// grabCommand saves frames.
type grabCommand struct {
	cameraFlags
	count     int
	file      string
	triggered bool
	patience  time.Duration
}

// grabbed is what became of it, for programs.
type grabbed struct {
	Files   []string       `json:"files"`
	Saved   []grabbedFrame `json:"saved"`
	Taken   takenReport    `json:"taken"`
	Seconds float64        `json:"seconds"`
	tally
}

type grabbedFrame struct {
	Seq      uint64    `json:"seq"`
	Trigger  uint64    `json:"trigger"`
	DeviceUS float64   `json:"device_us"` // 0: the camera has no clock
	Host     time.Time `json:"host_time"`
	levels
}

func newCameraGrab() *cobra.Command {
	var g grabCommand
	c := &cobra.Command{
		Use:   "grab",
		Short: "Save frames to a file: png, npy, tiff",
		Long: `Take frames, at the camera's own pace or with --triggered one for each trigger, and
save --count good ones. The name of --out says how:

  .npy   frames x height x width, uint8 or uint16, for NumPy and opuctl --frames
  .tiff  one page a frame, 8 or 16 bits, for ImageJ and others
  .png   for eyes: 10 or 12 bits are stretched to 16. Several frames become several
         files, name-0000.png and on

npy and tiff hold the camera's counts. A frame that came with an error is counted, not
saved; the file is there whole or not at all.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return g.run(c) },
	}
	g.register(c)
	g.registerSettings(c)
	c.Flags().IntVar(&g.count, "count", 1, "how many frames")
	c.Flags().StringVar(&g.file, "out", "", "`file` for the frames: .npy, .tiff or .png")
	c.Flags().BoolVar(&g.triggered, "triggered", false, "wait for the camera's trigger input")
	c.Flags().DurationVar(&g.patience, "timeout", 5*time.Second, "how long to wait for a frame")
	return c
}

// maxGrab bounds the frames of one file.
const maxGrab = 1 << 20

func (g *grabCommand) run(c *cobra.Command) error {
	switch extension := strings.ToLower(filepath.Ext(g.file)); {
	case g.file == "":
		return usage("--out is missing: the file for the frames, .npy, .tiff or .png")
	case saver(extension) == nil:
		return usage("--out %s: the name must end in .npy, .tiff or .png", g.file)
	case g.count < 1 || g.count > maxGrab:
		return usage("--count %d is not 1 to %d", g.count, maxGrab)
	case g.patience <= 0:
		return usage("--timeout %v is no time to wait", g.patience)
	}
	if err := writableFile(g.file); err != nil {
		return err
	}
	cam, config, err := g.open(c)
	if err != nil {
		return err
	}
	defer cam.Close()
	r := grabbed{Taken: takenOf(config), Saved: []grabbedFrame{}}
	began := time.Now()
	grab := func(save func(f *camera.Frame) error) error {
		// Bad frames do not count, so nobody knows how many it takes.
		return stream(c.Context(), cam, !g.triggered, g.patience, func(f *camera.Frame) (bool, error) {
			if !r.add(f) {
				return false, nil
			}
			if f.Width != config.ROI.Width || f.Height != config.ROI.Height || f.BitDepth != config.BitDepth {
				return false, fmt.Errorf("cannot save frame %d: it has %dx%d pixels of %d bits, the camera promised %v of %d", f.Seq, f.Width, f.Height, f.BitDepth, config.ROI, config.BitDepth)
			}
			r.Saved = append(r.Saved, grabbedFrame{f.Seq, f.Trigger, us(f.DeviceTime), f.HostTime, levelsOf(f)})
			err := save(f)
			return len(r.Saved) == g.count, err
		})
	}
	if r.Files, err = saver(strings.ToLower(filepath.Ext(g.file)))(g.file, g.count, config, grab); err != nil {
		return err
	}
	r.Seconds = time.Since(began).Seconds()
	return g.out.print(c.OutOrStdout(), r, func(w io.Writer) { r.print(w) })
}

func (r grabbed) print(w io.Writer) {
	last := r.Saved[len(r.Saved)-1]
	fmt.Fprintf(w, "%d frame(s) of %s with %d bits in %s, exposure %.6g us; %d lost, %d bad\n",
		len(r.Saved), r.Taken.ROI, r.Taken.BitDepth, cmp.Or(r.Files...), r.Taken.ExposureUS, r.Lost, r.Bad)
	fmt.Fprintf(w, "the last: %v\n", last.levels)
}

// A grabFunc takes frames and hands each to save.
type grabFunc func(save func(f *camera.Frame) error) error

// A frameSaver makes the files of so many frames.
type frameSaver func(path string, n int, c camera.Config, grab grabFunc) (files []string, err error)

// saver is the one for a file's extension, or nil.
func saver(extension string) frameSaver {
	switch extension {
	case ".npy":
		return saveNPY
	case ".tif", ".tiff":
		return saveTIFF
	case ".png":
		return savePNG
	}
	return nil
}

func saveNPY(path string, n int, c camera.Config, grab grabFunc) ([]string, error) {
	write := func(w io.Writer) error {
		if c.BitDepth <= 8 {
			return writeNPY(w, n, c.ROI, grab, func(row []uint8, f *camera.Frame, v int) { copy(row, f.Pix[v*f.Stride:]) })
		}
		return writeNPY(w, n, c.ROI, grab, func(row []uint16, f *camera.Frame, v int) {
			for u := range row {
				row[u] = binary.LittleEndian.Uint16(f.Pix[v*f.Stride+2*u:])
			}
		})
	}
	return []string{path}, atomicfile.Write(path, write)
}

func writeNPY[T uint8 | uint16](w io.Writer, n int, r camera.ROI, grab grabFunc, read func(row []T, f *camera.Frame, v int)) error {
	file, err := npy.NewWriter[T](w, n, r.Height, r.Width)
	if err != nil {
		return err
	}
	row := make([]T, r.Width)
	err = grab(func(f *camera.Frame) error {
		for v := range f.Height {
			read(row, f, v)
			if err := file.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return file.Close()
}

func saveTIFF(path string, n int, c camera.Config, grab grabFunc) ([]string, error) {
	return []string{path}, atomicfile.Write(path, func(w io.Writer) error {
		file, err := tiff.NewWriter(w, tiff.Header{Pages: n, Width: c.ROI.Width, Height: c.ROI.Height, Bits: c.BitDepth})
		if err != nil {
			return err
		}
		if err := grab(func(f *camera.Frame) error { return file.Write(f.Pix, f.Stride) }); err != nil {
			return err
		}
		return file.Close()
	})
}

func savePNG(path string, n int, _ camera.Config, grab grabFunc) (files []string, err error) {
	err = grab(func(f *camera.Frame) error {
		name := path
		if n > 1 {
			extension := filepath.Ext(path)
			name = fmt.Sprintf("%s-%04d%s", strings.TrimSuffix(path, extension), len(files), extension)
		}
		files = append(files, name)
		return atomicfile.Write(name, func(w io.Writer) error { return png.Encode(w, pictureOf(f)) })
	})
	return files, err
}

// pictureOf is a frame as an image, black at 0 and white at the end of the range.
func pictureOf(f *camera.Frame) image.Image {
	r := image.Rect(0, 0, f.Width, f.Height)
	if f.BitDepth <= 8 {
		return &image.Gray{Pix: f.Pix, Stride: f.Stride, Rect: r}
	}
	img := image.NewGray16(r)
	for v := range f.Height {
		for u := range f.Width {
			x := f.At(u, v) << (16 - f.BitDepth)
			binary.BigEndian.PutUint16(img.Pix[v*img.Stride+2*u:], uint16(x|x>>f.BitDepth))
		}
	}
	return img
}
