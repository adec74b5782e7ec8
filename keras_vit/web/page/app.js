// The page: a picture comes in, its most likely classes come out; where a picture may
// have several, those that are there are marked.

import { Camera } from "./camera.js";
import { readJson } from "./download.js";
import { isolate } from "./isolation.js";
import { decode, toPixels } from "./picture.js";
import { preprocess } from "./preprocessing.js";
import { Stage } from "./stage.js";

const NUM_RESULTS = 5;
// Phones have at most four fast cores, and fast ones would wait for the slow ones.
const MAX_THREADS = 4;
const byId = (id) => document.getElementById(id);
const percent = new Intl.NumberFormat("en", {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

const stage = new Stage(byId("stage"));
const camera = new Camera(byId("video"));
let settings;
let classifier;
let newest = 0; // Number of the last picture: a slower one before it is dropped.
let isAsked = false; // Whether a picture came, which a reload would lose.

// From the start: a browser leaves the page for a picture that nobody takes.
listenForPictures();
const isReady = start();

// Return whether the model is there.
async function start() {
  // For tests and measurements: accelerator=wasm, threads=1.
  const query = new URLSearchParams(location.search);
  const numThreads = countThreads(query.get("threads"));
  await isolate(numThreads, () => isAsked);
  try {
    settings = await readJson("model.json");
    describeModel();
    showExamples();
    // Not at the top: if the runtime is missing, the page can still say so.
    const { loadClassifier } = await import("./classifier.js");
    const wanted = { accelerator: query.get("accelerator"), numThreads };
    classifier = await loadClassifier(settings, wanted, showProgress);
  } catch (error) {
    console.warn(error);
    byId("loading").hidden = true;
    say("");
    fail(`The model could not be loaded. ${error.message} Reload the page.`);
    return false;
  }
  byId("loading").hidden = true;
  describeRuntime(classifier);
  say("What is on your picture?");
  listen();
  return true;
}

function countThreads(asked) {
  const wanted = parseInt(asked) || MAX_THREADS;
  return wanted > 1 ? Math.min(wanted, navigator.hardwareConcurrency ?? 1) : 1;
}

function describeModel() {
  document.title = settings.title;
  byId("title").textContent = settings.title;
  const megabytes = (settings.num_bytes / 1e6).toFixed(1);
  const [, height, width] = settings.input.shape;
  byId("facts").textContent =
    `Model: ${settings.quantization}, ${megabytes} MB, for pictures of ` +
    `${height} × ${width} pixels.`;
  byId("attention-control").hidden = !settings.attention;
}

function describeRuntime({ accelerator, numThreads }) {
  const threads = numThreads === 1 ? "1 thread" : `${numThreads} threads`;
  const names = {
    webgpu: "the graphics card (WebGPU)",
    wasm: `the processor (wasm, ${threads})`,
  };
  byId("facts").textContent += ` It runs on ${names[accelerator]}`;
  Object.assign(byId("facts").dataset, { accelerator, threads: numThreads });
}

// Pictures that whoever made the page put there.
function showExamples() {
  const buttons = (settings.examples ?? []).map((file, i) => {
    const button = element("button", "example", "");
    const picture = element("img", "", "");
    Object.assign(picture, { src: file, alt: "" });
    button.type = "button";
    button.disabled = true;
    button.setAttribute("aria-label", `Example ${i + 1}`);
    button.addEventListener("click", () => classifyExample(file, `Example ${i + 1}`));
    button.append(picture);
    return button;
  });
  byId("examples").append(...buttons);
  byId("examples").hidden = !buttons.length;
}

async function classifyExample(file, name) {
  try {
    const response = await fetch(file);
    if (!response.ok) throw new Error(`The server answers ${response.status}.`);
    await classify(await response.blob(), name);
  } catch (error) {
    fail(`${name} could not be loaded. ${error.message}`);
  }
}

function showProgress(share) {
  byId("loading").value = share;
}

function listen() {
  for (const part of document.querySelectorAll(".actions :disabled")) {
    part.disabled = false;
  }
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) classify(target.files[0], target.files[0].name);
    target.value = ""; // So that the same file can be chosen again.
  });
  byId("open-camera").addEventListener("click", openCamera);
  byId("shutter").addEventListener("click", takePicture);
  byId("close-camera").addEventListener("click", closeCamera);
  byId("attention").addEventListener("change", ({ target }) => {
    stage.showAttention(target.checked);
  });
}

function listenForPictures() {
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      stage.highlight(type === "dragover");
    });
  }
  document.addEventListener("drop", ({ dataTransfer }) => receive(dataTransfer));
  document.addEventListener("paste", ({ clipboardData }) => receive(clipboardData));
}

async function receive(transfer) {
  const [file] = transfer.files; // Gone after the first await.
  isAsked = true;
  if (!(await isReady)) return;
  if (file) return classify(file, file.name);
  fail("That is no picture. Drop or paste a picture file.");
}

async function openCamera() {
  complain("");
  try {
    await camera.open();
  } catch (error) {
    return fail(error.message);
  }
  stage.showCamera();
  toggleCamera(true);
  byId("shutter").focus();
}

function takePicture() {
  classify(byId("video"), "from the camera");
}

function closeCamera() {
  const focused = document.activeElement;
  camera.close();
  toggleCamera(false);
  stage.showPicture();
  // A button that is hidden loses the focus: go on beside it.
  if (focused?.hidden) byId("open-camera").focus();
}

function toggleCamera(isOpen) {
  byId("shutter").hidden = byId("close-camera").hidden = !isOpen;
  byId("open-camera").hidden = isOpen;
}

async function classify(source, name) {
  const number = ++newest;
  complain("");
  say("Looking …");
  let bitmap;
  try {
    bitmap = await decode(source);
    const start = performance.now();
    const { channels, transparency } = settings.preprocessing;
    const pixels = toPixels(bitmap, channels, transparency);
    const { values, view } = preprocess(settings.preprocessing, pixels);
    const prepared = performance.now() - start;
    const result = await classifier.run(values);
    if (number !== newest) return;
    closeCamera();
    stage.show(bitmap, `The picture ${name}`, view);
    stage.setAttention(settings.attention?.grid, result.attention);
    stage.showAttention(byId("attention").checked);
    showResults(result.probabilities);
    showTime(result.milliseconds, prepared);
    bringIntoView();
  } catch (error) {
    if (number !== newest) return;
    fail(error.message);
  } finally {
    bitmap?.close(); // Hundreds of megabytes for the pictures of some phones.
  }
}

function showResults(probabilities) {
  const { threshold, thresholds } = settings.output;
  let order = [...probabilities.keys()].sort(
    (a, b) => probabilities[b] - probabilities[a] || a - b,
  );
  if (thresholds) return showSeveral(probabilities, thresholds, order);
  if (threshold !== undefined) order = probabilities[1] >= threshold ? [1, 0] : [0, 1];
  const best = order.slice(0, NUM_RESULTS);
  byId("results").replaceChildren(...best.map((i) => bar(i, probabilities[i])));
  const shown = `${className(best[0])}, ${percent.format(probabilities[best[0]])}`;
  say(`This looks like ${shown}.`);
}

// Any number of classes is there, from its threshold on; others stand below them.
function showSeveral(probabilities, thresholds, order) {
  const isThere = (i) => probabilities[i] >= thresholds[i];
  const found = order.filter(isThere);
  const others = order.filter((i) => !isThere(i));
  const shown = [...found, ...others.slice(0, Math.max(0, NUM_RESULTS - found.length))];
  const items = shown.map((i) => {
    const item = bar(i, probabilities[i]);
    item.classList.toggle("there", isThere(i));
    item.style.setProperty("--threshold", thresholds[i]);
    return item;
  });
  byId("results").classList.add("several");
  byId("results").replaceChildren(...items);
  const names = found.map(className);
  if (names.length) return say(`This picture shows ${listed(names)}.`);
  if (order.length === 1) return say(`This picture does not show ${className(0)}.`);
  say(`None of the ${order.length} classes is on this picture.`);
}

// "cat", "cat and dog", "cat, dog and owl"
function listed(names) {
  if (names.length === 1) return names[0];
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function bar(index, probability) {
  const item = document.createElement("li");
  item.title = className(index);
  item.dataset.index = index;
  item.dataset.probability = probability;
  item.append(
    element("span", "name", className(index)),
    element("span", "value", percent.format(probability)),
    element("span", "bar", ""),
  );
  item.style.setProperty("--share", probability);
  return item;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function className(index) {
  return settings.class_names[index] ?? String(index);
}

function showTime(model, preparing) {
  byId("time").dataset.model = model;
  byId("time").textContent =
    `${model.toFixed(model < 10 ? 1 : 0)} ms in the model, ` +
    `${preparing.toFixed(0)} ms to prepare the picture.`;
}

function say(text) {
  byId("status").textContent = text;
}

function complain(text) {
  byId("problem").textContent = text;
}

// Say what went wrong, and leave nothing of a former picture under it.
function fail(text) {
  newest++; // A slower picture before it is dropped, too.
  say("");
  byId("results").replaceChildren();
  byId("time").textContent = "";
  stage.clear();
  complain(text);
  bringIntoView();
}

// On a phone, picture and answer fit on one screen.
function bringIntoView() {
  for (const part of [byId("stage"), byId("result")]) {
    part.scrollIntoView({ block: "nearest" });
  }
}
