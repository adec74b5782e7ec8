"""Five folds, no patient in two of them. Arguments: DATA WEIGHTS."""

import sys

import keras_vit

path, weights, runs = *sys.argv[1:3], [f"run_{fold}" for fold in range(5)]
rows, named = f"{path}/train.csv", {"path": "image", "group": "patient"}
how, sample = {"image_dir": f"{path}/train", "columns": named}, f"{path}/sample.csv"
for fold, run in enumerate(runs):
    data = keras_vit.load_data(rows, folds=5, fold=fold, **how)
    keras_vit.fit_head(keras_vit.load(weights), data, output=run)
    print(keras_vit.evaluate(run, data))
    keras_vit.predict_to_file(run, rows, f"oof_{fold}.csv", held_out=True, **how)
keras_vit.predict_to_file(runs, f"{path}/test", "submission.csv", submission=sample)
