package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/dfa/dataset"
)

func newInfer() *cobra.Command {
	var model, data string
	var seed uint64
	var out format
	c := &cobra.Command{
		Use:   "infer --model FILE [--data DIR]",
		Short: "Run a trained network on test data, without any OPU",
		Long: `Run a network that train saved on the test part of a data set and print its
accuracy. No OPU is needed: light is for training only. Without --data the network
is tested on the drawn digits.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if model == "" {
				return usage("--model is missing: name a network.safetensors")
			}
			m, err := dfa.LoadModel(model)
			if err != nil {
				return err
			}
			var d dataset.Data
			if data == "" {
				d = dataset.Digits(int(seed), 0, drawnTest)
			} else if d, err = dataset.Load(c.Context(), data); err != nil {
				return err
			}
			accuracy, err := m.Accuracy(&d.Test)
			if err != nil {
				return err
			}
			result := struct {
				Dataset      string         `json:"dataset"`
				Samples      int            `json:"samples"`
				TestAccuracy float64        `json:"test_accuracy"`
				Provenance   dfa.Provenance `json:"provenance"`
			}{d.Name, len(d.Test.Y), accuracy, m.Provenance}
			return out.print(c.OutOrStdout(), result, func(w io.Writer) {
				fmt.Fprintf(w, "test accuracy %.2f %% on %d samples of %s\n", 100*accuracy, len(d.Test.Y), d.Name)
				p := m.Provenance
				fmt.Fprintf(w, "trained on %s, feedback %s, error %s, seed %d, matrix %s; accuracy then %.2f %%\n",
					p.Dataset, p.Feedback, p.Error, p.Seed, p.EpochOfB, 100*p.TestAccuracy)
			})
		},
	}
	c.Flags().StringVar(&model, "model", "", "network.safetensors `file`")
	c.Flags().StringVar(&data, "data", "", "`folder` with the data (as for train)")
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the drawn digits")
	out.register(c)
	return c
}
