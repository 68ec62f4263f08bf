"""Checks a data set before it is trained on.

Every file of the list must exist and be readable, every label must have the size of its image and hold only classes
and void, and no two images of a folder may have the same name (their predictions would be one file). Classes come from
the classes.csv or classes.txt beside the list. Prints how often each label value occurs, then one line for each
problem; exits with 1 if there is one.
"""

import collections
import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from utils import arguments, checks, errors, labels, lists, parallel
from utils.labels import VOID


def main(argv=None):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--data-dir', default='', help="the folder that the list's paths are relative to")
  parser.add_argument('--data-list', default='', help='one line per image: `image label`, or `image`')
  parser.add_argument('--num-classes', type=arguments.whole(1, 256), help='classes; default: those beside the list')
  parser.add_argument('--ignore-label', type=arguments.whole(0), default=255, help='void, as 255 always is')
  args = parser.parse_args(argv)
  beside = labels.classes_beside(args.data_list) if args.data_list else None
  args.num_classes = args.num_classes or (len(beside.names) if beside else 21)
  names = beside.names if beside and len(beside.names) == args.num_classes else ()
  checks.check_ignore_label(args.num_classes, args.ignore_label)
  faults = []
  pairs = lists.read_list(args.data_list, args.data_dir, need_label=False, faults=faults)
  faults += duplicate_outputs(pairs)
  limits = {'num_classes': args.num_classes, 'ignore_label': args.ignore_label}
  inspect = functools.partial(checks.inspect, **limits, thorough=True)
  findings = list(parallel.in_threads(inspect, pairs, 'checking', 'pair'))
  faults += [finding.fault for finding in findings if finding.fault]
  print(summary(pairs, findings, args.num_classes, args.ignore_label, names))
  for fault in faults:
    print(f'error: {errors.one_line(fault)}', file=sys.stderr)
  print(f'{len(faults)} problems found' if faults else 'no problem found')
  return 1 if faults else 0


def duplicate_outputs(pairs: list[lists.Pair]) -> list[str]:
  """Images whose predictions would overwrite each other: they are named as the images, in the same sub-folders."""
  by_stem = collections.defaultdict(list)
  for pair in pairs:
    by_stem[pathlib.PurePath(pair.image).with_suffix('')].append(pair.image)
  return [
    f'{images[0]} and {images[1]} would both be predicted to {stem.name}.png; rename one, or list them apart'
    for stem, images in by_stem.items()
    if len(images) > 1
  ]


def summary(pairs, findings: list[checks.Finding], num_classes: int, ignore_label: int, names=()) -> str:
  """Counts of files and label values, as lines of text."""
  pixels, images = collections.Counter(), collections.Counter()
  for finding in findings:
    pixels.update(finding.counts)
    images.update(finding.counts.keys())
  labelled = sum(pair.label is not None for pair in pairs)
  palettes = sum(finding.palette for finding in findings)
  sizes = {finding.size for finding in findings if finding.size}
  lines = [f'{len(pairs)} images, {len(sizes)} different sizes, {labelled} labels, {palettes} of them palette images']
  total = max(1, pixels.total())
  for value in sorted(pixels.keys() | set(range(num_classes)) if labelled else ()):
    what = 'class' if value < num_classes else 'void' if value in (VOID, ignore_label) else 'stray'
    share = f'{pixels[value]:>12} pixels {pixels[value] / total:8.3%}  in {images[value]} labels'
    name = f' {names[value]}' if value < len(names) else ''
    lines.append(f'{what} {value:>3}{name}: {share if pixels[value] else "never occurs"}')
  return '\n'.join(lines)


if __name__ == '__main__':
  sys.exit(errors.run(main))
