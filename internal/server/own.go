package server

import (
	"bytes"
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
	Epoch        string `json:"epoch"`               // empty: there is no matrix
	Model        string `json:"model"`               // base name of the models
	ModelVersion string `json:"model_version"`       // empty as well
	Outputs      int    `json:"outputs"`
	Inputs       int    `json:"inputs"`

	Time   time.Time    `json:"time"`
	Uptime float64      `json:"uptime_s"`
	Stats  driver.Stats `json:"stats"`
	Queue  queue.Stats  `json:"queue"`
	Memory int64        `json:"memory_bytes"` // of requests under way
	Lease  *leaseInfo   `json:"lease"`        // null: nobody has one

	Job       *Job       `json:"job"`             // that runs, or waits longest; null: none
	Stage     string     `json:"stage,omitempty"` // of it
	Verdict   *Judgement `json:"verdict"`         // the last on the device; null: none yet
	Saturated *float64   `json:"saturated"`       // share of the pixels, all mirrors on, when it was judged; null: not known
	Rates     Rates      `json:"rates"`
	Expect    string     `json:"expect,omitempty"` // what rate to expect of the device, and what limits it; empty: not known
	Errors    []Note     `json:"errors"`           // the newest first
}

// Status says how the server and its device are.
func (s *Server) Status() Status {
	st := Status{
		Device: s.o.Device, Simulated: s.o.Simulated, Epoch: s.epoch(), Model: s.o.Model, ModelVersion: s.Version(), Outputs: s.outputs, Inputs: s.inputs,
		Time: time.Now(), Uptime: time.Since(s.began).Seconds(), Stats: s.driverStats(), Queue: s.queue.Stats(), Memory: s.budget.held(), Lease: s.leases.info(),
		Job: s.jobs.current(), Rates: s.history.rates(),
	}
	st.Errors, st.Verdict, st.Saturated = s.notes.all()
	if m := s.matrix.Load(); m != nil {
		st.Expect = m.Expect
	}
	if st.Job != nil {
		st.Stage = st.Job.Stage
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

// calibrated is the matrix that is served, which has a calibration.
func (s *Server) calibrated() (*live, error) {
	m, err := s.served()
	if err == nil && m.Calibration == nil {
		err = fmt.Errorf("cannot tell a calibration: this device has none: %w", errUnknown)
	}
	return m, err
}

// calibrationFile is GET /opu/v1/calibration.opucal: the calibration as a file.
func (s *Server) calibrationFile(w http.ResponseWriter, _ *http.Request) error {
	m, err := s.calibrated()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := m.Calibration.Write(&b); err != nil {
		return err
	}
	return writeFile(w, []File{{"calibration.opucal", b.Bytes()}}, "calibration.opucal")
}

// calibration is what the matrix rests on, without its arrays.
func (s *Server) calibration(w http.ResponseWriter, _ *http.Request) error {
	m, err := s.calibrated()
	if err != nil {
		return err
	}
	c := m.Calibration
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
	}{c.Epoch(), c.Created, c.SLM, c.Camera, c.Settings, layout, c.Carrier, c.Outputs, c.Scale, c.Levels, c.Quality, m.Verdict})
}

// Events come this often; a client that does not read one for so long has gone.
const (
	eventInterval = time.Second
	eventTimeout  = 10 * time.Second
)

// events sends the status, and jobs when they change, as server-sent events until the
// client goes or the server ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	return s.stream(w, r, "status", func() (any, error) { return s.Status(), nil })
}

// stream sends what next returns, and jobs when they change, as server-sent events.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, name string, next func() (any, error)) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	connection := http.NewResponseController(w)
	defer connection.SetWriteDeadline(time.Time{})
	tick := time.NewTicker(eventInterval)
	defer tick.Stop()
	send := func(name string, v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		connection.SetWriteDeadline(time.Now().Add(eventTimeout))
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data); err != nil {
			return err
		}
		return connection.Flush()
	}
	_, revision, changed := s.jobs.since(0)
	for {
		v, err := next()
		if err != nil {
			return err
		}
		if send(name, v) != nil {
			return nil // gone
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				var jobs []Job
				jobs, revision, changed = s.jobs.since(revision)
				for _, j := range jobs {
					if send("job", j) != nil {
						return nil
					}
				}
			case <-tick.C:
				waiting = false
			case <-r.Context().Done():
				return nil
			case <-s.ending.Done():
				return nil
			}
		}
	}
}
