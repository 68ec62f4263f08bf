"""Score predictions by instance-wise mIoU: each image's IoU of a class counts once for every instance of the class."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import errors
from utils.score import benchmark


def main(argv=None) -> None:
  benchmark.run(benchmark.parser(__doc__), argv, instance_wise=True)


if __name__ == '__main__':
  sys.exit(errors.run(main))
