"""Trains with softmax cross-entropy."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import errors, train_flags


def main(argv=None, several_gpus=False):
  args = train_flags.parse(__doc__, argv, affinity=False, several_gpus=several_gpus)
  from utils import objectives, train_loop  # here, so that --help need not load TensorFlow

  train_loop.train(args, lambda: objectives.CrossEntropy(args.num_classes))


if __name__ == '__main__':
  sys.exit(errors.run(main))
