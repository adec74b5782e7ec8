// Where the picture, what the camera sees and the attention map are shown.

const LARGEST_SIDE = 1200; // pixels on the screen
const SMALL = 128; // pixels; below, single pixels are shown as squares
// Viridis of Matplotlib (CC0), from little to much, as keras_vit.explain draws maps: people
// who do not tell red from green see the same steps, and no photograph has these colours.
const COLOURS = [
  [68, 1, 84],
  [72, 36, 117],
  [65, 68, 135],
  [53, 95, 141],
  [42, 120, 142],
  [33, 145, 140],
  [34, 168, 132],
  [68, 191, 112],
  [122, 209, 81],
  [189, 223, 38],
  [253, 231, 37],
];
const OPACITY = 0.55; // the rest is the picture
// Over what the model did not get to see.
const OUTSIDE = "rgb(20 22 28 / 0.3)";

export class Stage {
  constructor(root) {
    this.root = root;
    [this.hint, this.picture, this.overlay, this.video] = root.children;
    this.hasPicture = false;
    this.hasAttention = false;
    this.isAttentionWanted = true;
  }

  highlight(isOver) {
    this.root.classList.toggle("over", isOver);
  }

  showCamera() {
    this.reveal(this.video);
  }

  showPicture() {
    this.reveal(this.hasPicture ? this.picture : this.hint);
  }

  // Forget the picture; what the camera sees stays.
  clear() {
    this.hasPicture = this.hasAttention = false;
    if (this.video.hidden) this.showPicture();
  }

  // `view` is the box of the picture that the model saw, from preprocess().
  show(bitmap, label, view) {
    const side = Math.max(bitmap.width, bitmap.height);
    this.scale = Math.min(1, LARGEST_SIDE / side);
    this.view = view;
    for (const canvas of [this.picture, this.overlay]) {
      canvas.width = Math.max(1, Math.round(bitmap.width * this.scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * this.scale));
    }
    this.picture.classList.toggle("pixels", side < SMALL);
    const { width, height } = this.picture;
    this.picture.getContext("2d").drawImage(bitmap, 0, 0, width, height);
    this.picture.setAttribute("aria-label", label);
    // The layout knows the proportions of the picture from here.
    this.root.style.setProperty("--ratio", width / height);
    this.hasPicture = true;
    this.showPicture();
  }

  // Lay `values`, rows of `grid` [rows, columns], over the picture as colours. The one
  // percent on each side look the same, so that a single patch does not darken the others.
  setAttention(grid, values) {
    this.hasAttention = Boolean(values);
    if (!values) return;
    const [rows, columns] = grid;
    const sorted = Float64Array.from(values).sort();
    const [low, high] = [percentile(sorted, 0.01), percentile(sorted, 0.99)];
    const share = (value) => {
      const found = high > low ? (value - low) / (high - low) : 0;
      return Math.min(1, Math.max(0, found));
    };
    const map = new ImageData(columns, rows);
    values.forEach((value, i) => map.data.set(colour(share(value)), 4 * i));
    const small = new OffscreenCanvas(columns, rows);
    small.getContext("2d").putImageData(map, 0, 0);
    const context = this.overlay.getContext("2d");
    const { top, left, height, width } = this.view;
    const box = [left, top, width, height].map((x) => x * this.scale);
    context.fillStyle = OUTSIDE;
    context.fillRect(0, 0, this.overlay.width, this.overlay.height);
    context.clearRect(...box);
    context.imageSmoothingQuality = "high";
    context.drawImage(small, ...box);
  }

  showAttention(isWanted) {
    this.isAttentionWanted = isWanted;
    this.reveal(this.picture.hidden ? null : this.picture);
  }

  reveal(shown) {
    if (shown) {
      for (const part of [this.hint, this.picture, this.video]) {
        part.hidden = part !== shown;
      }
      this.root.classList.toggle("empty", shown === this.hint);
    }
    const isOverPicture = shown === this.picture && this.hasAttention;
    this.overlay.hidden = !(isOverPicture && this.isAttentionWanted);
  }
}

// Return the value below which a share of ascending values lies, as NumPy does.
function percentile(sorted, share) {
  const place = share * (sorted.length - 1);
  const first = Math.floor(place);
  const next = sorted[Math.min(first + 1, sorted.length - 1)];
  return sorted[first] + (next - sorted[first]) * (place - first);
}

// Return red, green, blue and alpha, bytes, of a share from 0 to 1.
function colour(share) {
  const place = share * (COLOURS.length - 1);
  const first = Math.min(Math.floor(place), COLOURS.length - 2);
  const mixed = COLOURS[first].map(
    (value, i) => value + (COLOURS[first + 1][i] - value) * (place - first),
  );
  return [...mixed, 255 * OPACITY];
}
