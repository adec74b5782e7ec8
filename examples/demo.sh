#!/bin/sh
# The whole path on the embedded digits: train, evaluate, export, predict from the file.
# Usage: sh examples/demo.sh BIN OUTPUT   (BIN holds keras-vit; `make demo` calls this)
set -eu
bin=$1
output=$2

"$bin/keras-vit" train --data digits --output "$output" --overwrite
"$bin/keras-vit" evaluate "$output" --data digits
"$bin/keras-vit" export "$output" --format litert --overwrite
"$bin/keras-vit" evaluate "$output/model.tflite" --data digits
"$bin/keras-vit" predict "$output/model.tflite" examples/images/*.png --top 3
