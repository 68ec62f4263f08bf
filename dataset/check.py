"""Checks a data set before it is trained on.

Every file of the list must exist and be readable, every label must have the size of its image and hold only classes
and void, and no two images may have the same name (their predictions would be one file). Prints how often each label
value occurs, then one line for each problem; exits with 1 if there is one.
"""

import collections
import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from utils import arguments, checks, errors, lists, parallel
from utils.labels import VOID


def parse(argv):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--data-dir', default='', help="the folder that the list's paths are relative to")
  parser.add_argument('--data-list', default='', help='one line an image: `image label`, or `image`')
  parser.add_argument('--num-classes', type=arguments.whole(1, 256), default=21, help='classes are 0 to N - 1')
  parser.add_argument('--ignore-label', type=arguments.whole(0), default=255, help='void, as 255 always is')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  checks.check_ignore_label(args.num_classes, args.ignore_label)
  pairs, faults = read_pairs(args.data_list, args.data_dir)
  faults += duplicate_outputs(pairs)
  limits = {'num_classes': args.num_classes, 'ignore_label': args.ignore_label}
  inspect = functools.partial(checks.inspect, **limits, thorough=True)
  findings = list(parallel.in_threads(inspect, pairs, 'checking', 'pair'))
  faults += [finding.fault for finding in findings if finding.fault]
  print(summary(pairs, findings, args.num_classes, args.ignore_label))
  for fault in faults:
    print(f'error: {errors.one_line(fault)}', file=sys.stderr)
  print(f'{len(faults)} problems found' if faults else 'no problem found')
  return 1 if faults else 0


def read_pairs(data_list: str, data_dir: str) -> tuple[list[lists.Pair], list[str]]:
  """The list's lines that name files that are there, and what is wrong with the others."""
  pairs, faults = [], []
  for where, line in lists.list_lines(data_list):
    try:
      pairs.append(lists.read_line(line, where, data_dir, need_label=False))
    except errors.InputError as e:
      faults.append(str(e))
  return pairs, faults


def duplicate_outputs(pairs: list[lists.Pair]) -> list[str]:
  """Images whose predictions would overwrite each other: NAME.png is named by the image's own name."""
  by_stem = collections.defaultdict(list)
  for pair in pairs:
    by_stem[pathlib.PurePath(pair.image).stem].append(pair.image)
  return [
    f'{images[0]} and {images[1]} would both be predicted to {stem}.png; rename one, or list them apart'
    for stem, images in by_stem.items()
    if len(images) > 1
  ]


def summary(pairs, findings: list[checks.Finding], num_classes: int, ignore_label: int) -> str:
  """Counts of files and label values, as lines of text."""
  pixels, images = collections.Counter(), collections.Counter()
  for finding in findings:
    pixels.update(finding.counts)
    images.update(finding.counts.keys())
  labels = sum(pair.label is not None for pair in pairs)
  palettes = sum(finding.palette for finding in findings)
  sizes = {finding.size for finding in findings if finding.size}
  lines = [f'{len(pairs)} images of {len(sizes)} sizes, {labels} labels, {palettes} of them palette images']
  total = max(1, pixels.total())
  for value in sorted(pixels.keys() | set(range(num_classes)) if labels else ()):
    what = 'class' if value < num_classes else 'void' if value in (VOID, ignore_label) else 'stray'
    share = f'{pixels[value]:>12} pixels {pixels[value] / total:8.3%}  in {images[value]} labels'
    lines.append(f'{what} {value:>3}: {share if pixels[value] else "never occurs"}')
  return '\n'.join(lines)


if __name__ == '__main__':
  sys.exit(errors.run(main))
