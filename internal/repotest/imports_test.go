package repotest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/light-in-the-loop/opu"

// A rule says which of our packages a package may import.
type rule struct {
	of    string   // a package, or a tree ("internal/...")
	may   []string // packages, "helpers" for those of internal/, "any"
	tests bool     // the rule binds the tests as well
	why   string
}

// The architecture. The first rule that fits a package is its rule; a new package
// needs one.
var rules = []rule{
	{of: "slm/slmtest", may: []string{"slm", "helpers"},
		why: "a conformance suite holds for every device, so it knows none"},
	{of: "camera/cameratest", may: []string{"camera", "helpers"},
		why: "a conformance suite holds for every device, so it knows none"},
	{of: "shifter/shiftertest", may: []string{"shifter", "helpers"},
		why: "a conformance suite holds for every device, so it knows none"},
	{of: "slm/dlpc900", may: []string{"slm", "helpers"},
		why: "a driver fills its interface; what is shown, and why, is not its business"},
	{of: "slm", may: []string{"helpers"},
		why: "an interface that drags an implementation along can have only one"},
	{of: "camera/genapi", may: []string{"helpers"},
		why: "a description is memory and XML: how the memory is reached, and that it is a camera's, is not its business"},
	{of: "camera/u3v", may: []string{"camera", "camera/genapi", "camera/genicam", "helpers"},
		why: "a driver fills its interface; what is seen, and why, is not its business"},
	{of: "camera/gentl", may: []string{"camera", "camera/genapi", "camera/genicam", "camera/gentl/internal/wire", "helpers"},
		why: "a driver fills its interface; vendors' libraries stay in the helper, and C with them"},
	{of: "camera/gentl/...", may: []string{"camera/gentl/internal/wire", "helpers"},
		why: "the helper calls a library and knows no camera: what frames mean is decided where nothing can crash"},
	{of: "camera/v4l2", may: []string{"camera", "helpers"},
		why: "a driver fills its interface; what is seen, and why, is not its business"},
	{of: "camera/gige", may: []string{"camera", "camera/genapi", "camera/genicam", "helpers"},
		why: "a driver fills its interface; what frames mean is not its business"},
	{of: "camera/genicam", may: []string{"camera", "camera/genapi", "helpers"},
		why: "what GenICam cameras have in common is the same over every link, so it knows none"},
	{of: "camera", may: []string{"helpers"},
		why: "an interface that drags an implementation along can have only one"},
	{of: "shifter/piezo", may: []string{"shifter", "helpers"},
		why: "a driver fills its interface; what the phase is for is not its business"},
	{of: "shifter", may: []string{"helpers"},
		why: "an interface that drags an implementation along can have only one"},
	{of: "holo", may: []string{"helpers"}, tests: true,
		why: "holography is numerics: it is tested without devices and used without them"},
	{of: "replay", may: []string{"slm", "camera", "helpers"},
		why: "it stands between any two devices and whoever uses them, and knows neither"},
	{of: "rig", may: []string{"slm", "camera", "helpers"},
		why: "it proves which frame is whose for any devices, and does not care what frames mean"},
	{of: "calib", may: []string{"rig", "holo", "slm", "camera", "helpers"},
		why: "a calibration is learnt from frames alone; one that looks into the simulation proves nothing about a bench"},
	{of: "calib/report", may: []string{"calib", "helpers"},
		why: "a page shows what a calibration found, and needs no device to do so"},
	{of: "driver", may: []string{"rig", "calib", "holo", "slm", "camera", "helpers"},
		why: "the OPU is the same on every device, and a simulated one is no special case"},
	{of: "sim/controller", may: []string{"slm", "helpers"},
		why: "a board is modelled from its manual; on the driver's own encoders it would agree with their mistakes"},
	{of: "sim/piezo", may: []string{"helpers"},
		why: "an instrument is modelled from its command list; on the driver's own words it would agree with their mistakes"},
	{of: "sim/gigecam", may: []string{"camera", "helpers"},
		why: "a camera is modelled from its protocol; on the driver's own encoders it would agree with their mistakes"},
	{of: "sim/u3vcam", may: []string{"helpers"},
		why: "a camera is modelled from what is known of its protocol; on the driver's own packets it would agree with their mistakes"},
	{of: "sim/vivid", may: []string{"camera", "camera/v4l2", "helpers"},
		why: "the camera is the kernel's, and this its picture: it makes what the driver under test sees, and is seen through it"},
	{of: "sim", may: []string{"sim/controller", "slm", "camera", "helpers"},
		why: "a model that shares code with what it tests agrees with its mistakes"},
	{of: "dfa/dataset", may: []string{"helpers"}, tests: true,
		why: "data are files and arrays"},
	{of: "dfa", may: []string{"dfa/dataset", "helpers"}, tests: true,
		why: "training consumes a Projector: optics, a matrix and a remote OPU are the same to it"},
	{of: "client", may: []string{"helpers"},
		why: "whoever uses a remote OPU needs neither its optics nor its server"},
	{of: "internal/bench", may: []string{"sim", "sim/controller", "slm/dlpc900", "driver", "calib", "calib/report", "rig", "shifter", "holo", "slm", "camera", "helpers"},
		why: "it puts the parts together for commands, a simulated board and its driver among them; no service is"},
	{of: "internal/lightswitch", may: []string{"slm", "helpers"},
		why: "a laser is switched in the same way for every device, and its errors are theirs"},
	{of: "internal/rigs", may: []string{"internal/bench", "internal/lightswitch", "sim", "sim/gigecam", "sim/piezo", "sim/vivid", "slm/dlpc900", "camera/gentl", "camera/gige", "camera/u3v", "camera/v4l2", "shifter/piezo", "shifter", "replay", "rig", "slm", "camera", "helpers"},
		why: "it is the one list of the devices that commands can be pointed at"},
	{of: "internal/server", may: []string{"driver", "calib", "holo", "helpers"},
		why: "a service of the OPU is the same on every bench; commands choose it"},
	{of: "internal/...", may: []string{"helpers"},
		why: "a helper that anyone may import must not bring the optics along"},
	{of: "lab/usbip", may: []string{"helpers"},
		why: "plugging devices into a kernel is the same for every device"},
	{of: "lab/...", may: []string{"any"},
		why: "the virtual lab puts models below the kernel and drivers above it"},
	{of: "examples/...", may: []string{"any"},
		why: "an example is tested with everything that it is an example of"},
	{of: "cmd/...", may: []string{"any"},
		why: "commands put the parts together, and only they choose between a device and the simulation"},
}

// Packages of internal/ that are no helpers: commands alone may import them.
var assemblies = []string{"internal/bench", "internal/rigs", "internal/server"}

func (r rule) fits(pkg string) bool {
	tree, isTree := strings.CutSuffix(r.of, "...")
	return r.of == pkg || isTree && strings.HasPrefix(pkg, tree)
}

func (r rule) allows(imported string) bool {
	return slices.Contains(r.may, "any") || slices.Contains(r.may, imported) ||
		slices.Contains(r.may, "helpers") && strings.HasPrefix(imported, "internal/") && !slices.Contains(assemblies, imported)
}

// forbidden says what is wrong with the imports of a package's code, or of its
// tests; paths are relative to the module.
func forbidden(pkg string, tests bool, imports ...string) error {
	i := slices.IndexFunc(rules, func(r rule) bool { return r.fits(pkg) })
	if i < 0 {
		return fmt.Errorf("no rule says what %s may import; add one, with its reason", pkg)
	}
	r := rules[i]
	if tests && !r.tests {
		return nil
	}
	for _, imported := range imports {
		if own := tests && imported == pkg; !own && !r.allows(imported) {
			return fmt.Errorf("%s must not import %s: %s", pkg, imported, r.why)
		}
	}
	return nil
}

func TestImports(t *testing.T) {
	imports := 0
	used := make([]bool, len(rules))
	for _, f := range goFiles(t) {
		for i, r := range rules {
			used[i] = used[i] || r.fits(f.pkg)
		}
		ours := f.ours()
		imports += len(ours)
		if err := forbidden(f.pkg, f.test, ours...); err != nil {
			t.Errorf("%s: %v", f.path, err)
		}
	}
	for i, r := range rules {
		if !used[i] {
			t.Errorf("the rule of %s fits no package; remove it", r.of)
		}
	}
	if imports < 50 {
		t.Errorf("only %d imports were found: the test does not see the tree", imports)
	}
}

// A checker that cannot fail proves nothing.
func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		tests         bool
		want          bool
	}{
		{pkg: "driver", imported: "sim", want: true},
		{pkg: "calib", imported: "sim", want: true},
		{pkg: "rig", imported: "holo", want: true},
		{pkg: "slm", imported: "camera", want: true},
		{pkg: "slm", imported: "slm/slmtest", want: true},
		{pkg: "camera/cameratest", imported: "slm", want: true},
		{pkg: "dfa", imported: "driver", want: true},
		{pkg: "dfa", imported: "sim", tests: true, want: true},
		{pkg: "dfa/dataset", imported: "dfa", want: true},
		{pkg: "sim", imported: "holo", want: true},
		{pkg: "sim/controller", imported: "slm/dlpc900", want: true},
		{pkg: "sim", imported: "cmd/opuctl", want: true},
		{pkg: "sim/piezo", imported: "shifter/piezo", want: true},
		{pkg: "sim/gigecam", imported: "camera/gige", want: true},
		{pkg: "shifter", imported: "shifter/piezo", want: true},
		{pkg: "internal/npy", imported: "slm", want: true},
		{pkg: "dfa", imported: "internal/bench", want: true},
		{pkg: "driver", imported: "internal/server", want: true},
		{pkg: "internal/server", imported: "sim", want: true},
		{pkg: "client", imported: "driver", want: true},
		{pkg: "client", imported: "internal/server", want: true},
		{pkg: "unheardof", imported: "internal/npy", want: true},

		{pkg: "driver", imported: "rig"},
		{pkg: "internal/server", imported: "driver"},
		{pkg: "cmd/opud", imported: "internal/server"},
		{pkg: "driver", imported: "sim", tests: true},
		{pkg: "slm/slmtest", imported: "slm"},
		{pkg: "dfa", imported: "dfa", tests: true},
		{pkg: "calib", imported: "internal/parallel"},
		{pkg: "internal/picture", imported: "internal/npy"},
		{pkg: "cmd/opuctl", imported: "sim"},
	} {
		if err := forbidden(c.pkg, c.tests, c.imported); (err != nil) != c.want {
			t.Errorf("%s (tests: %t) imports %s: got %v, want an error: %t", c.pkg, c.tests, c.imported, err, c.want)
		}
	}
}
