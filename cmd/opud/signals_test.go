//go:build unix

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/server"
)

// daemon is the program as a process.
type daemon struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *bufio.Scanner
	seen  strings.Builder
	admin *client.Daemon
}

// built is the program's folder, made for all tests.
var built = sync.OnceValues(func() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "opud-test-"); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", filepath.Join(folder, "opud"), ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return folder, err
})

var needed bool // built

func TestMain(m *testing.M) {
	code := m.Run()
	if needed {
		folder, _ := built()
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// build builds the program, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("left out: processes take long, and the race detector, with which short tests are run, does not see into them")
	}
	needed = true
	folder, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "opud")
}

// start starts the program with the runtime folder and arguments given.
func start(t *testing.T, program, runtime string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: exec.Command(program, args...)}
	d.cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+runtime, "RUNTIME_DIRECTORY=", "STATE_DIRECTORY=")
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.log = bufio.NewScanner(stderr)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill(); d.cmd.Wait() })
	if d.admin, err = client.Connect(filepath.Join(runtime, "opud", "opud.sock"), client.Options{Patience: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.admin.Close() })
	return d
}

// says waits for a line of the log and returns what the pattern's group matches.
func (d *daemon) says(pattern string) string {
	d.t.Helper()
	p := regexp.MustCompile(pattern)
	for d.log.Scan() {
		d.seen.WriteString(d.log.Text() + "\n")
		if m := p.FindStringSubmatch(d.log.Text()); m != nil {
			return m[len(m)-1]
		}
	}
	d.t.Fatalf("it did not say %q:\n%s", pattern, &d.seen)
	return ""
}

func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// ends waits for the end of the process.
func (d *daemon) ends(code int) {
	d.t.Helper()
	for d.log.Scan() {
		d.seen.WriteString(d.log.Text() + "\n")
	}
	d.cmd.Wait()
	if got := d.cmd.ProcessState.ExitCode(); got != code {
		d.t.Errorf("it ended with code %d, want %d:\n%s", got, code, &d.seen)
	}
}

func (d *daemon) status() (s server.Status) {
	d.t.Helper()
	if err := d.admin.Call(d.t.Context(), http.MethodGet, "/opu/v1/status", nil, &s); err != nil {
		d.t.Error(err)
	}
	return s
}

// A daemon as a process: its doors open before it calibrates, SIGHUP changes the token
// and not what is wrong, jobs do what opuctl does, and after SIGTERM and a restart the
// matrix is the same.
func TestProcess(t *testing.T) {
	program, runtime, state := build(t), t.TempDir(), t.TempDir()
	config := filepath.Join(t.TempDir(), "opud.toml")
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, "the-first-token-of-all\n")
	text := "[device]\nsim = \"ideal\"\n[matrix]\noutputs = 50\n[listen]\nhttp = \"127.0.0.1:0\"\ntoken_file = \"" + token + "\"\n[state]\nfolder = \"" + state + "\"\n"
	write(t, config, text)
	d := start(t, program, runtime, "-config", config)
	address := d.says(`msg="the doors are open".*tcp ([0-9.:]+)`)
	if s := d.status(); s.Outputs != 50 || s.Ready && s.Epoch == "" {
		t.Errorf("while it calibrates the status is %+v", s)
	}
	epoch := d.says(`msg=serving.*epoch=(\S+)`)

	allowed := func(token string) bool {
		request, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/v2", nil)
		request.Header.Set("Authorization", "Bearer "+token)
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}
	write(t, token, "another-token-since-then\n")
	d.signal(syscall.SIGHUP)
	d.says("msg=reloaded|msg=\"reloaded")
	if allowed("the-first-token-of-all") || !allowed("another-token-since-then") {
		t.Error("after SIGHUP the token is not the new one")
	}
	write(t, config, text+"[limitz]\nbody = 1\n")
	d.signal(syscall.SIGHUP)
	if why := d.says(`msg="cannot reload.*reason="(.*)"`); !strings.Contains(why, "limitz") || !allowed("another-token-since-then") {
		t.Errorf("a wrong configuration: %s", why)
	}
	write(t, config, text)

	// Jobs, held to their ends.
	for kind, file := range map[string]string{"selftest": "report.html", "map": "mask.npy"} {
		body, err := d.admin.Post(t.Context(), "/opu/v1/"+kind+"?hold=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := io.ReadAll(body)
		body.Close()
		if err != nil {
			t.Fatal(err)
		}
		all := bytes.Split(bytes.TrimSpace(lines), []byte("\n"))
		var j server.Job
		if err := json.Unmarshal(all[len(all)-1], &j); err != nil || j.State != server.JobDone || j.Result == nil {
			t.Fatalf("%s ended as %s (%v)", kind, all[len(all)-1], err)
		}
		got, err := d.admin.Fetch(t.Context(), "/opu/v1/jobs/"+j.ID+"/files/"+file)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(got)
		got.Close()
		if err != nil || len(content) < 100 {
			t.Errorf("%s of %s has %d bytes (%v)", file, kind, len(content), err)
		}
	}
	if s := d.status(); !s.Ready || s.Epoch != epoch {
		t.Errorf("after the jobs the status is %+v, want epoch %s", s, epoch)
	}
	err := d.admin.Call(t.Context(), http.MethodPost, "/opu/v1/calibration", map[string]any{"anchor": 2}, nil)
	if err == nil || !strings.Contains(err.Error(), "anchor") {
		t.Errorf("an anchor of 2: %v", err)
	}
	d.signal(syscall.SIGTERM)
	d.ends(0)
	if !strings.Contains(d.seen.String(), "mirrors are parked") {
		t.Errorf("the mirrors were not parked:\n%s", &d.seen)
	}

	d = start(t, program, runtime, "-config", config)
	if again := d.says(`msg=serving.*epoch=(\S+)`); again != epoch || strings.Contains(d.seen.String(), "stage=carrier") {
		t.Errorf("after a restart the epoch is %s, want %s without learning it again:\n%s", again, epoch, &d.seen)
	}
	d.signal(syscall.SIGTERM)
	d.ends(0)
}

// A device that cannot be calibrated leaves a daemon that says why, and ends when it is
// told to, at once if it is told twice.
func TestRefusedProcess(t *testing.T) {
	d := start(t, build(t), t.TempDir(), "-sim=broken", "-http=none")
	d.says(`msg="not serving.*(tilt the reference beam)`)
	if s := d.status(); s.Ready || !strings.Contains(s.Reason, "tilt the reference beam") || len(s.Errors) != 1 || s.Verdict == nil || s.Verdict.Verdict != "refused" {
		t.Errorf("the status is %+v", s)
	}
	var found struct{ Jobs []server.Job }
	if err := d.admin.Call(t.Context(), http.MethodGet, "/opu/v1/jobs", nil, &found); err != nil || len(found.Jobs) != 1 || found.Jobs[0].State != server.JobRefused || len(found.Jobs[0].Files) < 3 {
		t.Errorf("the jobs are %+v (%v)", found, err)
	}
	d.signal(syscall.SIGTERM)
	d.signal(syscall.SIGTERM)
	d.ends(0)
}

// SIGHUP takes over a new certificate for connections to come; those that are there go on,
// and a certificate that is none leaves the old one.
func TestCertificateReload(t *testing.T) {
	folder, runtime := t.TempDir(), t.TempDir()
	a := &authority{t: t, folder: folder}
	a.pair("ca")
	first := a.pair("server")
	config := filepath.Join(folder, "opud.toml")
	write(t, config, fmt.Sprintf(`
[device]
sim = "ideal"
[matrix]
outputs = 50
[listen]
http = "127.0.0.1:0"
token_file = "%[1]s/token"
tls_certificate = "%[1]s/server.pem"
tls_key = "%[1]s/server-key.pem"
`, folder))
	d := start(t, build(t), runtime, "-config", config)
	address := d.says(`msg="the doors are open".*tcp ([0-9.:]+)`)
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatal(err)
	}
	dial := func() *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	shown := func(c *tls.Conn, pair tls.Certificate) bool {
		return bytes.Equal(c.ConnectionState().PeerCertificates[0].Raw, pair.Certificate[0])
	}
	old := dial()
	if !shown(old, first) {
		t.Error("the certificate is not the one of the configuration")
	}
	second := a.pair("server") // the same files
	if !shown(dial(), first) {
		t.Error("a new certificate is shown before anybody has said so")
	}
	d.signal(syscall.SIGHUP)
	d.says(`msg="reloaded`)
	if !shown(dial(), second) {
		t.Error("after SIGHUP the certificate is not the new one")
	}
	write(t, filepath.Join(folder, "server.pem"), "no certificate")
	d.signal(syscall.SIGHUP)
	if why := d.says(`msg="cannot reload.*reason="(.*)"`); !strings.Contains(why, "server.pem") {
		t.Errorf("a file that is no certificate: %s", why)
	}
	if !shown(dial(), second) {
		t.Error("a certificate that is none has taken the place of the good one")
	}
	fmt.Fprintf(old, "GET /v2/health/live HTTP/1.1\r\nHost: opu\r\n\r\n")
	if r, err := http.ReadResponse(bufio.NewReader(old), nil); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("a connection from before: %v, %v", r, err)
	}
	d.signal(syscall.SIGTERM)
	d.ends(0)
}

// A daemon that is told to end while it is at work on something long finishes it, unless it
// is told again: then it ends at once, and parks the mirrors.
func TestSecondSignal(t *testing.T) {
	d := start(t, build(t), t.TempDir(), "-sim=ideal", "-outputs=50", "-http=none")
	d.says(`msg=serving`)
	failed := make(chan error, 1)
	go func() { // hours of work
		row := strings.Repeat("1,0,0,-1,0,0,1,0,0,1,", 1000)
		_, err := d.admin.Post(t.Context(), "/v2/models/opu-real/infer", json.RawMessage(
			`{"inputs":[{"name":"x","shape":[1000,10],"datatype":"INT8","data":[`+strings.TrimSuffix(row, ",")+`]}],"parameters":{"repeat":1024}}`))
		failed <- err
	}()
	for d.status().Queue.Requests == 0 { // it is at work
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
	}
	d.signal(syscall.SIGTERM)
	d.says(`msg="ending: requests may finish"`)
	select {
	case err := <-failed:
		t.Fatalf("the first signal ended the work: %v", err)
	case <-time.After(time.Second / 2): // nothing is waited for: that is what is tested
	}
	began := time.Now()
	d.signal(syscall.SIGTERM)
	d.ends(0)
	if took := time.Since(began); took > 20*time.Second { // the first would have waited for half a minute
		t.Errorf("it ended %v after the second signal", took)
	}
	if err := <-failed; err == nil {
		t.Error("the work was done to its end")
	}
	if log := d.seen.String(); !strings.Contains(log, "ending at once") || !strings.Contains(log, "mirrors are parked") {
		t.Errorf("it says:\n%s", log)
	}
}
