"""Measures a training step and a forward pass: times as medians, achieved GFLOP/s against this machine's matrix
product, and what the affinity losses add in time and in memory. Synthetic data; the reader is measured by reader.py."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import errors
from utils.profile import flags

PLAIN = 'step'
OBJECTIVES = {PLAIN: 'CrossEntropy', 'step, affinity': 'Affinity', 'step, adaptive affinity': 'AdaptiveAffinity'}


def main(argv=None):
  begun = time.perf_counter()
  args = flags.parse_step(__doc__, argv)
  from utils.profile import timing

  calls, gflop, matmul_gflop = prepare(args)
  timing.wait_for(calls[PLAIN]())
  print(f'first step done {time.perf_counter() - begun:.1f} s after the launch', flush=True)
  seconds = timing.interleaved_seconds(calls, args.repeat)
  memory = {name: timing.in_fresh_process(memory_of, name, args) for name in OBJECTIVES}

  ceiling = matmul_gflop / seconds['matmul']
  size = 'x'.join(map(str, args.input_size))
  print(f'{args.model} on {args.backbone}, {args.precision}, batch {args.batch_size} of {size}')
  print(f'forward: {gflop / args.batch_size:.1f} GFLOP an image; matrix product here: {ceiling:.0f} GFLOP/s')
  for name, times in (('forward to softmax', 1), (PLAIN, 3)):
    achieved = times * gflop / seconds[name]
    print(
      f'{name}: {seconds[name]:.3f} s, {achieved:.0f} GFLOP/s, {100 * achieved / ceiling:.0f}% of the matrix product'
    )
  for name in OBJECTIVES:
    ratios = f'{seconds[name] / seconds[PLAIN]:.3f} of the time and {memory[name] / memory[PLAIN]:.3f} of the memory'
    print(f'{name}: {seconds[name]:.3f} s, a process of {memory[name]:.0f} MB at most; {ratios} of the plain step')


def prepare(args, objectives_too=tuple(OBJECTIVES)):
  """-> ({name: what to measure}, GFLOP of a forward pass of a batch, GFLOP of the matrix product)."""
  import numpy as np
  import tensorflow as tf

  from network.common.layers import resize_bilinear
  from seg_models.models import build
  from utils.engine import distribute, precision
  from utils.profile import timing
  from utils.train import objectives
  from utils.train.step import TrainingState, make_step

  strategy = distribute.choose(args)
  height, width = args.input_size
  rng = np.random.default_rng(0)
  images = tf.constant(rng.normal(0, 60, (args.batch_size, height, width, 3)).astype(np.float32))
  blocks = rng.integers(0, args.num_classes, (args.batch_size, -(-height // 24), -(-width // 24)))
  labels = tf.constant(blocks.repeat(24, 1).repeat(24, 2)[:, :height, :width].astype(np.int32))

  model = build(args.model, args.backbone, args.num_classes, output_stride=args.output_stride)
  precision.apply(model, args.precision)
  gflop = timing.conv_gflop(lambda x: model(x), tf.TensorSpec(images.shape))
  matmul, matmul_gflop = timing.matmul_call(args.precision)
  forward = tf.function(lambda: tf.nn.softmax(resize_bilinear(model(images), (height, width))))
  calls = {'matmul': matmul, 'forward to softmax': lambda: forward()[0, 0, 0]}
  for name in objectives_too:
    margins = () if name == PLAIN else (3.0, 1.0, 1.0)
    objective = getattr(objectives, OBJECTIVES[name])(args.num_classes, *margins)
    step = make_step(strategy, TrainingState(model, objective, 5e-4, args.use_global_status), args)
    calls[name] = lambda step=step: step([(images, labels)], tf.constant(0))
  return calls, gflop, matmul_gflop


def memory_of(name: str, args) -> float:
  """The largest memory of a process that does three steps, compilation included, in MB."""
  from utils.profile import timing

  calls, _, _ = prepare(args, [name])
  for _ in range(3):
    timing.wait_for(calls[name]())
  return timing.peak_memory()


if __name__ == '__main__':
  sys.exit(errors.run(main))
