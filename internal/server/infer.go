package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/queue"
)

var (
	errTimeout  = errors.New("the request's time is over")
	errEncoding = errors.New("compressed")
)

// ask is an inference request as a transport hands it over. HTTP and gRPC make one
// each; what follows is the same for both.
type ask struct {
	peer    *peer
	hold    *hold // has room for what is read, that for x and y apart; compute gives it back
	model   string
	version string                       // empty: the one that is there
	read    func() (*oip.Request, error) // called at most once
}

// result is what a request is answered with. Its memory is the server's until it is
// released.
type result struct {
	oip.Response
	buffer *[]byte
	hold   *hold
	s      *Server
}

// release gives the memory back. It must be called once, or abandon.
func (r *result) release() {
	r.s.buffers.Put(r.buffer)
	r.hold.release()
}

// abandon is release while something may still read the memory.
func (r *result) abandon() { r.hold.release() }

// projection is an inference request that was agreed to.
type projection struct {
	peer     *peer
	model    *model
	request  *oip.Request
	rows     int
	planes   int // of bits, where x is packed
	rawSize  int // bytes of x as they come
	datatype string
	binary   bool // the output

	outputs queue.Window // that are wanted
	repeat  int          // exposures of each row
	lease   string
	timeout time.Duration

	in, out *window // of shared memory; nil: tensors are in messages
}

// rowBytes is the size of a row of the result.
func (j *projection) rowBytes() int { return 4 * j.model.width * j.outputs.Count }

// direct says whether results go to shared memory as they come, without being kept.
func (j *projection) direct() bool { return j.out != nil && j.repeat == 1 && j.model.width == 2 }

// plain says whether the body of the response is what the device gives.
func (j *projection) plain() bool { return j.out == nil && j.repeat == 1 && j.model.width == 2 }

// infer is POST /v2/models/NAME/infer.
func (s *Server) infer(w http.ResponseWriter, r *http.Request) (err error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return fmt.Errorf("cannot read a body in %.20q: send it as it is, since speckle and vectors hardly shrink: %w", e, errEncoding)
	}
	connection := http.NewResponseController(w) // on a connection without deadlines these do nothing
	header := r.Header.Get(oip.HeaderLength)
	limits := oip.Limits{JSON: s.limits().JSON, Body: s.limits().Body}
	h, err := s.budget.enter(peerOf(r).user)
	if err != nil {
		return err
	}
	if err := h.take(limits.Memory(r.ContentLength, header)); err != nil {
		h.release()
		return err
	}
	body := &ending{Reader: r.Body, end: func() { connection.SetReadDeadline(time.Time{}) }}
	result, err := s.compute(r.Context(), ask{
		peer: peerOf(r), hold: h, model: r.PathValue("name"), version: r.PathValue("version"),
		read: func() (*oip.Request, error) {
			connection.SetReadDeadline(time.Now().Add(bodyTimeout))
			return peerOf(r).requests.Read(body, r.ContentLength, header, limits)
		},
	})
	if err != nil {
		if !body.ended { // net/http waits for the rest of it before it answers
			connection.SetReadDeadline(time.Now().Add(restTimeout))
		}
		return err
	}
	defer result.release()
	connection.SetWriteDeadline(time.Now().Add(bodyTimeout))
	defer connection.SetWriteDeadline(time.Time{})
	if err := result.Write(w); err != nil {
		s.o.Log.Debug("client gone while its response was written", "error", err)
	}
	return nil
}

// ending calls end when the reader has ended.
type ending struct {
	io.Reader
	end   func()
	ended bool
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err == io.EOF { // after any other error net/http may read on
		e.ended = true
		e.end()
	}
	return n, err
}

// compute does what was asked for, and counts it.
func (s *Server) compute(ctx context.Context, a ask) (done *result, err error) {
	defer func() {
		if done == nil { // or there was a panic
			a.hold.release()
		}
	}()
	m, err := s.find(a.model, a.version)
	if err != nil {
		return nil, err
	}
	var t spent
	start := time.Now()
	defer func() {
		t.total = time.Since(start)
		m.stats.count(t, err != nil)
	}()
	if err := s.usable(m); err != nil {
		return nil, err
	}
	request, err := a.read()
	if err != nil {
		return nil, err
	}
	j, err := s.agree(a.peer, m, request)
	if err != nil {
		return nil, err
	}
	if err := s.leases.admit(j.lease); err != nil {
		return nil, err
	}
	size := j.rows * j.rowBytes() // of what is kept of the result
	if j.direct() {
		size = 0
	}
	if err := a.hold.take(int64(j.rows)*int64(s.inputs) + int64(j.rawSize) + int64(size)); err != nil {
		return nil, err
	}
	x, err := s.read(j)
	if err != nil {
		return nil, err
	}
	t.input = time.Since(start)

	buffer := s.buffer(size) // after an error it is not used again: the device may still write to it
	y := *buffer
	matrix, err := s.project(ctx, j, a.version, x, y, &t)
	if err != nil {
		return nil, err
	}
	if j.out != nil && !j.direct() {
		if err := j.out.WriteAt(y, 0); err != nil {
			return nil, err
		}
	}
	return &result{oip.Response{
		Model: m.name, Version: matrix.version, ID: request.ID, Parameters: s.facts(matrix, t),
		Name: "y", Shape: append([]int{j.rows}, m.outputShape(j.outputs.Count)...), Shared: j.out != nil, Binary: j.binary, Data: y,
	}, buffer, a.hold, s}, nil
}

// agree checks a request against the model, and its sizes against the limits.
func (s *Server) agree(p *peer, m *model, request *oip.Request) (*projection, error) {
	j := &projection{peer: p, model: m, request: request, planes: 1, datatype: oip.Int8, binary: request.Binary, repeat: 1}
	name, datatype, shape := s.input(m)
	width := shape[len(shape)-1] // of a row, or of one plane of it
	bad := func(format string, args ...any) error {
		return fmt.Errorf("cannot use the request for model %s: "+format+": %w", append(append([]any{m.name}, args...), errUnknownTensor)...)
	}
	switch {
	case request.Raw:
		j.rows = 1
		j.rawSize = width
		if m.packed && request.RawSize == int64(2*width) {
			j.planes, j.rawSize = 2, 2*width
		}
		if request.RawSize >= 0 && request.RawSize != int64(j.rawSize) {
			return nil, bad("a raw request is one row of %d bytes, this one has %d", width, request.RawSize)
		}
	case len(request.Inputs) != 1 || request.Inputs[0].Name != name:
		return nil, bad("it must have one input, called %s", name)
	default:
		in := request.Inputs[0]
		got := in.Shape
		fits := len(got) == 1+len(shape) && got[len(got)-1] == width
		if m.packed {
			fits = fits && (got[1] == 1 || got[1] == 2) && in.Datatype == oip.Uint8
		}
		if !fits {
			return nil, bad("input %s has shape %d of %s; %d of %s is needed, where the first is the number of rows%s", name, got, in.Datatype,
				append([]int{-1}, shape...), datatype, map[bool]string{true: " and the second 1 or 2 planes"}[m.packed])
		}
		j.rows, j.rawSize, j.datatype = got[0], in.Elements, in.Datatype
		if m.packed {
			j.planes = got[1]
		}
	}
	for _, out := range request.Outputs {
		if out.Name != "y" {
			return nil, bad("there is no output %.64q; the only one is y", out.Name)
		}
		j.binary = out.Binary
	}
	if most := s.maxBatch(m); j.rows > most {
		return nil, fmt.Errorf("cannot use the request for model %s: %d rows are more than %d, its max_batch_size; send fewer at a time: %w", m.name, j.rows, most, errTooLarge)
	}
	if err := s.parameters(j); err != nil {
		return nil, err
	}
	var err error
	if len(request.Inputs) > 0 {
		if j.in, err = s.regions.find(p, request.Inputs[0].Region, int64(j.rawSize)); err != nil {
			return nil, err
		}
	}
	if len(request.Outputs) > 0 {
		j.out, err = s.regions.find(p, request.Outputs[0].Region, int64(j.rows)*int64(j.rowBytes()))
	}
	return j, err
}

// mostRepeats bounds how often a row is exposed for one request.
const mostRepeats = 1024

// parameters reads those of the request (section 14.3). One that is not known is
// refused: what it would have changed would be wrong.
func (s *Server) parameters(j *projection) error {
	first, count := 0, -1
	for name, value := range j.request.Parameters {
		number := func(least, most int) (int, error) {
			n, err := oip.Int(value)
			if err != nil || n < int64(least) || n > int64(most) {
				return 0, fmt.Errorf("cannot use parameter %s: it is %v, and must be an integer from %d to %d: %w", name, value, least, most, oip.ErrRequest)
			}
			return int(n), nil
		}
		var err error
		switch {
		case name == "row_start":
			first, err = number(0, s.outputs-1)
		case name == "row_count":
			count, err = number(1, s.outputs)
		case name == "repeat":
			j.repeat, err = number(1, mostRepeats)
		case name == "timeout":
			var us int
			us, err = number(0, math.MaxInt32)
			j.timeout = time.Duration(us) * time.Microsecond
		case name == "lease":
			var ok bool
			if j.lease, ok = value.(string); !ok {
				err = fmt.Errorf("cannot use parameter lease: it is %v, and must be the id of a lease: %w", value, oip.ErrRequest)
			}
		case name == "binary_data_output", name == "priority", name == "headers", strings.HasPrefix(name, "triton_"):
			// read already, or without a meaning here
		default:
			err = fmt.Errorf("cannot use parameter %.64q: row_start, row_count, repeat, timeout and lease are known: %w", name, oip.ErrRequest)
		}
		if err != nil {
			return err
		}
	}
	if count < 0 {
		count = s.outputs - first
	}
	if first+count > s.outputs {
		return fmt.Errorf("cannot return outputs %d to %d: there are %d: %w", first, first+count-1, s.outputs, oip.ErrRequest)
	}
	j.outputs = queue.Window{First: first, Count: count}
	return nil
}

// read reads x.
func (s *Server) read(j *projection) ([]int8, error) {
	raw := make([]byte, j.rawSize)
	read := j.request.ReadData
	if j.in != nil {
		read = func(raw []byte) error { return j.in.ReadAt(raw, 0) }
	}
	if err := read(raw); err != nil {
		return nil, err
	}
	x := make([]int8, j.rows*s.inputs)
	return x, s.decode(j.model, x, raw, j.datatype, j.planes)
}

// buffer is one of n bytes, used before or new. A much larger one is no good: more
// memory would be held than was taken from the budget.
func (s *Server) buffer(n int) *[]byte {
	if b, ok := s.buffers.Get().(*[]byte); ok && cap(*b) >= n && cap(*b) <= 2*n+4096 {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n)
	return &b
}

// project has x projected into the body of the response, or into shared memory, all of
// it on one matrix, which it returns. When another comes to be served meanwhile it begins
// anew, unless the request is for the version of the old one.
func (s *Server) project(ctx context.Context, j *projection, version string, x []int8, body []byte, t *spent) (*live, error) {
	if j.timeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, j.timeout, fmt.Errorf("cannot finish %d rows in %v: %w", j.rows, j.timeout, errTimeout))
		defer done()
	}
	for {
		matrix, err := s.served()
		if err == nil {
			err = matrix.check(version)
		}
		if err != nil {
			return nil, err
		}
		err = s.projectOn(ctx, matrix, j, x, body, t)
		if s.matrix.Load() != matrix && ctx.Err() == nil {
			continue // some rows may be of either
		}
		if errors.Is(err, driver.ErrMatrixLost) {
			s.loseMatrix(matrix, err)
		}
		return matrix, err
	}
}

// projectOn projects until the matrix is replaced. Whether it was is for the caller to see.
func (s *Server) projectOn(ctx context.Context, matrix *live, j *projection, x []int8, body []byte, t *spent) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(matrix.ctx, func() { cancel(errReplaced) })()
	if y := oip.BytesComplex(body); y != nil && j.plain() {
		timing, err := s.queue.Into(ctx, j.peer, j.model.work, j.outputs, y, x)
		t.add(timing)
		t.rows = j.rows
		return err
	}
	n := j.rowBytes()
	exposure := body
	if j.repeat > 1 {
		exposure = make([]byte, n)
		clear(body)
	}
	for range j.repeat {
		timing, err := s.queue.Project(ctx, j.peer, j.model.work, j.outputs, x, func(r int, y []complex64) {
			start := time.Now()
			defer func() { t.output += time.Since(start) }()
			if j.direct() {
				if err := j.out.WriteAt(oip.ComplexBytes(y), int64(r)*int64(n)); err != nil {
					cancel(err)
				}
				return
			}
			row := body[r*n : (r+1)*n]
			if j.repeat == 1 {
				j.model.encode(row, y)
			} else {
				j.model.encode(exposure, y)
				accumulate(row, exposure, 1/float32(j.repeat))
			}
		})
		if err == nil {
			err = context.Cause(ctx) // the last row could not be written
		}
		if err != nil {
			return err
		}
		t.add(timing)
	}
	t.rows = j.rows
	return nil
}

// accumulate adds a multiple of numbers in the form of encode.
func accumulate(sum, add []byte, scale float32) {
	for at := 0; at < len(sum); at += 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(sum[at:])) + scale*math.Float32frombits(binary.LittleEndian.Uint32(add[at:]))
		binary.LittleEndian.PutUint32(sum[at:], math.Float32bits(v))
	}
}

// facts are the parameters of a response.
func (s *Server) facts(matrix *live, t spent) []oip.Parameter {
	return []oip.Parameter{
		{Name: "epoch", Value: matrix.OPU.Epoch()},
		{Name: "device", Value: s.o.Device},
		{Name: "corr", Value: matrix.OPU.Stats().Health},
		{Name: "queue_us", Value: t.queued.Microseconds()},
		{Name: "device_us", Value: t.device.Microseconds()},
	}
}
