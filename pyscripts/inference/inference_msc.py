"""Predicts images by sliding window, at several scales and mirrored, if asked to."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import errors
from utils.predict import flags


def main(argv=None):
  return flags.run(flags.parse(__doc__, argv, multi_scale=True))


if __name__ == '__main__':
  sys.exit(errors.run(main))
