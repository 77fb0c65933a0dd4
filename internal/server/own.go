package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/queue"
)

// Status is the answer to GET /opu/v1/status, and the data of each event.
type Status struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"` // why it is not

	Device       string `json:"device"`
	Simulated    string `json:"simulated,omitempty"` // preset of the bench
	Epoch        string `json:"epoch"`
	Model        string `json:"model"` // base name of the models
	ModelVersion string `json:"model_version"`
	Outputs      int    `json:"outputs"`
	Inputs       int    `json:"inputs"`

	Time   time.Time    `json:"time"`
	Uptime float64      `json:"uptime_s"`
	Stats  driver.Stats `json:"stats"`
	Queue  queue.Stats  `json:"queue"`
	Memory int64        `json:"memory_bytes"` // of requests under way
	Lease  *leaseInfo   `json:"lease"`        // null: nobody has one
}

// Status says how the server and its device are.
func (s *Server) Status() Status {
	st := Status{
		Device: s.o.Device, Simulated: s.o.Simulated, Epoch: s.o.OPU.Epoch(), Model: s.o.Model, ModelVersion: s.version, Outputs: s.outputs, Inputs: s.inputs,
		Time: time.Now(), Uptime: time.Since(s.began).Seconds(), Stats: s.o.OPU.Stats(), Queue: s.queue.Stats(), Memory: s.budget.held(), Lease: s.leases.info(),
	}
	if err := s.ready(); err != nil {
		st.Reason = err.Error()
	} else {
		st.Ready = true
	}
	return st
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, s.Status())
}

func (s *Server) programVersion(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string]string{"version": s.o.Version, "go": runtime.Version(), "api": "v1"})
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, s.o.Config)
}

// calibration is what the matrix rests on, without its arrays.
func (s *Server) calibration(w http.ResponseWriter, _ *http.Request) error {
	c := s.o.Calibration
	if c == nil {
		return fmt.Errorf("cannot tell a calibration: this device has none: %w", errUnknown)
	}
	layout := c.Layout
	layout.Mask = nil
	return writeJSON(w, struct {
		Epoch    string         `json:"epoch"`
		Created  time.Time      `json:"created"`
		SLM      calib.Device   `json:"slm"`
		Camera   calib.Device   `json:"camera"`
		Settings calib.Settings `json:"settings"`
		Layout   calib.Layout   `json:"layout"` // without its mask
		Carrier  calib.Carrier  `json:"carrier"`
		Outputs  int            `json:"outputs"`
		Scale    float64        `json:"scale"`
		Levels   calib.Levels   `json:"levels"`
		Quality  calib.Quality  `json:"quality"`
		Verdict  calib.Verdict  `json:"verdict"`
	}{c.Epoch(), c.Created, c.SLM, c.Camera, c.Settings, layout, c.Carrier, c.Outputs, c.Scale, c.Levels, c.Quality, s.o.Verdict})
}

// Events come this often; a client that does not read one for so long has gone.
const (
	eventInterval = time.Second
	eventTimeout  = 10 * time.Second
)

// events sends the status as server-sent events until the client goes or the server
// ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	return s.stream(w, r, "status", func() (any, error) { return s.Status(), nil })
}

// stream sends what next returns as server-sent events.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, name string, next func() (any, error)) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	connection := http.NewResponseController(w)
	defer connection.SetWriteDeadline(time.Time{})
	tick := time.NewTicker(eventInterval)
	defer tick.Stop()
	for {
		v, err := next()
		if err != nil {
			return err
		}
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		connection.SetWriteDeadline(time.Now().Add(eventTimeout))
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data); err != nil {
			return nil // gone
		}
		if connection.Flush() != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return nil
		case <-s.closing:
			return nil
		}
	}
}
