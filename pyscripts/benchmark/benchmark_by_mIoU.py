"""Score predictions by the mean intersection over union (mIoU) of their classes."""

import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import benchmark, counting, errors, forked


def main(argv=None) -> None:
  args = benchmark.parser(__doc__).parse_args(argv)
  names = benchmark.class_names(args)
  counts = forked.total(functools.partial(counting.Counts, args.num_classes), benchmark.files(args), 'scoring')
  benchmark.print_iou(counts.iou(), counts.pixel_accuracy(), names)


if __name__ == '__main__':
  sys.exit(errors.run(main))
