package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/client"
)

func newStack() *cobra.Command {
	var r remoteFlags
	var out format
	var file string
	var models []string
	c := &cobra.Command{
		Use:   "stack --out stack.json ADDRESS...",
		Short: "Make one OPU of several: the outputs of each below those of the one before",
		Long: `Ask daemons (opud) for their matrices and write down the stack of them. Commands
take the file as --url, and so do the Go and the Python client: they show each vector
to all of the OPUs, and give the outputs of the first, then those of the second, and
so on. A daemon that has another matrix than the file says is refused.

The addresses are those of --url. Daemons behind one proxy are told apart by the names
of their models: one name for each address, or one address and all the names.`,
		Example: `  opuctl stack --out stack.json /run/opud-left/opud.sock /run/opud-right/opud.sock
  opuctl stack --out stack.json --model left,middle,right http://proxy:8080 --token-file token
  opuctl project --url stack.json --in x.npy --out y.npy`,
		RunE: func(c *cobra.Command, addresses []string) error {
			switch {
			case out.check() != nil:
				return out.check()
			case file == "":
				return usage("--out is needed")
			case len(addresses) == 0:
				return usage("name the addresses of daemons")
			case len(models) > 0 && len(addresses) > 1 && len(models) != len(addresses):
				return usage("--model has %d names for %d addresses", len(models), len(addresses))
			}
			if err := writableFile(file); err != nil {
				return err
			}
			o, err := r.options()
			if err != nil {
				return err
			}
			o.Patience, o.Waiting = defaultPatience, waiting(newProgress(c.ErrOrStderr(), 1), defaultPatience)
			parts := make([]client.Part, max(len(addresses), len(models)))
			for i := range parts {
				parts[i].URL = addresses[min(i, len(addresses)-1)]
				if len(models) > 0 {
					parts[i].Model = models[i]
				}
				if err := there(c.Context(), parts[i].URL, o); err != nil {
					return err
				}
			}
			m, err := client.NewManifest(c.Context(), parts, o)
			if err != nil {
				return err
			}
			s, err := client.DialStack(c.Context(), m, o) // whether they go together
			if err != nil {
				return err
			}
			defer s.Close()
			if err := m.Save(file); err != nil {
				return err
			}
			outputs, inputs := s.Shape()
			result := struct {
				Outputs   int           `json:"outputs"`
				Inputs    int           `json:"inputs"`
				EpochOfB  string        `json:"epoch_of_b"`
				Simulated string        `json:"simulated,omitempty"`
				Parts     []client.Part `json:"parts"`
				Out       string        `json:"out"`
			}{outputs, inputs, s.Epoch(), s.Simulated(), m.Parts, file}
			return out.print(c.OutOrStdout(), result, func(w io.Writer) {
				fmt.Fprintf(w, "stack       %s, %d outputs x %d inputs\n", s.Epoch(), outputs, inputs)
				for _, p := range m.Parts {
					fmt.Fprintf(w, "rows        %d to %d: model %s at %s, %s\n", p.Rows[0], p.Rows[1]-1, p.Model, p.URL, p.Epoch)
				}
				if simulated := s.Simulated(); simulated != "" {
					fmt.Fprintf(w, "simulated bench %q\n", simulated)
				}
				fmt.Fprintf(w, "saved to %s\n", file)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&file, "out", "", "`file` for the stack (JSON)")
	f.StringSliceVar(&models, "model", nil, "base `names` of the models, with commas (default opu)")
	f.StringVar(&r.tokenFile, "token-file", "", "`file` with the daemons' token, which TCP needs")
	out.register(c)
	return c
}
