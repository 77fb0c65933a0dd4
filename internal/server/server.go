// Package server is the OPU as a service: the Open Inference Protocol over HTTP and
// gRPC, on Unix sockets and on TCP.
//
//	s, err := server.New(server.Options{OPU: opu, Token: token})
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
// Whoever can open the Unix socket may use the device: that is a matter of the file's
// mode. On TCP a token is needed for all but health.
//
// People have a page at /, for which they sign in once on TCP.
package server

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/queue"
)

// OPU is the device that is served; *driver.OPU is one.
type OPU interface {
	Shape() (outputs, inputs int)
	Epoch() string
	Project(ctx context.Context, dst []complex64, x []int8) error
	Intensity(ctx context.Context, dst []float32, x []int8) error
	Stats() driver.Stats
}

// Options say what is served, and to whom.
type Options struct {
	OPU     OPU
	Device  string // for people and programs: model and serial
	Model   string // base name of the models; empty: DefaultModel
	Shutter bool   // the rig can block its reference beam: intensities are measured

	// For people. Any may be nil, and Config may be anything that is no secret.
	Calibration *calib.Calibration
	Verdict     calib.Verdict
	View        func(context.Context) (*calib.View, error) // called with the device at rest
	Config      any

	Version   string // of the program
	Simulated string // preset of the simulated bench; empty: light

	// Token opens TCP; without one, TCP answers to nothing but health.
	Token string

	SharedMemory SharedMemory

	Limits Limits
	Log    *slog.Logger // nil: none
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
	version string // of the models
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
	closing chan struct{}         // closed when the server is told to end
	lost    atomic.Pointer[error] // why the matrix is gone
	began   time.Time
}

// The works of the queue.
const (
	workProject = iota
	workIntensity
)

// New makes a server. Nothing happens until Serve.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, closing: make(chan struct{}), began: time.Now()}
	s.views.turn = make(chan struct{}, 1)
	if s.o.Model == "" {
		s.o.Model = DefaultModel
	}
	if err := CheckModel(s.o.Model); err != nil {
		return nil, err
	}
	s.outputs, s.inputs = o.OPU.Shape()
	s.o.Limits.setDefaults(s.outputs)
	s.version = matrixVersion(o.OPU.Epoch())
	s.models = s.newModels()
	s.budget.requests, s.budget.bytes = s.o.Limits.Requests, int64(s.o.Limits.Memory)
	s.regions.o = o.SharedMemory
	var err error
	s.queue, err = queue.New(queue.Options{
		Inputs: s.inputs, Outputs: s.outputs, BatchRows: s.o.Limits.BatchRows, MaxRequests: s.o.Limits.Requests,
		Works: []queue.Work{workProject: o.OPU.Project, workIntensity: s.intensity()},
	})
	if err != nil {
		return nil, err
	}
	s.handler = s.routes()
	return s, nil
}

// matrixVersion is the version of models of an epoch's matrix. Clients need decimal
// digits; 52 bits are exact in every language's numbers.
func matrixVersion(epoch string) string {
	sum := sha256.Sum256([]byte(epoch))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:8])>>12, 10)
}

// intensity is the OPU's as a work of the queue.
func (s *Server) intensity() queue.Work {
	var light []float32
	return func(ctx context.Context, dst []complex64, x []int8) error {
		if light == nil {
			light = make([]float32, s.o.Limits.BatchRows*s.outputs)
		}
		light := light[:len(dst)]
		if err := s.o.OPU.Intensity(ctx, light, x); err != nil {
			return err
		}
		for i, v := range light {
			dst[i] = complex(v, 0)
		}
		return nil
	}
}

// Time limits of connections. Results are waited for as long as the client does.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 2 * time.Minute // for 256 MiB that is 18 Mbit/s
	idleTimeout   = 5 * time.Minute
	drainTimeout  = 30 * time.Second
)

// Serve serves on the listeners, and closes them. When ctx ends it lets nobody in,
// finishes what was begun, for up to half a minute, and returns nil.
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
	close(s.closing)
	drain, done := context.WithTimeout(run, drainTimeout)
	defer done()
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

// Version is that of the models: it names the matrix.
func (s *Server) Version() string { return s.version }

// ready is nil while projections can be asked for.
func (s *Server) ready() error {
	if err := s.lost.Load(); err != nil {
		return *err
	}
	select {
	case <-s.closing:
		return fmt.Errorf("cannot take requests: the server is ending: %w", queue.ErrClosed)
	default:
		return nil
	}
}
