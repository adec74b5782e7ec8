// Where the picture, what the camera sees and the attention map are shown.

const LARGEST_SIDE = 1200; // pixels on the screen
const SMALL = 128; // pixels; below, single pixels are shown as squares
// What was looked at glows; the picture shows through everywhere. From little to much:
// red, green, blue and opacity.
const GLOW = [
  [255, 94, 58, 0],
  [255, 122, 24, 0.3],
  [255, 214, 10, 0.5],
];
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

  // Let the picture glow where `values`, rows of `grid` [rows, columns], are above
  // their average: the rest of the picture stays as it is.
  setAttention(grid, values) {
    this.hasAttention = Boolean(values);
    if (!values) return;
    const [rows, columns] = grid;
    const average = values.reduce((sum, value) => sum + value) / values.length;
    const range = Math.max(...values) - average || 1;
    const share = (value) => Math.max(0, (value - average) / range);
    const map = new ImageData(columns, rows);
    values.forEach((value, i) => map.data.set(glow(share(value)), 4 * i));
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

// Return red, green, blue and alpha, bytes, of a share from 0 to 1.
function glow(share) {
  const place = share * (GLOW.length - 1);
  const first = Math.min(Math.floor(place), GLOW.length - 2);
  const mixed = GLOW[first].map(
    (value, i) => value + (GLOW[first + 1][i] - value) * (place - first),
  );
  return [...mixed.slice(0, 3), 255 * mixed[3]];
}
