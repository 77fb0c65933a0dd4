package server

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/internal/oip"
)

// metrics is GET /metrics, in the text format of Prometheus, version 0.0.4.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) error {
	var m exposition
	st := s.Status()
	ready := 0.0
	if st.Ready {
		ready = 1
	}
	seconds := func(d time.Duration) float64 { return d.Seconds() }
	m.add("opu_info", "gauge", "What is served.", sample{labels("version", s.o.Version, "device", st.Device, "epoch", st.Epoch,
		"model_version", st.ModelVersion, "simulated", st.Simulated), 1})
	m.one("opu_ready", "gauge", "1 while projections can be asked for.", ready)
	m.one("opu_uptime_seconds", "gauge", "Time since the start.", st.Uptime)
	m.one("opu_outputs", "gauge", "Complex outputs of the matrix.", float64(st.Outputs))
	m.one("opu_inputs", "gauge", "Inputs of the matrix.", float64(st.Inputs))
	m.one("opu_probe_health", "gauge", "Correlation of the last probe with the calibration; the epoch ends below 0.8.", st.Stats.Health)
	m.one("opu_probe_phase_radians", "gauge", "Phase of the reference since the calibration.", st.Stats.Phase)
	for _, c := range []struct {
		name, help string
		value      uint64
	}{
		{"projections", "Rows projected, those of zeros included.", st.Stats.Projections},
		{"zero_rows", "Rows of zeros, which cost no exposure.", st.Stats.ZeroRows},
		{"runs", "Runs of the SLM.", st.Stats.Runs},
		{"exposures", "Patterns shown for rows, repeats included.", st.Stats.Exposures},
		{"markers", "Patterns shown to prove the order.", st.Stats.Markers},
		{"uploads", "Patterns sent to the SLM.", st.Stats.Uploads},
		{"frames", "Frames received.", st.Stats.Frames},
		{"frames_lost", "Frames expected and never received.", st.Stats.Lost},
		{"frames_damaged", "Frames with a bad status.", st.Stats.Damaged},
		{"frames_duplicate", "Frames received a second time.", st.Stats.Duplicates},
		{"frames_wrong", "Frames found to be another pattern's.", st.Stats.Wrong},
		{"exposures_repeated", "Exposures shown again for any reason.", st.Stats.Repeated},
		{"runs_unproven", "Runs discarded since counts, clock or markers disagreed.", st.Stats.Unproven},
		{"batches", "Batches given to the device.", st.Queue.Batches},
		{"batch_rows", "Rows in them.", st.Queue.BatchRows},
		{"requests_refused", "Requests that found the queue full.", st.Queue.Refused},
		{"requests_abandoned", "Requests whose client went or whose time ended.", st.Queue.Abandoned},
	} {
		m.one("opu_"+c.name+"_total", "counter", c.help, float64(c.value))
	}
	m.one("opu_device_busy_seconds_total", "counter", "Time that batches took.", seconds(st.Queue.Busy))
	m.one("opu_device_looked_at_seconds_total", "counter", "Time that looks for people took.", seconds(time.Duration(s.views.took.Load())))
	m.one("opu_queue_requests", "gauge", "Requests waiting or under way.", float64(st.Queue.Requests))
	m.one("opu_queue_rows", "gauge", "Rows waiting.", float64(st.Queue.Rows))
	m.one("opu_memory_bytes", "gauge", "Memory of requests under way.", float64(st.Memory))

	var requests, rows, times []sample
	for _, model := range s.models {
		v := s.statistics(model)
		i := v.Inference
		requests = append(requests, sample{labels("model", v.Name, "result", "success"), float64(i.Success.Count)},
			sample{labels("model", v.Name, "result", "fail"), float64(i.Fail.Count)})
		rows = append(rows, sample{labels("model", v.Name), float64(v.InferenceCount)})
		for _, part := range []struct {
			name string
			of   oip.Duration
		}{{"input", i.ComputeInput}, {"queue", i.Queue}, {"device", i.ComputeInfer}, {"output", i.ComputeOutput}} {
			times = append(times, sample{labels("model", v.Name, "part", part.name), float64(part.of.Nanoseconds) / 1e9})
		}
	}
	m.add("opu_requests_total", "counter", "Inference requests that are over.", requests...)
	m.add("opu_request_rows_total", "counter", "Rows of those that succeeded.", rows...)
	m.add("opu_request_seconds_total", "counter", "Where their time went.", times...)
	m.add("opu_http_refused_total", "counter", "Requests answered with an error, by status.", s.refused.samples()...)

	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write([]byte(m.String())) // whoever has gone does not miss it
	return nil
}

// exposition is the text that Prometheus reads.
type exposition struct{ strings.Builder }

type sample struct {
	labels string
	value  float64
}

func (e *exposition) add(name, kind, help string, samples ...sample) {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	for _, s := range samples {
		fmt.Fprintf(e, "%s%s %v\n", name, s.labels, s.value)
	}
}

func (e *exposition) one(name, kind, help string, value float64) {
	e.add(name, kind, help, sample{"", value})
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// labels makes {name="value",...} of pairs.
func labels(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, `%c%s="%s"`, "{,"[min(i, 1)], pairs[i], escapeLabel.Replace(pairs[i+1]))
	}
	return b.String() + "}"
}

// samples are the refusals so far.
func (r *refusals) samples() (samples []sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for status, n := range r.by {
		samples = append(samples, sample{labels("status", fmt.Sprint(status)), float64(n)})
	}
	sort.Slice(samples, func(i, j int) bool { return samples[i].labels < samples[j].labels })
	return samples
}
