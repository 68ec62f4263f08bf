"""ImageNet weights to start from: TF-Slim's ResNet v1 checkpoints, fetched, unpacked and checked.

Only the check loads TensorFlow.
"""

import contextlib
import gzip
import hashlib
import http.client
import pathlib
import shutil
import socket
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib

from tqdm import tqdm

from utils import atomic
from utils.errors import InputError, RunError, one_line

URL = 'https://download.tensorflow.org/models/{backbone}_2016_08_28.tar.gz'
LARGEST = 2 << 30  # bytes of an unpacked checkpoint; the real files have at most a tenth of that
TIMEOUT = 60  # seconds without an answer
_BLOCK = 1 << 20


@contextlib.contextmanager
def downloaded(url: str, backbone: str, folder: pathlib.Path):
  """The path of a temporary copy, in `folder`, of what `url` (http, https or file) gives.

  Raises:
    InputError: the URL is not one of http, https or file.
    RunError: it cannot be fetched completely; the message says how to do without a network.
  """
  if not url.startswith(('https://', 'http://', 'file://')):
    raise InputError(f'--url {url}: begins with neither https:// nor http:// nor file://; for a file give --archive')
  folder.mkdir(parents=True, exist_ok=True)
  socket.setdefaulttimeout(TIMEOUT)
  with tempfile.NamedTemporaryFile(prefix='.fetching-', suffix='.tar.gz', dir=folder) as file:
    try:
      with tqdm(desc='fetching', unit='B', unit_scale=True, delay=1) as bar:
        urllib.request.urlretrieve(url, file.name, lambda _, size, length: bar.update(size))
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as e:
      raise RunError(
        f'{url}: cannot be fetched ({one_line(e)}); without a network here, fetch it elsewhere, bring the file and run '
        f'`python dataset/fetch_resnet.py --backbone {backbone} --archive FILE`'
      ) from None
    yield file.name


def install(archive: str, backbone: str, path: pathlib.Path, source: str) -> None:
  """Unpacks the checkpoint BACKBONE.ckpt of a .tar.gz, checks it, and then moves it to `path`.

  Whatever paths the archive's members have, nothing but `path` is written. `source` names the archive in messages.

  Raises:
    InputError: the archive is damaged, lacks that file, or its weights do not fit the backbone.
  """
  with atomic.whole_file(path) as temporary:
    try:
      _extract(archive, f'{backbone}.ckpt', temporary)
      check(temporary, backbone)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as e:
      raise InputError(f'{source}: is not a complete .tar.gz archive ({one_line(e)}); fetch it again') from None
    except InputError as e:
      raise InputError(str(e).replace(temporary, f'{source}: {backbone}.ckpt')) from None


def _extract(archive: str, name: str, target: str) -> None:
  """Copies the one file called `name`, then reads on to the end, where gzip has its checksum."""
  with gzip.open(archive) as stream:
    with tarfile.open(fileobj=stream, mode='r|') as tar:
      found = 0
      for member in tar:
        if member.isfile() and pathlib.PurePosixPath(member.name).name == name:
          if member.size > LARGEST:
            raise InputError(f'{target}: would be {member.size} bytes long, which no ResNet is; fetch it again')
          found += 1
          with open(target, 'wb') as file:
            shutil.copyfileobj(tar.extractfile(member), file)
    while stream.read(_BLOCK):
      pass
  if found != 1:
    raise InputError(f'{target}: is in the archive {found} times, not once; fetch it again')


def check(path: str, backbone: str) -> None:
  """Reads every variable of the backbone from a checkpoint.

  Raises:
    InputError: it is not a checkpoint, or a variable is missing, has another shape or is not finite.
  """
  from network.common.resnet_v1 import ResNet
  from utils.engine import checkpoint

  variables = {checkpoint.name_of(variable): variable for variable in ResNet(backbone).variables}
  checkpoint.restore(path, variables, f'this is not a {backbone} of TF-Slim; fetch it again')


def sha256(path: str) -> str:
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    while block := file.read(_BLOCK):
      digest.update(block)
  return digest.hexdigest()
