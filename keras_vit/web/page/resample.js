// Resize pixels as Pillow does, so that the model sees what it saw in Python.
// Reference: Pillow 13, src/libImaging/Resample.c and Geometry.c (nearest).
//
// An image is {data, height, width, channels}, channels last. Bytes (Uint8Array) are
// summed in whole numbers and rounded after each of the two passes; Float32Array is
// summed in double precision.

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const FILTERS = {
  box: { support: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, at: (x) => Math.max(1 - Math.abs(x), 0) },
  hamming: {
    support: 1,
    at: (x) =>
      Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0,
  },
  bicubic: { support: 2, at: cubic },
  lanczos: {
    support: 3,
    at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0),
  },
};

function cubic(signed) {
  const a = -0.5;
  const x = Math.abs(signed);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// Bits behind the point of a weight when bytes are summed: a sum fits in 32 bits.
const PRECISION = 22;

// For each of `count` resized pixels from `start` on: where it begins to read, and
// with which weights. An image grows or shrinks from `size` to `scaled` pixels.
function taps(size, scaled, start, count, name) {
  if (size === scaled) return unchanged(start, count);
  const scale = size / scaled;
  if (name === "nearest") return nearestTaps(scale, start, count);
  const stretch = Math.max(scale, 1); // A shrinking image needs a wider filter.
  const filter = FILTERS[name];
  const support = filter.support * stretch;
  return Array.from({ length: count }, (_, i) => {
    const center = (start + i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), size);
    const weights = new Float64Array(end - first);
    const inverse = 1 / stretch;
    let sum = 0;
    for (let x = 0; x < weights.length; x++) {
      weights[x] = filter.at((x + first - center + 0.5) * inverse);
      sum += weights[x];
    }
    if (sum !== 0) weights.forEach((w, x) => (weights[x] = w / sum));
    return { first, weights };
  });
}

function nearestTaps(scale, start, count) {
  const found = [];
  let position = scale * 0.5;
  for (let i = 0; i < start + count; i++) {
    if (i >= start) found.push({ first: Math.trunc(position), weights: ONE });
    position += scale; // A sum, not a product: its rounding decides between neighbours.
  }
  return found;
}

function unchanged(start, count) {
  return Array.from({ length: count }, (_, i) => ({
    first: start + i,
    weights: ONE,
  }));
}

const ONE = Float64Array.of(1);

function fixedPoint(weights) {
  return Int32Array.from(weights, (w) =>
    Math.trunc((w < 0 ? -0.5 : 0.5) + w * 2 ** PRECISION),
  );
}

// Sum `count` values with weights, `step` values apart.
function sumBytes(data, index, step, weights) {
  let sum = 1 << (PRECISION - 1);
  for (let k = 0; k < weights.length; k++, index += step) {
    sum += data[index] * weights[k];
  }
  return Math.min(Math.max(sum >> PRECISION, 0), 255);
}

function sumFloats(data, index, step, weights) {
  let sum = 0;
  for (let k = 0; k < weights.length; k++, index += step) {
    sum += data[index] * weights[k];
  }
  return sum;
}

// Sum along one axis of (outer, length, inner) values.
function pass(data, outer, length, inner, table) {
  const isBytes = data instanceof Uint8Array;
  const sum = isBytes ? sumBytes : sumFloats;
  const rows = table.map(({ first, weights }) => ({
    first,
    weights: isBytes ? fixedPoint(weights) : weights,
  }));
  const result = new data.constructor(outer * rows.length * inner);
  let to = 0;
  for (let o = 0; o < outer; o++) {
    for (const { first, weights } of rows) {
      const from = (o * length + first) * inner;
      for (let i = 0; i < inner; i++) {
        result[to++] = sum(data, from + i, inner, weights);
      }
    }
  }
  return result;
}

// Resize to `scaled`, {height, width}, and cut `box`, {top, left, height, width}, out
// of it; only what lies inside the box is computed.
export function resizeAndCrop(image, scaled, box, interpolation) {
  const { height, width } = image;
  const rows = taps(height, scaled.height, box.top, box.height, interpolation);
  const columns = taps(width, scaled.width, box.left, box.width, interpolation);
  // From Pillow 13 on, the cheaper order; for bytes the two differ at sharp edges.
  const less = { height: height - scaled.height, width: width - scaled.width };
  if (less.height > Math.max(0, 2 * less.width)) {
    return alongWidth(alongHeight(image, rows), columns);
  }
  const used = usedRows(image, rows);
  return alongHeight(alongWidth(used.image, columns), used.rows);
}

function alongWidth({ data, height, width, channels }, columns) {
  const narrow = pass(data, height, width, channels, columns);
  return { data: narrow, height, width: columns.length, channels };
}

function alongHeight({ data, height, width, channels }, rows) {
  const low = pass(data, 1, height, width * channels, rows);
  return { data: low, height: rows.length, width, channels };
}

// Leave out the rows above and below all that `rows` read.
function usedRows(image, rows) {
  const top = Math.min(...rows.map((row) => row.first));
  const end = Math.max(...rows.map((row) => row.first + row.weights.length));
  const size = image.width * image.channels;
  return {
    image: {
      ...image,
      data: image.data.subarray(top * size, end * size),
      height: end - top,
    },
    rows: rows.map((row) => ({ ...row, first: row.first - top })),
  };
}
