package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
)

// A Work is something long that is done with the device to itself: projections wait
// for it. It says which stage begins and which share of all is done, 0 to 1, and ends
// when ctx does.
//
// With an error it may have an outcome as well. One that wraps calib.ErrRefused means
// that the work was done and found the device not good.
type Work func(ctx context.Context, progress func(stage string, share float64)) (Outcome, error)

// Outcome is what came of a work. Any part may be missing.
type Outcome struct {
	Result  any            // for programs
	Files   []File         // for people and programs
	Verdict *calib.Verdict // on the device
	Matrix  *Matrix        // to serve from now on
}

// File is a file that can be asked for.
type File struct {
	Name    string // without folders
	Content []byte
}

// Job is a work as clients see it.
type Job struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind"`
	State    string     `json:"state"`
	Stage    string     `json:"stage"`
	Progress float64    `json:"progress"` // 0 to 1
	Queued   time.Time  `json:"queued_at"`
	Began    *time.Time `json:"began_at"` // null: not yet
	Ended    *time.Time `json:"ended_at"` // null: not yet
	Error    string     `json:"error"`    // empty: none
	Result   any        `json:"result"`   // null: none yet, or none
	Files    []string   `json:"files"`
}

// The states of a job. The last four are its end.
const (
	JobQueued    = "queued"
	JobRunning   = "running"
	JobDone      = "done"
	JobFailed    = "failed"
	JobRefused   = "refused" // done, and the verdict is not good
	JobCancelled = "cancelled"
)

// kindCalibration is the kind of the jobs that bring a matrix.
const kindCalibration = "calibration"

const (
	mostJobs    = 10 // that are remembered, with their files
	mostWaiting = 4  // jobs for the one that runs
)

var (
	errCancelled = errors.New("cancelled")
	errJobsFull  = fmt.Errorf("too many jobs: %w", errBusy)
)

// job is one while it is remembered.
type job struct {
	Job      // guarded by the jobs' mu
	claimed  bool
	revision int
	files    []File
	err      error
	work     Work
	ctx      context.Context
	cancel   context.CancelCauseFunc
	over     chan struct{} // closed when it has ended
}

func (j *job) ended() bool { return j.Ended != nil }

// jobs are those that wait, run or ended, the oldest first.
type jobs struct {
	mu       sync.Mutex
	all      []*job
	revision int           // of the last change
	changed  chan struct{} // closed at the next change
}

// touch notes a change of a job; mu is held.
func (q *jobs) touch(j *job) {
	q.revision++
	j.revision = q.revision
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// add lets a job in, and forgets old ones.
func (q *jobs) add(j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := 0
	for _, other := range q.all {
		if !other.ended() {
			waiting++
		}
	}
	if waiting > mostWaiting {
		return fmt.Errorf("cannot queue another %s: %d jobs wait or run, the most that may; cancel one (DELETE /opu/v1/jobs/ID) or try again later: %w", j.Kind, waiting, errJobsFull)
	}
	for len(q.all) >= mostJobs {
		old := slices.IndexFunc(q.all, (*job).ended) // there are more than can wait
		q.all = slices.Delete(q.all, old, old+1)
	}
	j.ID = strconv.FormatInt(j.Queued.UnixMilli(), 36)
	for slices.ContainsFunc(q.all, func(other *job) bool { return other.ID == j.ID }) {
		j.ID += "x"
	}
	q.all = append(q.all, j)
	q.touch(j)
	return nil
}

// claim says whether the job is the caller's: whoever is first does it, or says that
// nobody will.
func (q *jobs) claim(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.claimed {
		return false
	}
	j.claimed = true
	return true
}

func (q *jobs) begin(j *job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	j.State, j.Began = JobRunning, &now
	q.touch(j)
}

func (q *jobs) progress(j *job, stage string, share float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j.Stage, j.Progress = stage, max(j.Progress, min(1, share))
	q.touch(j)
}

// end notes how a job ended.
func (q *jobs) end(j *job, state string, o Outcome, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	j.State, j.Ended, j.Result, j.files, j.err = state, &now, o.Result, o.Files, err
	for _, f := range o.Files {
		j.Files = append(j.Files, f.Name)
	}
	if err != nil {
		j.Error = err.Error()
	}
	if state == JobDone {
		j.Progress = 1
	}
	q.touch(j)
	close(j.over)
}

// since are the jobs that changed after a revision, in the order of the changes, and a
// channel that is closed when one changes again.
func (q *jobs) since(revision int) (changed []Job, now int, again <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var found []*job
	for _, j := range q.all {
		if j.revision > revision {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, func(a, b *job) int { return a.revision - b.revision })
	for _, j := range found {
		changed = append(changed, j.Job)
	}
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return changed, q.revision, q.changed
}

// list are all that are remembered, the newest first.
func (q *jobs) list() []Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := make([]Job, 0, len(q.all))
	for _, j := range slices.Backward(q.all) {
		all = append(all, j.Job)
	}
	return all
}

// current is the job that runs, or waits longest, or nil.
func (q *jobs) current() *Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, state := range []string{JobRunning, JobQueued} {
		for _, j := range q.all {
			if j.State == state {
				current := j.Job
				return &current
			}
		}
	}
	return nil
}

// running is the job of a kind that runs or waits, or nil.
func (q *jobs) running(kind string) *Job {
	if j := q.current(); j != nil && j.Kind == kind {
		return j
	}
	return nil
}

// lastError is that of the last job of a kind; empty if it has none.
func (q *jobs) lastError(kind string) (why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.all {
		if j.Kind == kind && j.ended() {
			why = j.Error
		}
	}
	return why
}

// find returns the job with an id.
func (q *jobs) find(id string) (*job, Job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.all {
		if j.ID == id {
			return j, j.Job, nil
		}
	}
	return nil, Job{}, fmt.Errorf("cannot find job %.64q: there is none, or it is forgotten; the last %d are remembered: %w", id, mostJobs, errUnknown)
}

// Start queues a work and returns at once. Over is closed when the job has ended; Err
// then tells how. It fails if too many wait.
func (s *Server) Start(kind string, w Work) (*Started, error) {
	j := &job{Job: Job{Kind: kind, State: JobQueued, Queued: time.Now(), Files: []string{}}, work: w, over: make(chan struct{})}
	j.ctx, j.cancel = context.WithCancelCause(context.Background())
	if err := s.jobs.add(j); err != nil {
		return nil, err
	}
	go s.run(j)
	return &Started{j}, nil
}

// Started is a job of Start.
type Started struct{ j *job }

// Over is closed when the job has ended.
func (s *Started) Over() <-chan struct{} { return s.j.over }

// Err is how the job ended, after Over: nil if it was done.
func (s *Started) Err() error { return s.j.err }

// run has a job done when its turn comes. Jobs share a line of the queue, so that they
// are done one after the other.
func (s *Server) run(j *job) {
	defer j.cancel(nil)
	stop := context.AfterFunc(s.ending, func() { j.cancel(fmt.Errorf("the server is ending: %w", errCancelled)) })
	defer stop()
	err := s.queue.Do(j.ctx, &s.jobs, func(ctx context.Context) error {
		if s.jobs.claim(j) {
			s.work(ctx, j)
		}
		return nil
	})
	if err != nil && s.jobs.claim(j) { // nobody has begun it, nor will
		if cause := context.Cause(j.ctx); cause != nil {
			err = cause
		}
		s.finish(j, Outcome{}, err)
	}
}

// work does a job, on the goroutine of the queue, and serves the matrix that it made.
func (s *Server) work(ctx context.Context, j *job) {
	s.o.Log.Info("job began", "kind", j.Kind, "id", j.ID)
	s.jobs.begin(j)
	stage := ""
	o, err := j.work(ctx, func(next string, share float64) {
		if next != stage {
			stage = next
			s.o.Log.Info("job", "kind", j.Kind, "id", j.ID, "stage", stage)
		}
		s.jobs.progress(j, next, share)
	})
	if o.Matrix != nil {
		err = errors.Join(err, s.install(o.Matrix))
	} else if o.Verdict != nil {
		s.notes.judged(*o.Verdict, j.Kind)
	}
	s.finish(j, o, err)
}

// finish notes the end of a job everywhere.
func (s *Server) finish(j *job, o Outcome, err error) {
	state, code := JobDone, ""
	switch {
	case err == nil:
	case errors.Is(err, calib.ErrRefused):
		state, code = JobRefused, "refused"
	case j.ctx.Err() != nil:
		state, err = JobCancelled, context.Cause(j.ctx)
	default:
		state, code = JobFailed, "job_failed"
	}
	if errors.Is(err, driver.ErrMatrixLost) {
		s.loseMatrix(s.matrix.Load(), err)
	}
	if code != "" {
		s.notes.add(code, err)
	}
	s.o.Log.Info("job ended", "kind", j.Kind, "id", j.ID, "state", state, "error", err)
	s.jobs.end(j, state, o, err)
}

// loseMatrix notes that a matrix is gone.
func (s *Server) loseMatrix(m *live, err error) {
	if m != nil && m.lost.CompareAndSwap(nil, &err) {
		s.notes.add("matrix_lost", err)
		s.o.Log.Error("the matrix is lost", "error", err)
	}
}

// postJob is POST /opu/v1/KIND: a new job of that kind. With ?hold=1 the response
// lasts as long as the job and has a line of JSON for each of its changes; a client
// that goes cancels the job.
func (s *Server) postJob(kind string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.leases.admit(r.URL.Query().Get("lease")); err != nil {
			return err
		}
		parse := s.o.Works[kind]
		if parse == nil {
			return fmt.Errorf("cannot do a %s: this device has none: %w", kind, errNotHere)
		}
		limit := int64(s.limits().JSON)
		body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
		if err != nil {
			return fmt.Errorf("cannot read the request: %w", err)
		}
		if int64(len(body)) > limit {
			return fmt.Errorf("cannot read a request of more than %d bytes: %w", limit, errTooLarge)
		}
		work, err := parse(body)
		if err != nil {
			return err
		}
		started, err := s.Start(kind, work)
		if err != nil {
			return err
		}
		id := started.j.ID
		h := w.Header()
		h.Set("Location", "/opu/v1/jobs/"+url.PathEscape(id))
		if hold := r.URL.Query().Get("hold"); hold != "" && hold != "0" {
			return s.hold(w, r, started.j)
		}
		_, job, err := s.jobs.find(id)
		if err != nil {
			return err
		}
		h.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		return json.NewEncoder(w).Encode(job)
	}
}

// hold sends a line for each change of a job until it has ended. A client that goes
// meanwhile does not want it any more.
func (s *Server) hold(w http.ResponseWriter, r *http.Request, j *job) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusAccepted)
	stop := context.AfterFunc(r.Context(), func() { j.cancel(fmt.Errorf("its client has gone: %w", errCancelled)) })
	defer stop()
	out := http.NewResponseController(w)
	defer out.SetWriteDeadline(time.Time{})
	lines := json.NewEncoder(w)
	for revision := 0; ; {
		changed, now, again := s.jobs.since(revision)
		revision = now
		for _, c := range changed {
			if c.ID != j.ID {
				continue
			}
			out.SetWriteDeadline(time.Now().Add(eventTimeout))
			if lines.Encode(c) != nil || out.Flush() != nil {
				j.cancel(fmt.Errorf("its client has gone: %w", errCancelled))
				return nil
			}
			if c.Ended != nil {
				return nil
			}
		}
		select {
		case <-again:
		case <-r.Context().Done():
			return nil
		}
	}
}

func (s *Server) listJobs(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string]any{"jobs": s.jobs.list()})
}

func (s *Server) getJob(w http.ResponseWriter, r *http.Request) error {
	_, job, err := s.jobs.find(r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, job)
}

// cancelJob is DELETE /opu/v1/jobs/ID. It waits until the job has ended, which it does
// in time, and answers with its end; one that had ended stays as it was.
func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request) error {
	j, _, err := s.jobs.find(r.PathValue("id"))
	if err != nil {
		return err
	}
	j.cancel(fmt.Errorf("a client cancelled it: %w", errCancelled))
	select {
	case <-j.over:
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
	s.jobs.mu.Lock()
	job := j.Job
	s.jobs.mu.Unlock()
	return writeJSON(w, job)
}

// jobFile is GET /opu/v1/jobs/ID/files/NAME.
func (s *Server) jobFile(w http.ResponseWriter, r *http.Request) error {
	j, job, err := s.jobs.find(r.PathValue("id"))
	if err != nil {
		return err
	}
	if job.Ended == nil {
		return fmt.Errorf("cannot give files of job %s: it has not ended: %w", job.ID, errUnknown)
	}
	return writeFile(w, j.files, r.PathValue("file"))
}

// report is GET /opu/v1/report/NAME: the page about the calibration that is in use.
func (s *Server) report(w http.ResponseWriter, r *http.Request) error {
	m, err := s.served()
	if err != nil {
		return err
	}
	name := r.PathValue("file")
	if name == "" {
		name = pageFile
	}
	return writeFile(w, m.Report, name)
}

// pageFile is the page among the files of a report.
const pageFile = "report.html"

// filePolicy lets a file of a job use its own style and the pictures beside it, and run
// nothing.
func filePolicy(content []byte) string {
	style := "'none'"
	if _, rest, ok := bytes.Cut(content, []byte("<style>")); ok {
		text, _, _ := bytes.Cut(rest, []byte("</style>"))
		sum := sha256.Sum256(text)
		style = "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; img-src 'self'; style-src " + style + "; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
}

// writeFile answers with the file of a name.
func writeFile(w http.ResponseWriter, files []File, name string) error {
	i := slices.IndexFunc(files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return fmt.Errorf("cannot find the file %.64q: it is not among those: %w", name, errUnknown)
	}
	h := w.Header()
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(files[i].Content)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", filePolicy(files[i].Content))
	w.Write(files[i].Content) // whoever has gone does not miss it
	return nil
}
