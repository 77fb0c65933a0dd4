package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/rigs"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// exampleConfig is the configuration file with all defaults.
//
//go:embed example.toml
var exampleConfig []byte

// config is what opud is told, by file, environment and flags. It holds no secrets.
type config struct {
	Device struct {
		Sim  string `toml:"sim" json:"sim"` // when the device is open: the preset, if it is simulated
		Rig  string `toml:"rig" json:"rig"`
		Seed uint64 `toml:"seed" json:"seed"`

		USB       string `toml:"usb" json:"usb"` // of the simulated bench
		RestartMS int    `toml:"restart_ms" json:"restart_ms"`
	} `toml:"device" json:"device"`

	Rig rigs.Named `toml:"rig" json:"rig,omitempty"`

	Matrix struct {
		Model   string  `toml:"model" json:"model"`
		Inputs  int     `toml:"inputs" json:"inputs"`
		Outputs int     `toml:"outputs" json:"outputs"`
		Layout  string  `toml:"layout" json:"layout"`
		Anchor  float64 `toml:"anchor" json:"anchor"`
		Tags    bool    `toml:"tags" json:"tags"`
		Mask    string  `toml:"mask" json:"mask"`
		Drift   string  `toml:"drift" json:"drift"`
	} `toml:"matrix" json:"matrix"`

	State struct {
		Folder string `toml:"folder" json:"folder"`
	} `toml:"state" json:"state"`

	Log struct {
		Level string `toml:"level" json:"level"`
	} `toml:"log" json:"log"`

	Listen struct {
		Socket         string `toml:"socket" json:"socket"`
		SocketMode     string `toml:"socket_mode" json:"socket_mode"`
		SocketGroup    string `toml:"socket_group" json:"socket_group"`
		HTTP           string `toml:"http" json:"http"`
		TokenFile      string `toml:"token_file" json:"token_file"`
		TLSCertificate string `toml:"tls_certificate" json:"tls_certificate"`
		TLSKey         string `toml:"tls_key" json:"tls_key"`
		TLSClientCA    string `toml:"tls_client_ca" json:"tls_client_ca"`
		GRPCSocket     string `toml:"grpc_socket" json:"grpc_socket"`
		GRPC           string `toml:"grpc" json:"grpc"`
	} `toml:"listen" json:"listen"`

	SharedMemory struct {
		Enabled bool   `toml:"enabled" json:"enabled"`
		TCP     bool   `toml:"tcp" json:"tcp"`
		Prefix  string `toml:"prefix" json:"prefix"`
	} `toml:"shared_memory" json:"shared_memory"`

	Limits struct {
		Body      int `toml:"body" json:"body"`
		JSON      int `toml:"json" json:"json"`
		Response  int `toml:"response" json:"response"`
		Memory    int `toml:"memory" json:"memory"`
		Requests  int `toml:"requests" json:"requests"`
		BatchRows int `toml:"batch_rows" json:"batch_rows"`
	} `toml:"limits" json:"limits"`

	untilEOF bool // a flag only
}

// defaultPath is where the configuration file is looked for.
const defaultPath = "/etc/opud/opud.toml"

// none, as an address, means that there is no such listener.
const none = "none"

// errUsage is wrapped by errors about configuration and flags.
var errUsage = errors.New("see opud -help")

// parseConfig reads a configuration file on top of c. What it does not know is an
// error with its line.
func parseConfig(c *config, name string, text []byte) error {
	d := toml.NewDecoder(strings.NewReader(string(text))).DisallowUnknownFields()
	err := d.Decode(c)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		var lines []string
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			lines = append(lines, fmt.Sprintf("line %d: there is no key %s", line, strings.Join(e.Key(), ".")))
		}
		return fmt.Errorf("cannot use %s: %s; opud example-config prints the keys: %w", name, strings.Join(lines, "; "), errUsage)
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return fmt.Errorf("cannot use %s: line %d: %v: %w", name, line, wrong, errUsage)
	case err != nil:
		return fmt.Errorf("cannot use %s: %v: %w", name, err, errUsage)
	}
	return nil
}

// defaults is the configuration without a file.
func defaults() *config {
	c := new(config)
	if err := parseConfig(c, "the example", exampleConfig); err != nil {
		panic(err) // a test reads it
	}
	return c
}

// loadConfig reads the file, the environment and the flags. Without a file of that
// name it is an error, unless the name is the usual one.
func loadConfig(args []string, getenv func(string) string) (*config, error) {
	var path string
	if _, err := parseFlags(defaults(), &path, args, getenv); err != nil { // for -config, and -help
		return nil, err
	}
	c := defaults()
	name := path
	if name == "" {
		name = defaultPath
	}
	text, err := os.ReadFile(name)
	switch {
	case path == "" && errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("cannot read the configuration: %w: %w", err, errUsage)
	default:
		if err := parseConfig(c, name, text); err != nil {
			return nil, err
		}
	}
	inFile := c.Device
	if _, err := parseFlags(c, &path, args, getenv); err != nil {
		return nil, err
	}
	// A device that is named by flag or environment takes the place of the file's.
	if c.Device.Sim != inFile.Sim && c.Device.Rig == inFile.Rig {
		c.Device.Rig = ""
	} else if c.Device.Rig != inFile.Rig && c.Device.Sim == inFile.Sim {
		c.Device.Sim = ""
	}
	return c, c.check()
}

// parseFlags sets what environment and flags say, in this order.
func parseFlags(c *config, path *string, args []string, getenv func(string) string) (*flag.FlagSet, error) {
	f := flag.NewFlagSet("opud", flag.ContinueOnError)
	f.SetOutput(new(strings.Builder)) // errors are returned, and help is printed by who asked
	f.StringVar(path, "config", "", "read the configuration from this `file` (default "+defaultPath+", if it is there)")
	f.Var(preset{&c.Device.Sim}, "sim", "serve a simulated bench; -sim=`preset` says which (good)")
	f.StringVar(&c.Device.Rig, "rig", c.Device.Rig, "serve the rig of this `name`, a table [rig.NAME] of the configuration")
	f.Uint64Var(&c.Device.Seed, "seed", c.Device.Seed, "seed of everything random, the simulated bench included")
	f.StringVar(&c.Matrix.Model, "model", c.Matrix.Model, "base `name` of the models, different for each daemon behind a proxy")
	f.IntVar(&c.Matrix.Inputs, "inputs", c.Matrix.Inputs, "length of the vectors")
	f.IntVar(&c.Matrix.Outputs, "outputs", c.Matrix.Outputs, "complex outputs; 0: as many as the sensor gives")
	f.StringVar(&c.Listen.Socket, "socket", c.Listen.Socket, "listen on the Unix socket at this `path`; none: not at all (default: in the user's runtime folder)")
	f.StringVar(&c.Listen.HTTP, "http", c.Listen.HTTP, "listen on this TCP `address`; none: not at all")
	f.StringVar(&c.Listen.TokenFile, "token-file", c.Listen.TokenFile, "`file` with the token for TCP, written if there is none (default: beside the usual place of the socket)")
	f.StringVar(&c.State.Folder, "state", c.State.Folder, "keep the calibration in this `folder`, and go on with it after a restart; none: do not")
	f.StringVar(&c.Log.Level, "log-level", c.Log.Level, "least `level` of what is logged: debug, info, warn, error")
	f.BoolVar(&c.untilEOF, "until-eof", false, "end when standard input does, and so with the program that holds its other end")
	var err error
	f.VisitAll(func(x *flag.Flag) {
		name := "OPUD_" + strings.ToUpper(strings.ReplaceAll(x.Name, "-", "_"))
		if value := getenv(name); value != "" && err == nil {
			if e := f.Set(x.Name, value); e != nil {
				err = fmt.Errorf("cannot use %s=%q: %v: %w", name, value, e, errUsage)
			}
		}
	})
	if err != nil {
		return f, err
	}
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return f, err
		}
		return f, fmt.Errorf("cannot understand the command line: %v: %w", err, errUsage)
	}
	if f.NArg() > 0 {
		return f, fmt.Errorf("cannot understand %q: opud takes flags, check-config, example-config and version: %w", f.Arg(0), errUsage)
	}
	return f, nil
}

// preset is a flag that may stand alone.
type preset struct{ name *string }

func (p preset) IsBoolFlag() bool { return true }

func (p preset) String() string {
	if p.name == nil {
		return ""
	}
	return *p.name
}

func (p preset) Set(s string) error {
	switch s {
	case "true":
		s = "good"
	case "false":
		s = ""
	}
	*p.name = s
	return nil
}

// level is the least level of what is logged; check has seen that it is one.
func (c *config) level() (l slog.Level) {
	l.UnmarshalText([]byte(c.Log.Level))
	return l
}

// stateFolder is where the calibration is kept; empty: nowhere.
func (c *config) stateFolder(getenv func(string) string) string {
	switch c.State.Folder {
	case none:
		return ""
	case "":
		return getenv("STATE_DIRECTORY") // of systemd
	}
	return c.State.Folder
}

// restart is the time from a start of the simulated bench's board to its first pattern.
func (c *config) restart() time.Duration { return time.Duration(c.Device.RestartMS) * time.Millisecond }

// check says whether the values make sense.
func (c *config) check() error {
	bad := func(key string, format string, args ...any) error {
		return fmt.Errorf("cannot use %s: %s: %w", key, fmt.Sprintf(format, args...), errUsage)
	}
	if err := c.Rig.Check(); err != nil {
		return bad("rig", "%v", err)
	}
	if c.Device.Rig != "" {
		if c.Device.Sim != "" {
			return bad("device.rig", "device.sim names another device, %q; use one", c.Device.Sim)
		}
		if _, err := c.Rig.Find(c.Device.Rig); err != nil {
			return bad("device.rig", "%v", err)
		}
	}
	if err := server.CheckModel(c.Matrix.Model); err != nil {
		return bad("matrix.model", "%v", err)
	}
	if err := bench.Time(new(sim.Config), c.Device.USB, c.restart()); err != nil {
		return bad("device.usb, device.restart_ms", "%v", err)
	}
	if c.Matrix.Inputs < 1 || c.Matrix.Inputs > slm.MaxFeatures {
		return bad("matrix.inputs", "it is %d, and must be from 1 to %d", c.Matrix.Inputs, slm.MaxFeatures)
	}
	if c.Matrix.Outputs < 0 {
		return bad("matrix.outputs", "it is %d, and must not be negative", c.Matrix.Outputs)
	}
	if _, err := slm.ParseKind(c.Matrix.Layout); err != nil {
		return bad("matrix.layout", "%v", err)
	}
	if !(c.Matrix.Anchor >= 0 && c.Matrix.Anchor <= 0.5) {
		return bad("matrix.anchor", "it is %g, and must be from 0 to 0.5", c.Matrix.Anchor)
	}
	if _, err := driver.ParseCorrection(c.Matrix.Drift); err != nil {
		return bad("matrix.drift", "%v", err)
	}
	if err := new(slog.Level).UnmarshalText([]byte(c.Log.Level)); err != nil {
		return bad("log.level", "%q is not debug, info, warn or error", c.Log.Level)
	}
	if _, err := strconv.ParseUint(c.Listen.SocketMode, 8, 9); err != nil {
		return bad("listen.socket_mode", "%q is not a mode of three octal digits", c.Listen.SocketMode)
	}
	if (c.Listen.TLSCertificate == "") != (c.Listen.TLSKey == "") {
		return bad("listen.tls_certificate", "certificate and key belong together")
	}
	if c.Listen.TLSClientCA != "" && c.Listen.TLSCertificate == "" {
		return bad("listen.tls_client_ca", "certificates of clients are asked for over TLS only, which needs tls_certificate and tls_key")
	}
	if c.Listen.GRPCSocket == "" || c.Listen.GRPC == "" {
		return bad("listen.grpc", "it is empty; it is an address, grpc_socket a path, and either may be none")
	}
	if c.Listen.GRPCSocket != none && c.Listen.GRPCSocket == c.Listen.Socket {
		return bad("listen.grpc_socket", "it is the socket of HTTP; gRPC needs one of its own")
	}
	if c.SharedMemory.Prefix == "" || strings.Contains(c.SharedMemory.Prefix, "/") {
		return bad("shared_memory.prefix", "%q is not the beginning of a name without slashes", c.SharedMemory.Prefix)
	}
	if c.SharedMemory.TCP && !c.SharedMemory.Enabled {
		return bad("shared_memory.tcp", "it says something only where shared_memory.enabled is true")
	}
	if c.Listen.Socket == none && c.Listen.HTTP == none {
		return bad("listen", "there is neither a socket nor TCP, so nobody could ask for anything")
	}
	for _, limit := range []struct {
		key   string
		value int
		least int
	}{
		{"body", c.Limits.Body, 1 << 10}, {"json", c.Limits.JSON, 1 << 10}, {"response", c.Limits.Response, 1 << 10},
		{"memory", c.Limits.Memory, 1 << 20}, {"requests", c.Limits.Requests, 1}, {"batch_rows", c.Limits.BatchRows, 0},
	} {
		if limit.value < limit.least {
			return bad("limits."+limit.key, "it is %d, and must be at least %d", limit.value, limit.least)
		}
	}
	return nil
}
