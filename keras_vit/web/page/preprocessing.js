// What keras_vit.Preprocessing does to one picture of bytes, with the same numbers.
//
// `settings` is "preprocessing" of model.json, which settings.py writes; sizes are
// [height, width], in pixels.

import { resizeAndCrop } from "./resample.js";

// Where the crop begins if so many pixels stand over; less than 0 if some are missing.
const HALVES = {
  even: (rest) => (rest > 0 ? roundHalfToEven(rest / 2) : Math.ceil(rest / 2)),
  down: (rest) => Math.floor(rest / 2),
};

function roundHalfToEven(x) {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

// Return the size to which a picture is resized before it is cut.
export function scaledSize(settings, height, width) {
  const [targetHeight, targetWidth] = settings.resized_size;
  if (settings.resize === "squash") return [targetHeight, targetWidth];
  if (settings.resize === "crop" && targetHeight === targetWidth) {
    if (width >= height) {
      return [targetHeight, Math.floor((targetWidth * width) / height)];
    }
    return [Math.floor((targetHeight * height) / width), targetWidth];
  }
  const ratios = [height / targetHeight, width / targetWidth];
  const choose = settings.resize === "crop" ? Math.min : Math.max;
  const ratio = choose(...ratios);
  return [height / ratio, width / ratio].map((side) =>
    Math.max(1, roundHalfToEven(side)),
  );
}

// Return what the model sees of a picture, and where that lies in it.
//
// `pixels` has the channels of the model. In the result, `values` is what the model
// takes, and `view` the box that it sees, {top, left, height, width} in pixels of the
// picture; beyond its edges where the model sees a border.
export function preprocess(settings, pixels) {
  const scaled = scaledSize(settings, pixels.height, pixels.width);
  const size = settings.image_size;
  const offset = scaled.map((side, axis) =>
    HALVES[settings.crop_rounding](side - size[axis]),
  );
  const inside = cutToImage(scaled, offset, size);
  const resized = resizeAndCrop(
    inValueRange(settings, pixels),
    { height: scaled[0], width: scaled[1] },
    inside,
    settings.interpolation,
  );
  const whole = addBorder(settings, resized, offset);
  return {
    values: settings.scale === null ? toBytes(whole.data) : normalize(settings, whole),
    view: inPicture(pixels, scaled, offset, size),
  };
}

// Return the part of the crop that lies inside the resized picture.
function cutToImage(scaled, offset, size) {
  const [top, left] = offset.map((start) => Math.max(0, start));
  const [height, width] = size.map((side, axis) => Math.min(side, scaled[axis]));
  return { top, left, height, width };
}

function inValueRange(settings, pixels) {
  const [low, high] = settings.value_range;
  const isBytes = low === 0 && high === 255;
  if (isBytes && settings.resize_dtype === "uint8") return pixels;
  const factor = Math.fround((high - low) / 255);
  const data = Float32Array.from(pixels.data, (x) => Math.fround(x * factor) + low);
  return { ...pixels, data };
}

function addBorder(settings, image, offset) {
  const [height, width] = settings.image_size;
  if (image.height === height && image.width === width) return image;
  const { channels } = image;
  const data = new image.data.constructor(height * width * channels);
  for (let i = 0; i < data.length; i++) {
    data[i] = settings.border_color[i % channels];
  }
  const [top, left] = offset.map((start) => Math.max(0, -start));
  const row = image.width * channels;
  for (let y = 0; y < image.height; y++) {
    const line = image.data.subarray(y * row, (y + 1) * row);
    data.set(line, ((y + top) * width + left) * channels);
  }
  return { data, height, width, channels };
}

function normalize(settings, { data, channels }) {
  const scale = Float32Array.from(settings.scale);
  const offset = Float32Array.from(settings.offset);
  return Float32Array.from(
    data,
    (x, i) => Math.fround(x * scale[i % channels]) + offset[i % channels],
  );
}

function toBytes(data) {
  if (data instanceof Uint8Array) return data;
  return Uint8Array.from(data, (x) => Math.min(Math.max(roundHalfToEven(x), 0), 255));
}

function inPicture(pixels, scaled, offset, size) {
  const [y, x] = [pixels.height / scaled[0], pixels.width / scaled[1]];
  return {
    top: offset[0] * y,
    left: offset[1] * x,
    height: size[0] * y,
    width: size[1] * x,
  };
}
