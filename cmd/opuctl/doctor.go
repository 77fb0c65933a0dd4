package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/internal/doctor"
)

func newDoctor() *cobra.Command {
	var out format
	var interfaces []string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "See whether this machine is ready for cameras and boards",
		Long: `Look at what a Linux machine must offer to cameras and boards: memory for USB
transfers, receive buffers and packet sizes of the network, groups, udev rules, access
to the nodes of devices, the clock. Print what was found, what is needed, and the
command that sets it until the next start; the files in udev/ set it for good. Nothing
is changed, and no device need be there.

The packet size matters on the interface of a GigE Vision camera alone: name it with
--interface, else its size is told and cannot fail.

Verdicts: SUCCESS, FAILURE (the exit code is 1), IGNORED where it is not there or
matters to some alone.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			host := doctor.ThisHost()
			host.Interfaces = interfaces
			result := struct {
				Checks []doctor.Finding `json:"checks"`
			}{doctor.Look(host)}
			failures := 0
			for _, f := range result.Checks {
				if f.Verdict == doctor.Failure {
					failures++
				}
			}
			err := out.print(c.OutOrStdout(), result, func(w io.Writer) {
				for _, f := range result.Checks {
					fmt.Fprintf(w, "%-8s %s: %s\n", f.Verdict, f.Name, f.Found)
					if f.Verdict != doctor.Success {
						fmt.Fprintf(w, "         needed: %s\n", f.Need)
					}
					if f.Command != "" {
						fmt.Fprintf(w, "         %s\n", f.Command)
					}
				}
			})
			if err == nil && failures > 0 {
				err = fmt.Errorf("this machine is not ready: %d of %d checks failed", failures, len(result.Checks))
			}
			return err
		},
	}
	out.register(c)
	c.Flags().StringSliceVar(&interfaces, "interface", nil, "network `interface` of a GigE Vision camera; may be repeated")
	return c
}
