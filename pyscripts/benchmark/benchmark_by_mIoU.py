"""Score predictions by the mean intersection over union (mIoU) of their classes and, where asked, by more."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import errors
from utils.score import benchmark


def main(argv=None) -> None:
  benchmark.run(benchmark.parser(__doc__), argv)


if __name__ == '__main__':
  sys.exit(errors.run(main))
