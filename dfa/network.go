package dfa

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/light-in-the-loop/opu/internal/parallel"
)

// activation is a nonlinearity and its slope, the latter in terms of the output.
type activation struct {
	name  string
	value func(a float32) float32
	slope func(h float32) float32
}

var activations = []activation{
	{"tanh",
		func(a float32) float32 { return float32(math.Tanh(float64(a))) },
		func(h float32) float32 { return 1 - h*h }},
	{"relu",
		func(a float32) float32 { return max(a, 0) },
		func(h float32) float32 {
			if h > 0 {
				return 1
			}
			return 0
		}},
	{"sigmoid",
		func(a float32) float32 { return float32(1 / (1 + math.Exp(-float64(a)))) },
		func(h float32) float32 { return h * (1 - h) }},
	{"linear",
		func(a float32) float32 { return a },
		func(float32) float32 { return 1 }},
}

// Activations lists the names that Config.Activation takes.
func Activations() []string {
	names := make([]string, len(activations))
	for i, a := range activations {
		names[i] = a.name
	}
	return names
}

func findActivation(name string) (*activation, error) {
	for i := range activations {
		if activations[i].name == name {
			return &activations[i], nil
		}
	}
	return nil, fmt.Errorf("cannot use the activation %q: there are %s: %w", name, strings.Join(Activations(), ", "), ErrInput)
}

// layer is a dense layer. Weights are stored in x out, which makes the forward
// product the fast one.
type layer struct {
	in, out int
	weight  []float32 // in x out
	bias    []float32
}

// network is a stack of dense layers with an activation between them and softmax
// at the end.
type network struct {
	act    *activation
	layers []layer
}

// newNetwork makes a network with weights and biases uniform in +-1/sqrt(fan-in).
func newNetwork(sizes []int, act *activation, seed uint64) *network {
	n := &network{act: act}
	random := rand.New(rand.NewPCG(seed, forWeights))
	for i := 1; i < len(sizes); i++ {
		l := layer{in: sizes[i-1], out: sizes[i], weight: make([]float32, sizes[i-1]*sizes[i]), bias: make([]float32, sizes[i])}
		bound := 1 / math.Sqrt(float64(l.in))
		for _, w := range [][]float32{l.weight, l.bias} {
			for j := range w {
				w[j] = float32((2*random.Float64() - 1) * bound)
			}
		}
		n.layers = append(n.layers, l)
	}
	return n
}

// outputs are the activations of each layer for a batch.
type outputs [][]float32

func (n *network) newOutputs(batch int) outputs {
	o := make(outputs, len(n.layers))
	for i, l := range n.layers {
		o[i] = make([]float32, batch*l.out)
	}
	return o
}

// forward fills o with the layers' outputs for rows of x; the last one gets the
// logits.
func (n *network) forward(o outputs, x []float32, rows int) {
	for i := range n.layers {
		l := &n.layers[i]
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, matrix(rows, l.in, x), matrix(l.in, l.out, l.weight), 0, matrix(rows, l.out, o[i]))
		hidden := i < len(n.layers)-1
		parallel.Do(rows, func(r int) {
			h := o[i][r*l.out : (r+1)*l.out]
			if !hidden {
				for j, b := range l.bias {
					h[j] += b
				}
				return
			}
			for j, b := range l.bias {
				h[j] = n.act.value(h[j] + b)
			}
		})
		x = o[i]
	}
}

// softmax turns logits into probabilities, in place, and returns the cross-entropy
// against the label.
func softmax(p []float32, label int) float64 {
	largest := p[0]
	for _, a := range p[1:] {
		largest = max(largest, a)
	}
	sum := 0.0
	own := float64(p[label] - largest)
	for j, a := range p {
		x := math.Exp(float64(a - largest))
		p[j] = float32(x)
		sum += x
	}
	for j := range p {
		p[j] = float32(float64(p[j]) / sum)
	}
	return math.Log(sum) - own
}

// argmax is the index of the largest entry, the first of equals.
func argmax(p []float32) int {
	best := 0
	for j, x := range p {
		if x > p[best] {
			best = j
		}
	}
	return best
}
