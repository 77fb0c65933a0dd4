// Command opuctl calibrates, inspects and uses an optical processing unit from the
// command line, and trains networks on it by direct feedback alignment. One file
// holds one command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/dfa/dataset"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/internal/rigs"
	"github.com/light-in-the-loop/opu/replay"
	"github.com/light-in-the-loop/opu/shifter"
	"github.com/light-in-the-loop/opu/slm"
)

// Exit codes, as the manual documents them.
const (
	exitFailed    = 1
	exitInput     = 2 // wrong flags, or files that cannot be used
	exitNoDevice  = 3
	exitBusy      = 4 // the daemon's OPU is, for longer than --patience
	exitInterrupt = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program; it returns the exit code. It ends early when ctx does.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "opuctl: %v\n", err)
	}
	if errors.Is(err, client.ErrUnauthorised) {
		fmt.Fprintln(stderr, "name the file with the daemon's token by --token-file; without token_file in its configuration, opud keeps it beside its socket")
	}
	return exitCode(err)
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) {
		return exitInterrupt
	}
	if command := (*exec.ExitError)(nil); errors.As(err, &command) && command.ExitCode() > 0 {
		return command.ExitCode() // of the command that lease runs
	}
	if errors.Is(err, client.ErrBusy) || errors.Is(err, slm.ErrBusy) {
		return exitBusy
	}
	if errors.Is(err, errNoDevice) || errors.Is(err, client.ErrUnavailable) || errors.Is(err, slm.ErrUnplugged) ||
		errors.Is(err, camera.ErrUnplugged) || errors.Is(err, shifter.ErrUnplugged) {
		return exitNoDevice
	}
	var value *npy.ValueError
	if errors.As(err, &value) {
		return exitInput
	}
	for _, input := range []error{
		errUsage, bench.ErrInput, rigs.ErrInput, slm.ErrInput, camera.ErrInput, shifter.ErrInput, driver.ErrInput, calib.ErrFile, replay.ErrFile, dfa.ErrInput, dfa.ErrFile, dfa.ErrOtherMatrix,
		dataset.ErrFormat, dataset.ErrChecksum, dataset.ErrNotFound, npy.ErrFormat, os.ErrNotExist, os.ErrPermission,
		client.ErrInput, client.ErrUnauthorised, client.ErrOtherMatrix,
	} {
		if errors.Is(err, input) {
			return exitInput
		}
	}
	return exitFailed
}

// errUsage is wrapped by errors about the command line itself.
var errUsage = errors.New("see --help")

func usage(format string, args ...any) error {
	return fmt.Errorf("%s (%w)", fmt.Sprintf(format, args...), errUsage)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "opuctl",
		Short: "Calibrate, inspect and use an optical processing unit",
		Long: `opuctl is the tool of the lab and of the machine-learning desk for an optical
processing unit (OPU): a DMD, a scattering medium and a camera that multiply
vectors with a huge random matrix, by light.

Every command works on a simulated bench with --sim[=PRESET]: ideal has no noise,
good has about 30 dB, noisy about 10 dB, glass has the flaws of real rigs. Results
made that way are simulated, and say so.

First steps:
  opuctl train --sim                  train a network on the bench, on drawn digits
  opuctl inspect --sim --out see.png  see a hologram and its sideband
  opuctl calibrate --sim --out bench.opucal
  opuctl project --sim --in x.npy --out y.npy
  opuctl calibrate --frames frames.npy --out frames.opucal  from recorded frames

At a new rig: opuctl doctor, camera list, camera test, selftest --trigger, align.

Exit codes: 0 done; 1 failed; 2 wrong flags, or a file that cannot be used; 3 no
such device, or a daemon that is not there or not ready; 4 the daemon's OPU is busy,
or leased to somebody else; 130 interrupted.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	root.AddCommand(newTrain(), newInfer(), newExport(), newCalibrate(), newSelftest(), newDemodulate(), newProject(), newInspect(), newMap(), newMatrix(),
		newStatus(), newWatch(), newDevices(), newDMD(), newCamera(), newDoctor(), newAlign(), newRecord(), newShifter(), newLease(), newStack())
	return root
}

// noArgs refuses words that are no flags.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("the argument %q is not understood; settings are flags", args[0])
	}
	return nil
}
