package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/client"
)

// remoteFlags name a daemon (opud) that is asked instead of opening a device here.
type remoteFlags struct {
	url       string
	tokenFile string
	lease     string
}

// localDaemon, as --url, is this machine's.
const localDaemon = "local"

func (r *remoteFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.url, "url", "", "ask the daemon at this `address`: local, a socket's path, http://host:port or https://host:port")
	f.StringVar(&r.tokenFile, "token-file", "", "`file` with the daemon's token, which TCP needs")
	f.StringVar(&r.lease, "lease", "", "`id` of a lease of the daemon's device (default $OPU_LEASE)")
}

// leaseVariable is where lease passes the id to the command that it runs.
const leaseVariable = "OPU_LEASE"

// given says whether a daemon is meant.
func (r *remoteFlags) given() bool { return r.url != "" }

// check refuses what does not go with a daemon: --url and --sim are two devices, and the
// other flags named are settled where the device is. Without --url it refuses the flags
// that are about one.
func (r *remoteFlags) check(c *cobra.Command, local ...string) error {
	if !r.given() {
		for _, name := range []string{"token-file", "lease"} {
			if c.Flags().Changed(name) {
				return usage("--%s is for a daemon; name it with --url", name)
			}
		}
		return nil
	}
	for _, name := range append([]string{"sim", "usb", "restart", "slm", "camera", "shifter", "pattern-rate", "rig", "config"}, local...) {
		if c.Flags().Changed(name) {
			return usage("--%s is for a device that this program opens itself; the daemon's is as it was configured, so leave out --%s or --url", name, name)
		}
	}
	return nil
}

// options are those of the client: with the token, which is read from its file.
func (r *remoteFlags) options() (client.Options, error) {
	o := client.Options{Lease: r.lease}
	if o.Lease == "" {
		o.Lease = os.Getenv(leaseVariable)
	}
	if r.tokenFile != "" {
		text, err := os.ReadFile(r.tokenFile)
		if err != nil {
			return o, usage("--token-file: %v", err)
		}
		o.Token = strings.TrimSpace(string(text))
	}
	return o, nil
}

// address is that of the daemon as package client takes it.
func (r *remoteFlags) address() string {
	if r.url == localDaemon {
		return ""
	}
	return r.url
}

// connect is the way to the daemon's own part of the API, /opu/v1. The caller closes it.
func (r *remoteFlags) connect() (*client.Daemon, error) {
	o, err := r.options()
	if err != nil {
		return nil, err
	}
	o.Patience = 2 * time.Second // a daemon that is busy answers such requests all the same
	return client.Connect(r.address(), o)
}
