// The model in the browser: LiteRT on WebGPU where that works, else on wasm.

import {
  getWebGpuDevice,
  loadAndCompile,
  loadLiteRt,
  supportsFeature,
  Tensor,
} from "@litertjs/core";
import { download } from "./download.js";

// Probabilities of WebGPU, which may compute in 16 bits, against those of wasm.
const GPU_TOLERANCE = 0.02;

// Load what model.json describes. `accelerator` is "webgpu", "wasm" or null: the best.
export async function loadClassifier(settings, accelerator, onProgress) {
  const bytes = await download(settings.file, settings.num_bytes, onProgress);
  const allowsGpu = accelerator !== "wasm" && (await hasGpu());
  // Lets WebGPU leave single ops to wasm.
  const jspi = allowsGpu && (await supportsFeature("jspi"));
  // What its loader hands to the wasm: whose notes would all be shown as errors.
  self.Module = { printErr: note };
  await loadLiteRt("litert/wasm/", { jspi });
  const onWasm = await compile(settings, bytes, "wasm");
  if (!allowsGpu || !getWebGpuDevice()) return onWasm;
  return (await sameOnGpu(settings, bytes, onWasm)) ?? onWasm;
}

function note(text) {
  const write = text.startsWith("ERROR") ? console.error : console.debug;
  write(text);
}

async function hasGpu() {
  try {
    return Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

async function compile(settings, bytes, accelerator) {
  const model = await loadAndCompile(bytes, { accelerator });
  return {
    accelerator,
    run: (values) => run(settings, model, values),
    close: () => model.delete(),
  };
}

// Return the model on WebGPU if it runs there and computes what it computes on wasm.
async function sameOnGpu(settings, bytes, onWasm) {
  try {
    const onGpu = await compile(settings, bytes, "webgpu");
    const sample = samplePicture(settings);
    const [expected, found] = [await onWasm.run(sample), await onGpu.run(sample)];
    const isSame = expected.probabilities.every(
      (p, i) => Math.abs(p - found.probabilities[i]) <= GPU_TOLERANCE,
    );
    (isSame ? onWasm : onGpu).close();
    return isSame ? onGpu : null;
  } catch (error) {
    console.info("WebGPU cannot run this model, so wasm does.", error);
    return null;
  }
}

function samplePicture({ input }) {
  const length = input.shape.reduce((product, size) => product * size);
  if (input.dtype === "uint8") return Uint8Array.from({ length }, (_, i) => i % 251);
  return Float32Array.from({ length }, (_, i) => (i % 251) / 125 - 1);
}

async function run({ input, output, attention }, model, values) {
  const start = performance.now();
  const tensor = new Tensor(values, input.shape);
  const results = await model.run({ [input.name]: tensor });
  tensor.delete();
  const outputs = {};
  for (const [name, result] of Object.entries(results)) {
    outputs[name] = Array.from(await result.data());
    result.delete();
  }
  const milliseconds = performance.now() - start;
  const scores = outputs[output.name];
  return {
    probabilities: output.activation === null ? toProbabilities(scores) : scores,
    attention: attention && outputs[attention.name],
    milliseconds,
  };
}

function toProbabilities(logits) {
  if (logits.length === 1) return [1 / (1 + Math.exp(-logits[0]))]; // Yes or no.
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const exponents = logits.map((x) => Math.exp(x - largest));
  const sum = exponents.reduce((a, b) => a + b);
  return exponents.map((x) => x / sum);
}
