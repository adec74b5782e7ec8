// The model in the browser: LiteRT on WebGPU where that works, else on wasm.

import {
  getWebGpuDevice,
  loadAndCompile,
  loadLiteRt,
  supportsFeature,
  Tensor,
  unloadLiteRt,
} from "@litertjs/core";
import { download } from "./download.js";

const RUNTIME = "litert/wasm/";
// Probabilities of WebGPU, which may compute in 16 bits, against those of wasm.
const GPU_TOLERANCE = 0.02;

// Load what model.json describes. Wanted are an accelerator, "webgpu", "wasm" or null:
// the best; and a number of threads, for wasm where the browser allows several.
export async function loadClassifier(settings, wanted, onProgress) {
  const bytes = await download(settings.file, settings.num_bytes, onProgress);
  const hasThreads = wanted.numThreads > 1 && (await allowsThreads());
  if (wanted.accelerator !== "wasm" && (await hasGpu())) {
    const classifier = await loadWithGpu(settings, bytes);
    // The runtime for WebGPU has no threads.
    if (classifier.accelerator === "webgpu" || !hasThreads) return classifier;
    classifier.close();
    unloadLiteRt();
  }
  if (!hasThreads) return loadOnWasm(settings, bytes, 1);
  return loadWithThreads(settings, bytes, wanted.numThreads);
}

// Return the model on WebGPU if it computes what it computes on wasm, else on wasm.
async function loadWithGpu(settings, bytes) {
  // Lets WebGPU leave single ops to wasm.
  await loadRuntime({ jspi: await supportsFeature("jspi") });
  const onWasm = await compile(settings, bytes, "wasm", 1);
  if (!getWebGpuDevice()) return onWasm;
  return (await sameOnGpu(settings, bytes, onWasm)) ?? onWasm;
}

async function loadWithThreads(settings, bytes, numThreads) {
  try {
    return await loadOnWasm(settings, bytes, numThreads);
  } catch (error) {
    console.info("Threads cannot run this model, so one does.", error);
    unloadLiteRt();
    return loadOnWasm(settings, bytes, 1);
  }
}

async function loadOnWasm(settings, bytes, numThreads) {
  await loadRuntime({ threads: numThreads > 1 });
  return compile(settings, bytes, "wasm", numThreads);
}

async function loadRuntime(options) {
  // What its loader hands to the wasm: whose notes would all be shown as errors.
  self.Module = { printErr: note };
  await loadLiteRt(RUNTIME, options);
}

function note(text) {
  const write = text.startsWith("ERROR") ? console.error : console.debug;
  write(text);
}

async function allowsThreads() {
  if (!self.crossOriginIsolated) return false;
  try {
    // Without the header no worker starts from it, and the runtime would wait forever.
    const script = await fetch(`${RUNTIME}litert_wasm_threaded_internal.js`);
    const hasHeader = script.headers.has("Cross-Origin-Embedder-Policy");
    // It was built for both.
    const features = ["threads", "relaxedSimd"].map(supportsFeature);
    return hasHeader && (await Promise.all(features)).every(Boolean);
  } catch {
    return false;
  }
}

async function hasGpu() {
  try {
    return Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

async function compile(settings, bytes, accelerator, numThreads) {
  const cpuOptions = { numThreads };
  const model = await loadAndCompile(bytes, { accelerator, cpuOptions });
  return {
    accelerator,
    numThreads,
    run: (values) => run(settings, model, values),
    close: () => model.delete(),
  };
}

// Return the model on WebGPU if it runs there and computes what it computes on wasm.
async function sameOnGpu(settings, bytes, onWasm) {
  try {
    const onGpu = await compile(settings, bytes, "webgpu", 1);
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
    probabilities: noAndYes(
      output.activation === null ? toProbabilities(scores, output) : scores,
      output,
    ),
    attention: attention && outputs[attention.name],
    milliseconds,
  };
}

// A single output says yes; where no has a name or a number, too, it says no as well.
function noAndYes(probabilities, { threshold }) {
  if (threshold === undefined) return probabilities;
  return [1 - probabilities[0], probabilities[0]];
}

function toProbabilities(logits, { thresholds }) {
  // Yes or no, of each class where a picture may have several.
  if (logits.length === 1 || thresholds) return logits.map((x) => 1 / (1 + Math.exp(-x)));
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const exponents = logits.map((x) => Math.exp(x - largest));
  const sum = exponents.reduce((a, b) => a + b);
  return exponents.map((x) => x / sum);
}
