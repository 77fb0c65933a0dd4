// Package dfa trains dense networks by direct feedback alignment: each hidden
// layer is updated from a fixed random projection of the output's error, B e,
// instead of from the error carried back through the layers above.
//
//	a_i = h_(i-1) W_i + b_i,  h_i = act(a_i),  p = softmax(a_L),  e = p - onehot(label)
//	d_L = e,  d_i = (B_i q(e)) act'(a_i)
//	W_i <- Adam(W_i, mean over the batch of h_(i-1)^T d_i)
//
// (reference, section 11). The error is quantised to {-1, 0, 1} so that an optical
// processing unit can project it; where the projection comes from is the business
// of a Projector. Every control that a referee would ask for is here as well: the
// same with a digital B, with the unquantised error, backpropagation, and hidden
// layers that are not trained at all.
//
//	result, model, err := dfa.Train(ctx, dfa.Config{Feedback: dfa.Optical, ...}, data, opu, dfa.Options{})
//
// The layers' updates come from one projection and are independent: they run
// concurrently. A run is reproducible: one seed, one result, on any number of cores
// (light itself excepted).
package dfa
