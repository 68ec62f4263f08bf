"""Trains a small Keras model with the adaptive affinity loss on the demo data: `pip install .`, then

python dataset/make_demo.py --out-dir demo && python examples/keras_aaf.py demo
"""

import sys

import keras
import tensorflow as tf
from adaptive_affinity import AdaptiveAffinityLoss


def read(line, folder):
  image, label = tf.unstack(tf.strings.join([folder, '/VOCdevkit/', tf.strings.split(line)]), 2)
  return tf.io.decode_jpeg(tf.io.read_file(image), 3), tf.io.decode_png(tf.io.read_file(label), 1)


def main(folder, epochs=20):
  with open(f'{folder}/classes.txt') as f:
    classes = len(f.read().split())
  with open(f'{folder}/train.txt') as f:
    lines = tf.data.Dataset.from_tensor_slices(f.read().splitlines()).shuffle(1000, seed=0)
  data = lines.map(lambda line: read(line, folder)).batch(4, drop_remainder=True)

  aaf = AdaptiveAffinityLoss(classes, from_logits=True)
  layers = [keras.layers.Conv2D(32, 5, padding='same', dilation_rate=rate, activation='relu') for rate in (1, 2, 4)]
  inputs = [keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 255)]
  model = aaf.attach(keras.Sequential([*inputs, *layers, keras.layers.Conv2D(classes, 1)]))
  cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)

  def loss(labels, logits):
    return cross_entropy(labels, logits) + aaf(labels, logits)

  model.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)  # the affinity loss compiles itself
  history = model.fit(data, epochs=epochs, shuffle=False, verbose=2)
  return history.history['loss'], [tf.nn.softmax(w).numpy() for w in aaf.edge_weights]


if __name__ == '__main__':
  for name, weights in zip(('edge', 'non-edge'), main(sys.argv[1])[1], strict=True):
    print(f'learned {name} weights, a class a line, by distance 1, 2, 3:\n{weights.round(3)}')
