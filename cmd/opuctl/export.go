package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/dfa"
)

func newExport() *cobra.Command {
	var in, onnx string
	var out format
	c := &cobra.Command{
		Use:   "export --in FILE --onnx FILE",
		Short: "Write a trained network for other programs to run",
		Long: `Write a network that train saved as an ONNX file, which other runtimes execute: in
browsers, on phones, in servers. Its input x takes samples as the data set has them
(images as 0 to 1): their scaling is part of the network. Its outputs are class, the
same that infer finds, probabilities and logits.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if in == "" {
				return usage("--in is missing: name a network.safetensors")
			}
			if onnx == "" {
				return usage("--onnx is missing: name the file to write")
			}
			m, err := dfa.LoadModel(in)
			if err != nil {
				return err
			}
			if err := writableFile(onnx); err != nil {
				return err
			}
			if err := m.ExportONNX(onnx); err != nil {
				return err
			}
			result := struct {
				Out        string         `json:"out"`
				Features   int            `json:"features"`
				Classes    int            `json:"classes"`
				Provenance dfa.Provenance `json:"provenance"`
			}{onnx, m.Features, m.Classes, m.Provenance}
			return out.print(c.OutOrStdout(), result, func(w io.Writer) {
				fmt.Fprintf(w, "%s: input x, batch x %d floats; outputs class, probabilities and logits, %d classes\n", onnx, m.Features, m.Classes)
			})
		},
	}
	c.Flags().StringVar(&in, "in", "", "network.safetensors `file`")
	c.Flags().StringVar(&onnx, "onnx", "", "ONNX `file` to write")
	out.register(c)
	return c
}
