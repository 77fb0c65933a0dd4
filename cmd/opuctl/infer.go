package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/dfa/dataset"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/npy"
)

func newInfer() *cobra.Command {
	var model, data, predictions string
	var seed uint64
	var out format
	c := &cobra.Command{
		Use:   "infer --model FILE [--data DIR]",
		Short: "Run a trained network on test data, without any OPU",
		Long: `Run a network that train saved on the test part of a data set and print its
accuracy. No OPU is needed: light is for training only. Without --data the network
is tested on the drawn digits. --predictions keeps what was found, in the order of
the data.`,
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
			if predictions != "" {
				if err := writableFile(predictions); err != nil {
					return err
				}
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
			if predictions != "" {
				if err := writePredictions(predictions, m, &d.Test); err != nil {
					return err
				}
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
	c.Flags().StringVar(&predictions, "predictions", "", "write the class found for each sample to this .npy `file`")
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the drawn digits")
	out.register(c)
	return c
}

// writePredictions writes the class that the model finds for each sample, as int64.
func writePredictions(path string, m *dfa.Model, s *dataset.Split) error {
	classes, err := m.Predict(s)
	if err != nil {
		return err
	}
	found := make([]int64, len(classes))
	for i, class := range classes {
		found[i] = int64(class)
	}
	return atomicfile.Write(path, func(w io.Writer) error { return npy.Write(w, found, len(found)) })
}
