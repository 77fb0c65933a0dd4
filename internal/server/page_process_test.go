package server_test

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// press clicks on something that the page may put anew while it is looked for.
func (b *tab) press(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	err := error(nil)
	for ctx.Err() == nil {
		if err = chromedp.Run(ctx, chromedp.Click(selector, chromedp.NodeVisible)); err == nil {
			return
		}
	}
	b.t.Fatalf("cannot click on %s: %v", selector, err)
}

// The buttons on a real daemon: what a person presses is what the device does. A
// calibration is begun and cancelled, and the matrix stays; another is let be, and brings a
// matrix that projections are made on.
func TestPageOfProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: the daemon's calibrations take long, and the race detector does not see into it")
	}
	b := browse(t, 1280, 900, "401", "503") // a picture may be asked for just when the matrix is replaced
	program := filepath.Join(t.TempDir(), "opud")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/opud").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	socket := filepath.Join(t.TempDir(), "opud.sock")
	daemon := exec.Command(program, "-sim=good", "-outputs=50", "-http=127.0.0.1:0", "-socket", socket)
	daemon.Env = append(os.Environ(), "OPUD_TOKEN="+token, "STATE_DIRECTORY=")
	stderr, err := daemon.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		daemon.Process.Signal(os.Interrupt)
		if err := daemon.Wait(); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	}()
	log := bufio.NewScanner(stderr)
	says := func(pattern string) string {
		t.Helper()
		for log.Scan() {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(log.Text()); m != nil {
				return m[len(m)-1]
			}
		}
		t.Fatalf("it never said %q", pattern)
		return ""
	}
	address := says(`msg="the doors are open".*tcp ([0-9.:]+)`)
	first := says(`msg=serving.*epoch=(\S+)`)
	h := &house{tcp: &door{t, http.DefaultClient, "http://" + address, http.Header{"Authorization": {"Bearer " + token}}}}
	b.signIn(h, token)
	b.becomes(`document.querySelector("#state")?.innerText.includes("Ready") && document.querySelector("#matrix").innerText.includes("` + first + `")`)
	b.becomes(`document.querySelector("#frame").naturalWidth > 0`)
	begin := func() {
		t.Helper()
		b.becomes(`document.querySelector("#offer-calibration") !== null`)
		b.press("#offer-calibration summary")
		b.press("#start-calibration")
		says(`msg="job began" kind=calibration`)
	}

	begin()
	b.becomes(`document.querySelector("#state").innerText.includes("Calibrating") && document.querySelector("#cancel") !== null`)
	b.press("#cancel")
	if state := says(`msg="job ended" kind=calibration.* state=(\w+)`); state != "cancelled" {
		t.Fatalf("the calibration that was cancelled on the page ended as %s", state)
	}
	b.becomes(`document.querySelector("#state").innerText.includes("Ready") && document.querySelector("#matrix").innerText.includes("cancelled")`)
	b.becomes(`document.querySelector("#matrix").innerText.includes("` + first + `")`)
	b.shoot("process-cancelled")

	begin()
	if state := says(`msg="job ended" kind=calibration.* state=(\w+)`); state != "done" {
		t.Fatalf("the calibration that was begun on the page ended as %s", state)
	}
	second, _ := h.tcp.object("GET", "/opu/v1/status")["epoch"].(string)
	b.becomes(`document.querySelector("#state").innerText.includes("Ready") && document.querySelector("#matrix").innerText.includes("` + second + `")`)
	b.shoot("process-done")
	status, _, body := h.tcp.do("POST", "/v2/models/opu-real/infer", []byte(`{"inputs":[{"name":"x","shape":[1,10],"datatype":"INT8","data":[1,0,0,0,0,0,0,0,0,1]}]}`))
	if status != 200 || !strings.Contains(string(body), second) {
		t.Errorf("a projection after it: status %d, want epoch %s in %.300s", status, second, body)
	}
}
