// The camera of the device, while it is open.

const REASONS = {
  NotAllowedError: "The camera may not be used. Allow it for this page and try again.",
  NotFoundError: "No camera was found. Choose a picture instead.",
  NotReadableError: "The camera is in use by another program. Close that and try again.",
};

export class Camera {
  constructor(video) {
    this.video = video;
    this.opening = null;
  }

  // Two taps wait for one camera: a second one would never be closed.
  open() {
    this.opening ??= this.start().finally(() => (this.opening = null));
    return this.opening;
  }

  async start() {
    if (!navigator.mediaDevices) {
      // Browsers hide cameras from pages that anyone in between could have changed.
      throw new Error(
        "The camera needs a page from https or from localhost. Choose a picture.",
      );
    }
    const wanted = { video: { facingMode: "environment" } };
    try {
      this.video.srcObject = await navigator.mediaDevices.getUserMedia(wanted);
      await this.video.play();
    } catch (error) {
      this.close();
      throw new Error(
        REASONS[error.name] ?? `The camera could not be opened. ${error.message}`,
      );
    }
  }

  close() {
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }
}
