package rigs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Named are rigs by their names, the tables [rig.NAME] of a configuration.
type Named map[string]Rig

// Load reads the rigs of a configuration file; the rest of the file is opud's, and is not
// looked at. A key of a rig that is not known is an error with its line.
func Load(path string) (Named, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the rigs: %w", err)
	}
	var file struct {
		Rig Named `toml:"rig"`
	}
	err = toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&file)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		for _, e := range unknown.Errors {
			if key := e.Key(); key[0] == "rig" {
				line, _ := e.Position()
				return nil, fmt.Errorf("cannot use %s: line %d: there is no key %s: %w", path, line, strings.Join(key, "."), ErrInput)
			}
		}
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return nil, fmt.Errorf("cannot use %s: line %d: %v: %w", path, line, wrong, ErrInput)
	case err != nil:
		return nil, fmt.Errorf("cannot use %s: %v: %w", path, err, ErrInput)
	}
	return file.Rig, file.Rig.Check()
}

// Check says whether all rigs make sense.
func (n Named) Check() error {
	for _, name := range slices.Sorted(maps.Keys(n)) {
		if _, err := n[name].Simulated(); err != nil {
			return fmt.Errorf("cannot use rig.%s: %w", name, err)
		}
	}
	return nil
}

// Find returns a rig.
func (n Named) Find(name string) (Rig, error) {
	r, ok := n[name]
	if ok {
		return r, nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(n)), ", ")
	if known == "" {
		known = "none"
	}
	return r, fmt.Errorf("cannot find the rig %q; the configuration names %s: %w: %w", name, known, ErrNoRigs, ErrInput)
}
