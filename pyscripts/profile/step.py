"""Measures a training step and a forward pass: times as medians, achieved GFLOP/s against this machine's matrix
product, and what the affinity losses add. Synthetic data; the reader is measured by reader.py."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import errors, profiling_flags


def main(argv=None):
  begun = time.perf_counter()
  args = profiling_flags.parse_step(__doc__, argv)
  import numpy as np
  import tensorflow as tf

  from network.common.layers import resize_bilinear
  from seg_models.models import build
  from utils import distribute, objectives, precision, profiling
  from utils.training import Trainee, make_step

  strategy = distribute.choose(args)
  height, width = args.input_size
  rng = np.random.default_rng(0)
  images = tf.constant(rng.normal(0, 60, (args.batch_size, height, width, 3)).astype(np.float32))
  blocks = rng.integers(0, args.num_classes, (args.batch_size, -(-height // 24), -(-width // 24)))
  labels = tf.constant(blocks.repeat(24, 1).repeat(24, 2)[:, :height, :width].astype(np.int32))

  model = build(args.model, args.backbone, args.num_classes)
  precision.apply(model, args.precision)
  gflop = profiling.conv_gflop(lambda x: model(x), tf.TensorSpec(images.shape))
  matmul, matmul_gflop = profiling.matmul_call(args.precision)
  forward = tf.function(lambda: tf.nn.softmax(resize_bilinear(model(images), (height, width))))
  calls = {'matmul': matmul, 'forward to softmax': lambda: forward()[0, 0, 0]}
  margins = (args.num_classes, 3.0, 1.0, 1.0)
  makers = {
    'step': lambda: objectives.CrossEntropy(args.num_classes),
    'step, affinity': lambda: objectives.Affinity(*margins),
    'step, adaptive affinity': lambda: objectives.AdaptiveAffinity(*margins),
  }
  memory = {}
  for name, make in makers.items():
    step = make_step(strategy, Trainee(model, make(), 5e-4, args.use_global_status), args)
    calls[name] = lambda step=step: step([(images, labels)], tf.constant(0))
    calls[name]()
    if name == 'step':
      print(f'first step done {time.perf_counter() - begun:.1f} s after the launch')
    memory[name] = profiling.extra_memory(calls[name])
  seconds = profiling.interleaved_seconds(calls, args.repeat)

  ceiling = matmul_gflop / seconds['matmul']
  print(f'{args.model} on {args.backbone}, {args.precision}, batch {args.batch_size} of {height}x{width}')
  print(f'forward: {gflop / args.batch_size:.1f} GFLOP an image; matrix product here: {ceiling:.0f} GFLOP/s')
  for name, times in (('forward to softmax', 1), ('step', 3)):
    achieved = times * gflop / seconds[name]
    print(
      f'{name}: {seconds[name]:.3f} s, {achieved:.0f} GFLOP/s, {100 * achieved / ceiling:.0f}% of the matrix product'
    )
  for name in makers:
    ratios = f'{seconds[name] / seconds["step"]:.3f} of the time and {memory[name] / memory["step"]:.3f} of the memory'
    print(f'{name}: {seconds[name]:.3f} s, {memory[name]:.0f} MB above rest, {ratios} of the plain step')


if __name__ == '__main__':
  sys.exit(errors.run(main))
