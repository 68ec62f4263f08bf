"""Fetches the ImageNet weights that the recipes start from: TF-Slim's ResNet v1 checkpoint.

Writes SAVE_DIR/BACKBONE.ckpt, for --restore-from, after reading every weight in it. Without a
network: fetch the archive elsewhere (the URL below), bring the file and give it as --archive.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from dataset import weights
from utils import arguments, errors
from utils.errors import InputError

SAVE_DIR = pathlib.Path(__file__).resolve().parents[1] / 'snapshots' / 'imagenet'


def parse(argv):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--backbone', choices=('resnet_v1_101', 'resnet_v1_50'), default='resnet_v1_101', help='network')
  parser.add_argument('--url', default='', help=f'address, in place of {weights.URL.format(backbone="BACKBONE")}')
  parser.add_argument('--archive', default='', help='the .tar.gz, if you have it already')
  parser.add_argument('--save-dir', default=str(SAVE_DIR), help='where the checkpoint goes')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  path = pathlib.Path(args.save_dir) / f'{args.backbone}.ckpt'
  if path.exists():
    try:
      weights.check(str(path), args.backbone)
    except InputError as e:
      raise InputError(f'{e}: remove the file and run this again') from None
    print(f'{path}: exists already, and every weight can be read')
    return
  if args.archive:
    if not os.path.isfile(args.archive):
      raise InputError(f'--archive {args.archive}: is not a file; give the .tar.gz that was fetched')
    install(args.archive, args.backbone, path, args.archive)
    return
  url = args.url or weights.URL.format(backbone=args.backbone)
  with weights.downloaded(url, args.backbone, path.parent) as archive:
    install(archive, args.backbone, path, url)


def install(archive: str, backbone: str, path: pathlib.Path, source: str) -> None:
  weights.install(archive, backbone, path, source)
  print(f'{path}: fetched and checked; the archive had SHA-256 {weights.sha256(archive)}')


if __name__ == '__main__':
  sys.exit(errors.run(main))
