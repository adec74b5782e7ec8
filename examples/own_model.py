"""Build a model of your own from the layers, in the order of the paper's figure 1.

Source: arXiv:2010.11929, figure 1.
Command: KERAS_BACKEND=torch python examples/own_model.py
Expected: a few seconds; prints the output shape. `--smoke` changes nothing.
"""

import keras
import numpy as np

from keras_vit import MLPHead, PatchEncoder, Patches, TransformerBlock
from keras_vit.layers import MLP, ClassTokenPooling, LayerNormalization, SelfAttention

IMAGE_SIZE = 64  # pixels
PATCH_SIZE = 8  # pixels

images = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3))
x = Patches(PATCH_SIZE)(images)  # (B, 64, 192)
x = PatchEncoder(hidden_dim=96)(x)  # (B, 65, 96), the class token first
for _ in range(4):
    attention = SelfAttention(hidden_dim=96, num_heads=4)
    mlp = MLP(hidden_dim=96, mlp_dim=192)
    x = TransformerBlock(attention, mlp)(x)  # (B, 65, 96)
x = LayerNormalization()(x)
x = ClassTokenPooling()(x)  # (B, 96)
logits = MLPHead(num_classes=5)(x)  # (B, 5)
model = keras.Model(images, logits)

model.summary()
print(tuple(model(np.zeros((2, IMAGE_SIZE, IMAGE_SIZE, 3), "float32")).shape))
