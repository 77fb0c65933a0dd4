package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/server"
)

// other is the fake with another matrix: its outputs are scaled.
type other struct {
	fake
	epoch string
	scale complex64
}

func (o *other) Epoch() string { return o.epoch }

func (o *other) ProjectWindow(ctx context.Context, dst []complex64, x []int8, first, count int) error {
	err := o.fake.ProjectWindow(ctx, dst, x, first, count)
	for i := range dst {
		dst[i] *= o.scale
	}
	return err
}

// works are kinds of jobs whose every work waits at its gate, and then has the outcome
// that comes through it.
type gate chan end

type end struct {
	outcome server.Outcome
	err     error
}

func (g gate) work(ctx context.Context, progress func(string, float64)) (server.Outcome, error) {
	progress("waiting", 0.5)
	select {
	case e := <-g:
		return e.outcome, e.err
	case <-ctx.Done():
		return server.Outcome{}, context.Cause(ctx)
	}
}

func (g gate) parse(request []byte) (server.Work, error) {
	if len(request) > 0 && string(request) != "{}" {
		return nil, fmt.Errorf("cannot calibrate so: %w", oip.ErrRequest)
	}
	return g.work, nil
}

func gated(o server.Options) (server.Options, gate) {
	g := make(gate)
	o.Works = map[string]func([]byte) (server.Work, error){"calibration": g.parse, "selftest": g.parse}
	return o, g
}

// job reads a job.
func (d *door) job(id string) (j server.Job) {
	d.t.Helper()
	status, _, body := d.do("GET", "/opu/v1/jobs/"+id, nil)
	if err := json.Unmarshal(body, &j); err != nil || status != 200 {
		d.t.Errorf("job %s: status %d, %s", id, status, body)
	}
	return j
}

// post asks for a job and returns it.
func (d *door) post(kind string) (j server.Job) {
	d.t.Helper()
	status, header, body := d.do("POST", "/opu/v1/"+kind, nil)
	if err := json.Unmarshal(body, &j); err != nil || status != 202 || header.Get("Location") != "/opu/v1/jobs/"+j.ID || j.Kind != kind {
		d.t.Fatalf("POST %s: status %d, Location %q, %s", kind, status, header.Get("Location"), body)
	}
	return j
}

// reaches waits until the job has a state.
func (h *house) reaches(id, state string) (j server.Job) {
	h.socket.t.Helper()
	h.until("job "+id+" does not come to be "+state, func() bool {
		j = h.socket.job(id)
		return j.State == state
	})
	return j
}

// One job after the other, with results, files and a bounded memory of them.
func TestJobs(t *testing.T) {
	o, g := gated(server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	h := start(t, o)
	first, second := h.tcp.post("selftest"), h.tcp.post("selftest")
	if j := h.reaches(first.ID, server.JobRunning); j.Began == nil || j.Ended != nil {
		t.Errorf("a job that runs is %+v", j)
	}
	h.until("its stage does not show", func() bool { return h.server.Status().Stage == "waiting" })
	if j := h.socket.job(second.ID); j.State != server.JobQueued || j.Began != nil {
		t.Errorf("the second job is %+v", j)
	}
	if s := h.server.Status(); s.Job == nil || s.Job.ID != first.ID || s.Job.Progress != 0.5 {
		t.Errorf("the status has job %+v", s.Job)
	}
	g <- end{outcome: server.Outcome{Result: map[string]int{"answer": 42}, Files: []server.File{{"page.html", []byte("<p>")}}, Verdict: &calib.Verdict{Verdict: calib.VerdictGood}}}
	j := h.reaches(first.ID, server.JobDone)
	if fmt.Sprint(j.Result) != "map[answer:42]" || !slices.Equal(j.Files, []string{"page.html"}) || j.Progress != 1 || j.Ended == nil || j.Error != "" {
		t.Errorf("the first job ended as %+v", j)
	}
	if status, header, body := h.socket.do("GET", "/opu/v1/jobs/"+j.ID+"/files/page.html", nil); status != 200 || string(body) != "<p>" || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		t.Errorf("its file: status %d, %q, %s", status, header.Get("Content-Type"), body)
	}
	if v := h.server.Status().Verdict; v == nil || v.Verdict != calib.VerdictGood || v.By != "selftest" {
		t.Errorf("the verdict is %+v", v)
	}

	h.reaches(second.ID, server.JobRunning)
	for path, want := range map[string]int{
		"/opu/v1/jobs/" + second.ID + "/files/page.html": 404, "/opu/v1/jobs/" + first.ID + "/files/none": 404,
		"/opu/v1/jobs/none": 404, "/opu/v1/report/report.html": 404, "/opu/v1/calibration.opucal": 404,
	} {
		if status, _, body := h.socket.do("GET", path, nil); status != want {
			t.Errorf("%s: status %d, want %d: %s", path, status, want, body)
		}
	}
	g <- end{err: errors.New("cannot find the camera")}
	if j := h.reaches(second.ID, server.JobFailed); !strings.Contains(j.Error, "camera") {
		t.Errorf("the second job ended as %+v", j)
	}
	if e := h.server.Status().Errors; len(e) != 1 || e[0].Code != "job_failed" || e[0].Count != 1 {
		t.Errorf("the errors are %+v", e)
	}
	for range 12 {
		j := h.socket.post("selftest")
		g <- end{}
		h.reaches(j.ID, server.JobDone)
	}
	if jobs := h.socket.object("GET", "/opu/v1/jobs")["jobs"].([]any); len(jobs) != 10 {
		t.Errorf("%d jobs are remembered", len(jobs))
	}
	if status, _, _ := h.socket.do("GET", "/opu/v1/jobs/"+first.ID, nil); status != 404 {
		t.Errorf("a job that is forgotten: status %d", status)
	}
}

func TestJobRefusals(t *testing.T) {
	o, _ := gated(server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	h := start(t, o)
	refused := func(d *door, method, path, body string, want int, code string) {
		t.Helper()
		status, _, got := d.do(method, path, []byte(body))
		var v struct{ Error, Code string }
		if err := json.Unmarshal(got, &v); err != nil || status != want || v.Code != code {
			t.Errorf("%s %s %.20q: status %d, %s", method, path, body, status, got)
		}
	}
	refused(h.socket, "POST", "/opu/v1/selftest", `{"no":1}`, 400, "bad_request")
	refused(h.socket, "POST", "/opu/v1/selftest", strings.Repeat(" ", 16<<20+1), 413, "too_large")
	refused(h.socket, "POST", "/opu/v1/map", ``, 501, "not_here")
	refused(h.socket, "PUT", "/opu/v1/calibration", ``, 405, "wrong_method")
	refused(h.socket, "DELETE", "/opu/v1/jobs/none", ``, 404, "not_found")
	_, lease := h.socket.lease(`{}`)
	refused(h.socket, "POST", "/opu/v1/calibration", ``, 503, "leased")
	for range 5 {
		if status, _, body := h.socket.do("POST", "/opu/v1/selftest?lease="+lease, nil); status != 202 {
			t.Errorf("with the lease: status %d, %s", status, body)
		}
	}
	refused(h.socket, "POST", "/opu/v1/selftest?lease="+lease, ``, 503, "busy")
	h.tcp.header.Del("Authorization")
	refused(h.tcp, "POST", "/opu/v1/calibration", ``, 401, "no_token")
	refused(h.tcp, "GET", "/opu/v1/jobs", ``, 401, "no_token")
}

// Cancelled jobs end at once, one that waits as well as one that runs; so do those of
// clients that go while they hold them.
func TestJobCancel(t *testing.T) {
	o, g := gated(server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	h := start(t, o)
	running, waiting := h.socket.post("selftest"), h.socket.post("selftest")
	h.reaches(running.ID, server.JobRunning)
	for _, id := range []string{waiting.ID, running.ID, running.ID} {
		status, _, body := h.socket.do("DELETE", "/opu/v1/jobs/"+id, nil)
		var j server.Job
		if err := json.Unmarshal(body, &j); err != nil || status != 200 || j.State != server.JobCancelled || !strings.Contains(j.Error, "cancelled") {
			t.Errorf("cancelling: status %d, %s", status, body)
		}
	}

	ctx, hangUp := context.WithCancel(t.Context())
	q, _ := http.NewRequestWithContext(ctx, "POST", "http://opu/opu/v1/calibration?hold=1", nil)
	response, err := h.socket.client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	var j server.Job
	lines := bufio.NewScanner(response.Body)
	for j.State != server.JobRunning && lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			t.Fatal(err)
		}
	}
	hangUp()
	response.Body.Close()
	if j := h.reaches(j.ID, server.JobCancelled); !strings.Contains(j.Error, "gone") {
		t.Errorf("the job of a client that went: %+v", j)
	}

	// Held to its end.
	go func() { g <- end{outcome: server.Outcome{Result: "here"}} }()
	status, _, body := h.tcp.do("POST", "/opu/v1/selftest?hold=1", []byte("{}"))
	all := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	if err := json.Unmarshal(all[len(all)-1], &j); err != nil || status != 202 || len(all) < 2 || j.State != server.JobDone || j.Result != "here" {
		t.Errorf("held to its end: status %d, %s", status, body)
	}

	// The end of the server.
	last := h.socket.post("selftest")
	h.reaches(last.ID, server.JobRunning)
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

// A good calibration replaces the matrix: who asked for the old one is refused, who did
// not is served by the new one, and no result is of both.
func TestReplacement(t *testing.T) {
	old := &other{epoch: "b-old", scale: 1}
	o, g := gated(server.Options{Matrix: &server.Matrix{OPU: old}, Limits: server.Limits{BatchRows: 2}})
	h := start(t, o)
	version := h.server.Version()
	job := h.socket.post("calibration")
	h.reaches(job.ID, server.JobRunning)

	x := randomRows(1, 9, -1)
	raw := make([]byte, len(x))
	for i, v := range x {
		raw[i] = byte(v)
	}
	var want []float32
	for r := range 9 {
		for _, z := range fakeRow(x[r*inputs : (r+1)*inputs]) {
			want = append(want, 3*real(z), 3*imag(z))
		}
	}
	text := fmt.Sprintf(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[9,10],"datatype":"INT8","parameters":{"binary_data_size":%d}}]}`, len(x))
	type answer struct {
		status int
		header http.Header
		body   []byte
	}
	answers := map[string]chan answer{"": make(chan answer, 1), "/versions/" + version: make(chan answer, 1)}
	for path, got := range answers {
		go func() {
			status, header, body := h.socket.do("POST", "/v2/models/opu"+path+"/infer", append([]byte(text), raw...), headerLength, fmt.Sprint(len(text)))
			got <- answer{status, header, body}
		}()
	}
	h.until("the requests do not arrive", func() bool { return h.server.Status().Queue.Requests == 3 })
	g <- end{outcome: server.Outcome{Matrix: &server.Matrix{
		OPU: &other{epoch: "b-new", scale: 3}, Report: []server.File{{"report.html", []byte("new")}},
		Verdict: calib.Verdict{Verdict: calib.VerdictGood, Checks: []calib.Check{{Name: calib.SaturatedCheck, Value: 0.25}}},
	}}}
	unpinned, pinned := <-answers[""], <-answers["/versions/"+version]
	if unpinned.status != 200 || !bytes.Contains(unpinned.body, []byte(`"model_version":"`+h.server.Version()+`"`)) {
		t.Errorf("without a version: status %d, %.200s", unpinned.status, unpinned.body)
	} else if y, _ := h.socket.tensor(unpinned.header, unpinned.body); !slices.Equal(y, want) {
		t.Error("without a version: results are not all the new matrix's")
	}
	if pinned.status != 404 || !bytes.Contains(pinned.body, []byte("other_matrix")) {
		t.Errorf("with the old version: status %d, %.200s", pinned.status, pinned.body)
	}
	s := h.server.Status()
	if s.Epoch != "b-new" || s.ModelVersion == version || s.Saturated == nil || *s.Saturated != 0.25 || s.Verdict.By != "calibration" {
		t.Errorf("the status is %+v", s)
	}
	for _, path := range []string{"/opu/v1/report/", "/opu/v1/report/report.html"} {
		status, header, body := h.socket.do("GET", path, nil)
		if policy := header.Get("Content-Security-Policy"); status != 200 || string(body) != "new" || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: status %d, policy %q, %s", path, status, policy, body)
		}
	}

	// A refused one leaves it, and one of another shape is none.
	for _, e := range []end{
		{err: fmt.Errorf("cannot use it: %w", calib.ErrRefused), outcome: server.Outcome{Verdict: &calib.Verdict{Verdict: calib.VerdictRefused}}},
		{outcome: server.Outcome{Matrix: &server.Matrix{OPU: narrow{new(fake)}}}},
	} {
		job := h.socket.post("calibration")
		g <- e
		h.until("the job does not end", func() bool { return h.socket.job(job.ID).Ended != nil })
		state := h.socket.job(job.ID).State
		if s := h.server.Status(); s.Epoch != "b-new" || !s.Ready || state != map[bool]string{true: server.JobRefused, false: server.JobFailed}[e.err != nil] {
			t.Errorf("after %+v: job %s, %+v", e, state, s)
		}
	}
}

// narrow has fewer outputs.
type narrow struct{ *fake }

func (n narrow) Shape() (int, int) { return outputs - 1, inputs }

// A large request of which a part is done when the matrix is replaced begins anew.
func TestReplacementHalfway(t *testing.T) {
	halfway, goOn := make(chan struct{}, 100), make(chan struct{})
	old := &other{epoch: "b-old", scale: 1, fake: fake{project: func(context.Context) error {
		halfway <- struct{}{}
		<-goOn
		return nil
	}}}
	o, g := gated(server.Options{Matrix: &server.Matrix{OPU: old}, Limits: server.Limits{BatchRows: 1}})
	h := start(t, o)
	got := make(chan []float32)
	x := randomRows(2, 4, -1)
	go func() {
		y, _ := h.tcp.infer("opu", x, `,"repeat":2`)
		got <- y
	}()
	<-halfway
	h.socket.post("calibration")
	close(goOn)
	g <- end{outcome: server.Outcome{Matrix: &server.Matrix{OPU: &other{epoch: "b-new", scale: 3}}}}
	var want []float32
	for r := range 4 {
		for _, z := range fakeRow(x[r*inputs : (r+1)*inputs]) {
			want = append(want, 3*real(z), 3*imag(z))
		}
	}
	if y := <-got; !slices.Equal(y, want) {
		t.Error("the result is not all the new matrix's")
	}
	if len(halfway) > 7 {
		t.Error("the old matrix was asked to the end; the job had no turn in between")
	}
}

// Without a matrix the server is there, says what it waits for, and a job brings one;
// so it does when the matrix was lost.
func TestNoMatrix(t *testing.T) {
	o, g := gated(server.Options{Outputs: outputs, Inputs: inputs, Counters: func() (s driver.Stats) { s.Frames = 7; return s }})
	h := start(t, o)
	unavailable := func(code, says string) {
		t.Helper()
		for _, path := range []string{"/v2/health/ready", "/v2/models/opu", "/v2/models/opu/ready", "/v2/models/opu/config", "/opu/v1/calibration", "/opu/v1/frame.png", "/opu/v1/report/"} {
			status, header, body := h.socket.do("GET", path, nil)
			if status != 503 || header.Get("Retry-After") == "" || !bytes.Contains(body, []byte(says)) || !bytes.Contains(body, []byte(`"code":"`+code+`"`)) {
				t.Errorf("%s: status %d, %s; want code %s and words about %q", path, status, body, code, says)
			}
		}
		if status, _, body := h.socket.do("POST", "/v2/models/opu/infer", []byte(strings.Repeat("\x01", inputs)), headerLength, "0"); status != 503 {
			t.Errorf("a projection: status %d, %s", status, body)
		}
		for _, path := range []string{"/v2/health/live", "/v2", "/v2/models", "/v2/models/opu/stats", "/metrics", "/opu/v1/status"} {
			if status, _, body := h.socket.do("GET", path, nil); status != 200 {
				t.Errorf("%s: status %d, %s", path, status, body)
			}
		}
		if s := h.server.Status(); s.Ready || !strings.Contains(s.Reason, says) || s.Epoch != "" || s.ModelVersion != "" || s.Outputs != outputs || s.Stats.Frames != 7 {
			t.Errorf("the status is %+v", s)
		}
	}
	unavailable("no_matrix", "before the OPU is calibrated")
	j := h.socket.post("calibration")
	h.reaches(j.ID, server.JobRunning)
	h.until("no stage", func() bool { return h.server.Status().Stage != "" })
	unavailable("calibrating", "is being calibrated (waiting)")
	g <- end{err: fmt.Errorf("tilt the reference beam: %w", calib.ErrRefused)}
	h.reaches(j.ID, server.JobRefused)
	unavailable("no_matrix", "tilt the reference beam")

	lost := fmt.Errorf("cannot project: %w", driver.ErrMatrixLost)
	broken := &other{epoch: "b-1", scale: 1, fake: fake{project: func(context.Context) error { return lost }}}
	for _, m := range []*other{broken, {epoch: "b-2", scale: 1}} {
		j = h.socket.post("calibration")
		g <- end{outcome: server.Outcome{Matrix: &server.Matrix{OPU: m}}}
		h.reaches(j.ID, server.JobDone)
		if s := h.server.Status(); !s.Ready || s.Epoch != m.epoch {
			t.Errorf("after a good calibration: %+v", s)
		}
		status, _, body := h.socket.do("POST", "/v2/models/opu/infer", []byte(strings.Repeat("\x01", inputs)), headerLength, "0")
		if s := h.server.Status(); (m == broken) != (status == 503) || s.Ready != (status == 200) {
			t.Errorf("projecting with %s: status %d, %s; %+v", m.epoch, status, body, s)
		}
	}
	if e := h.server.Status().Errors; len(e) != 2 || e[0].Code != "matrix_lost" || e[1].Code != "refused" {
		t.Errorf("the errors are %+v", e)
	}
}

// Events tell of jobs when they change.
func TestJobEvents(t *testing.T) {
	o, g := gated(server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	h := start(t, o)
	response, err := h.socket.client.Get("http://opu/opu/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(response.Body, 1<<20))
	event := func() (name string, data []byte) {
		for lines.Scan() {
			if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = n
			} else if d, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
				return name, d
			}
		}
		t.Fatalf("the events ended: %v", lines.Err())
		return
	}
	if name, _ := event(); name != "status" {
		t.Errorf("the first event is %s", name)
	}
	id := h.socket.post("selftest").ID
	go func() { g <- end{} }()
	for state := ""; state != server.JobDone; {
		name, data := event()
		if name != "job" {
			continue
		}
		var j server.Job
		if err := json.Unmarshal(data, &j); err != nil || j.ID != id {
			t.Fatalf("event %s (%v)", data, err)
		}
		state = j.State
	}
}
