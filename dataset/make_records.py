"""Packs a list's images and labels into a few large files, for data sets of many images or in an object store.

Writes OUT_DIR/NAME-00000-of-00016.tfrecord and so on (NAME is the list's name), and an index beside each. Train with
`--data-list 'OUT_DIR/NAME-*.tfrecord'`: same seed, same order and results as with the list. Every pair is checked here
as training would check it, so that training starts at once. Run it again after an interruption: it does what is left.
"""

import functools
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from utils import arguments, atomic, errors, list_file, locks, parallel, shards, storage
from utils.data import check, records
from utils.errors import InputError

MOST_SHARDS = 99_999


def parse(argv):
  parser = arguments.Parser(__doc__)
  parser.add_argument(
    '--data-dir', default='', help="the folder that the list's paths are relative to; may be gs://..."
  )
  parser.add_argument('--data-list', default='', help='one line an image: `image label`, or `image`')
  parser.add_argument('--out-dir', required=True, help='the folder of the shards; is made')
  parser.add_argument('--shards', type=arguments.whole(1, MOST_SHARDS), help='files to write; default: by --shard-mb')
  parser.add_argument('--shard-mb', type=arguments.whole(1), default=256, help='size of a file in MB, about')
  parser.add_argument('--num-classes', type=arguments.whole(1, 256), default=21, help='classes are 0 to this less 1')
  parser.add_argument('--ignore-label', type=arguments.whole(0, 255), default=255, help='void, as 255 always is')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  check.check_ignore_label(args.num_classes, args.ignore_label)
  if shards.is_shards(args.data_list):
    raise InputError(f'--data-list {args.data_list}: names shards already; give the list that they are to be made of')
  lines = list_file.list_lines(args.data_list)
  pairs = [list_file.read_line(line, where, args.data_dir, need_label=False) for where, line in lines]
  planned = plan(args, [line for _, line in lines], pairs)
  atomic.make_folder('--out-dir', args.out_dir)
  check_others(args.out_dir, planned)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  write = functools.partial(records.write, num_classes=args.num_classes, ignore_label=args.ignore_label)
  with locks.claim(args.out_dir, 'writing-shards'):
    atomic.remove_unfinished(path for shard in planned for path in (shard.path, shards.index_path(shard.path)))
    faults = [fault for found in parallel.in_threads(write, planned, 'writing', 'shard') for fault in found]
  if not faults:
    pattern = pathlib.Path(args.out_dir, f'{list_name(args)}-*{shards.SUFFIX}')
    print(f"{len(planned)} shards of {len(pairs)} images; train with --data-list '{pattern}'")
  return errors.report(faults)


def list_name(args) -> str:
  return pathlib.PurePath(args.data_list).stem


def plan(args, lines: list[str], pairs: list[list_file.Pair]) -> list[records.Shard]:
  """The shards to write: consecutive lines of the list, about as many in each."""
  total = args.shards
  if total is None:
    files = [path for pair in pairs for path in pair if path]
    size = sum(parallel.in_threads(storage.file_size, files, 'sizes'))
    total = min(MOST_SHARDS, max(1, round(size / (args.shard_mb * 1e6))))
  total = min(total, len(pairs))
  bounds = [len(pairs) * i // total for i in range(total + 1)]
  planned = []
  for i, (first, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
    path = os.path.join(args.out_dir, shards.shard_name(list_name(args), i, total))
    names = [[name_below(args.data_dir, path) for path in pair if path] for pair in pairs[first:end]]
    planned.append(records.Shard(path, lines[first:end], pairs[first:end], names))
  return planned


def name_below(data_dir: str, path: str) -> str:
  return path.removeprefix(data_dir).lstrip('/')


def check_others(out_dir: str, planned: list[records.Shard]) -> None:
  """Refuses to mix shards of this list with those of another number, which training could not tell apart."""
  name = pathlib.PurePath(planned[0].path).name.split('-00000-of-')[0]
  found = storage.matching(os.path.join(out_dir, f'{name}-?????-of-?????{shards.SUFFIX}'))
  others = sorted(set(found) - {shard.path for shard in planned})
  if others:
    raise InputError(
      f'{others[0]}: is one of another number of shards than {len(planned)}; remove the earlier ones, or give their '
      'number by --shards'
    )


if __name__ == '__main__':
  sys.exit(errors.run(main))
