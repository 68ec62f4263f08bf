"""Lists the tensors of a checkpoint, compares two, or strips what only training needs (the optimizer's slots)."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np

from utils import arguments, errors, runs


def main(argv=None) -> int | None:
  parser = arguments.Parser(__doc__)
  commands = parser.add_subparsers(dest='command', required=True, parser_class=arguments.Parser)
  for name, description in (
    ('list', 'Prints name, shape, mean and largest magnitude of every tensor.'),
    ('compare', 'Prints how the tensors differ; exit code 1 if they do.'),
    ('strip', 'Writes a copy with the model (its averages where there are) and the edge weights alone.'),
  ):
    runs.add_checkpoint(commands.add_parser(name, description=description))
  commands.choices['compare'].add_argument('other')
  commands.choices['strip'].add_argument('output', help='prefix of the new checkpoint, for example model.ckpt')
  args = parser.parse_args(argv)
  args.checkpoint = args.checkpoint or runs.of_flag(args.run).checkpoint
  with errors.quiet_start():
    from utils import checkpoint

  return COMMANDS[args.command](args, checkpoint)


def list_tensors(args, checkpoint) -> None:
  reader, numbers = checkpoint.Reader(args.checkpoint), 0
  for name, shape in sorted(reader.shapes.items()):
    value = reader.get(name)
    numbers += value.size
    line = f'{name}  {"x".join(map(str, shape)) or "scalar"}  {value.dtype}'
    if np.issubdtype(value.dtype, np.number) and value.size:
      line += f'  mean {value.mean():11.4g}  largest {np.abs(value).max():10.4g}'
    print(line)
  print(f'{len(reader.shapes)} tensors, {numbers} numbers')


def compare(args, checkpoint) -> int:
  readers = checkpoint.Reader(args.checkpoint), checkpoint.Reader(args.other)
  names = sorted(readers[0].shapes.keys() | readers[1].shapes.keys())
  differences = {name: difference for name in names if (difference := tensor_difference(name, *readers))}
  for name, difference in differences.items():
    print(f'{name}: {difference}')
  print(f'{len(names) - len(differences)} tensors are the same, {len(differences)} differ')
  return int(bool(differences))


def tensor_difference(name: str, first, second) -> str:
  """How the tensor `name` differs between two checkpoints, in words; empty if it does not."""
  for reader in (first, second):
    if name not in reader.shapes:
      return f'not in {reader.prefix}'
  if first.shapes[name] != second.shapes[name]:
    return f'{first.shapes[name]} and {second.shapes[name]}'
  a, b = first.get(name), second.get(name)
  if np.array_equal(a, b, equal_nan=a.dtype.kind == 'f' == b.dtype.kind):
    return ''
  if not {a.dtype.kind, b.dtype.kind} <= set('fiu'):
    return 'differs'
  a = a.astype(np.float64)
  return f'differs by {np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-30):.3g} of its norm'


def strip(args, checkpoint) -> None:
  from utils.train.optimizers import SLOTS

  reader = checkpoint.Reader(args.checkpoint)
  if os.path.exists(f'{args.output}.index') or os.path.exists(args.output):
    raise errors.InputError(f'{args.output}: is there already; name another')
  slots = tuple(f'/{slot}' for slot in sum(SLOTS.values(), ()))
  left_out = (*slots, checkpoint.AVERAGE)
  kept = [name for name in reader.shapes if not name.endswith(left_out) and not name.startswith(checkpoint.STATE)]
  averages = {name: f'{name}{checkpoint.AVERAGE}' for name in kept if f'{name}{checkpoint.AVERAGE}' in reader.shapes}
  mark = {checkpoint.AVERAGED: np.int64(1)} if averages or checkpoint.AVERAGED in reader.shapes else {}
  checkpoint.save(args.output, mark | {name: reader.get(averages.get(name, name)) for name in kept})
  print(f'{args.output}: {len(kept)} of {len(reader.shapes)} tensors')


COMMANDS = {'list': list_tensors, 'compare': compare, 'strip': strip}

if __name__ == '__main__':
  sys.exit(errors.run(main))
