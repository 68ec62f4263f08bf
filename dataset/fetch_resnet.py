"""Fetches the ImageNet weights that the recipes start from: TF-Slim's ResNet v1 checkpoint.

Writes SAVE_DIR/BACKBONE.ckpt, for --restore-from, after reading every weight in it. Without a
network: fetch the archive elsewhere (the URL below), bring the file and give it as --archive.
"""

import gzip
import http.client
import io
import os
import pathlib
import socket
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tqdm import tqdm

from utils import arguments, errors, files
from utils.errors import InputError, RunError, one_line

SAVE_DIR = pathlib.Path(__file__).resolve().parents[1] / 'snapshots' / 'imagenet'
URL = 'https://download.tensorflow.org/models/{backbone}_2016_08_28.tar.gz'
LARGEST = 1 << 30  # bytes of an unpacked checkpoint; the real files have at most a fifth of that
TIMEOUT = 60  # seconds without an answer


def main(argv=None):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--backbone', choices=('resnet_v1_101', 'resnet_v1_50'), default='resnet_v1_101', help='network')
  parser.add_argument('--url', default='', help=f'address, in place of {URL.format(backbone="BACKBONE")}')
  parser.add_argument('--archive', default='', help='the .tar.gz, if you have it already')
  parser.add_argument('--save-dir', default=str(SAVE_DIR), help='where the checkpoint goes')
  args = parser.parse_args(argv)
  path = os.path.join(args.save_dir, f'{args.backbone}.ckpt')
  if os.path.exists(path):
    try:
      check(path, args.backbone)
    except InputError as e:
      raise InputError(f'{e}: remove the file and run this again') from None
    print(f'{path}: exists already, and every weight can be read')
    return
  with tempfile.TemporaryDirectory() as folder:
    archive = args.archive or download(args.url or URL.format(backbone=args.backbone), args.backbone, folder)
    files.check_regular(archive, 'the .tar.gz that was fetched')
    install(archive, args.backbone, path)
  print(f'{path}: unpacked and checked')


def download(url: str, backbone: str, folder: str) -> str:
  """The path of a copy, in `folder`, of what `url` gives.

  Raises:
    RunError: it cannot be fetched completely; the message says how to do without a network.
  """
  path = os.path.join(folder, f'{backbone}.tar.gz')
  socket.setdefaulttimeout(TIMEOUT)
  try:
    with tqdm(desc='fetching', unit='B', unit_scale=True, delay=1) as bar:
      urllib.request.urlretrieve(url, path, lambda _, size, length: bar.update(size))
  except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as e:
    raise RunError(
      f'{url}: cannot be fetched ({one_line(e)}); without a network here, fetch it elsewhere, bring the file and run '
      f'`python dataset/fetch_resnet.py --backbone {backbone} --archive FILE`'
    ) from None
  return path


def install(archive: str, backbone: str, path: str) -> None:
  """Unpacks the checkpoint BACKBONE.ckpt of a .tar.gz, checks it, and then moves it to `path`.

  Whatever paths the archive's members have, nothing but `path` is written.

  Raises:
    InputError: the archive is damaged or lacks that file, or its weights do not fit the backbone.
  """
  name = f'{backbone}.ckpt'
  with files.whole_file(path) as temporary:
    try:
      pathlib.Path(temporary).write_bytes(extract(archive, name))
      check(temporary, backbone)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as e:
      raise InputError(f'{archive}: is not a complete .tar.gz archive ({one_line(e)}); fetch it again') from None
    except InputError as e:
      raise InputError(str(e).replace(temporary, f'{archive}: {name}')) from None


def extract(archive: str, name: str) -> bytes:
  """The file called `name`. All is unpacked before any of it is used: gzip has its checksum at the end."""
  with gzip.open(archive) as stream:
    content = stream.read(LARGEST + 1)
  if len(content) > LARGEST:
    raise InputError(f'{archive}: unpacks to more than {LARGEST >> 20} MB, which no ResNet has; fetch it again')
  with tarfile.open(fileobj=io.BytesIO(content)) as tar:
    for member in tar:
      if member.isfile() and pathlib.PurePosixPath(member.name).name == name:
        return tar.extractfile(member).read(LARGEST)  # a sparse member may say that it has any size
  raise InputError(f'{archive}: {name} is not in the archive; fetch it again')


def check(path: str, backbone: str) -> None:
  """Reads every variable of the backbone from a checkpoint.

  Raises:
    InputError: it is not a checkpoint, or a variable is missing, has another shape or is not finite.
  """
  with errors.quiet_start():
    from network.common.resnet_v1 import ResNet
    from utils import checkpoint

  variables = checkpoint.by_name(ResNet(backbone).variables)
  checkpoint.restore(path, variables, f'this is not a {backbone} of TF-Slim; fetch it again')


if __name__ == '__main__':
  sys.exit(errors.run(main))
