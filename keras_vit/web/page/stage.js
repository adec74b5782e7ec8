// Where the picture, what the camera sees and the attention map are shown.

const LARGEST_SIDE = 1200; // pixels on the screen
const SMALL = 128; // pixels; below, single pixels are shown as squares
// Over what was not looked at: a grey that shows on dark and on bright pictures.
const VEIL = [120, 125, 135];
const THICKEST = 0.85;

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

  // `view` is the box of the picture that the model saw, from preprocess().
  show(bitmap, label, view) {
    const side = Math.max(bitmap.width, bitmap.height);
    this.scale = Math.min(1, LARGEST_SIDE / side);
    this.view = view;
    for (const canvas of [this.picture, this.overlay]) {
      canvas.width = Math.max(1, Math.round(bitmap.width * this.scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * this.scale));
      canvas.classList.toggle("small", side < SMALL);
    }
    const { width, height } = this.picture;
    this.picture.getContext("2d").drawImage(bitmap, 0, 0, width, height);
    this.picture.setAttribute("aria-label", label);
    // The layout knows the proportions of the picture from here.
    this.root.style.setProperty("--ratio", width / height);
    this.hasPicture = true;
    this.showPicture();
  }

  // Veil the picture where `values`, rows of `grid` [rows, columns], are small.
  setAttention(grid, values) {
    this.hasAttention = Boolean(values);
    if (!values) return;
    const [rows, columns] = grid;
    const largest = Math.max(...values);
    const smallest = Math.min(...values);
    const range = largest - smallest || 1;
    const mask = new ImageData(columns, rows);
    values.forEach((value, i) => {
      const alpha = THICKEST * (1 - (value - smallest) / range);
      mask.data.set([...VEIL, 255 * alpha], 4 * i);
    });
    const small = new OffscreenCanvas(columns, rows);
    small.getContext("2d").putImageData(mask, 0, 0);
    const context = this.overlay.getContext("2d");
    const { top, left, height, width } = this.view;
    const box = [left, top, width, height].map((x) => x * this.scale);
    // What lies outside the view was not seen at all.
    context.fillStyle = `rgb(${VEIL.join(" ")} / ${THICKEST})`;
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
    }
    const isOverPicture = shown === this.picture && this.hasAttention;
    this.overlay.hidden = !(isOverPicture && this.isAttentionWanted);
  }
}
