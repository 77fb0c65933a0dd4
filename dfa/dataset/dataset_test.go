package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/internal/npy"
)

// idxFile returns an idx file of unsigned bytes.
func idxFile(values []byte, shape ...int) []byte {
	b := []byte{0, 0, 8, byte(len(shape))}
	for _, d := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return append(b, values...)
}

func zip(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(b)
	z.Close()
	return buf.Bytes()
}

// smallSet is three training and two test images of 2 x 3 pixels.
func smallSet() [4][]byte {
	return [4][]byte{
		trainImages: idxFile([]byte{0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 3, 2, 3),
		trainLabels: idxFile([]byte{2, 0, 1}, 3),
		testImages:  idxFile([]byte{0, 0, 0, 0, 0, 255, 1, 1, 1, 1, 1, 1}, 2, 2, 3),
		testLabels:  idxFile([]byte{1, 2}, 2),
	}
}

type folder map[string][]byte

func (f folder) write(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mine")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range f {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func idxFolder(files [4][]byte) folder {
	f := folder{}
	for i, content := range files {
		f[idxNames[i]] = content
	}
	return f
}

// pretendMNIST makes files pass for MNIST during the test.
func pretendMNIST(t *testing.T, files [4][]byte) {
	genuine := mnist
	t.Cleanup(func() { mnist = genuine })
	for i, raw := range files {
		gz := zip(raw)
		rawSum, gzSum := sha256.Sum256(raw), sha256.Sum256(gz)
		mnist[i].raw, mnist[i].gz = hex.EncodeToString(rawSum[:]), hex.EncodeToString(gzSum[:])
		mnist[i].gzSize = int64(len(gz))
	}
}

func checkSmallSet(t *testing.T, dir, name string) {
	t.Helper()
	got, err := Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	pixels := func(bytes ...byte) (x []float32) {
		for _, b := range bytes {
			x = append(x, float32(b)/255)
		}
		return x
	}
	want := Data{
		Name:    name,
		Train:   Split{X: pixels(0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), Y: []int{2, 0, 1}, Features: 6},
		Test:    Split{X: pixels(0, 0, 0, 0, 0, 255, 1, 1, 1, 1, 1, 1), Y: []int{1, 2}, Features: 6},
		Classes: 3,
		Width:   3, Height: 2,
		Mean: got.Mean, Std: got.Std,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if mean := 843.0 / 18 / 255; math.Abs(got.Mean-mean) > 1e-7 {
		t.Errorf("mean %v, want %v", got.Mean, mean)
	}
}

func TestIDX(t *testing.T) {
	files := smallSet()
	checkSmallSet(t, idxFolder(files).write(t), "idx:mine")
	packed := folder{}
	for i, name := range idxNames {
		packed[strings.Replace(name, "-idx", ".idx", 1)+".gz"] = zip(files[i])
	}
	checkSmallSet(t, packed.write(t), "idx:mine")
}

func TestNameIsEarned(t *testing.T) {
	files := smallSet()
	pretendMNIST(t, files)
	checkSmallSet(t, idxFolder(files).write(t), "mnist")
	for i := range files {
		mixed := idxFolder(files)
		mixed[idxNames[i]] = bytes.Clone(files[i])
		mixed[idxNames[i]][len(files[i])-1] ^= 1 // one bit
		_, err := Load(t.Context(), mixed.write(t))
		if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), idxNames[i]) {
			t.Errorf("one bit of %s changed: error %v, want ErrChecksum with its name", idxNames[i], err)
		}
	}
}

func TestBrokenIDX(t *testing.T) {
	good := smallSet()
	header := func(shape ...int) []byte { return idxFile(nil, shape...) }
	bomb := zip(append(header(1<<14, 1<<7, 1<<7), make([]byte, 1<<20)...))
	for name, test := range map[string]struct {
		file    int
		content []byte
		says    string
	}{
		"empty":               {trainImages, nil, "cut short"},
		"half a header":       {trainImages, header(3, 2, 3)[:9], "cut short"},
		"values missing":      {trainImages, good[trainImages][:30], "cut short"},
		"values too many":     {testLabels, append(bytes.Clone(good[testLabels]), 0), "goes on"},
		"images as labels":    {trainLabels, good[trainImages], "magic number is 2051 and not 2049"},
		"labels as images":    {trainImages, good[trainLabels], "magic number is 2049 and not 2051"},
		"floats":              {trainLabels, []byte{0, 0, 13, 1, 0, 0, 0, 0}, "magic number"},
		"packed without .gz":  {trainLabels, zip(good[trainLabels]), "magic number"},
		"no images":           {trainImages, header(0, 28, 28), "no values"},
		"no pixels":           {trainImages, header(3, 0, 0), "no values"},
		"huge":                {trainImages, header(1<<31, 1<<31, 1<<31), "values supported"},
		"forged":              {trainImages, header(60000, 28, 28), "needs 47040016 bytes"},
		"fewer labels":        {trainLabels, idxFile([]byte{1, 2}, 2), "3 images but 2 labels"},
		"other size for test": {testImages, idxFile(make([]byte, 12), 2, 3, 2), "2 x 3, the test images 3 x 2"},
		"new class in test":   {testLabels, idxFile([]byte{1, 3}, 2), "test label 1 is 3"},
	} {
		f := idxFolder(good)
		f[idxNames[test.file]] = test.content
		checkRefused(t, name, f, ErrFormat, test.says)
	}
	for name, test := range map[string]struct {
		content []byte
		says    string
	}{
		"not packed":   {good[trainImages], "gzip"},
		"cut":          {zip(good[trainImages])[:40], "cut short"},
		"damaged":      {append(zip(good[trainImages])[:60], make([]byte, 12)...), "gzip"},
		"bad deflate":  {append(zip(nil)[:10], "\xff\xff\xff\xff\xff\xff\xff\xff\xff"...), "flate"},
		"bomb":         {bomb, "cut short"},
		"small forged": {zip(header(60000, 28, 28)), "needs 47040016 bytes"},
	} {
		f := idxFolder(good)
		delete(f, idxNames[trainImages])
		f[idxNames[trainImages]+".gz"] = test.content
		checkRefused(t, "gz "+name, f, ErrFormat, test.says)
	}
}

func checkRefused(t *testing.T, name string, f folder, kind error, says string) {
	t.Helper()
	data, err := Load(t.Context(), f.write(t))
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "cannot ") {
		t.Errorf("%s: error %v; want %v with %q", name, err, kind, says)
	}
	if !reflect.DeepEqual(data, Data{}) {
		t.Errorf("%s: data beside the error", name)
	}
}

func TestNothingThere(t *testing.T) {
	checkRefused(t, "empty folder", folder{}, ErrNotFound, "x.npy")
	some := idxFolder(smallSet())
	delete(some, idxNames[testLabels])
	checkRefused(t, "one idx file missing", some, ErrNotFound, idxNames[testLabels])
	checkRefused(t, "no classes", folder{"x.npy": array([]float32{1, 2}, 2, 1)}, ErrNotFound, "y.npy")
	both := idxFolder(smallSet())
	both["x.npy"] = nil
	checkRefused(t, "two sets", both, ErrFormat, "keep one")
	if _, err := Load(t.Context(), filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, os.ErrNotExist) || !errors.Is(err, ErrNotFound) {
		t.Errorf("missing folder: error %v, want ErrNotFound", err)
	}
}

func TestLoadEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range []folder{
		idxFolder(smallSet()),
		{"x.npy": array([]float32{1, 2}, 2, 1), "y.npy": array([]int64{0, 1}, 2)},
	} {
		if _, err := Load(ctx, f.write(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want canceled", err)
		}
	}
}

func array[T npy.Element](values []T, shape ...int) []byte {
	var buf bytes.Buffer
	if err := npy.Write(&buf, values, shape...); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func TestArrays(t *testing.T) {
	got, err := Load(t.Context(), folder{
		"x.npy":      array([]float64{-1.5, 2, 300, 4}, 2, 2),
		"y.npy":      array([]int32{0, 4}, 2, 1),
		"x_test.npy": array([]float32{7, 8}, 1, 2),
		"y_test.npy": array([]uint8{3}, 1),
	}.write(t))
	want := Data{
		Name:    "npy:mine",
		Train:   Split{X: []float32{-1.5, 2, 300, 4}, Y: []int{0, 4}, Features: 2},
		Test:    Split{X: []float32{7, 8}, Y: []int{3}, Features: 2},
		Classes: 5, Mean: got.Mean, Std: got.Std,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestArraysOfImages(t *testing.T) {
	pixels := make([]uint8, 12*2*3)
	classes := make([]int64, 12)
	for i := range classes {
		pixels[6*i] = 255
		pixels[6*i+1] = uint8(i) // which sample this is
		classes[i] = int64(i)
	}
	dir := folder{"x.npy": array(pixels, 12, 2, 3), "y.npy": array(classes, 12)}.write(t)
	data, err := Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if data.Width != 3 || data.Height != 2 || data.Train.Features != 6 || data.Classes != 12 || len(data.Train.Y) != 10 || len(data.Test.Y) != 2 {
		t.Errorf("%d x %d images of %d features, %d classes, %d and %d samples; want 3 x 2 of 6, 12, 10 and 2",
			data.Width, data.Height, data.Train.Features, data.Classes, len(data.Train.Y), len(data.Test.Y))
	}
	if !strings.Contains(data.Name, "held out") {
		t.Errorf("the name %q does not say that the test samples were held out", data.Name)
	}
	seen := map[int]bool{}
	for _, s := range []Split{data.Train, data.Test} {
		for i, y := range s.Y {
			if s.X[6*i] != 1 || s.X[6*i+1] != float32(y)/255 {
				t.Errorf("sample %v has class %d", s.X[6*i:6*i+6], y)
			}
			seen[y] = true
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d different samples, want 12", len(seen))
	}
	again, err := Load(t.Context(), dir)
	if err != nil || !reflect.DeepEqual(again, data) {
		t.Errorf("loaded again: %v, other samples held out", err)
	}
}

func TestBrokenArrays(t *testing.T) {
	for name, test := range map[string]struct {
		x, y []byte
		says string
	}{
		"not arrays":      {[]byte("hello"), array([]int8{0}, 1), "x.npy: "},
		"fewer classes":   {array([]float32{1, 2}, 2, 1), array([]int8{0}, 1), "[2 1]"},
		"no samples":      {array([]float32{}, 0, 4), array([]int8{}, 0), "[0 4]"},
		"one sample":      {array([]float32{1}, 1, 1), array([]int8{0}, 1), "at least one"},
		"one dimension":   {array([]float32{1, 2}, 2), array([]int8{0, 1}, 2), "samples x features"},
		"one-hot":         {array([]float32{1, 2}, 2, 1), array([]int8{0, 1, 1, 0}, 2, 2), "argmax"},
		"not a number":    {array([]float32{1, 2, 3, float32(math.NaN())}, 2, 2), array([]int8{0, 1}, 2), "feature 1 of sample 1 is NaN"},
		"too large":       {array([]float64{1, 2, 3e300, 1}, 2, 2), array([]int8{0, 1}, 2), "feature 0 of sample 1 is +Inf"},
		"negative class":  {array([]float32{1, 2}, 2, 1), array([]int8{0, -1}, 2), "sample 1 is -1"},
		"huge class":      {array([]float32{1, 2}, 2, 1), array([]int64{0, 1 << 40}, 2), "sample 1 is 1099511627776"},
		"fraction":        {array([]float32{1, 2}, 2, 1), array([]float64{0, 0.5}, 2), "[1] is 0.5"},
		"complex samples": {array([]complex64{1, 2}, 2, 1), array([]int8{0, 1}, 2), "real part"},
		"huge":            {array([]float32{}, 0, 1)[:0], nil, "x.npy: "},
	} {
		checkRefused(t, name, folder{"x.npy": test.x, "y.npy": test.y}, ErrFormat, test.says)
	}
	f := folder{
		"x.npy": array([]float32{1, 2}, 2, 1), "y.npy": array([]int8{0, 1}, 2),
		"x_test.npy": array([]float32{1, 2}, 1, 2), "y_test.npy": array([]int8{0}, 1),
	}
	checkRefused(t, "other features in test", f, ErrFormat, "have 1 features, the test samples 2")
	delete(f, "y_test.npy")
	checkRefused(t, "half a test set", f, ErrNotFound, "y_test.npy")
}

// mirror serves files under their names with .gz, and counts.
func mirror(t *testing.T, files map[string][]byte) (url string, served *int) {
	served = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*served++
		content, ok := files[strings.TrimPrefix(r.URL.Path, "/set/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(content)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/set", served
}

func packedSet() map[string][]byte {
	files := map[string][]byte{}
	for i, raw := range smallSet() {
		files[idxNames[i]+".gz"] = zip(raw)
	}
	return files
}

func TestDownload(t *testing.T) {
	pretendMNIST(t, smallSet())
	url, served := mirror(t, packedSet())
	dir := filepath.Join(t.TempDir(), "new", "mnist")
	for range 2 {
		if err := Download(t.Context(), dir, url); err != nil {
			t.Fatal(err)
		}
		if *served != 4 {
			t.Errorf("%d files served, want 4", *served)
		}
	}
	checkSmallSet(t, dir, "mnist")
	harmed := filepath.Join(dir, idxNames[testImages]+".gz")
	if err := os.WriteFile(harmed, []byte("harmed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Download(t.Context(), dir, url+"/"); err != nil || *served != 5 {
		t.Errorf("with one file harmed: %v, %d files served in all; want 5", err, *served)
	}
	checkSmallSet(t, dir, "mnist")
}

func TestDownloadTriesTheNextMirror(t *testing.T) {
	pretendMNIST(t, smallSet())
	bad := packedSet()
	for name := range bad {
		bad[name] = append(bad[name], bytes.Repeat([]byte("endless"), 1000)...)
	}
	empty, _ := mirror(t, nil)
	wrong, _ := mirror(t, bad)
	good, _ := mirror(t, packedSet())
	defer func(m []string) { mirrors = m }(mirrors)

	mirrors = []string{empty + "/", wrong + "/", good + "/"}
	dir := t.TempDir()
	if err := Download(t.Context(), dir, ""); err != nil {
		t.Error(err)
	}
	checkSmallSet(t, dir, "mnist")

	mirrors = mirrors[:2]
	dir = t.TempDir()
	err := Download(t.Context(), dir, "")
	if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), empty) || !strings.Contains(err.Error(), wrong) {
		t.Errorf("error %v; want ErrChecksum and what each mirror answered", err)
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("%v was kept", files[0])
	}
}

func TestDownloadEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // never answers
	}))
	defer s.Close()
	if err := Download(ctx, t.TempDir(), s.URL); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

// TestMNIST runs on the real files, which are in the folder that OPU_MNIST_DIR
// names or in shared/data/mnist beside the checkout.
func TestMNIST(t *testing.T) {
	dir := os.Getenv("OPU_MNIST_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data", "mnist")
		if !exists(dir) {
			t.Skip("MNIST IS NOT HERE, its loading is not tested: set OPU_MNIST_DIR to the folder with the four files")
		}
	}
	data, err := Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(data.Name, len(data.Train.Y), len(data.Train.X), len(data.Test.Y), len(data.Test.X), data.Classes, data.Width, data.Height)
	if want := fmt.Sprint("mnist", 60000, 60000*784, 10000, 10000*784, 10, 28, 28); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// The figures everybody normalises MNIST with.
	if math.Abs(data.Mean-0.1307) > 1e-4 || math.Abs(data.Std-0.3081) > 1e-4 {
		t.Errorf("mean %.4f and standard deviation %.4f, want 0.1307 and 0.3081", data.Mean, data.Std)
	}
	if first := data.Train.Y[:5]; !reflect.DeepEqual(first, []int{5, 0, 4, 1, 9}) {
		t.Errorf("the first labels are %v", first)
	}
}

func FuzzIDX(f *testing.F) {
	for i, content := range smallSet() {
		f.Add(content, i == trainImages || i == testImages)
	}
	f.Add(idxFile(nil, 1<<31, 1<<31, 1<<31), true)
	f.Add(idxFile(nil, 1<<28), false)
	f.Fuzz(func(t *testing.T, content []byte, images bool) {
		dims := 1
		if images {
			dims = 3
		}
		a, err := readIDX(bytes.NewReader(content), dims, int64(len(content)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v is no ErrFormat", err)
			}
			return
		}
		if !bytes.Equal(idxFile(a.values, a.shape...), content) {
			t.Errorf("shape %v of %d values is not what %d bytes say", a.shape, len(a.values), len(content))
		}
	})
}

func FuzzArrays(f *testing.F) {
	f.Add(array([]float32{1, 2, 3, 4}, 2, 2), array([]int64{0, 1}, 2))
	f.Add(array([]uint8{1, 2, 3, 4}, 2, 2, 1), array([]int8{0, 1}, 2, 1))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		data, err := Load(t.Context(), folder{"x.npy": x, "y.npy": y}.write(t))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v is no ErrFormat", err)
			}
			return
		}
		for _, s := range []Split{data.Train, data.Test} {
			if len(s.X) != len(s.Y)*s.Features || len(s.Y) == 0 || s.Features == 0 {
				t.Fatalf("%d values for %d samples of %d features", len(s.X), len(s.Y), s.Features)
			}
			for _, c := range s.Y {
				if c < 0 || c >= data.Classes {
					t.Fatalf("class %d of %d", c, data.Classes)
				}
			}
		}
	})
}
