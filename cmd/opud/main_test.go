package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// environment is that of a process with the given variables only.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// run is the program with channels in the place of signals.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	p := &program{args: args, getenv: getenv, stdout: stdout, stderr: stderr, end: make(chan os.Signal), reload: make(chan os.Signal)}
	return p.run(ctx)
}

// opud -sim, with nothing configured, serves on a socket in the runtime folder and on
// TCP with a token of its own, and ends when it is told to, leaving nothing behind.
func TestSim(t *testing.T) {
	runtime := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr, log := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"-sim=ideal", "-outputs=100", "-http=127.0.0.1:0"}, environment("XDG_RUNTIME_DIR", runtime), io.Discard, log)
		log.Close()
	}()
	lines := bufio.NewScanner(stderr)
	address := ""
	for address == "" && lines.Scan() {
		t.Log(lines.Text())
		if m := regexp.MustCompile(`msg=serving.*tcp ([0-9.:]+)`).FindStringSubmatch(lines.Text()); m != nil {
			address = m[1]
		}
	}
	if address == "" {
		t.Fatalf("it ended with code %d before it served", <-code)
	}
	socket := filepath.Join(runtime, "opud", "opud.sock")
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	response, err := client.Post("http://opu/v2/models/opu-real/infer", "application/json",
		strings.NewReader(`{"inputs":[{"name":"x","shape":[1,10],"datatype":"INT8","data":[1,0,0,-1,0,0,1,0,0,1]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var y struct {
		Outputs []struct{ Data []float64 }
	}
	if err := json.NewDecoder(response.Body).Decode(&y); err != nil || len(y.Outputs) != 1 || len(y.Outputs[0].Data) != 100 {
		t.Errorf("over the socket: status %d, %v, %+v", response.StatusCode, err, y)
	}
	client.CloseIdleConnections()

	token, err := os.ReadFile(filepath.Join(runtime, "opud", "token"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token  string
		status int
	}{{strings.TrimSpace(string(token)), 200}, {"wrong", 401}} {
		request, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/v2", nil)
		request.Header.Set("Authorization", "Bearer "+c.token)
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("over TCP: status %d, want %d", response.StatusCode, c.status)
		}
	}

	cancel()
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if c := <-code; c != 0 {
		t.Errorf("it ended with code %d", c)
	}
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its socket: %v, want it gone", err)
	}
}

func TestExitCodes(t *testing.T) {
	folder := t.TempDir()
	wrong := filepath.Join(folder, "wrong.toml")
	write(t, wrong, "[listen]\nhtpp = \"x\"\n")
	grpc := filepath.Join(folder, "grpc.toml")
	write(t, grpc, "[device]\nsim = \"ideal\"\n[listen]\nhttp = \"none\"\ngrpc = \"0.0.0.0:0\"\n")
	group := filepath.Join(folder, "group.toml")
	write(t, group, "[device]\nsim = \"ideal\"\n[listen]\nhttp = \"none\"\nsocket_group = \"no-such-group\"\n")
	outside := environment("XDG_RUNTIME_DIR", folder)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 3, "-sim"},
		{"-bogus", 2, "bogus"},
		{"serve", 2, "serve"},
		{"-sim=perfect", 2, "perfect"},
		{"-sim -inputs=0", 2, "matrix.inputs"},
		{"-sim -outputs=2000000000", 2, "2000000000"},
		{"-sim -http=0.0.0.0:0", 2, "TLS"},
		{"-sim -http=none -socket=none", 2, "neither"},
		{"-config=" + grpc, 2, "TLS"},
		{"-config=" + group, 2, "no-such-group"},
		{"-config=" + filepath.Join(folder, "missing"), 2, "missing"},
		{"-config=" + wrong, 2, "line 2: there is no key listen.htpp"},
		{"check-config " + wrong, 2, "line 2"},
		{"check-config a b", 2, "name one"},
		{"-sim -log-level=loud", 2, "log.level"},
		{"-sim -state=" + wrong + "/folder", 2, "state"},
		{"-help", 0, ""},
		{"version", 0, ""},
		{"example-config", 0, ""},
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(c.args), outside, io.Discard, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("opud %s: code %d, want %d and words about %q: %s", c.args, code, c.code, c.says, &stderr)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Flags override the environment, which overrides the file.
func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opud.toml")
	write(t, path, "[device]\nsim = \"noisy\"\nseed = 5\n[matrix]\ninputs = 20\noutputs = 30\n")
	c, err := loadConfig([]string{"-config", path, "-sim"}, environment("OPUD_SIM", "ideal", "OPUD_INPUTS", "21"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Device.Sim != "good" || c.Device.Seed != 5 || c.Matrix.Inputs != 21 || c.Matrix.Outputs != 30 || c.Matrix.Layout != "blocks" {
		t.Errorf("got %+v", c)
	}
	if _, err := loadConfig([]string{"-config", path}, environment("OPUD_INPUTS", "many")); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "OPUD_INPUTS") {
		t.Errorf("a wrong variable: %v", err)
	}
	if _, err := loadConfig(nil, environment("OPUD_CONFIG", path)); err != nil {
		t.Errorf("the file named by the environment: %v", err)
	}
}

// A rig has a name; a device that a flag or the environment names takes its place.
func TestRigs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opud.toml")
	const tables = "[rig.east]\nslm = \"sim:glass\"\ncamera = \"sim\"\n[rig.west]\nslm = \"dlpc900:usb-9-9\"\ncamera = \"sim\"\n"
	write(t, path, "[device]\nrig = \"east\"\n"+strings.Replace(tables, "dlpc900:usb-9-9", "sim:hot", 1))
	for _, c := range []struct {
		args     []string
		sim, rig string
	}{
		{nil, "", "east"}, {[]string{"-rig", "west"}, "", "west"}, {[]string{"-sim"}, "good", ""}, {[]string{"-sim=glass"}, "glass", ""},
	} {
		got, err := loadConfig(append([]string{"-config", path}, c.args...), environment())
		if err != nil || got.Device.Sim != c.sim || got.Device.Rig != c.rig {
			t.Errorf("%q: %+v, %v", c.args, got, err)
			continue
		}
		b, err := got.wire(t.Context(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"east": "glass", "west": "hot", "": c.sim}[c.rig]
		if got.Device.Sim != want || !strings.Contains(b.Rig.SLM().Serial, want) {
			t.Errorf("%q: opened %q, %+v", c.args, got.Device.Sim, b.Rig.SLM())
		}
		b.Close()
	}
	for text, says := range map[string]string{
		tables:                        "rig.west", // what a simulated camera cannot see
		"[device]\nrig = \"south\"\n": "south",
		"[device]\nrig = \"e\"\nsim = \"good\"\n[rig.e]\nslm = \"sim\"\ncamera = \"sim\"\n":             "use one",
		"[rig.e]\nslm = \"sim\"\ncamera = \"sim\"\nlens = 3\n":                                          "line 4",
		"[rig.e]\nslm = \"sim\"\ncamera = \"sim\"\nshifter = \"serial:/dev/x\"\n[rig.e.piezo]\nmax=9\n": "line 6",
	} {
		write(t, path, text)
		if _, err := loadConfig([]string{"-config", path}, environment()); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want it to say %q", text, err, says)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for text, says := range map[string]string{
		"[device]\nsim = 5":                             "line 2",
		"a = 1\n\n[matrix]\n\ninputz = 1":               "line 1: there is no key a; line 5: there is no key matrix.inputz",
		"[matrix":                                       "line 1",
		"[matrix]\ninputs = -1":                         "matrix.inputs",
		"[matrix]\nanchor = nan":                        "matrix.anchor",
		"[matrix]\nmodel = \"Left\"":                    "matrix.model",
		"[matrix]\nmodel = \"left-real\"":               "-real",
		"[matrix]\nlayout = \"spiral\"":                 "matrix.layout",
		"[matrix]\ndrift = \"on\"":                      "matrix.drift",
		"[listen]\nsocket_mode = \"rw\"":                "listen.socket_mode",
		"[listen]\ntls_key = \"key.pem\"":               "belong together",
		"[listen]\ntls_client_ca = \"ca.pem\"":          "over TLS only",
		"[listen]\ngrpc = \"\"":                         "may be none",
		"[listen]\nsocket = \"a\"\ngrpc_socket = \"a\"": "one of its own",
		"[shared_memory]\nprefix = \"a/b\"":             "shared_memory.prefix",
		"[shared_memory]\ntcp = true":                   "shared_memory.enabled",
		"[limits]\nmemory = 5":                          "limits.memory",
		"[limits]\nbatch_rows = -5":                     "limits.batch_rows",
		"[limits]\nrequests = 99999999999999999999":     "line 2",
	} {
		path := filepath.Join(t.TempDir(), "opud.toml")
		write(t, path, text)
		if _, err := loadConfig([]string{"-config", path}, environment()); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v; want words about %q", text, err, says)
		}
	}
}

// The example has every key.
func TestExample(t *testing.T) {
	var keys func(prefix string, of reflect.Type)
	text := string(exampleConfig)
	var commented func(of reflect.Type) // tables with names of their own
	commented = func(of reflect.Type) {
		for i := range of.NumField() {
			field := of.Field(i).Type
			if field.Kind() == reflect.Pointer { // a table that may be left out
				field = field.Elem()
			}
			if name := of.Field(i).Tag.Get("toml"); field.Kind() == reflect.Struct {
				commented(field)
			} else if !strings.Contains(text, "\n# "+name+" = ") {
				t.Errorf("the example has no key %s in a comment", name)
			}
		}
	}
	keys = func(prefix string, of reflect.Type) {
		for i := range of.NumField() {
			if !of.Field(i).IsExported() { // a flag without a key
				continue
			}
			name := of.Field(i).Tag.Get("toml")
			if of.Field(i).Type.Kind() == reflect.Struct {
				keys(name, of.Field(i).Type)
			} else if of.Field(i).Type.Kind() == reflect.Map {
				commented(of.Field(i).Type.Elem())
			} else if !regexp.MustCompile(`(?ms)^\[` + prefix + `\][^\[]*^` + name + ` = `).MatchString(text) {
				t.Errorf("the example has no key %s.%s", prefix, name)
			}
		}
	}
	keys("", reflect.TypeFor[config]())
	if err := defaults().check(); err != nil {
		t.Error(err)
	}
}

func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	made, err := readToken(path)
	if err != nil || len(made) < leastToken {
		t.Fatalf("made %q, %v", made, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file has mode %v (%v)", info.Mode(), err)
	}
	if again, err := readToken(path); err != nil || again != made {
		t.Errorf("read %q (%v), want the one that was made", again, err)
	}
	write(t, path, "short\n")
	if _, err := readToken(path); !errors.Is(err, errUsage) {
		t.Errorf("a short one: %v", err)
	}
}

// A folder that others can write to is no place for a socket.
func TestOwnFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "opud")
	for _, c := range []struct {
		mode fs.FileMode
		good bool
	}{{0o700, true}, {0o750, true}, {0o770, false}, {0o777, false}} {
		if err := ownFolder(folder); err != nil && c.good {
			t.Error(err)
		}
		if err := os.Chmod(folder, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := ownFolder(folder); (err == nil) != c.good {
			t.Errorf("mode %o: %v", c.mode, err)
		}
	}
	link := folder + "-link"
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	if err := ownFolder(link); err == nil {
		t.Error("a link is taken for a folder")
	}
}
