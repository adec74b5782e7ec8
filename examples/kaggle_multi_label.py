"""Several labels to a picture, to submission.csv. Arguments: DATA WEIGHTS."""

import sys

import keras_vit

folder, weights = sys.argv[1:3]  # of the competition; a checkpoint, as `load` takes it
listed = {"columns": {"path": "image", "label": "labels"}, "label_separator": " "}
how = {"image_dir": f"{folder}/train", "multi_label": True, **listed}
data = keras_vit.load_data(f"{folder}/train.csv", **how)
keras_vit.fit_head(keras_vit.load(weights), data, output="run")
print(keras_vit.evaluate("run", data).text())
sample = f"{folder}/sample_submission.csv"
keras_vit.predict_to_file("run", f"{folder}/test", "submission.csv", submission=sample)
