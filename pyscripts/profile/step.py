"""Measures a training step and a forward pass: times as medians, achieved GFLOP/s against this machine's matrix
product, and what the affinity losses add in time and in memory. Synthetic data; the reader is measured by reader.py."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import errors
from utils.profile import figures, training_step

OBJECTIVES = {'step': 'CrossEntropy', 'step, affinity': 'Affinity', 'step, adaptive affinity': 'AdaptiveAffinity'}


def main(argv=None):
  begun = time.perf_counter()
  parser = training_step.parser(__doc__)
  parser.add_argument('--plain', action='store_true', help='measure the step of cross-entropy alone')
  args = parser.parse_args(argv)
  import tensorflow as tf

  from network.common.layers import resize_bilinear
  from utils.profile import timing

  names = ['step'] if args.plain else list(OBJECTIVES)
  model, calls = step_calls(args, names)
  timing.wait_for(calls['step']())
  first = time.perf_counter() - begun
  memory = {'step': timing.peak_memory()}
  print(f'first step done {first:.1f} s after the launch', flush=True)
  images, _ = training_step.random_batch(args, args.batch_size)
  gflop = timing.conv_gflop(lambda x: model(x), tf.TensorSpec(images.shape))
  forward = tf.function(lambda: tf.nn.softmax(resize_bilinear(model(images), args.input_size)))
  calls['forward to softmax'] = lambda: forward()[0, 0, 0]
  seconds, ceiling = timing.seconds_and_ceiling(calls, args.repeat, args.precision)
  if not args.plain:
    memory = {name: timing.in_fresh_process(memory_of, name, args) for name in names}

  size = 'x'.join(map(str, args.input_size))
  print(f'{args.model} on {args.backbone}, {args.precision}, batch {args.batch_size} of {size}')
  print(f'forward: {gflop / args.batch_size:.1f} GFLOP an image')
  for name, passes in (('forward to softmax', 1), ('step', 3)):
    print(f'{name}: {timing.described(seconds[name], passes * gflop, ceiling)}')
  for name in names:
    ratios = f'{seconds[name] / seconds["step"]:.3f} of the time and {memory[name] / memory["step"]:.3f} of the memory'
    print(f'{name}: {seconds[name]:.3f} s, a process of {memory[name]:.0f} MB at most; {ratios} of the plain step')
  rows = [
    {
      'objective': OBJECTIVES[name],
      'step s': seconds[name],
      'images/s': args.batch_size / seconds[name],
      'of matrix product': 3 * gflop / seconds[name] / ceiling,
      'matrix product GFLOP/s': ceiling,
      'forward s': seconds['forward to softmax'],
      'of plain step': seconds[name] / seconds['step'],
      'memory MB': memory[name],
      'memory of plain step': memory[name] / memory['step'],
      'first step s': first,
    }
    for name in names
  ]
  figures.write(args.json, rows)


def step_calls(args, names) -> tuple:
  """A model, and by name the training steps of it that are measured."""
  from utils import devices

  strategy = devices.choose(args)
  model, batch = training_step.network(args), training_step.random_batch(args, args.batch_size)
  states = {name: training_step.training_state(args, model, OBJECTIVES[name]) for name in names}
  return model, {name: training_step.step_call(args, state, strategy, batch) for name, state in states.items()}


def memory_of(name: str, args) -> float:
  """The largest memory of a process that does three steps, compilation included, in MB."""
  from utils.profile import timing

  _, calls = step_calls(args, [name])
  for _ in range(3):
    timing.wait_for(calls[name]())
  return timing.peak_memory()


if __name__ == '__main__':
  sys.exit(errors.run(main))
