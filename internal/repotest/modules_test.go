package repotest

import (
	"encoding/json"
	"os/exec"
	"testing"
)

// The modules that this one requires, each with the reason why it is not written
// here (what the project is about is), and the tools that it pins.
var reasons = map[string]string{
	"github.com/chromedp/cdproto":        "tests: what the browser's console says",
	"github.com/chromedp/chromedp":       "tests: the page of opud in a real browser",
	"github.com/google/go-cmp":           "tests: differences of nested values that can be read",
	"github.com/google/gousb":            "DLPC900 boards and USB3 Vision cameras through libusb, with -tags libusb only",
	"github.com/pelletier/go-toml/v2":    "opud: a configuration whose errors have lines, unknown keys included",
	"github.com/schollz/progressbar/v3":  "opuctl: a progress bar with time left on every terminal",
	"github.com/spf13/cobra":             "opuctl: commands, flags, help and completion as users know them",
	"go.bug.st/serial":                   "phase shifters and lasers on serial ports, on every system",
	"golang.org/x/image":                 "tests: that the TIFF files of grab are read by others",
	"golang.org/x/sys":                   "raw HID nodes, events of devices and what else the kernel offers",
	"golang.org/x/term":                  "opuctl: whether a stream is a terminal, on every system",
	"google.golang.org/protobuf":         "the wire format of protocol buffers, for ONNX files and gRPC",
	"gonum.org/v1/gonum":                 "Fourier transforms, matrix products, eigenvalues, distributions; all pure Go",
	"gonum.org/v1/netlib":                "OpenBLAS behind gonum's interface, with -tags openblas only",
	"gonum.org/v1/plot":                  "learning curves and pictures with axes",
	"google.golang.org/grpc":             "opud: the Open Inference Protocol for clients that speak gRPC",
	"honnef.co/go/tools/cmd/staticcheck": "the linter, the same version for everyone",
}

func TestModules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", root+"/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Module  struct{ Path string }
		Require []struct {
			Path, Version string
			Indirect      bool
		}
		Replace, Exclude []any
		Tool             []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if mod.Module.Path != module {
		t.Errorf("the module is %s, want %s", mod.Module.Path, module)
	}
	if len(mod.Replace)+len(mod.Exclude) > 0 {
		t.Error("go.mod replaces or excludes modules: whoever imports this one would build something else")
	}
	direct := map[string]bool{}
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		direct[r.Path] = true
		if reasons[r.Path] == "" {
			t.Errorf("go.mod requires %s without a reason; add it to the table, or do without", r.Path)
		}
	}
	for _, tool := range mod.Tool {
		direct[tool.Path] = true
		if reasons[tool.Path] == "" {
			t.Errorf("go.mod pins the tool %s without a reason; add it to the table, or do without", tool.Path)
		}
	}
	for path := range reasons {
		if !direct[path] {
			t.Errorf("the table has a reason for %s, which go.mod does not require directly", path)
		}
	}
}
