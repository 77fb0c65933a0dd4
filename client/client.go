// Package client projects on an OPU that a daemon (opud) serves, here or elsewhere, as
// if it were in the same process.
//
//	opu, err := client.Dial(ctx, "", client.Options{}) // the socket of this machine's opud
//	outputs, inputs := opu.Shape()
//	err = opu.Project(ctx, y, x) // x: rows of {-1, 0, 1}; y: rows of complex outputs
//
// It is pinned to one matrix: the one that was served when it was dialled, or the one
// that the options name. When the daemon comes back with another, every call fails
// with ErrOtherMatrix; what was learnt on one matrix is worth nothing on the next.
//
// A daemon that is busy, restarting or calibrating is waited for, as long as
// Options.Patience says and the context allows.
//
// A Daemon is the way to what is not projecting: status, jobs, leases (/opu/v1).
package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/internal/runtimedir"
)

// The conditions that callers act on.
var (
	ErrInput        = errors.New("bad input")                // found here or there, before anything was shown
	ErrOtherMatrix  = errors.New("the matrix is another")    // fit or train anew, after a new Dial
	ErrUnauthorised = errors.New("not let in")               // the token is missing or wrong
	ErrUnavailable  = errors.New("the OPU is not available") // now, and for as long as Patience
	ErrProtocol     = errors.New("the server answered nonsense")
)

// Options say what to ask for. The zero value is the usual.
type Options struct {
	Model   string // with complex outputs: opu, the default
	Version string // of the matrix that is wanted; empty: the one that is there
	Token   string // for TCP
	Lease   string // id of a lease that the caller holds

	// Patience is how long a daemon that cannot be reached or is busy is waited for.
	// 0 means half a minute, below 0 not at all.
	Patience time.Duration

	// Transport reaches the daemon instead of one made for the address: for TLS with
	// certificates of one's own.
	Transport http.RoundTripper
}

// OPU is a remote OPU. Its methods may be called from any goroutine; projections of
// several go to the daemon side by side.
type OPU struct {
	daemon  *Daemon
	model   string
	outputs int
	inputs  int
	version string
	epoch   string
	rows    int // of a request, at most

	buffers sync.Pool // *[]byte of requests
}

// DefaultSocket is the socket that Dial uses without an address: that of the user's own
// daemon if it is there, else that of the machine's.
func DefaultSocket() string { return runtimedir.FindSocket(os.Getenv) }

// mostResponse is how many bytes of results are asked for at a time (reference of the
// protocol, section 12).
const mostResponse = 8 << 20

// Dial connects to the daemon at an address: a socket's path, unix:///path,
// http://host:port or https://host:port; empty means DefaultSocket.
func Dial(ctx context.Context, address string, o Options) (*OPU, error) {
	if o.Model == "" {
		o.Model = "opu"
	}
	d, err := Connect(address, o)
	if err != nil {
		return nil, err
	}
	c := &OPU{daemon: d, model: o.Model}
	path := "/v2/models/" + o.Model
	if o.Version != "" {
		path += "/versions/" + o.Version
	}
	var m struct {
		Versions   []string `json:"versions"`
		Inputs     []tensor `json:"inputs"`
		Outputs    []tensor `json:"outputs"`
		Properties struct {
			Epoch string `json:"epoch"`
		} `json:"properties"`
	}
	if err := d.Call(ctx, http.MethodGet, path, nil, &m); err != nil {
		return nil, err
	}
	if len(m.Versions) != 1 || len(m.Inputs) != 1 || len(m.Outputs) != 1 || !m.Inputs[0].is("x", -1, 0) || !m.Outputs[0].is("y", -1, 0, 2) {
		return nil, fmt.Errorf("cannot use model %s of %s: it is not one with complex outputs: %+v: %w", o.Model, d.base, m, ErrProtocol)
	}
	c.inputs, c.outputs = m.Inputs[0].Shape[1], m.Outputs[0].Shape[1]
	c.version, c.epoch = m.Versions[0], m.Properties.Epoch
	var config struct {
		Rows int `json:"max_batch_size"`
	}
	if err := d.Call(ctx, http.MethodGet, "/v2/models/"+o.Model+"/config", nil, &config); err != nil {
		return nil, err
	}
	c.rows = max(1, min(config.Rows, mostResponse/(8*c.outputs)))
	return c, nil
}

// tensor is the description of one.
type tensor struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// is compares; 0 stands for any positive number.
func (t tensor) is(name string, shape ...int) bool {
	if t.Name != name || len(t.Shape) != len(shape) {
		return false
	}
	for i, n := range t.Shape {
		if n != shape[i] && (shape[i] != 0 || n < 1) {
			return false
		}
	}
	return true
}

// Shape is that of B: outputs (complex) and inputs.
func (c *OPU) Shape() (outputs, inputs int) { return c.outputs, c.inputs }

// Version is that of the model, for Options.Version: it names the matrix.
func (c *OPU) Version() string { return c.version }

// Epoch is the matrix's name as the device gives it.
func (c *OPU) Epoch() string { return c.epoch }

// Close closes connections that are not in use.
func (c *OPU) Close() error { return c.daemon.Close() }

// Status fills v, a pointer, from the JSON of GET /opu/v1/status.
func (c *OPU) Status(ctx context.Context, v any) error {
	return c.daemon.Call(ctx, http.MethodGet, "/opu/v1/status", nil, v)
}
