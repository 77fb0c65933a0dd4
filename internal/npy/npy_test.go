package npy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// file builds a version 1 file from a header text and elements.
func file(header, elements string) string {
	return magic + "\x01\x00" + string([]byte{byte(len(header)), byte(len(header) >> 8)}) + header + elements
}

func open(t *testing.T, content string) *Reader {
	t.Helper()
	r, err := NewReader(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every element type, in both byte orders, as NumPy lays it out: the bytes are
// written by hand, so that reader and writer cannot agree on a mistake.
func TestReadEveryType(t *testing.T) {
	for _, test := range []struct {
		descr, elements string
		want            []float64
	}{
		{"|b1", "\x00\x01\x02", []float64{0, 1, 1}},
		{"|i1", "\x01\xff\x80", []float64{1, -1, -128}},
		{"<i1", "\x01\xff\x80", []float64{1, -1, -128}},
		{"|u1", "\x01\xff\x80", []float64{1, 255, 128}},
		{"<i2", "\x01\x02\xff\xff", []float64{0x201, -1}},
		{">i2", "\x01\x02\xff\xfe", []float64{0x102, -2}},
		{"<u2", "\x01\x02\xff\xff", []float64{0x201, 65535}},
		{">u2", "\x01\x02\xff\xfe", []float64{0x102, 65534}},
		{"<i4", "\x01\x02\x03\x04\xff\xff\xff\xff", []float64{0x4030201, -1}},
		{">i4", "\x01\x02\x03\x04\xff\xff\xff\xfe", []float64{0x1020304, -2}},
		{"<i8", "\x01\x00\x00\x00\x00\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", []float64{1<<40 + 1, -1}},
		{">i8", "\x00\x00\x01\x00\x00\x00\x00\x01", []float64{1<<40 + 1}},
		{"<f4", "\x00\x00\x80\x3f\x00\x00\x00\xc0", []float64{1, -2}},
		{">f4", "\x3f\x80\x00\x00\xc0\x00\x00\x00", []float64{1, -2}},
		{"<f8", "\x00\x00\x00\x00\x00\x00\xf0\x3f", []float64{1}},
		{">f8", "\x3f\xf8\x00\x00\x00\x00\x00\x00", []float64{1.5}},
	} {
		t.Run(test.descr, func(t *testing.T) {
			content := file(fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }\n", test.descr, len(test.want)), test.elements)
			got, err := ReadAll[float64](open(t, content), 10)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
			z := make([]complex128, len(test.want))
			if n, err := ReadComplex(open(t, content), z); n != len(z) || err != nil {
				t.Fatalf("as complex numbers: %d, %v", n, err)
			}
			for i, want := range test.want {
				if z[i] != complex(want, 0) {
					t.Errorf("as complex number %d: %v, want %v", i, z[i], want)
				}
			}
		})
	}
	for descr, elements := range map[string]string{
		"<c8":  "\x00\x00\x80\x3f\x00\x00\x00\xc0",
		">c8":  "\x3f\x80\x00\x00\xc0\x00\x00\x00",
		"<c16": "\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\xc0",
		">c16": "\x3f\xf0\x00\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x00",
	} {
		content := file("{'descr': '"+descr+"', 'fortran_order': False, 'shape': (), }", elements)
		z := make([]complex64, 2)
		r := open(t, content)
		if n, err := ReadComplex(r, z); n != 1 || err != nil || z[0] != 1-2i {
			t.Errorf("%s: got %d, %v, %v; want 1, (1-2i)", descr, n, err, z[0])
		}
		if n, err := ReadComplex(r, z); n != 0 || err != io.EOF {
			t.Errorf("%s: got %d, %v at the end; want 0, EOF", descr, n, err)
		}
		if _, err := Read(open(t, content), make([]float32, 1)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s read as real numbers: error %v, want ErrFormat", descr, err)
		}
	}
}

// A file of numpy.save (NumPy 1.24): numpy.array([[1, 2, 3], [4, 5, 6]], dtype='<f4').
const numpyFile = "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDMpLCB9ICAgICAgICAgICAg" +
	"ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAIA/AAAAQAAAQEAAAIBAAACgQAAAwEA="

func TestBytesAreNumPys(t *testing.T) {
	want, err := base64.StdEncoding.DecodeString(numpyFile)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := Write(&got, []float32{1, 2, 3, 4, 5, 6}, 2, 3); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got  %q\nwant %q", got.Bytes(), want)
	}
}

// A matrix by columns, as the format's documentation lays it out.
func TestColumnWriter(t *testing.T) {
	var got bytes.Buffer
	w, err := NewColumnWriter[float32](&got, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, column := range [][]float32{{1, 4}, {2, 5}, {3, 6}} {
		if err := w.Write(column); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	header, elements, ok := strings.Cut(got.String(), "\n")
	if want := "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }"; !ok || strings.TrimRight(header, " ") != want || len(header) != 127 {
		t.Errorf("header %q, want %q", header, want)
	}
	if want := "\x00\x00\x80\x3f\x00\x00\x80\x40\x00\x00\x00\x40\x00\x00\xa0\x40\x00\x00\x40\x40\x00\x00\xc0\x40"; elements != want {
		t.Errorf("elements %q, want %q", elements, want)
	}
	// Our own reader knows rows only, and says so.
	if _, err := NewReader(&got); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "ascontiguousarray") {
		t.Errorf("reading it: %v", err)
	}
	if _, err := NewColumnWriter[float32](io.Discard, -1, 3); err == nil {
		t.Error("a negative size was taken")
	}
}

func roundTrip[T Element](t *testing.T, data []T, read func(*Reader, []T) (int, error)) {
	t.Helper()
	for _, shape := range [][]int{{len(data)}, {1, len(data)}, {len(data), 1, 1}} {
		var buf bytes.Buffer
		w, err := NewWriter[T](&buf, shape...)
		if err != nil {
			t.Fatal(err)
		}
		if buf.Len()%64 != 0 {
			t.Errorf("%T: the elements begin at byte %d, which is no multiple of 64", data, buf.Len())
		}
		for i := range data { // one by one
			if err := w.Write(data[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(iotest.OneByteReader(&buf))
		if err != nil {
			t.Fatal(err)
		}
		if r.DType != dtypeOf[T]() || !reflect.DeepEqual(r.Shape, shape) || r.Len() != len(data) {
			t.Errorf("got %v of %v, want %v of %v", r.Shape, r.DType, shape, dtypeOf[T]())
		}
		got := make([]T, len(data)+1)
		n, err := read(r, got)
		if err != nil || !reflect.DeepEqual(got[:n], data) {
			t.Errorf("got %v, %v; want %v", got[:n], err, data)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	roundTrip(t, []int8{-128, -1, 0, 127}, Read[int8])
	roundTrip(t, []uint8{0, 1, 255}, Read[uint8])
	roundTrip(t, []int16{math.MinInt16, -1, math.MaxInt16}, Read[int16])
	roundTrip(t, []uint16{0, math.MaxUint16}, Read[uint16])
	roundTrip(t, []int32{math.MinInt32, math.MaxInt32}, Read[int32])
	roundTrip(t, []int64{math.MinInt64, math.MaxInt64, 1<<53 + 1}, Read[int64])
	roundTrip(t, []float32{0, -1.5, math.MaxFloat32, float32(math.Inf(1))}, Read[float32])
	roundTrip(t, []float64{0, -1.5, math.MaxFloat64, math.Inf(-1)}, Read[float64])
	roundTrip(t, []complex64{0, 1 - 2i}, ReadComplex[complex64])
	roundTrip(t, []complex128{0, 1 - 2i}, ReadComplex[complex128])
	roundTrip(t, []bool{true, false, true}, func(r *Reader, dst []bool) (int, error) {
		v := make([]int8, len(dst))
		n, err := Read(r, v)
		for i := range n {
			dst[i] = v[i] == 1
		}
		return n, err
	})
}

// The way of a large array: more than one chunk, pieces that do not divide it.
func TestStream(t *testing.T) {
	const rows, width = 1000, 77
	var buf bytes.Buffer
	w, err := NewWriter[uint16](&buf, rows, width)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]uint16, width)
	for y := range rows {
		for x := range row {
			row[x] = uint16(y*width + x)
		}
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := open(t, buf.String())
	piece := make([]int32, 20_001)
	seen := 0
	for {
		n, err := Read(r, piece)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range piece[:n] {
			if v != int32(uint16(seen)) {
				t.Fatalf("element %d is %d", seen, v)
			}
			seen++
		}
	}
	if seen != rows*width {
		t.Errorf("%d elements, want %d", seen, rows*width)
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	const rows, width = 200, 100
	var buf bytes.Buffer
	if err := Write(&buf, make([]float32, rows*width), rows, width); err != nil {
		t.Fatal(err)
	}
	r := open(t, buf.String())
	row := make([]int8, width)
	Read(r, row)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Read(r, row); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per row, want 0", n)
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	for _, bad := range []float64{0.5, 128, -129, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)} {
		var buf bytes.Buffer
		if err := Write(&buf, []float64{1, -1, 0, 1, bad, 1}, 2, 3); err != nil {
			t.Fatal(err)
		}
		n, err := Read(open(t, buf.String()), make([]int8, 6))
		var value *ValueError
		if !errors.As(err, &value) || n != 4 {
			t.Errorf("%v: got %d, %v; want 4 values and a ValueError", bad, n, err)
			continue
		}
		if fmt.Sprint(value.Position) != "[1 1]" || fmt.Sprint(value.Value) != fmt.Sprint(bad) {
			t.Errorf("%v: the error names %v at %v", bad, value.Value, value.Position)
		}
		if want := fmt.Sprintf("the element [1, 1] is %v, which is no int8", bad); !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error %q does not end in %q", err, want)
		}
	}
	var buf bytes.Buffer
	if err := Write(&buf, []int64{1<<53 + 1, -1}, 2); err != nil {
		t.Fatal(err)
	}
	r := open(t, buf.String())
	if n, err := Read(r, make([]uint16, 2)); n != 0 || err == nil {
		t.Errorf("2^53+1 as uint16: got %d, %v; want an error", n, err)
	}
	f := make([]float32, 2)
	if n, err := Read(open(t, buf.String()), f); n != 2 || err != nil || f[0] != 1<<53 {
		t.Errorf("2^53+1 as float32: got %v, %v; want 2^53", f[0], err)
	}
}

const goodHeader = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"

func TestHeadersThatAreFine(t *testing.T) {
	for _, header := range []string{
		goodHeader,
		goodHeader + "          \n",
		`{"descr":"<f4","fortran_order":False,"shape":(2,3)}`,
		"{'shape': (2, 3,), 'descr': '<f4', 'fortran_order': False}",
	} {
		r := open(t, file(header, ""))
		if fmt.Sprint(r.DType, r.Shape) != "float32 [2 3]" {
			t.Errorf("%q: got %v %v", header, r.DType, r.Shape)
		}
	}
	v2 := magic + "\x02\x00" + string([]byte{byte(len(goodHeader)), 0, 0, 0}) + goodHeader
	if r := open(t, v2); fmt.Sprint(r.DType, r.Shape) != "float32 [2 3]" {
		t.Errorf("version 2: got %v %v", r.DType, r.Shape)
	}
	if r := open(t, file(strings.Replace(goodHeader, "2, 3", "0, 4294967296", 1), "")); r.Len() != 0 {
		t.Errorf("an empty array has %d elements", r.Len())
	}
}

func TestRefused(t *testing.T) {
	replace := func(old, new string) string { return file(strings.Replace(goodHeader, old, new, 1), "") }
	for name, test := range map[string]struct{ content, remedy string }{
		"empty":            {"", "ends within"},
		"only magic":       {magic, "ends within"},
		"text":             {"1,2,3\n4,5,6\n", "numpy.save"},
		"zip":              {"PK\x03\x04\x00\x00\x00\x00\x00", "numpy.save"},
		"version 3":        {magic + "\x03\x00\x00\x00\x00\x00", "version 3.0"},
		"cut header":       {file(goodHeader, "")[:40], "ends within"},
		"huge header":      {magic + "\x02\x00\xff\xff\xff\xff{", "at most 65536"},
		"column-major":     {replace("False", "True"), "ascontiguousarray"},
		"half floats":      {replace("<f4", "<f2"), "astype"},
		"objects":          {replace("<f4", "|O"), "astype"},
		"strings":          {replace("<f4", "<U3"), "astype"},
		"no byte order":    {replace("<f4", "f4"), "astype"},
		"odd byte order":   {replace("<f4", "|f4"), "astype"},
		"empty type":       {replace("<f4", ""), "astype"},
		"structured":       {replace("'<f4'", "[('a', '<f4')]"), "one by one"},
		"negative":         {replace("(2", "(-2"), "dimension"},
		"fraction":         {replace("(2", "(2.5"), "comma"},
		"large dimension":  {replace("(2", "(99999999999999999999"), "fits"},
		"product":          {replace("(2, 3)", "(4294967296, 4294967296)"), "larger than any memory"},
		"product of bytes": {replace("(2, 3)", "(4611686018427387903,)"), "larger than any memory"},
		"hidden product":   {replace("(2, 3)", "(0, 4294967296, 4294967296)"), "larger than any memory"},
		"many dimensions":  {replace("(2", "("+strings.Repeat("1,", 33)+"2"), "32 dimensions"},
		"number as shape":  {replace("(2, 3)", "(3)"), "comma"},
		"no shape":         {replace(", 'shape': (2, 3)", ""), "not all"},
		"double key":       {replace("}", "'shape': (1,)}"), "twice"},
		"unknown key":      {replace("}", "'x': 1}"), "unknown"},
		"unclosed":         {replace("}", ""), "expected"},
		"trailing text":    {file(goodHeader+" x", ""), "after the closing"},
		"a call":           {replace("False", "exit()"), "expected False"},
		"escape":           {replace("<f4", `\x3cf4`), "escapes"},
	} {
		_, err := NewReader(strings.NewReader(test.content))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.remedy) || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s: error %v; want ErrFormat with %q", name, err, test.remedy)
		}
	}
}

func TestWrongSize(t *testing.T) {
	header := file(goodHeader, "")
	for _, bytes := range []int{0, 1, 23, 25, 48} {
		_, err := ReadAll[float32](open(t, header+strings.Repeat("\x00", bytes)), 100)
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes instead of 24: error %v, want ErrFormat", bytes, err)
		}
	}
	if _, err := ReadAll[float32](open(t, header), 5); !errors.Is(err, ErrFormat) {
		t.Errorf("more elements than the limit: error %v, want ErrFormat", err)
	}
	errDisk := errors.New("disk on fire")
	for i := range len(header) + 24 {
		r, err := NewReader(io.MultiReader(strings.NewReader(header[:min(i, len(header))]), strings.NewReader(strings.Repeat("\x00", max(0, i-len(header)))), iotest.ErrReader(errDisk)))
		if err == nil {
			_, err = ReadAll[float32](r, 6)
		}
		if !errors.Is(err, errDisk) || errors.Is(err, ErrFormat) {
			t.Fatalf("read error after %d bytes: got %v", i, err)
		}
	}
}

func TestWriterCounts(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter[int8](&buf, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]int8, 5)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("closed with an element missing")
	}
	size := buf.Len()
	if err := w.Write(make([]int8, 2)); err == nil || buf.Len() != size {
		t.Errorf("one element too many: error %v, %d bytes written", err, buf.Len()-size)
	}
	if err := w.Write(make([]int8, 1)); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for _, shape := range [][]int{{-1}, {math.MaxInt, 2}, make([]int, 33)} {
		buf.Reset()
		if _, err := NewWriter[int8](&buf, shape...); err == nil || buf.Len() != 0 {
			t.Errorf("shape %v: error %v after %d bytes", shape, err, buf.Len())
		}
	}
}

// failingWriter accepts some bytes and then fails.
type failingWriter struct{ left int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	for _, left := range []int{0, 127, 128, 128 + chunk} {
		if err := Write(&failingWriter{left}, make([]int64, 2*chunk), 2*chunk); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("writer full after %d bytes: error %v", left, err)
		}
	}
}

func TestDTypeString(t *testing.T) {
	if got := fmt.Sprint(Complex64, DType(0), DType(99)); got != "complex64 DType(0) DType(99)" {
		t.Errorf("got %q", got)
	}
	if DType(99).Size() != 0 || Complex128.Size() != 16 {
		t.Error("wrong sizes")
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(file(goodHeader, "123456789012345678901234")))
	f.Add([]byte(file("{'descr': '>c16', 'fortran_order': False, 'shape': (), }", "1234567890123456")))
	f.Add([]byte(file("{'descr': '|b1', 'fortran_order': False, 'shape': (1000000000000,), }", "1")))
	f.Add([]byte(magic + "\x02\x00\x3a\x00\x00\x00" + goodHeader))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := NewReader(bytes.NewReader(content))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v is no ErrFormat", err)
			}
			return
		}
		if r.DType.IsComplex() {
			z := make([]complex128, 16)
			for err == nil {
				_, err = ReadComplex(r, z)
			}
			return
		}
		all, err := ReadAll[float64](r, math.MaxInt)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v is no ErrFormat", err)
			}
			return
		}
		if len(all) != r.Len() || len(all) > len(content) {
			t.Fatalf("%d elements of %d from %d bytes", len(all), r.Len(), len(content))
		}
		// What was read must come back.
		var buf bytes.Buffer
		if err := Write(&buf, all, r.Shape...); err != nil {
			t.Fatal(err)
		}
		again, err := NewReader(&buf)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ReadAll[float64](again, len(all))
		if err != nil || fmt.Sprint(back) != fmt.Sprint(all) || fmt.Sprint(again.Shape) != fmt.Sprint(r.Shape) {
			t.Fatalf("%v of shape %v came back as %v of shape %v, %v", all, r.Shape, back, again.Shape, err)
		}
	})
}
