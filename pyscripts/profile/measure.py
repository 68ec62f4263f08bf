"""Measures a training step, the loss, prediction, the reader, or a step on several replicas, on generated data. Prints
a Markdown table: medians, each with a ratio to what was timed in turns with it."""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from seg_models.names import size_problem
from utils import arguments, errors, files
from utils.train import flags

WHOLE, SIZE = arguments.whole(1), arguments.height_width


def main(argv=None) -> int:
  args = parse(argv)
  from pyscripts.profile import measurements

  rows = getattr(measurements, args.what)(args)
  print(f'{measurements.machine()}; {described(args)}\n')
  show(rows, args.json)
  return int(any(row.get('within') is False for row in rows))


def parse(argv) -> argparse.Namespace:
  parser = arguments.Parser(__doc__)
  subparsers = parser.add_subparsers(dest='what', required=True, parser_class=arguments.Parser)

  def add(name: str, text: str, repeat: int = 5) -> arguments.Parser:
    sub = subparsers.add_parser(name, help=text, description=f'Measures {text}.')
    sub.add_argument('--repeat', type=WHOLE, default=repeat, help='measurements of each figure; the median is shown')
    sub.add_argument('--json', default='', metavar='FILE', help='write the figures there too, as rows')
    return sub

  step = add('step', 'the forward pass and the training step by objective: time, memory, seconds to the first step')
  add_step_flags(step)
  step.add_argument('--xla', action='store_true', help='compile the whole step (one GPU)')
  step.add_argument('--plain', action='store_true', help='the step of cross-entropy alone')
  loss = add('loss', 'the adaptive loss with its gradients, against the same as tensors of pairs x classes', repeat=9)
  loss.add_argument('--shape', type=WHOLE, nargs=4, metavar=tuple('NHWC'), help='of logits [of 720 and 336 crops]')
  replicas = add('replicas', 'a step on one replica and on several: time, seconds to the first step, equal weights')
  add_step_flags(replicas)
  replicas.set_defaults(input_size=(96, 96), batch_size=8)
  replicas.add_argument('--num-gpu', type=WHOLE, default=2, help='replicas; a GPU that is alone, or the CPU, is split')
  replicas.add_argument('--memory-mb', type=arguments.whole(256), default=8000, help='of each part of such a GPU')
  predict = add('predict', 'windows by batch size, and images at six scales with flips')
  arguments.add_network_flags(predict)
  arguments.add_precision_flag(predict)
  predict.add_argument('--image-size', type=SIZE, default=(360, 480), help='of the images')
  predict.add_argument('--input-size', type=SIZE, default=(240, 240), help='window')
  predict.add_argument('--strides', type=SIZE, default=(160, 160), help='of the windows')
  predict.add_argument('--batch-sizes', type=WHOLE, nargs='+', default=[1, 4, 8], help='windows at a time')
  predict.add_argument('--images', type=WHOLE, default=1, help='images per measurement')
  reader = add('reader', 'images per second of the training reader, and the processor time of one')
  reader.add_argument('--data-dir', default='', metavar='DIR', help='the folder that the list is relative to')
  reader.add_argument(
    '--data-list', default='', metavar='LIST', help='`image label` [64 images of 480x360 made for it]'
  )
  reader.add_argument('--input-size', type=SIZE, default=(336, 336), help='crop')
  reader.add_argument('--batch-size', type=WHOLE, default=8, help='images per batch')
  reader.add_argument('--batches', type=WHOLE, default=60, help='batches per measurement')
  args = parser.parse_args(argv)
  problem = 'model' in args and size_problem(args.model, *args.input_size, args.output_stride)
  if problem:
    raise errors.InputError(f'--input-size: {problem}')
  if args.what == 'replicas' and args.batch_size % args.num_gpu:
    raise errors.InputError(f'--batch-size {args.batch_size} does not divide evenly; give a multiple of {args.num_gpu}')
  files.check_output_file('--json', args.json)
  return args


def add_step_flags(parser) -> None:
  """Those that are asked for; the others of training have their defaults there."""
  parser.set_defaults(**vars(flags.make_parser('').parse_args([])))
  parser.set_defaults(iter_size=1, num_steps=100, learning_rate=1e-4)
  arguments.add_network_flags(parser)
  arguments.add_precision_flag(parser)
  parser.add_argument('--batch-size', type=WHOLE, default=2, help='images at a time, over all replicas')
  parser.add_argument('--input-size', type=SIZE, default=(336, 336), help='of the images')
  parser.add_argument('--use-global-status', action='store_true', help='freeze batch norm')


def described(args) -> str:
  """What was measured, for the line above the table."""
  names = ('model', 'backbone', 'precision', 'xla', 'batch_size', 'input_size', 'repeat')
  return ', '.join([args.what, *(f'{name} {getattr(args, name)}' for name in names if name in args)])


def show(rows: list[dict], path: str) -> None:
  """Prints rows {column: value} as a Markdown table, and writes them to the file of --json, if one was named."""
  columns = list(dict.fromkeys(column for row in rows for column in row))
  cells = [[shown(row.get(column, '')) for column in columns] for row in rows]
  print(*(f'| {" | ".join(line)} |' for line in [columns, ['---'] * len(columns), *cells]), sep='\n', flush=True)
  if path:
    files.write_text(path, json.dumps(rows, indent=1) + '\n')


def shown(value) -> str:
  """Numbers with three digits."""
  if isinstance(value, float):
    return f'{value:.0f}' if 1000 <= abs(value) < 1e7 else f'{value:.3g}'
  return str(value)


if __name__ == '__main__':
  sys.exit(errors.run(main))
