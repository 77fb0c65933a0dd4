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
// A daemon that is busy or restarting is waited for, as long as Options.Patience says and
// the context allows; one that says it is calibrating, until it is done.
//
// A Daemon is the way to what is not projecting: status, jobs, leases (/opu/v1).
package client

import (
	"context"
	"encoding/json"
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
	ErrBusy         = errors.New("the OPU is busy")          // with others, or leased to one; ErrUnavailable as well
	ErrCalibrating  = errors.New("the OPU is calibrating")   // for the first time; ErrUnavailable as well
	ErrNotHere      = errors.New("not possible on this rig")
	ErrProtocol     = errors.New("the server answered nonsense")
)

// Options say what to ask for. The zero value is the usual.
type Options struct {
	Model   string // base name of the models of one matrix: opu is the default
	Version string // of the matrix that is wanted; empty: the one that is there
	Token   string // for TCP
	Lease   string // id of a lease that the caller holds

	// Inputs and Outputs, where they are not 0, are how many of the matrix's are used,
	// from the first: a part of it is a matrix, too.
	Inputs, Outputs int

	// Patience is how long a daemon that cannot be reached or is busy is waited for.
	// 0 means half a minute, below 0 not at all. While it calibrates, and says so, that
	// time does not begin.
	Patience time.Duration

	// Waiting, if there is one, is told when the client begins to wait, and why, and when
	// that changes: for a calibration (ErrCalibrating), at each of its stages. It may be
	// called from several goroutines.
	Waiting func(why error)

	// Transport reaches the daemon instead of one made for the address: for TLS with
	// certificates of one's own.
	Transport http.RoundTripper
}

// OPU is a remote OPU. Its methods may be called from any goroutine; projections of
// several go to the daemon side by side.
type OPU struct {
	daemon    *Daemon
	model     string
	shape     shape // that is used
	spare     int   // inputs of the matrix that are not
	version   string
	quoted    string // version as JSON
	epoch     string
	device    string
	simulated string
	rows      int // of a request, at most

	parameters []byte    // of requests: the beginning of their JSON
	scratch    sync.Pool // *scratch
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
	if err := c.describe(ctx, o); err != nil {
		return nil, err
	}
	return c, nil
}

// describe asks what there is, and sees that it is what the options want.
func (c *OPU) describe(ctx context.Context, o Options) error {
	path := "/v2/models/" + c.model
	if o.Version != "" {
		path += "/versions/" + o.Version
	}
	var m struct {
		Versions   []string `json:"versions"`
		Inputs     []tensor `json:"inputs"`
		Outputs    []tensor `json:"outputs"`
		Properties struct {
			Epoch     string `json:"epoch"`
			Device    string `json:"device"`
			Simulated string `json:"simulated"`
		} `json:"properties"`
	}
	if err := c.daemon.Call(ctx, http.MethodGet, path, nil, &m); err != nil {
		return err
	}
	if len(m.Versions) != 1 || len(m.Inputs) != 1 || len(m.Outputs) != 1 || !m.Inputs[0].is("x", -1, 0) || !m.Outputs[0].is("y", -1, 0, 2) {
		return fmt.Errorf("cannot use model %s of %s: it is not one with complex outputs: %+v: %w", c.model, c.daemon.base, m, ErrProtocol)
	}
	c.version, c.epoch, c.device, c.simulated = m.Versions[0], m.Properties.Epoch, m.Properties.Device, m.Properties.Simulated
	quoted, _ := json.Marshal(c.version) // a string is never refused
	c.quoted = string(quoted)
	whole := shape{m.Outputs[0].Shape[1], m.Inputs[0].Shape[1]}
	c.shape = whole
	if o.Outputs != 0 {
		c.shape.outputs = o.Outputs
	}
	if o.Inputs != 0 {
		c.shape.inputs = o.Inputs
	}
	if c.shape.outputs < 1 || c.shape.inputs < 1 || c.shape.outputs > whole.outputs || c.shape.inputs > whole.inputs {
		return fmt.Errorf("cannot use %d outputs and %d inputs of model %s: its matrix is %d x %d: %w",
			c.shape.outputs, c.shape.inputs, c.model, whole.outputs, whole.inputs, ErrInput)
	}
	c.spare = whole.inputs - c.shape.inputs
	parameters := map[string]any{"binary_data_output": true}
	if c.shape.outputs < whole.outputs {
		parameters["row_count"] = c.shape.outputs
	}
	if o.Lease != "" {
		parameters["lease"] = o.Lease
	}
	text, _ := json.Marshal(map[string]any{"parameters": parameters})
	c.parameters = text[:len(text)-1] // the rest of the object follows
	var config struct {
		Rows int `json:"max_batch_size"`
	}
	if err := c.daemon.Call(ctx, http.MethodGet, "/v2/models/"+c.model+"/config", nil, &config); err != nil {
		return err
	}
	c.rows = max(1, min(config.Rows, mostResponse/(8*c.shape.outputs)))
	return nil
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

// Shape is that of B, or of the part of it that the options name: outputs (complex) and
// inputs.
func (c *OPU) Shape() (outputs, inputs int) { return c.shape.outputs, c.shape.inputs }

// Version is that of the model, for Options.Version: it names the matrix.
func (c *OPU) Version() string { return c.version }

// Epoch is the matrix's name as the device gives it.
func (c *OPU) Epoch() string { return c.epoch }

// Device is the device's name for people: models and serials.
func (c *OPU) Device() string { return c.device }

// Simulated is the preset of the bench if there is no light behind this OPU, else empty.
func (c *OPU) Simulated() string { return c.simulated }

// Shutter says whether intensities can be measured on this rig.
func (c *OPU) Shutter(ctx context.Context) (bool, error) {
	err := c.daemon.Call(ctx, http.MethodGet, "/v2/models/"+c.model+intensityView.suffix+"/ready", nil, nil)
	if errors.Is(err, ErrNotHere) {
		return false, nil
	}
	return err == nil, err
}

// Close closes connections that are not in use.
func (c *OPU) Close() error { return c.daemon.Close() }

// Status fills v, a pointer, from the JSON of GET /opu/v1/status.
func (c *OPU) Status(ctx context.Context, v any) error {
	return c.daemon.Call(ctx, http.MethodGet, "/opu/v1/status", nil, v)
}
