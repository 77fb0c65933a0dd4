package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/queue"
	"github.com/light-in-the-loop/opu/internal/shm"
)

// handler answers a request, or says why it cannot. An error must come before
// anything is written.
type handler func(w http.ResponseWriter, r *http.Request) error

// routes is everything that is served.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	open := func(path, method string, h handler) { mux.Handle(path, s.answer(method, h)) }
	closed := func(path, method string, h handler) {
		open(path, method, func(w http.ResponseWriter, r *http.Request) error {
			if err := s.authorise(r); err != nil {
				return err
			}
			return h(w, r)
		})
	}
	open("/v2/health/live", "GET", s.live)
	open("/v2/health/ready", "GET", s.healthReady)
	closed("/v2", "GET", s.metadata)
	closed("/v2/{$}", "GET", s.metadata)
	closed("/v2/models", "GET", s.names)
	closed("/v2/models/stats", "GET", s.allStatistics)
	closed("/v2/repository/index", "POST", s.index)
	for _, path := range []string{"/v2/models/{name}", "/v2/models/{name}/versions/{version}"} {
		closed(path, "GET", s.modelMetadata)
		closed(path+"/ready", "GET", s.modelReady)
		closed(path+"/config", "GET", s.modelConfig)
		closed(path+"/stats", "GET", s.modelStatistics)
		closed(path+"/infer", "POST", s.infer)
	}
	const memory = "/v2/systemsharedmemory"
	closed(memory+"/status", "GET", s.regionStatus)
	closed(memory+"/region/{region}/status", "GET", s.regionStatus)
	closed(memory+"/region/{region}/register", "POST", s.registerRegion)
	closed(memory+"/unregister", "POST", s.unregisterRegions)
	closed(memory+"/region/{region}/unregister", "POST", s.unregisterRegions)
	// Some tools begin by forgetting what they have registered, and stop if they cannot.
	const cuda = "/v2/cudasharedmemory"
	closed(cuda+"/status", "GET", func(w http.ResponseWriter, r *http.Request) error { return writeJSON(w, []any{}) })
	closed(cuda+"/unregister", "POST", func(http.ResponseWriter, *http.Request) error { return nil })
	closed(cuda+"/region/{region}/register", "POST", func(http.ResponseWriter, *http.Request) error { return errNoCUDA })
	closed("/metrics", "GET", s.metrics)
	closed("/opu/v1/status", "GET", s.status)
	closed("/opu/v1/events", "GET", s.events)
	closed("/opu/v1/version", "GET", s.programVersion)
	closed("/opu/v1/config", "GET", s.config)
	closed("/opu/v1/calibration", "GET, POST", either(s.calibration, s.postJob(kindCalibration)))
	closed("/opu/v1/selftest", "POST", s.postJob("selftest"))
	closed("/opu/v1/map", "POST", s.postJob("map"))
	closed("/opu/v1/jobs", "GET", s.listJobs)
	closed("/opu/v1/jobs/{id}", "GET, DELETE", either(s.getJob, s.cancelJob))
	closed("/opu/v1/jobs/{id}/files/{file}", "GET", s.jobFile)
	closed("/opu/v1/calibration.opucal", "GET", s.calibrationFile)
	closed("/opu/v1/report/{$}", "GET", s.report)
	closed("/opu/v1/report/{file}", "GET", s.report)
	closed("/opu/v1/view", "GET", s.viewFigures)
	closed("/opu/v1/frame.png", "GET", s.show("image/png", framePNG))
	closed("/opu/v1/frame.npy", "GET", s.show("application/octet-stream", frameNPY))
	closed("/opu/v1/spectrum.png", "GET", s.show("image/png", s.spectrumPNG))
	closed("/opu/v1/spectrum.npy", "GET", s.show("application/octet-stream", spectrumNPY))
	closed("/opu/v1/leases", "POST", s.takeLease)
	closed("/opu/v1/leases/{id}", "DELETE", s.endLease)
	closed("/opu/v1/history", "GET", s.historyJSON)
	s.pageRoutes(open, closed)
	open("/", "", func(w http.ResponseWriter, r *http.Request) error {
		return fmt.Errorf("cannot find %.100q: %w", r.URL.Path, errUnknown)
	})
	return mux
}

var errNoCUDA = fmt.Errorf("cannot register memory of a GPU: there is none here; send binary data: %w", errNotHere)

var errMethod = errors.New("wrong method")

// either answers reading with one handler, and what changes something with another.
func either(get, change handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == "GET" || r.Method == "HEAD" {
			return get(w, r)
		}
		return change(w, r)
	}
}

func allowed(methods, method string) bool {
	if method == "HEAD" {
		method = "GET"
	}
	return slices.Contains(strings.Split(methods, ", "), method)
}

// answer turns a handler into one of net/http's. Methods are separated by a comma; none
// means any.
func (s *Server) answer(methods string, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := error(nil)
		switch {
		case methods != "" && !allowed(methods, r.Method):
			w.Header().Set("Allow", methods)
			err = fmt.Errorf("cannot %.10s %.100s: only %s is understood there: %w", r.Method, r.URL.Path, methods, errMethod)
		default:
			if err = s.checkOrigin(r); err == nil {
				err = h(w, r)
			}
		}
		if err != nil {
			s.refuse(w, r, err)
		}
	})
}

// refusal is how an error is answered. The code is for programs and stays the same,
// whatever the words.
type refusal struct {
	err    error
	status int
	code   string
	rpc    codes.Code
}

// refusalsOf errors; the first that fits. What is not here is the server's own fault.
var refusalsOf = []refusal{
	{errOtherMatrix, http.StatusNotFound, "other_matrix", codes.NotFound},
	{errUnknown, http.StatusNotFound, "not_found", codes.NotFound},
	{errMethod, http.StatusMethodNotAllowed, "wrong_method", codes.Unimplemented},
	{errNoToken, http.StatusUnauthorized, "no_token", codes.Unauthenticated},
	{errForeign, http.StatusForbidden, "foreign", codes.PermissionDenied},
	{errForbidden, http.StatusForbidden, "forbidden", codes.PermissionDenied},
	{shm.ErrAccess, http.StatusForbidden, "forbidden", codes.PermissionDenied},
	{shm.ErrKey, http.StatusBadRequest, "bad_request", codes.InvalidArgument},
	{shm.ErrRange, http.StatusBadRequest, "bad_request", codes.InvalidArgument},
	{shm.ErrClosed, http.StatusBadRequest, "bad_request", codes.InvalidArgument},
	{shm.ErrFull, http.StatusBadRequest, "bad_request", codes.InvalidArgument},
	{shm.ErrSystem, http.StatusNotImplemented, "not_here", codes.Unimplemented},
	{oip.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large", codes.ResourceExhausted},
	{errEncoding, http.StatusUnsupportedMediaType, "compressed", codes.Unimplemented},
	{errExists, http.StatusBadRequest, "exists", codes.AlreadyExists},
	{oip.ErrRequest, http.StatusBadRequest, "bad_request", codes.InvalidArgument},
	{driver.ErrInput, http.StatusBadRequest, "bad_request", codes.InvalidArgument},
	{errNotHere, http.StatusNotImplemented, "not_here", codes.Unimplemented},
	{errAtWork, http.StatusServiceUnavailable, "calibrating", codes.Unavailable},
	{errNoMatrix, http.StatusServiceUnavailable, "no_matrix", codes.Unavailable},
	{errLeased, http.StatusServiceUnavailable, "leased", codes.Unavailable},
	{errBusy, http.StatusServiceUnavailable, "busy", codes.Unavailable},
	{queue.ErrFull, http.StatusServiceUnavailable, "busy", codes.Unavailable},
	{errTimeout, http.StatusServiceUnavailable, "timeout", codes.Unavailable},
	{driver.ErrMatrixLost, http.StatusServiceUnavailable, "matrix_lost", codes.Unavailable},
	{driver.ErrLight, http.StatusServiceUnavailable, "light_changed", codes.Unavailable},
	{queue.ErrClosed, http.StatusServiceUnavailable, "ending", codes.Unavailable},
}

// refusalOf finds an error's.
func refusalOf(err error) refusal {
	if i := slices.IndexFunc(refusalsOf, func(known refusal) bool { return errors.Is(err, known.err) }); i >= 0 {
		return refusalsOf[i]
	}
	return refusal{err, http.StatusInternalServerError, "device", codes.Internal}
}

// refusals counts answers that are errors, by status.
type refusals struct {
	mu sync.Mutex
	by map[int]uint64
}

func (r *refusals) count(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[int]uint64{}
	}
	r.by[status]++
}

// refuse answers with an error (section 10).
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		s.o.Log.Debug("client gone", "path", r.URL.Path)
		return
	}
	as := refusalOf(err)
	s.refused.count(as.status)
	h := w.Header()
	switch as.status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="opu"`)
	case http.StatusInternalServerError:
		s.notes.add(as.code, err)
		s.o.Log.Error("request failed", "path", r.URL.Path, "error", err)
	}
	body, _ := json.Marshal(struct { // a string is never refused
		Error string `json:"error"`
		Code  string `json:"code"`
	}{err.Error(), as.code})
	h.Set("Content-Type", "application/json")
	w.WriteHeader(as.status)
	w.Write(body)
}

// writeJSON answers with an object.
func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot write the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n')) // whoever has gone does not miss it
	return nil
}
