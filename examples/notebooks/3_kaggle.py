# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Kaggle: from train.csv to submission.csv, without internet
#
# Many Kaggle competitions switch the internet off while your notebook runs. Then the
# package and the weights have to be there already, as *inputs*. This notebook fits a
# classifier in five *folds* and writes `submission.csv`. It takes the TPU or the GPU
# if you switched one on, else the CPU.
#
# **The outputs below** are not of a competition: they were made in folders laid out
# like Kaggle's, with digits as pictures.
#
# ## Three inputs
#
# Add them in the editor ("Add Input"), or in `kernel-metadata.json`, which lies
# beside this notebook:
#
# 1. **The competition**: `train.csv`, `train/`, `test/`, `sample_submission.csv`.
# 2. **The weights**: DINOv2 is among Kaggle's models: `metaresearch/dinov2`, PyTorch,
#    `small`. Any folder in Hugging Face's layout will do, and so will a file that
#    `keras_vit.save` wrote.
# 3. **The package**: a data set, or the output of another notebook of yours, with a
#    folder of *wheels*. A wheel is a file that pip installs without asking a server.
#    Make them once, in a notebook with internet on, so that Python and system are the
#    same; the first line needs the address that you have the repository from:
#
# ```
# !pip wheel --wheel-dir wheels --no-deps git+https://...
# !pip download --dest wheels --no-deps "keras>=3.15"
# ```
#
# The rest that the package needs (NumPy, Pillow, SciPy, threadpoolctl) is on Kaggle
# already. In the repository `make wheel` makes the first of the two.

# %%
import os
import shutil
from pathlib import Path

ROOT = Path(os.environ.get("KAGGLE_ROOT", "/kaggle"))
INPUT, WORKING = ROOT / "input", ROOT / "working"


def find(pattern):
    """Return the first file of that name: Kaggle puts inputs at differing depths."""
    found = sorted(INPUT.rglob(pattern))
    if not found:
        raise FileNotFoundError(f"No input has {pattern!r}. Add it, and try again.")
    return found[0]


# %%
# CHANGE THIS if your files have other names.
COMPETITION = find("sample_submission.csv").parent
WHEELS = find("keras3_vit-*.whl").parent
WEIGHTS = find("preprocessor_config.json").parent
for path in (COMPETITION, WHEELS, WEIGHTS):
    print(path.relative_to(ROOT))

# %% [markdown]
# ## TPU, GPU or CPU
#
# Keras computes with the *backend* that is chosen before it is imported. JAX is the
# one that runs on Kaggle's TPUs and GPUs alike.

# %%
has_tpu = "TPU_ACCELERATOR_TYPE" in os.environ or Path("/dev/accel0").exists()
has_gpu = shutil.which("nvidia-smi") is not None
os.environ.setdefault("KERAS_BACKEND", "jax" if has_tpu or has_gpu else "tensorflow")
print("TPU" if has_tpu else "GPU" if has_gpu else "CPU", os.environ["KERAS_BACKEND"])

# %% [markdown]
# ## Install, from the input alone

# %%
# %pip install --quiet --no-index --find-links {WHEELS} "keras3-vit[head]"

# %%
import matplotlib.pyplot as plt
import numpy as np

import keras_vit

print(keras_vit.__version__)

# %% [markdown]
# ## The list
#
# **Change this**: which columns hold the names of the files and the classes. `group`
# is for competitions in which several pictures belong together, such as those of one
# patient: they then stay in one fold. Leave it out if there is none.

# %%
print("".join((COMPETITION / "train.csv").open().readlines()[:4]))
COLUMNS = {"path": "image_id", "label": "label"}  # and "group": "patient_id"
PICTURES = {"image_dir": COMPETITION / "train", "ending": ".jpg"}

# %%
FOLDS = 5


def opened(fold):
    train = COMPETITION / "train.csv"
    return keras_vit.load_data(
        train, columns=COLUMNS, folds=FOLDS, fold=fold, **PICTURES
    )


data = opened(0)
print(data.class_names, len(data.train), "to train,", len(data.validation), "to judge")
figure, axes = plt.subplots(1, 8, figsize=(8, 1.2))
for axis, path in zip(axes, data.train.samples(8), strict=False):
    axis.imshow(plt.imread(path), cmap="gray")
    axis.axis("off")

# %% [markdown]
# ## Five folds
#
# The pictures are dealt into five parts. Five models are fitted, each without one of
# the parts, and judged on it. So each picture is judged once, by a model that has not
# seen it. The weights look at each picture once: what they see is kept for the other
# folds.

# %%
backbone = keras_vit.load(WEIGHTS, image_size="preprocessing")
runs, accuracies = [], []
for fold in range(FOLDS):
    runs.append(WORKING / f"run_{fold}")
    keras_vit.fit_head(
        backbone, opened(fold), output=runs[-1], overwrite=True, verbose=False
    )
    accuracies.append(keras_vit.evaluate(runs[-1], opened(fold)).accuracy)
    print(f"fold {fold}: accuracy {accuracies[-1]:.3f}")

# %%
print(f"mean {np.mean(accuracies):.3f}, standard deviation {np.std(accuracies):.3f}")

# %% [markdown]
# The mean is what to expect on the leaderboard, if its pictures are like these. The
# deviation says how much of a difference between two models may be luck.
#
# ## The submission
#
# The mean of the probabilities of the five models, in the rows and columns that
# `sample_submission.csv` asks for. A missing picture or an unknown column is an
# error.

# %%
submission = WORKING / "submission.csv"
keras_vit.predict_to_file(
    runs,
    COMPETITION / "test",
    submission,
    submission=COMPETITION / "sample_submission.csv",
    overwrite=True,
)
print("".join(submission.open().readlines()[:5]))

# %% [markdown]
# ## Run it on Kaggle
#
# In the editor: upload this file, add the three inputs, switch the internet off,
# "Save & Run All", "Submit". Or from your computer, with Kaggle's command line: put
# **your names** into `kernel-metadata.json` (everything in capitals), then
#
# ```
# kaggle kernels push -p examples/notebooks
# ```
#
# | field | what |
# |---|---|
# | `id`, `title` | your user name and the name of the notebook, which must agree |
# | `code_file` | this file |
# | `enable_gpu`, `enable_tpu` | one of them `true`, for an accelerator |
# | `enable_internet` | `false`, as the competition wants it |
# | `competition_sources` | the name in the address of the competition |
# | `dataset_sources` | your data set with the wheels |
# | `model_sources` | the weights |
#
# ## Where to go on
#
# `2_your_photographs` shows fine-tuning, which often adds some points, and the report
# of mistakes. On a TPU or GPU `keras_vit.train` with the recipe `"photos_pretrained"`
# takes minutes; keep folds.
