//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

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

// build builds the program, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "opud")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
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
