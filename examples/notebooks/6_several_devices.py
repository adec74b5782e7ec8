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
# # Several devices, tried on one CPU
#
# Training on several GPUs, TPU cores or machines gives the same model sooner, if all
# is done right. This notebook does it on your CPU, where you can see that the result
# is the same, and says what changes on a real cluster.
#
# The idea is always the same, *data parallel*: each device has a copy of the model, a
# *replica*, and gets a part of each batch. After each step they add up their
# *gradients*, the directions in which the weights should move, so that all replicas
# make the same step.
#
# Needed: `pip install '.[tensorflow,plot]'` (or `jax`, `torch`) in a copy of the
# repository. It takes a minute. On two cores it is not faster than one device: the
# devices share them.

# %%
import json
import os
import subprocess
import sys
from pathlib import Path

# CHANGE THIS if you like: "tensorflow", "jax" or "torch".
BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import matplotlib.pyplot as plt
import numpy as np

print("on", BACKEND)

# %% [markdown]
# ## A batch, divided
#
# Two devices, eight pictures per batch: each device sees four. *Batch size* always
# means that of all devices together here. Give more devices a larger batch, or they
# have too little to do.

# %%
import keras_vit

data = keras_vit.load_data("digits")
figure, axes = plt.subplots(1, 8, figsize=(8, 1.3))
for number, (axis, picture) in enumerate(zip(axes, data.train.samples(8), strict=True)):
    axis.imshow(picture, cmap="gray")
    axis.set_title(f"device {number // 4}", fontsize=8)
    axis.axis("off")

# %% [markdown]
# ## The training script
#
# A backend finds its devices once, when it starts, and some need a process for each
# device. So the training is a script. Three things make it ready for several devices:
#
# 1. `keras_vit.distribute` stands before anything is computed;
# 2. the model is made inside;
# 3. one process, the *writer*, writes files.

# %%
SCRIPT = """
import json
import os
import sys

kind, devices = sys.argv[1], int(sys.argv[2])
if os.environ["KERAS_BACKEND"] == "jax":
    # JAX then takes the CPU for several devices. On real ones: leave this out.
    flag = f" --xla_force_host_platform_device_count={devices}"
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + flag

import keras

import keras_vit

# TensorFlow's "mirrored" divides the CPU, too. On real devices: leave `devices` out.
options = {"devices": devices} if kind == "mirrored" else {}
recipe = keras_vit.training.get_recipe(
    "small_data",
    epochs=3,
    warmup_epochs=1,
    augmentation=keras_vit.Augmentation(),
)
with keras_vit.distribute(kind, **options) as distribution:  # 1
    keras.utils.set_random_seed(0)
    data = keras_vit.load_data("digits")
    model = keras_vit.ViT.from_variant("digits", class_names=data.class_names)  # 2
    model.preprocessing = keras_vit.Preprocessing(image_size=16, channels=1)
    result = keras_vit.train(model, data, recipe, verbose=0)
    with distribution.writing() as is_writer:  # 3
        if is_writer:
            print(distribution.describe())
            name = sys.argv[3]
            model.save(f"{name}.keras")
            with open(f"{name}.json", "w") as file:
                json.dump([row["loss"] for row in result.history], file)
"""
_ = Path("train_here.py").write_text(SCRIPT.lstrip())

# %% [markdown]
# ## One device, then two
#
# On TensorFlow and JAX one process drives all devices of a machine. On torch each
# device has a process of its own, which `torchrun` starts.


# %%
def run(kind, devices, name):
    command = [sys.executable, "train_here.py", kind, str(devices), name]
    if BACKEND == "torch" and devices > 1:
        starter = ["-m", "torch.distributed.run", f"--nproc-per-node={devices}"]
        command[1:1] = [*starter, "--standalone"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-4000:])
    print(done.stdout.strip())


KINDS = {"tensorflow": "mirrored", "jax": "data_parallel", "torch": "data_parallel"}
run("single", 1, "one")
run(KINDS[BACKEND], 2, "two")

# %% [markdown]
# ## The same?
#
# The losses of the three epochs, and the largest difference of any weight:

# %%
losses = {name: json.loads(Path(f"{name}.json").read_text()) for name in ("one", "two")}
plt.figure(figsize=(4, 2.4))
plt.plot([1, 2, 3], losses["one"], "o-", label="one device")
plt.plot([1, 2, 3], losses["two"], "x--", label="two devices")
plt.xticks([1, 2, 3])
plt.xlabel("epoch")
plt.ylabel("loss")
plt.legend()
plt.show()

# %%
one, two = (keras_vit.load(f"{name}.keras").get_weights() for name in ("one", "two"))
largest = max(np.abs(weight).max() for weight in one)
difference = max(np.abs(a - b).max() for a, b in zip(one, two, strict=True))
print(f"largest weight {largest:.2f}, largest difference {difference:.1e}")
assert difference < 1e-3 * largest

# %% [markdown]
# The same up to rounding: sums in another order differ in their last digit, and each
# step of the training passes that on.
#
# ## What changes on a real cluster
#
# | you have | you run |
# |---|---|
# | several GPUs, TensorFlow | `distribute("mirrored")`, one process |
# | several GPUs or a TPU, JAX | `distribute("data_parallel")`, one process |
# | several GPUs, torch | `torchrun --nproc-per-node=8 train.py` |
# | several machines, torch | `torchrun --nnodes=4 --nproc-per-node=8 ...` on each |
# | several machines, JAX | the same script on each, with `KERAS_DISTRIBUTION_*` |
# | several machines, TensorFlow | the same script on each, with `TF_CONFIG` |
# | Slurm | `srun --ntasks=32 python train.py` |
# | a TPU on Kaggle or in Colab | JAX, `distribute("data_parallel")` in the notebook |
# | a model too large for one device | JAX, `distribute("model_parallel")` |
#
# `distribute("auto")` chooses by what it finds: several processes if the environment
# names them, else several devices, else one.
#
# - **Leave out** the two lines of the script that make devices out of a CPU.
# - **The batch** grows with the devices, and the learning rate with the batch.
# - **Files** must lie where all machines read them. Each process reads its own part
#   of a batch.
# - **A run that is stopped** goes on at its step: give `train` an `output`, and run
#   it again.
# - **A process that dies** ends the others, with an error, instead of leaving them
#   waiting.
#
# The page "Several devices and TPU" of the documentation has all of it, with what was
# measured. GPUs and TPUs were not at hand for that: the CPU was.
