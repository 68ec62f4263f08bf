"""Trains a small Keras model with the adaptive affinity loss on the demo data: `pip install .`, then

python dataset/make_demo.py --out-dir demo && python examples/keras_aaf.py
"""

import keras
import numpy as np
import tensorflow as tf
from adaptive_affinity import AdaptiveAffinityLoss
from PIL import Image


def class_ids(path):  # of a palette PNG, which TensorFlow would decode to colours
  return np.asarray(Image.open(path.decode()))[..., np.newaxis]


def read(line):
  image, label = tf.unstack(tf.strings.join(['demo/VOCdevkit/', tf.strings.split(line)]), 2)
  label = tf.ensure_shape(tf.numpy_function(class_ids, [label], tf.uint8), [None, None, 1])
  return tf.io.decode_jpeg(tf.io.read_file(image), 3), label


classes = 7  # the demo's
with open('demo/train.txt') as f:
  lines = tf.data.Dataset.from_tensor_slices(f.read().splitlines())
data = lines.shuffle(1000, seed=0).map(read).batch(4)
layers = [keras.layers.Conv2D(32, 5, padding='same', dilation_rate=rate, activation='relu') for rate in (1, 2, 4)]
inputs = [keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 255)]
model = keras.Sequential([*inputs, *layers, keras.layers.Conv2D(classes, 1)])

cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
aaf = AdaptiveAffinityLoss(classes, from_logits=True)
model = aaf.attach(model)  # now fit trains the edge weights too


def loss(labels, logits):
  return cross_entropy(labels, logits) + aaf(labels, logits)


optimizer = keras.optimizers.AdamW(3e-3)
optimizer.exclude_from_weight_decay(var_list=aaf.edge_weights)
model.compile(optimizer, loss)
history = model.fit(data, epochs=10, shuffle=False, verbose=2)
edge, nonedge = (tf.nn.softmax(weights).numpy() for weights in aaf.edge_weights)
print(f'learned weights, a class a line, by distance 1, 2, 3: edge\n{edge.round(3)}\nand non-edge\n{nonedge.round(3)}')
