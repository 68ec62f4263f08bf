"""train.py on several GPUs of one machine, or of several machines (TF_CONFIG or --cluster slurm)."""

import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from pyscripts.train import train
from utils import errors

main = functools.partial(train.main, several_gpus=True)

if __name__ == '__main__':
  sys.exit(errors.run(main))
