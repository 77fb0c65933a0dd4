package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
)

// --url and what goes with it, and what does not.
func TestRemoteFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret of the test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		good bool
	}{
		{nil, true},
		{[]string{"--sim"}, true},
		{[]string{"--url", "local"}, true},
		{[]string{"--url", "http://127.0.0.1:8000", "--token-file", file, "--lease", "X"}, true},
		{[]string{"--url", "local", "--sim"}, false},
		{[]string{"--url", "local", "--mask", "m.npy"}, false},
		{[]string{"--lease", "X"}, false},
		{[]string{"--token-file", file}, false},
		{[]string{"--url", "local", "--token-file", file + "-missing"}, false},
		{[]string{"--url", "example.org"}, false},
	} {
		var r remoteFlags
		var sim, mask string
		x := &cobra.Command{}
		r.register(x)
		x.Flags().StringVar(&sim, "sim", "", "")
		x.Flags().Lookup("sim").NoOptDefVal = "good"
		x.Flags().StringVar(&mask, "mask", "", "")
		if err := x.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		err := r.check(x, "mask")
		if err == nil && r.given() {
			_, err = r.connect()
		}
		if (err == nil) != c.good || err != nil && exitCode(err) != exitInput {
			t.Errorf("%v: %v, want it good: %t", c.args, err, c.good)
		}
	}
	r := remoteFlags{url: "local", tokenFile: file, lease: "X"}
	if o, err := r.options(); err != nil || o.Token != "secret of the test" || o.Lease != "X" || r.address() != "" {
		t.Errorf("the options are %+v, the address %q (%v)", o, r.address(), err)
	}
}
