// Runs an ONNX file with ONNX Runtime's WebAssembly build and prints what it finds:
//   node run.mjs network.onnx samples.f32 FEATURES
// samples.f32 holds little-endian 32-bit floats, FEATURES for each sample.
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const [, , network, samples, features] = process.argv;
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(network), { executionProviders: ["wasm"] });
const bytes = readFileSync(samples);
const x = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const rows = x.length / Number(features);
const y = await session.run({ x: new ort.Tensor("float32", x, [rows, Number(features)]) });
console.log(JSON.stringify({
  inputs: session.inputNames,
  outputs: session.outputNames,
  class: Array.from(y.class.data, Number),
  logits: Array.from(y.logits.data),
  probabilities: Array.from(y.probabilities.data),
}));
