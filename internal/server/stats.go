package server

import (
	"net/http"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/queue"
)

// modelStats counts the requests of a model.
type modelStats struct {
	mu   sync.Mutex
	last time.Time
	rows uint64
	runs uint64
	oip.InferenceStatistics
}

// spent is where the time of a request went.
type spent struct {
	input, queued, device, output, total time.Duration
	rows, batches                        int
}

// add adds what the queue says.
func (t *spent) add(q queue.Timing) {
	t.queued += q.Queued
	t.device += q.Device
	t.batches += q.Batches
}

func add(d *oip.Duration, took time.Duration) {
	d.Count++
	d.Nanoseconds += uint64(took)
}

// count counts a request that is over.
func (m *modelStats) count(t spent, failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = time.Now()
	if failed {
		add(&m.Fail, t.total)
		return
	}
	m.rows += uint64(t.rows)
	m.runs += uint64(t.batches)
	add(&m.Success, t.total)
	add(&m.Queue, t.queued)
	add(&m.ComputeInput, t.input)
	add(&m.ComputeInfer, t.device)
	add(&m.ComputeOutput, t.output)
}

// statistics are the model's since the start.
func (s *Server) statistics(m *model) oip.ModelStatistics {
	m.stats.mu.Lock()
	defer m.stats.mu.Unlock()
	st := oip.ModelStatistics{
		Name: m.name, Version: s.Version(), InferenceCount: m.stats.rows, ExecutionCount: m.stats.runs,
		Inference: m.stats.InferenceStatistics, Responses: map[string]any{}, Batches: []any{}, Memory: []any{},
	}
	if !m.stats.last.IsZero() {
		st.LastInference = m.stats.last.UnixMilli()
	}
	return st
}

func (s *Server) modelStatistics(w http.ResponseWriter, r *http.Request) error {
	m, err := s.find(r.PathValue("name"), r.PathValue("version"))
	if err != nil {
		return err
	}
	return writeJSON(w, oip.Statistics{Models: []oip.ModelStatistics{s.statistics(m)}})
}

func (s *Server) allStatistics(w http.ResponseWriter, _ *http.Request) error {
	var all oip.Statistics
	for _, m := range s.models {
		all.Models = append(all.Models, s.statistics(m))
	}
	return writeJSON(w, all)
}
