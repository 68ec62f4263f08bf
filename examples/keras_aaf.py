"""Trains a small Keras model with the adaptive affinity loss on the demo data, in about a minute: `pip install .`, then

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
  return tf.io.decode_jpeg(tf.io.read_file(image), 3), label[::2, ::2]  # the model predicts every other pixel


classes = 7  # the demo's
with open('demo/train.txt') as f:
  lines = tf.data.Dataset.from_tensor_slices(f.read().splitlines())
# The loss is compiled anew for each size of a batch, which takes seconds: crop or pad yours to one size (labels with
# 255), and leave out the last batch where it is smaller.
data = lines.shuffle(1000, seed=0).map(read).batch(4, drop_remainder=True)
layers = [keras.layers.Conv2D(32, 5, padding='same', dilation_rate=rate, activation='relu') for rate in (1, 2)]
first = keras.layers.Conv2D(32, 5, strides=2, padding='same', activation='relu')
inputs = [keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 255), first]
model = keras.Sequential([*inputs, *layers, keras.layers.Conv2D(classes, 1)])

cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
loss = AdaptiveAffinityLoss(classes, from_logits=True, base=cross_entropy)
model = loss.attach(model)  # now fit trains the edge weights too
optimizer = keras.optimizers.AdamW(3e-3)
optimizer.exclude_from_weight_decay(var_list=loss.edge_weights)
model.compile(optimizer, loss)
history = model.fit(data, epochs=10, shuffle=False, verbose=2)
edge, nonedge = (tf.nn.softmax(weights).numpy() for weights in loss.edge_weights)
print(f'learned weights, one class per line, by distance 1, 2, 3: edge\n{edge.round(3)}\nnon-edge\n{nonedge.round(3)}')
model.save('demo/aaf.keras')  # keras.models.load_model opens it wherever adaptive_affinity is imported
