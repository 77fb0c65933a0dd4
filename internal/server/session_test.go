package server_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/internal/server"
)

// person is a browser without scripts, with or without a token.
func person(t *testing.T, h *house) *door {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}, Jar: jar}
	t.Cleanup(client.CloseIdleConnections)
	return &door{t, client, h.tcp.url, http.Header{"Origin": {h.tcp.url}, "Sec-Fetch-Site": {"same-origin"}}}
}

// signIn sends the form, and returns the status after redirects.
func (d *door) signIn(with string) int {
	d.t.Helper()
	status, _, _ := d.do("POST", "/page/sign-in", []byte(url.Values{"token": {with}}.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	return status
}

// A cookie stands for the token, does not tell it, and is of use to nobody else's pages.
func TestSignIn(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	p := person(t, h)
	status, header, body := p.do("GET", "/", nil)
	if status != 401 || !strings.Contains(string(body), `name="token"`) || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("whoever is not signed in gets status %d, %v: %s", status, header, body)
	}
	for _, wrong := range []string{"", "x", token + "x", strings.Repeat("x", 10000)} {
		if status := p.signIn(wrong); status != 401 {
			t.Errorf("with the token %.20q: status %d", wrong, status)
		}
	}
	if status := p.signIn(" " + token + "\n"); status != 200 {
		t.Fatalf("with the token: status %d", status)
	}
	for _, path := range []string{"/", "/opu/v1/status", "/opu/v1/history", "/v2"} {
		if status, _, _ := p.do("GET", path, nil); status != 200 {
			t.Errorf("GET %s when signed in: status %d", path, status)
		}
	}
	here, _ := url.Parse(h.tcp.url)
	cookies := p.client.Jar.Cookies(here)
	if len(cookies) != 1 || strings.Contains(cookies[0].Value, token) {
		t.Fatalf("the cookies are %v", cookies)
	}

	// What another site has the browser do is refused, whatever its cookies.
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "https://elsewhere.example"}} {
		for _, path := range []string{"/opu/v1/leases", "/page/sign-out", "/page/sign-in"} {
			if status, _, _ := p.do("POST", path, []byte("{}"), header...); status != 403 {
				t.Errorf("POST %s from another site (%q): status %d", path, header, status)
			}
		}
	}
	if status, _, _ := p.do("POST", "/opu/v1/leases", []byte(`{"seconds":0.001}`)); status != 200 {
		t.Errorf("a lease from the page: status %d", status)
	}

	// A cookie that was changed, or has ended, is none.
	value := cookies[0].Value
	stranger := &door{t, &http.Client{Transport: &http.Transport{}}, h.tcp.url, http.Header{}}
	defer stranger.client.CloseIdleConnections()
	for cookie, want := range map[string]int{
		value: 200, "9" + value: 401, value + "x": 401, "1" + value[strings.Index(value, "."):]: 401, "": 401, "x.y": 401, token: 401,
	} {
		if status, _, _ := stranger.do("GET", "/opu/v1/status", nil, "Cookie", cookies[0].Name+"="+cookie); status != want {
			t.Errorf("with the cookie %q: status %d, want %d", cookie, status, want)
		}
	}

	if status, _, _ := p.do("POST", "/page/sign-out", nil); status != 401 { // redirected to the form
		t.Errorf("signed out: status %d", status)
	}
	if status, _, _ := p.do("GET", "/opu/v1/status", nil); status != 401 {
		t.Errorf("after signing out: status %d", status)
	}
}

// The socket needs no token. A browser reaches it through a tunnel to the machine's own
// name; under another one somebody else's page might be asking.
func TestSocketFromBrowser(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	d := h.socket
	for host, want := range map[string]int{"opu": 403, "elsewhere.example": 403, "localhost:8000": 200, "127.0.0.1:8000": 200, "[::1]:8000": 200, "localhost": 200} {
		d.url = "http://" + host
		if status, _, body := d.do("GET", "/", nil, "Sec-Fetch-Site", "none"); status != want || want == 200 && strings.Contains(string(body), "sign-out") {
			t.Errorf("a browser at %s: status %d, want %d: %s", host, status, want, body)
		}
		if status, _, _ := d.do("GET", "/", nil); status != 200 {
			t.Errorf("another program at %s: status %d", host, status)
		}
	}
	d.url = "http://localhost"
	if status, _, _ := d.do("POST", "/opu/v1/leases", []byte("{}"), "Sec-Fetch-Site", "cross-site"); status != 403 {
		t.Errorf("another site through a tunnel: status %d", status)
	}
}

// Files of the page come with their type, and not twice.
func TestPageFiles(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	h.tcp.header.Del("Authorization")
	for file, want := range map[string]string{
		"style.css": "text/css", "script.js": "text/javascript", "icon.svg": "image/svg+xml",
		"uplot/uPlot.iife.min.js": "text/javascript", "uplot/uPlot.min.css": "text/css", "uplot/LICENSE": "text/plain",
	} {
		status, header, body := h.tcp.do("GET", "/page/"+file, nil)
		if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), want) || len(body) == 0 {
			t.Errorf("%s: status %d, %s, %d bytes", file, status, header.Get("Content-Type"), len(body))
		}
		if status, _, body := h.tcp.do("GET", "/page/"+file, nil, "If-None-Match", header.Get("ETag")); status != 304 || len(body) != 0 {
			t.Errorf("%s again: status %d, %d bytes", file, status, len(body))
		}
	}
	for _, path := range []string{"/page/page.html.tmpl", "/page/../page.go", "/page/uplot/README.md", "/page/"} {
		if status, _, _ := h.tcp.do("GET", path, nil); status != 404 {
			t.Errorf("%s: status %d", path, status)
		}
	}
}
