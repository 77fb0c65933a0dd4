package gentl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/light-in-the-loop/opu/camera"
)

// PathVariable lists where producers are: folders and files, separated by colons. The
// installers of vendors set it.
const PathVariable = "GENICAM_GENTL64_PATH"

// suffix is that of producers.
const suffix = ".cti"

// Producers returns the files of the producers that PathVariable leads to, each once, in its
// order. Entries that cannot be looked at are told by the error, beside what was found.
func Producers() ([]string, error) { return producers(os.Getenv(PathVariable)) }

func producers(list string) ([]string, error) {
	var found []string
	var seen []fs.FileInfo
	var failures []error
	add := func(path string) {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("cannot use the producer: %w", err))
		case !info.Mode().IsRegular():
		case slices.ContainsFunc(seen, func(other fs.FileInfo) bool { return os.SameFile(info, other) }):
		default:
			seen, found = append(seen, info), append(found, path)
		}
	}
	for _, entry := range filepath.SplitList(list) {
		if entry == "" {
			continue
		}
		if strings.HasSuffix(entry, suffix) {
			add(entry)
			continue
		}
		names, err := os.ReadDir(entry)
		if err != nil {
			failures = append(failures, fmt.Errorf("cannot look for producers: %w", err))
		}
		for _, n := range names {
			if strings.HasSuffix(n.Name(), suffix) {
				add(filepath.Join(entry, n.Name()))
			}
		}
	}
	return found, errors.Join(failures...)
}

// Ref names a camera: a producer, by its file or by its name without folder and suffix, and
// a device, by its id, serial number or name. What is empty means: there is only one.
type Ref struct{ Producer, Device string }

// ParseRef reads PRODUCER/ID. A producer that is a file ends with ".cti".
func ParseRef(text string) Ref {
	if i := strings.Index(text, suffix+"/"); i >= 0 {
		return Ref{text[:i+len(suffix)], text[i+len(suffix)+1:]}
	}
	if strings.HasSuffix(text, suffix) {
		return Ref{Producer: text}
	}
	producer, device, _ := strings.Cut(text, "/")
	return Ref{producer, device}
}

func (r Ref) String() string { return "gentl:" + r.Producer + "/" + r.Device }

// name is what a producer's file is called for short.
func name(path string) string { return strings.TrimSuffix(filepath.Base(path), suffix) }

// choose finds the files that a reference may mean.
func (r Ref) choose() ([]string, error) {
	if strings.Contains(r.Producer, "/") {
		return []string{r.Producer}, nil
	}
	all, err := Producers()
	var fit []string
	for _, path := range all {
		if r.Producer == "" || name(path) == strings.TrimSuffix(r.Producer, suffix) {
			fit = append(fit, path)
		}
	}
	switch {
	case len(fit) > 0:
		return fit, nil
	case len(all) == 0:
		return nil, errors.Join(fmt.Errorf("cannot find a GenTL producer: %s, which the installers of camera and grabber makers set, leads to none: %w", PathVariable, camera.ErrUnplugged), err)
	}
	names := make([]string, len(all))
	for i, path := range all {
		names[i] = name(path)
	}
	return nil, fmt.Errorf("cannot find the GenTL producer %q; there are %s: %w", r.Producer, strings.Join(names, ", "), camera.ErrUnplugged)
}

// Found is a camera that a producer lists.
type Found struct {
	Producer              string // its file
	Device                string // id, as the producer has it
	Interface, Type       string // such as the name of the grabber, and CXP
	Vendor, Model, Serial string
	User                  string // name that a person gave it
	Busy                  bool   // somebody has it, or it cannot be reached

	link string // id of the interface
}

// Ref is how the camera is referred to.
func (f Found) Ref() string {
	device := f.Device
	if f.Serial != "" {
		device = f.Serial // ids may tell where a camera is plugged in, serial numbers never do
	}
	return "gentl:" + name(f.Producer) + "/" + device
}

// fits tells whether a device is meant; "" is every one.
func (f Found) fits(device string) bool {
	return device == "" || slices.Contains([]string{f.Device, f.Serial, f.User}, device)
}
