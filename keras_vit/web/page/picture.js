// Pictures of files and cameras as pixels, as Pillow reads them.

// No more pixels at once than any browser's canvas takes.
const LARGEST_STRIP = 4_000_000;

// Decode a file; `source` may also be a video element. Colours stay as the file holds
// them, and the picture is turned as its EXIF data say.
export async function decode(source) {
  try {
    return await createImageBitmap(source, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
      imageOrientation: "from-image",
    });
  } catch {
    if (source instanceof HTMLVideoElement) {
      throw new Error("The camera shows nothing yet. Try again, or choose a picture.");
    }
    const name = source.name ? `“${source.name}”` : "This";
    throw new Error(
      `${name} cannot be read as a picture. Choose a JPEG, PNG, WebP or GIF file.`,
    );
  }
}

// Return pixels with the channels of the model, {data, height, width, channels}.
export function toPixels(bitmap, channels, transparency) {
  let rgba = readCanvas(bitmap);
  if (hasAlpha(rgba)) rgba = readTexture(bitmap) ?? rgba;
  if (transparency === "white" && channels !== 4) layOnWhite(rgba);
  const data = CONVERTERS[channels](rgba);
  return { data, height: bitmap.height, width: bitmap.width, channels };
}

function readCanvas(bitmap) {
  const { width, height } = bitmap;
  const step = Math.max(1, Math.floor(LARGEST_STRIP / width));
  const canvas = new OffscreenCanvas(width, Math.min(step, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = new Uint8Array(width * height * 4);
  for (let top = 0; top < height; top += step) {
    const rows = Math.min(step, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    rgba.set(context.getImageData(0, 0, width, rows).data, top * width * 4);
  }
  return rgba;
}

function hasAlpha(rgba) {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] !== 255) return true;
  return false;
}

// A canvas forgets the colour of what is transparent, a texture keeps it. Return null
// where there is no WebGL or the picture is too large for it.
function readTexture(bitmap) {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl) return null;
  const { width, height } = bitmap;
  if (Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const texture = gl.getParameter(gl.TEXTURE_BINDING_2D);
  gl.framebufferTexture2D(
    gl.FRAMEBUFFER,
    gl.COLOR_ATTACHMENT0,
    gl.TEXTURE_2D,
    texture,
    0,
  );
  const rgba = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return rgba;
}

function layOnWhite(rgba) {
  for (let i = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3];
    for (let c = i; c < i + 3; c++) {
      rgba[c] = Math.round((rgba[c] * alpha + 255 * (255 - alpha)) / 255);
    }
  }
}

const CONVERTERS = { 1: toGrey, 3: toRGB, 4: (rgba) => rgba };

// ITU-R 601-2 luma, in the whole numbers of Pillow.
function toGrey(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0, j = 0; i < grey.length; i++, j += 4) {
    const luma = 19595 * rgba[j] + 38470 * rgba[j + 1] + 7471 * rgba[j + 2];
    grey[i] = (luma + 0x8000) >> 16;
  }
  return grey;
}

function toRGB(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, j = 0; i < rgb.length; i += 3, j += 4) {
    rgb[i] = rgba[j];
    rgb[i + 1] = rgba[j + 1];
    rgb[i + 2] = rgba[j + 2];
  }
  return rgb;
}
