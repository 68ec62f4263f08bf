"""Score predictions by the mean intersection over union (mIoU) of their classes."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import benchmark, errors, metrics, scoring


def main(argv=None) -> None:
  args = benchmark.parser(__doc__).parse_args(argv)
  names = benchmark.class_names(args)
  scores = scoring.score(benchmark.files(args), args.num_classes, {'confusion': scoring.Confusion})
  matrix = scores['confusion'].matrix
  benchmark.print_iou(metrics.iou(matrix), matrix, names)


if __name__ == '__main__':
  sys.exit(errors.run(main))
