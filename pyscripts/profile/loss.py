"""Measures the adaptive affinity loss with its gradients, for logits and edge weights, against the same loss written as
tensors of pairs x classes: times as medians, the first call (compilation included), memory, and their ratios."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.profile import figures

SHAPES = ((8, 90, 90, 19), (8, 42, 42, 21))  # logits of 720 and 336 pixel crops
MARGIN, SIZES, FLOOR = 3.0, (1, 2, 3), 1e-4


def main(argv=None) -> None:
  flags = arguments.Parser(__doc__)
  flags.add_argument(
    '--shape', type=arguments.whole(1), nargs=4, metavar=tuple('NHWC'), help='of logits, not those two'
  )
  flags.add_argument('--repeat', type=arguments.whole(1), default=9, help='measurements of each; the median is printed')
  figures.add_flag(flags)
  args = flags.parse_args(argv)
  shapes = [tuple(args.shape)] if args.shape else SHAPES
  figures.write(args.json, [measure(logits_shape, args.repeat) for logits_shape in shapes])


def measure(logits_shape: tuple, repeat: int) -> dict:
  """Prints and returns one shape's figures. First calls are made in fresh processes: no other's memory is reused."""
  import numpy as np

  from utils.profile import timing

  first_calls = {name: timing.in_fresh_process(first_call, name, logits_shape) for name in LOSSES}
  calls = {name: step(name, logits_shape) for name in LOSSES}
  seconds, ceiling = timing.seconds_and_ceiling(calls, repeat)
  values = [np.array(call()) for call in calls.values()]
  shape = 'x'.join(map(str, logits_shape))
  print(f'{shape}; matrix product here: {ceiling:.0f} GFLOP/s')
  for name, (first_seconds, memory) in first_calls.items():
    print(f'  {name}: {seconds[name]:.3f} s, first call {first_seconds:.1f} s, {memory:.0f} MB')
  loop, tensors = LOSSES
  faster, difference = seconds[tensors] / seconds[loop], float(abs(values[0] / values[1] - 1).max())
  (first_seconds, memory), (_, tensors_memory) = first_calls[loop], first_calls[tensors]
  print(
    f'  {faster:.1f} times faster, with {memory / tensors_memory if tensors_memory else 0:.2f} of the memory; loss and '
    f'gradients differ by {difference:.0e}',
    flush=True,
  )
  return {
    'logits': shape,
    's': seconds[loop],
    'pairs x classes s': seconds[tensors],
    'times faster': faster,
    'memory MB': memory,
    'pairs x classes MB': tensors_memory,
    'first call s': first_seconds,
    'differ by': difference,
  }


def first_call(name: str, logits_shape: tuple) -> tuple[float, float]:
  """Seconds of the first call, tracing and compilation included, and MB by which memory rose."""
  from utils.profile import timing

  call = step(name, logits_shape)
  begun = time.perf_counter()
  memory = timing.extra_memory(call)
  return time.perf_counter() - begun, memory


def step(name: str, logits_shape: tuple):
  """A function of no arguments: loss and gradients, each down to one number, so that only computing is waited for."""
  import tensorflow as tf

  (logits, *weights), labels = draw(logits_shape)

  @tf.function
  def call():
    with tf.GradientTape() as tape:
      tape.watch([logits, weights])
      terms = LOSSES[name](labels, tf.nn.softmax(logits), logits_shape[-1], MARGIN, *map(tf.nn.softmax, weights))
      total = tf.add_n([tf.reduce_sum(term) for term in terms])
    return [total, *map(tf.norm, tape.gradient(total, [logits, *weights]))]

  return call


def draw(logits_shape: tuple):
  """Logits and raw edge and non-edge weights; labels in patches, a twentieth of them void."""
  import numpy as np
  import tensorflow as tf

  rng = np.random.default_rng(0)
  batch, height, width, classes = logits_shape
  coarse = rng.integers(0, classes, (batch, -(-height // 9), -(-width // 9)))
  labels = coarse.repeat(9, 1).repeat(9, 2)[:, :height, :width]
  labels[rng.random(labels.shape) < 0.05] = 255
  shapes = logits_shape, (classes, len(SIZES)), (classes, len(SIZES))
  return [tf.constant(rng.normal(size=s), tf.float32) for s in shapes], tf.constant(labels, tf.int32)


def pairs_times_classes(labels, probs, num_classes, margin, w_edge, w_nonedge):
  """The loss as its definition reads, by tensors of eight neighbours [N, H, W, C, 8], differentiated by TensorFlow."""
  import tensorflow as tf

  valid = labels < num_classes
  truth = tf.one_hot(tf.where(valid, labels, -1), num_classes, on_value=True, off_value=False)
  p = tf.clip_by_value(probs, FLOOR, 1.0)
  q = tf.clip_by_value(1 - probs, FLOOR, 1.0)

  def around(x, size):
    padded = tf.pad(x, [[0, 0], [size, size], [size, size], [0, 0]])
    height, width = x.shape[1:3]
    steps = (0, size, 2 * size)
    corners = [(y, x) for y in steps for x in steps if (y, x) != (size, size)]
    return tf.stack([padded[:, y : y + height, x : x + width] for y, x in corners], -1)

  def mean(entries, where, weights):
    entries = tf.where(where, entries * tf.gather(weights, tf.where(valid, labels, 0))[..., None, None], 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(entries), tf.reduce_sum(tf.cast(where, tf.float32)))

  terms = []
  for s, size in enumerate(SIZES):
    inside = around(valid[..., None], size)
    counted = valid[..., None, None] & inside & inside[..., ::-1]
    edge = truth[..., None] ^ around(truth, size)
    p_j, q_j = (tf.where(counted, around(x, size), 1.0) for x in (p, q))
    kl = p_j * tf.math.log(p_j / p[..., None]) + q_j * tf.math.log(q_j / q[..., None])
    counted = tf.broadcast_to(counted, tf.shape(edge))
    terms.append(mean(tf.nn.relu(margin - kl), counted & edge, w_edge[:, s]))
    terms.append(mean(kl, counted & ~edge, w_nonedge[:, s]))
  return terms


def compiled_loop(*args):
  from network.aaf.losses import adaptive_affinity_loss

  return adaptive_affinity_loss(*args)


LOSSES = {'compiled loop over the pairs': compiled_loop, 'tensors of pairs x classes': pairs_times_classes}

if __name__ == '__main__':
  sys.exit(errors.run(main))
