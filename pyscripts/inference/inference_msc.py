"""Predicts images by sliding window, at several scales and mirrored, if asked to."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import errors
from utils.predict import flags


def main(argv=None):
  args = flags.parse(__doc__, argv, multi_scale=True)
  return flags.run(args, flags.SCALES if args.scale_aug else (1.0,), args.flip_aug)


if __name__ == '__main__':
  sys.exit(errors.run(main))
