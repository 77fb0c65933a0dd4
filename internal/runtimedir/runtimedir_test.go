package runtimedir_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/internal/runtimedir"
)

func TestPlaces(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		variables map[string]string
		want      string
	}{
		{map[string]string{"RUNTIME_DIRECTORY": folder, "XDG_RUNTIME_DIR": "elsewhere"}, folder},
		{map[string]string{"XDG_RUNTIME_DIR": folder}, filepath.Join(folder, "opud")},
	} {
		if got := runtimedir.Folder(func(name string) string { return c.variables[name] }); got != c.want {
			t.Errorf("with %v: %s, want %s", c.variables, got, c.want)
		}
	}
	nothing := func(string) string { return "" }
	if got := runtimedir.Folder(nothing); !strings.HasPrefix(got, os.TempDir()) {
		t.Errorf("without variables: %s", got)
	}

	systemd := func(name string) string { return map[string]string{"RUNTIME_DIRECTORY": folder}[name] }
	if got := runtimedir.FindSocket(systemd); got != "/run/opud/opud.sock" {
		t.Errorf("without a socket of one's own: %s", got)
	}
	own := filepath.Join(folder, runtimedir.Socket)
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := runtimedir.FindSocket(systemd); got != own {
		t.Errorf("with a socket of one's own: %s", got)
	}
}
