"""Trains with softmax cross-entropy."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import errors
from utils.train import flags


def main(argv=None, several_gpus=False):
  args = flags.parse(__doc__, argv, several_gpus=several_gpus)
  with errors.quiet_start():  # here, so that --help need not load TensorFlow
    from utils.train import loop, objectives

  loop.train(args, objectives.CrossEntropy.from_flags)


if __name__ == '__main__':
  sys.exit(errors.run(main))
