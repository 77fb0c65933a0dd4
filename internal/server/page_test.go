package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// The page is tested in a browser, since what counts is what people see.

// browserPatience is for a machine that does much else.
const browserPatience = time.Minute

// browser is one for all tests, which take turns. It is nil where there is none.
var browser = sync.OnceValues(func() (ctx context.Context, err error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(browserPatience))
		ctx, _ := chromedp.NewExecAllocator(context.Background(), options...)
		// A newer browser says things that this client does not know, which it calls errors.
		ctx, _ = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
		browserStarted = true
		return ctx, chromedp.Run(ctx)
	}
	return nil, nil
})

var browserStarted bool

func TestMain(m *testing.M) {
	code := m.Run()
	if browserStarted {
		if ctx, err := browser(); err == nil {
			chromedp.Cancel(ctx) // waits for its end, and removes its folder
		}
	}
	os.Exit(code)
}

// tab is a browser's tab, signed in nowhere.
type tab struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the console has said
}

// browse opens a tab, or skips the test where there is no browser. It is an error if the
// console complains, of the policy for example; the test may expect words.
func browse(t testing.TB, width, height int64, expected ...string) *tab {
	t.Helper()
	parent, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		t.Skip("SKIPPED: the page is NOT tested: there is no chromium; install Debian's package chromium")
	}
	ctx, closeTab := chromedp.NewContext(parent)
	b := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			b.complain(e.Entry.Text + " (" + e.Entry.URL + ")")
		case *runtime.EventExceptionThrown:
			b.complain(e.ExceptionDetails.Error())
		}
	})
	t.Cleanup(func() {
		closeTab()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range b.problems {
			if !slices.ContainsFunc(expected, func(e string) bool { return strings.Contains(p, e) }) {
				t.Errorf("the browser's console says: %s", p)
			}
		}
	})
	b.run(log.Enable(), runtime.Enable(), network.ClearBrowserCookies(), chromedp.EmulateViewport(width, height))
	return b
}

func (b *tab) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, text)
}

// run does something in the tab.
func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	// The first call starts the browser, and must not be given a context that ends before it.
	done := make(chan error, 1)
	go func() { done <- chromedp.Run(b.ctx, actions...) }()
	select {
	case err := <-done:
		if err != nil {
			b.t.Fatal(err)
		}
	case <-time.After(browserPatience):
		b.t.Fatal("the browser has not answered in time")
	}
}

// is asks the page for a truth.
func (b *tab) is(expression string) (yes bool) {
	b.t.Helper()
	b.run(chromedp.Evaluate(expression, &yes))
	return yes
}

// becomes waits until the page makes an expression true. It may load another page
// meanwhile.
func (b *tab) becomes(expression string) {
	b.t.Helper()
	err := error(nil)
	for began := time.Now(); time.Since(began) < browserPatience; {
		err = chromedp.Run(b.ctx, chromedp.Poll(expression, nil, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(browserPatience)))
		if err == nil {
			return
		}
	}
	var text string
	b.run(chromedp.Evaluate("document.body.innerText", &text))
	b.t.Fatalf("it never happens that %s: %v; the page says: %s", expression, err, text)
}

// signIn signs in with the token.
func (b *tab) signIn(h *house, with string) {
	b.t.Helper()
	b.run(chromedp.Navigate(h.tcp.url), chromedp.SendKeys("#token", with), chromedp.Submit("#token"))
}

// shoot keeps a picture of the page, where the environment says so.
func (b *tab) shoot(name string) {
	folder := os.Getenv("OPU_SCREENSHOTS")
	if folder == "" {
		return
	}
	var png []byte
	b.run(chromedp.FullScreenshot(&png, 100))
	if err := os.WriteFile(folder+"/"+name+".png", png, 0o666); err != nil {
		b.t.Error(err)
	}
}

// benchOptions are those of a server of a small bench.
func benchOptions(t testing.TB) server.Options {
	b := small(t)
	cal := b.OPU.Calibration()
	view := func(ctx context.Context) (*calib.View, error) { return cal.View(ctx, b.Rig, 1) }
	return server.Options{Matrix: &server.Matrix{OPU: b.OPU, Calibration: cal, Verdict: b.Verdict, View: view}, Simulated: "ideal"}
}

// Whoever has no token sees nothing; who signs in sees the device live.
func TestPage(t *testing.T) {
	h := start(t, benchOptions(t))
	b := browse(t, 1280, 900, "401")
	b.signIn(h, "not the token of this test")
	b.becomes(`document.querySelector("#wrong")?.textContent.includes("not the token")`)
	if b.is(`document.body.innerText.includes("` + "bench of the test" + `")`) {
		t.Error("whoever has not signed in reads about the device")
	}
	b.shoot("sign-in")
	b.signIn(h, token)
	b.becomes(`document.querySelector("#state")?.innerText.includes("Ready")`)

	// Pictures come, and come anew.
	b.becomes(`document.querySelector("#frame").naturalWidth === 96 && document.querySelector("#spectrum").naturalWidth === 96`)
	b.becomes(`(first = document.querySelector("[data-view]")?.dataset.view) !== undefined`)
	b.becomes(`(document.querySelector("[data-view]")?.dataset.view ?? first) !== first && document.querySelectorAll(".histogram rect").length > 5`)
	for _, class := range []string{"sideband", "twin", "square", "forbidden"} {
		if !b.is(`document.querySelector("#circles .` + class + `") !== null`) {
			t.Errorf("there is no circle of class %s", class)
		}
	}

	// Figures follow the load.
	h.socket.infer("opu", randomRows(1, 60, -1), "")
	b.becomes(`document.querySelector("#trouble").innerText.includes("60, ")`)
	b.becomes(`document.querySelectorAll("#charts canvas").length === 2`)
	h.tcp.lease(`{"seconds":3600,"who":"Ada"}`)
	b.becomes(`document.querySelector("#figures").innerText.includes("Ada") && document.querySelector("#view").innerText.includes("leased to Ada")`)
	h.socket.do("DELETE", "/opu/v1/leases/current", nil)
	b.becomes(`document.querySelector("#figures").innerText.includes("nobody") && document.querySelector("[data-view]")`)
	b.becomes(`getComputedStyle(document.querySelector("#frame")).opacity === "1"`)
	b.shoot("desktop")

	// On a telephone, and in the dark.
	b.run(chromedp.EmulateViewport(375, 800), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
	b.becomes(`innerWidth === 375 && getComputedStyle(document.documentElement).getPropertyValue("--ground") === "#121417"`)
	b.becomes(`document.documentElement.scrollWidth <= 375`)
	b.shoot("phone-dark")

	b.run(chromedp.Click(`form[action="/page/sign-out"] button`))
	b.becomes(`document.querySelector("#token") !== null`)
}

// A page whose server has ended says so, and goes on by itself when there is one again,
// even a signed-in one.
func TestPageAloneAndBack(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	b := browse(t, 1024, 700, "401", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
	b.signIn(h, token)
	b.becomes(`document.querySelector("#figures")?.innerText.includes("nobody") && document.querySelectorAll("#charts canvas").length === 2`)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	b.becomes(`!document.querySelector("#gone").hidden && document.querySelector("#gone").innerText.includes("does not answer") && document.title.includes("no answer")`)
	b.shoot("gone")
	again := startAt(t, strings.TrimPrefix(h.tcp.url, "http://"), server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	again.socket.infer("opu", randomRows(1, 30, -1), "")
	b.becomes(`document.querySelector("#gone").hidden && document.querySelector("#trouble").innerText.includes("30, ") && document.title === "OPU: Ready"`)
}

// Without scripts the page has the figures and pictures of the moment it was asked for.
func TestPageWithoutScript(t *testing.T) {
	h := start(t, benchOptions(t))
	h.socket.infer("opu", randomRows(1, 60, -1), "")
	b := browse(t, 1280, 900, "401")
	b.run(emulation.SetScriptExecutionDisabled(true))
	b.signIn(h, token)
	var text string
	var histogram int
	b.run(chromedp.WaitReady("#trouble"))
	for began := time.Now(); histogram < 5; b.run(chromedp.Reload(), chromedp.WaitReady("#trouble")) { // a slow look comes with the next page
		if time.Since(began) > browserPatience {
			t.Fatalf("the histogram has %d bars", histogram)
		}
		b.run(chromedp.Evaluate(`document.body.innerText`, &text), chromedp.Evaluate(`document.querySelectorAll(".histogram rect").length`, &histogram))
	}
	for _, want := range []string{"60, ", "Simulated bench", "loads itself anew", "nobody"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q, but %s", want, text)
		}
	}
	for _, id := range []string{"frame", "spectrum"} {
		for began := time.Now(); !b.is(`document.getElementById("` + id + `").naturalWidth === 96`); {
			if time.Since(began) > browserPatience {
				t.Fatalf("the picture %s does not come", id)
			}
		}
	}
	if b.is(`document.querySelectorAll("canvas").length > 0`) {
		t.Error("a script has run")
	}
	b.shoot("no-script")
	b.run(chromedp.Click(`form[action="/page/sign-out"] button`), chromedp.WaitReady("#token"))
}

// A calibration is begun, watched, cancelled and done from the page, and brings another
// matrix; one that is refused says why. All of it works without scripts as well.
func TestPageCalibrates(t *testing.T) {
	o, g := gated(server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	h := start(t, o)
	b := browse(t, 1024, 700, "401")
	b.signIn(h, token)
	begin := func() {
		t.Helper()
		b.becomes(`document.querySelector("#offer-calibration") !== null`)
		b.run(chromedp.Click("#offer-calibration summary"), chromedp.Click("#start-calibration", chromedp.NodeVisible))
	}
	says := func(id, words string) {
		t.Helper()
		b.becomes(`document.querySelector("` + id + `")?.innerText.includes("` + words + `")`)
	}

	begin()
	says("#state", "Calibrating")
	says("#work", "waiting") // its stage
	b.becomes(`document.querySelector("progress").value === 0.5`)
	b.shoot("calibrating")
	b.run(chromedp.Click("#cancel"))
	says("#matrix", "cancelled")
	says("#matrix", "b-fake")
	says("#state", "Ready")

	begin()
	says("#state", "Calibrating")
	g <- end{err: fmt.Errorf("turn the knob: %w", calib.ErrRefused)}
	says("#matrix", "refused")
	says("#trouble", "turn the knob")
	says("#matrix", "b-fake")

	b.run(emulation.SetScriptExecutionDisabled(true), chromedp.Reload(), chromedp.WaitReady("#offer-calibration"))
	b.run(chromedp.Click("#offer-calibration summary"), chromedp.Click("#start-calibration", chromedp.NodeVisible), chromedp.WaitReady("#cancel"))
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	if status, _, body := h.tcp.do("POST", "/page/jobs", []byte("kind=selftest"), form...); status != 503 || !strings.Contains(string(body), `id="refusal"`) {
		t.Errorf("a second job: status %d, %s", status, body)
	}
	if status, _, _ := h.tcp.do("POST", "/page/jobs", []byte("kind=coffee"), form...); status != 501 {
		t.Errorf("a job that the device cannot do: status %d", status)
	}
	if status, _, _ := h.tcp.do("POST", "/page/jobs/none/cancel", nil, form...); status != 404 {
		t.Errorf("cancelling a job that is not there: status %d", status)
	}
	g <- end{outcome: server.Outcome{Matrix: &server.Matrix{OPU: &other{epoch: "b-another"}}}}
	b.run(emulation.SetScriptExecutionDisabled(false), chromedp.Reload())
	says("#matrix", "b-another")
	says("#matrix", "done")
}

// Whoever turns the screws of a rig that cannot be calibrated sees what the camera sees, how
// the light lies and where the sideband must go, live; of one that is calibrated, too.
func TestPageAligns(t *testing.T) {
	c := sim.Good(3)
	c.Width, c.Height, c.Chip, c.Carrier, c.Radius = 96, 96, slm.Geometry{Width: 40, Height: 30}, [2]float64{0.1, 0.12}, 0.08
	bench, err := bench.New(t.Context(), c, "good", rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer bench.Close()
	aligner, err := calib.NewAligner(t.Context(), bench.Rig, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, server.Options{Outputs: outputs, Inputs: inputs, Look: aligner.Look, Simulated: "good"})
	b := browse(t, 1280, 900, "401")
	b.signIn(h, token)
	says := func(words string) {
		t.Helper()
		b.becomes(`document.querySelector("#alignment")?.innerText.includes("` + words + `")`)
	}
	says("Turn the sideband")
	says("tilt the reference beam further")
	b.becomes(`document.querySelector("#frame").naturalWidth === 96 && document.querySelector("#spectrum").naturalWidth === 96`)
	b.becomes(`document.querySelector("#now > #turn") !== null && document.querySelectorAll("#now > .forbidden").length >= 4`)
	if !b.is(`document.querySelector("#arrow").textContent === "↙"`) { // the sideband lies at -f
		t.Error("the arrow points elsewhere")
	}
	b.shoot("aligning")
	if err := bench.Sim.Block(t.Context(), true, false); err != nil {
		t.Fatal(err)
	}
	says("raise the reference beam")
	b.becomes(`document.querySelector("#now #turn") === null`)

	// For programs the same.
	var figures server.ViewFigures
	if status, _, body := h.socket.do("GET", "/opu/v1/view", nil); status != 200 || json.Unmarshal(body, &figures) != nil {
		t.Errorf("status %d: %s", status, body)
	}
	if a := figures.Alignment; a == nil || a.Carrier != nil || len(a.Advice) == 0 {
		t.Errorf("%+v", a)
	}

	h = start(t, benchOptions(t))
	b.run(chromedp.Navigate(h.tcp.url)) // signed in: cookies do not know ports
	says("Nothing needs turning")
	b.becomes(`document.querySelector("#circles .sideband") !== null && document.querySelector("#now").children.length === 0`)
}

// A lost matrix is said in plain words, and what to do about it is offered.
func TestPageMatrixLost(t *testing.T) {
	lost := &fake{project: func(context.Context) error {
		return fmt.Errorf("the probe correlates by 0.31: %w", driver.ErrMatrixLost)
	}}
	o, g := gated(server.Options{Matrix: &server.Matrix{OPU: lost}})
	h := start(t, o)
	b := browse(t, 1024, 700, "401")
	b.signIn(h, token)
	b.becomes(`document.querySelector("#state")?.innerText.includes("Ready")`)
	h.socket.do("POST", "/v2/models/opu/infer", []byte(`{"inputs":[{"name":"x","shape":[1,10],"datatype":"INT8","data":[1,0,0,0,0,0,0,0,0,1]}]}`))
	b.becomes(`document.querySelector("#state").innerText.includes("The matrix is lost") && document.querySelector("#state").innerText.includes("0.31")`)
	b.becomes(`document.querySelector("#trouble").innerText.includes("0.31") && document.title === "OPU: The matrix is lost"`)
	b.shoot("lost")
	b.run(chromedp.Click("#start-calibration", chromedp.NodeVisible)) // is open
	g <- end{outcome: server.Outcome{Matrix: &server.Matrix{OPU: &other{epoch: "b-another"}}}}
	b.becomes(`document.querySelector("#state").innerText.includes("Ready")`)
}

// BenchmarkWatched says what a page that is open costs those who compute: projections a
// second over the socket, on the simulated bench "good" (256 x 256 pixels), without and
// with somebody who looks as the page does.
func BenchmarkWatched(b *testing.B) {
	c, err := bench.Fit("good", 1, inputs, outputs)
	if err != nil {
		b.Fatal(err)
	}
	good, err := bench.Open(b.Context(), c, bench.Options{Features: inputs, Outputs: outputs, Seed: 1}, func(string) {})
	if err != nil {
		b.Fatal(err)
	}
	defer good.Close()
	cal := good.OPU.Calibration()
	h := start(b, server.Options{Matrix: &server.Matrix{OPU: good.OPU, Calibration: cal,
		View: func(ctx context.Context) (*calib.View, error) { return cal.View(ctx, good.Rig, 1) }}})
	x := randomRows(1, 64, -1)
	project := func(d time.Duration) (rows int, took time.Duration) {
		began := time.Now()
		for ; time.Since(began) < d; rows += len(x) / inputs {
			h.socket.infer("opu", x, "")
		}
		return rows, time.Since(began)
	}
	look := func(stop <-chan struct{}) {
		for tick := time.NewTicker(time.Second); ; {
			for _, path := range []string{"/page/view", "/page/frame.png", "/page/spectrum.png"} {
				h.tcp.do("GET", path, nil)
			}
			select {
			case <-tick.C:
			case <-stop:
				tick.Stop()
				return
			}
		}
	}
	project(time.Second / 2)
	var rows [2]int
	var took [2]time.Duration
	for b.Loop() {
		for watched := range 2 {
			stop := make(chan struct{})
			var looking sync.WaitGroup
			if watched == 1 {
				looking.Go(func() { look(stop) })
			}
			n, d := project(5 * time.Second)
			close(stop)
			looking.Wait()
			rows[watched], took[watched] = rows[watched]+n, took[watched]+d
		}
	}
	_, _, metrics := h.socket.do("GET", "/metrics", nil)
	looked := regexp.MustCompile(`(?m)^opu_device_looked_at_seconds_total (.*)$`).FindSubmatch(metrics)
	if looked == nil {
		b.Fatalf("the metrics do not say how long looks took: %s", metrics)
	}
	looks, _ := strconv.ParseFloat(string(looked[1]), 64)
	alone, seen := float64(rows[0])/took[0].Seconds(), float64(rows[1])/took[1].Seconds()
	b.ReportMetric(alone, "projections/s-alone")
	b.ReportMetric(seen, "projections/s-watched")
	b.ReportMetric(seen/alone, "watched/alone")
	b.ReportMetric(100*looks/took[1].Seconds(), "%-of-the-time-looking")
}
