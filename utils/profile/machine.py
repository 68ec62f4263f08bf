"""What a measurement ran on: run as `python -m utils.profile.machine`."""

import importlib.metadata
import importlib.util
import platform
import re
import sys

from utils import arguments, errors
from utils.profile import figures


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  figures.add_flag(parser)
  args = parser.parse_args(argv)
  row = described()
  print(*(f'{name}: {value}' for name, value in row.items()), sep='\n')
  figures.write(args.json, [row])


def described() -> dict:
  """{what: its name or version}; `GPUs` is empty without a GPU that TensorFlow can use."""
  import tensorflow as tf

  details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices('GPU')]
  build = tf.sysconfig.get_build_info()
  has_torch = importlib.util.find_spec('torch') is not None
  return {
    'GPUs': [f'{d.get("device_name", "GPU")}, compute capability {d.get("compute_capability")}' for d in details],
    'processor': processor(),
    'Python': platform.python_version(),
    'TensorFlow': tf.__version__,
    'CUDA': build.get('cuda_version', 'none'),
    'cuDNN': build.get('cudnn_version', 'none'),
    'PyTorch': importlib.metadata.version('torch') if has_torch else 'none',
  }


def processor() -> str:
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as f:
      return re.search(r'model name\s*: (.*)', f.read())[1]
  except (OSError, TypeError):
    return platform.processor() or platform.machine()


if __name__ == '__main__':
  sys.exit(errors.run(main))
