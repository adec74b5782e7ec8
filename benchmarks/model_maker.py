r"""MediaPipe Model Maker's four calls: data, model, evaluation, export.

Its last release, 0.2.1.4, is of 2024 and for Python up to 3.11. `pip install
mediapipe-model-maker` works, its import then fails; it takes the versions of its time:

    python3.11 -m venv maker
    maker/bin/pip install mediapipe-model-maker mediapipe==0.10.14 numpy==1.26.4 \
        ml-dtypes==0.3.2 jax==0.4.25 jaxlib==0.4.25 protobuf==4.25.9 \
        "opencv-contrib-python<4.12" "pandas<3" "scipy<1.15"
    maker/bin/python benchmarks/model_maker.py PHOTOS FOLDER [--random-weights]

where PHOTOS has a sub-folder for each class, and FOLDER gets the file. Weights of
ImageNet are a download; with `--random-weights` nothing is fetched.
"""

from __future__ import annotations

import argparse


def main() -> None:
    """Make the model, as its guide says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("folder")
    parser.add_argument("--random-weights", action="store_true")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    import tensorflow as tf

    if options.random_weights:
        applications = tf.keras.applications
        build = applications.MobileNetV2
        applications.MobileNetV2 = lambda **asked: build(**{**asked, "weights": None})
    from mediapipe_model_maker import image_classifier

    data = image_classifier.Dataset.from_folder(options.photos)
    train, held_out = data.split(0.8)
    model = image_classifier.ImageClassifier.create(
        train_data=train,
        validation_data=held_out,
        options=image_classifier.ImageClassifierOptions(
            supported_model=image_classifier.SupportedModels.MOBILENET_V2_KERAS,
            hparams=image_classifier.HParams(
                export_dir=options.folder, epochs=options.epochs, batch_size=4
            ),
        ),
    )
    loss, accuracy = model.evaluate(held_out)
    model.export_model()
    print(f"accuracy {accuracy:.3f} of the held-out fifth, model.tflite is written")


if __name__ == "__main__":
    main()
