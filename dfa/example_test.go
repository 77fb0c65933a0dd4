package dfa_test

import (
	"context"
	"fmt"
	"log"

	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// Any Projector takes the place of dfa.NewDigital: an OPU, a simulated one, a remote
// one.
func ExampleTrain() {
	data := dataset.Digits(1, 2000, 500)
	config := dfa.Default()
	config.Feedback, config.Error = dfa.Optical, dfa.Gain
	config.Layers, config.Epochs, config.Batch = []int{64, 64}, 4, 50

	outputs, inputs, _ := config.NeedsProjector(data.Classes)
	opu, err := dfa.NewDigital(outputs, inputs, 7)
	if err != nil {
		log.Fatal(err)
	}
	result, model, err := dfa.Train(context.Background(), config, &data, opu, dfa.Options{EpochOfB: "seed 7"})
	if err != nil {
		log.Fatal(err)
	}
	classes, err := model.Predict(&data.Test)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d complex outputs of %d inputs\n", outputs, inputs)
	fmt.Println("learned:", result.TestAccuracy > 0.8)
	fmt.Println("classified:", len(classes))
	// Output:
	// 64 complex outputs of 10 inputs
	// learned: true
	// classified: 500
}
