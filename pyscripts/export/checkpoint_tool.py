"""Looks at checkpoints: `list` what one holds, `compare` two, `strip` what only training needs, such as momentum."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors


def main(argv=None) -> int | None:
  parser = arguments.Parser(__doc__)
  commands = parser.add_subparsers(dest='command', required=True, parser_class=arguments.Parser)
  command = commands.add_parser('list', description='Prints name, shape, mean and largest magnitude of every tensor.')
  command.add_argument('checkpoint', help='such as SNAPSHOTS/model.ckpt-30000')
  command = commands.add_parser('compare', description='Prints how the tensors differ; exit code 1 if they do.')
  command.add_argument('checkpoint')
  command.add_argument('other')
  command = commands.add_parser('strip', description='Writes a copy with the model and the edge weights alone.')
  command.add_argument('checkpoint')
  command.add_argument('output', help='prefix of the new checkpoint, for example model.ckpt')
  args = parser.parse_args(argv)
  return COMMANDS[args.command](args)


def list_tensors(args) -> None:
  import numpy as np

  from utils.engine.checkpoint import Reader

  reader, numbers = Reader(args.checkpoint), 0
  for name, shape in sorted(reader.shapes.items()):
    value = reader.get(name)
    numbers += value.size
    if np.issubdtype(value.dtype, np.number) and value.size:
      figures = f'mean {value.mean():11.4g}  largest {np.abs(value).max():10.4g}'
    else:
      figures = ''
    print(f'{name}  {"x".join(map(str, shape)) or "scalar"}  {value.dtype}  {figures}'.rstrip())
  print(f'{len(reader.shapes)} tensors, {numbers} numbers')


def compare(args) -> int:
  import numpy as np

  from utils.engine.checkpoint import Reader

  one, other = Reader(args.checkpoint), Reader(args.other)
  same, differing = 0, 0
  for name in sorted(one.shapes.keys() | other.shapes.keys()):
    missing = [reader.prefix for reader in (one, other) if name not in reader.shapes]
    if missing:
      difference = f'not in {missing[0]}'
    elif one.shapes[name] != other.shapes[name]:
      difference = f'{one.shapes[name]} and {other.shapes[name]}'
    else:
      a, b = one.get(name), other.get(name)
      if np.array_equal(a, b, equal_nan=a.dtype.kind == 'f' == b.dtype.kind):
        same += 1
        continue
      difference = 'differs'
      if a.dtype.kind in 'fiu' and b.dtype.kind in 'fiu':
        distance = np.linalg.norm(a.astype(np.float64) - b)
        difference += f' by {distance / max(np.linalg.norm(a.astype(np.float64)), 1e-30):.3g} of its norm'
    differing += 1
    print(f'{name}: {difference}')
  print(f'{same} tensors are the same, {differing} differ')
  return int(differing > 0)


def strip(args) -> None:
  import os

  from utils.engine import checkpoint

  reader = checkpoint.Reader(args.checkpoint)
  if os.path.exists(f'{args.output}.index') or os.path.exists(args.output):
    raise errors.InputError(f'{args.output}: is there already; name another')
  kept = [name for name in reader.shapes if not name.endswith('/Momentum') and not name.startswith('training/')]
  checkpoint.save(args.output, {name: reader.get(name) for name in kept})
  print(f'{args.output}: {len(kept)} of {len(reader.shapes)} tensors')


COMMANDS = {'list': list_tensors, 'compare': compare, 'strip': strip}

if __name__ == '__main__':
  sys.exit(errors.run(main))
