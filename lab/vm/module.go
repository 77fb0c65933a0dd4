package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/light-in-the-loop/opu/lab/plan"
)

// addModules adds modules, each a line of its name and parameters, and those that they need,
// and returns them in the order in which they can be loaded.
func (k kernel) addModules(ctx context.Context, a *archive, lines []string) ([]plan.Module, error) {
	builtin, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	inside := map[string]bool{}
	for line := range strings.Lines(string(builtin)) {
		inside[moduleName(strings.TrimSpace(line))] = true
	}
	files, err := filepath.Glob(filepath.Join(k.modules, "*.ko*"))
	if err != nil {
		return nil, err
	}
	outside := map[string]string{}
	for _, f := range files {
		outside[moduleName(f)] = f
	}
	var order []plan.Module
	added := map[string]bool{}
	var add func(name, parameters string) error
	add = func(name, parameters string) error {
		name = moduleName(name)
		if added[name] || inside[name] {
			return nil
		}
		added[name] = true
		if outside[name] == "" {
			return fmt.Errorf("cannot load the module %s: this kernel has none of that name", name)
		}
		content, err := readModule(ctx, outside[name])
		if err != nil {
			return err
		}
		needs, err := needed(content)
		if err != nil {
			return fmt.Errorf("cannot tell what the module %s needs: %w", name, err)
		}
		for _, n := range needs {
			if err := add(n, ""); err != nil {
				return err
			}
		}
		at := "/lab/modules/" + name + ".ko"
		a.file(at, 0o644, content)
		order = append(order, plan.Module{Path: at, Parameters: parameters})
		return nil
	}
	for _, line := range lines {
		name, parameters, _ := strings.Cut(line, " ")
		if err := add(name, parameters); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleName is the name of a module by its file: hyphens and underscores are the same.
func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// readModule reads a module as the kernel loads it.
func readModule(ctx context.Context, file string) ([]byte, error) {
	switch filepath.Ext(file) {
	case ".xz":
		return output(ctx, "", "xz", "-dc", file)
	case ".zst":
		return output(ctx, "", "zstd", "-dcq", file)
	}
	return os.ReadFile(file)
}

// needed tells the modules that a module says it depends on: "depends=a,b" in its section
// .modinfo, whose strings end with NUL.
func needed(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("it has no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if names, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(names) > 0 {
			return strings.Split(string(names), ","), nil
		}
	}
	return nil, nil
}
