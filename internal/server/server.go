// Package server is the OPU as a service: the Open Inference Protocol over HTTP and
// gRPC, on Unix sockets and on TCP.
//
//	s, err := server.New(server.Options{Matrix: &server.Matrix{OPU: opu}, Token: token})
//	err = s.Serve(ctx, socket, tcp) // until ctx ends; then what was begun is finished
//
// One goroutine uses the device (package queue). A request is read up to its sizes,
// which are agreed to before memory is taken; it waits its turn; its results are
// written into the body of its own response as they come.
//
// Every model is a view of the one matrix B with one input and one output, and its
// version is B's: it is derived from the epoch, so that no two matrices share one,
// not even those of different servers. A request that names another version is
// refused with the reason.
//
// What is done with the device to itself, like a calibration, is a job, and has its
// turn in the same queue. One that ends well may bring another matrix: requests that
// wait then begin anew on it, unless they named the version of the old one.
//
// Whoever can open the Unix socket may use the device: that is a matter of the file's
// mode. On TCP a token is needed for all but health.
//
// People have a page at /, for which they sign in once on TCP.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/queue"
)

// Options say what is served, and to whom.
type Options struct {
	// Matrix is the first that is served; nil: none is until a job brings one.
	Matrix *Matrix

	// Outputs and Inputs are the shape of every matrix; 0: that of Matrix.
	Outputs, Inputs int

	Device   string              // for people and programs: model and serial
	Model    string              // base name of the models; empty: DefaultModel
	Shutter  bool                // the rig can block its reference beam: intensities are measured
	Counters func() driver.Stats // of the device while there is no matrix; may be nil

	// Look sees the rig while there is no matrix, for whoever aligns it. It is called with
	// the device at rest, and never at once; nil: then nothing is seen.
	Look func(context.Context) (*calib.View, error)

	Config any // for people: anything that is no secret

	// Works are the kinds of jobs that clients can ask for: calibration, selftest, map.
	// Each makes a work of a request's body, which may be empty, or says what is wrong
	// with it (ErrRequest, driver.ErrInput).
	Works map[string]func(request []byte) (Work, error)

	Version   string // of the program
	Simulated string // preset of the simulated bench; empty: light

	Token  string // as Settings have them
	Limits Limits

	SharedMemory SharedMemory

	Log *slog.Logger // nil: none
}

// Limits bound what clients can ask for. Zero fields mean the default.
type Limits struct {
	Body      int // bytes of a request; 256 MiB
	JSON      int // bytes of a request without binary tensors; 16 MiB
	Response  int // bytes of results of a request; 256 MiB
	Memory    int // bytes of all requests under way, half of them for a user; 1 GiB
	Requests  int // under way, half of them of a user; 256
	BatchRows int // rows that the device is given at once; 128, fewer if their results pass 64 MiB
}

func (l *Limits) setDefaults(outputs int) {
	for _, d := range []struct {
		limit *int
		value int
	}{
		{&l.Body, 256 << 20}, {&l.JSON, 16 << 20}, {&l.Response, 256 << 20}, {&l.Memory, 1 << 30}, {&l.Requests, 256},
		{&l.BatchRows, max(1, min(128, (64<<20)/(8*outputs)))},
	} {
		if *d.limit == 0 {
			*d.limit = d.value
		}
	}
}

// Server serves one OPU. Its methods may be called from any goroutine.
type Server struct {
	o       Options
	outputs int
	inputs  int
	models  []*model
	queue   *queue.Queue
	budget  budget
	regions regions
	leases  leases
	views   views
	history history
	refused refusals
	buffers sync.Pool // *[]byte of responses
	handler http.Handler
	matrix  atomic.Pointer[live]
	light   []float32 // of workIntensity
	jobs    jobs
	notes   notes
	past    past
	began   time.Time

	settings atomic.Pointer[Settings]

	ending  context.Context // ends when the server is told to end
	end     context.CancelFunc
	hurry   context.Context // ends when it is not to wait for anything any more
	hurried context.CancelFunc
}

// ErrRequest is what is wrapped by errors about requests.
var ErrRequest = oip.ErrRequest

// Settings can be changed while a server runs.
type Settings struct {
	// Token opens TCP; without one, TCP answers to nothing but health.
	Token  string
	Limits Limits
}

// The works of the queue.
const (
	workProject = iota
	workIntensity
)

// mostQueued bounds the queue. What requests may take is bounded before (budget).
const mostQueued = 4096

// New makes a server. Nothing happens until Serve.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, outputs: o.Outputs, inputs: o.Inputs, began: time.Now()}
	if o.Matrix != nil && s.outputs == 0 {
		s.outputs, s.inputs = o.Matrix.OPU.Shape()
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.hurry, s.hurried = context.WithCancel(context.Background())
	s.views.turn = make(chan struct{}, 1)
	if s.o.Model == "" {
		s.o.Model = DefaultModel
	}
	if err := CheckModel(s.o.Model); err != nil {
		return nil, err
	}
	s.o.Limits.setDefaults(s.outputs)
	s.models = s.newModels()
	s.Set(Settings{o.Token, s.o.Limits})
	s.regions.o = o.SharedMemory
	var err error
	s.queue, err = queue.New(queue.Options{
		Inputs: s.inputs, Outputs: s.outputs, BatchRows: s.o.Limits.BatchRows, MaxRequests: mostQueued,
		Works: []queue.Work{workProject: s.workProject, workIntensity: s.workIntensity},
	})
	if err != nil {
		return nil, err
	}
	if o.Matrix != nil {
		if err := s.install(o.Matrix); err != nil {
			return nil, err
		}
	}
	s.handler = s.routes()
	return s, nil
}

// Time limits of connections. Results are waited for as long as the client does.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 2 * time.Minute // for 256 MiB that is 18 Mbit/s
	restTimeout   = time.Second     // for the rest of a body, when the answer is an error
	idleTimeout   = 5 * time.Minute
	drainTimeout  = 30 * time.Second
)

// Serve serves on the listeners, and closes them. When ctx ends it lets nobody in,
// cancels jobs, finishes projections that were begun, for up to half a minute or until
// Hurry, and returns nil.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	h := &http.Server{
		Handler: s.handler, ConnContext: withPeer, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10,
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- s.queue.Run(run) }()
	go s.record(run)

	failed := make(chan error, len(listeners))
	g := s.newGRPC()
	for _, l := range listeners {
		serve := h.Serve
		if _, is := l.(grpcListener); is {
			serve = g.Serve
		}
		go func() {
			if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("cannot serve on %s: %w", l.Addr(), err)
			}
		}()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.end()
	drain, done := context.WithTimeout(run, drainTimeout)
	defer done()
	defer context.AfterFunc(s.hurry, done)()
	var calls sync.WaitGroup
	calls.Go(func() { stopGRPC(drain, g) })
	if h.Shutdown(drain) != nil {
		h.Close()
		stop()
	}
	calls.Wait()
	s.queue.Close()
	defer s.regions.close()
	select {
	case <-ran:
	case <-drain.Done():
		stop() // every call of the device ends with its context
		<-ran
	}
	return err
}

// Hurry ends a server that is ending without waiting for what was begun.
func (s *Server) Hurry() { s.hurried() }

// Set changes the settings for requests to come. Limits.BatchRows stays as it was at
// the beginning, and so does the size of messages of gRPC.
func (s *Server) Set(n Settings) {
	n.Limits.setDefaults(s.outputs)
	s.budget.set(n.Limits.Requests, int64(n.Limits.Memory))
	s.settings.Store(&n)
}

func (s *Server) limits() Limits { return s.settings.Load().Limits }

// Version is that of the models: it names the matrix. It is empty while there is none.
func (s *Server) Version() string {
	if m := s.matrix.Load(); m != nil {
		return m.version
	}
	return ""
}

// epoch is the matrix's name; empty: there is none.
func (s *Server) epoch() string {
	if m := s.matrix.Load(); m != nil {
		return m.OPU.Epoch()
	}
	return ""
}

// ready is nil while projections can be asked for.
func (s *Server) ready() error {
	if s.ending.Err() != nil {
		return fmt.Errorf("cannot take requests: the server is ending: %w", queue.ErrClosed)
	}
	m, err := s.served()
	if err != nil {
		return err
	}
	if err := m.lost.Load(); err != nil {
		return *err
	}
	return nil
}
