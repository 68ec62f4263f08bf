"""Fetching ImageNet weights: from a local server or file, whole or not at all, never outside the folder."""

import functools
import http.server
import io
import pathlib
import tarfile
import threading

import numpy as np
import pytest
import tensorflow as tf

from dataset import fetch_resnet, weights
from network.common.resnet_v1 import ResNet
from utils import checkpoint, errors
from utils.errors import InputError, RunError

BACKBONE = 'resnet_v1_14'


@pytest.fixture(scope='module')
def content(tmp_path_factory):
  """A checkpoint as TF-Slim's are: format V1, one file, with logits, mean_rgb and global_step besides."""
  path = tmp_path_factory.mktemp('v1') / f'{BACKBONE}.ckpt'
  variables = ResNet(BACKBONE).variables
  tensors = {checkpoint.name_of(v): np.full(v.shape, 0.25, np.float32) for v in variables}
  tensors |= {'mean_rgb': np.zeros(3, np.float32), 'global_step': np.int64(7)}
  tf.raw_ops.Save(filename=str(path), tensor_names=list(tensors), data=list(tensors.values()))
  return path.read_bytes()


def archive(path, *members) -> str:
  """A .tar.gz of (name, bytes) members, or of ready TarInfos."""
  with tarfile.open(path, 'w:gz', compresslevel=1) as tar:
    for member in members:
      if isinstance(member, tarfile.TarInfo):
        tar.addfile(member)
        continue
      info = tarfile.TarInfo(member[0])
      info.size = len(member[1])
      tar.addfile(info, io.BytesIO(member[1]))
  return str(path)


def install(path, folder):
  weights.install(path, BACKBONE, folder / f'{BACKBONE}.ckpt', path)


def test_archive_is_unpacked_and_readable(tmp_path, content):
  install(archive(tmp_path / 'a.tar.gz', ('README', b'x'), (f'{BACKBONE}.ckpt', content)), tmp_path / 'out')
  assert [path.name for path in (tmp_path / 'out').iterdir()] == [f'{BACKBONE}.ckpt']
  assert (tmp_path / 'out' / f'{BACKBONE}.ckpt').read_bytes() == content
  weights.check(str(tmp_path / 'out' / f'{BACKBONE}.ckpt'), BACKBONE)


def link(name, target):
  info = tarfile.TarInfo(name)
  info.type, info.linkname = tarfile.SYMTYPE, target
  return info


NAME = f'{BACKBONE}.ckpt'
BAD = {
  'without the member': (lambda w: [('other.ckpt', w)], 'is in the archive 0 times'),
  'with the member twice': (lambda w: [(NAME, w), (f'b/{NAME}', w)], 'is in the archive 2 times'),
  'with a link in its place': (lambda w: [link(NAME, '/etc/passwd')], 'is in the archive 0 times'),
  'no checkpoint': (lambda w: [(NAME, b'hello' * 100)], 'cannot be read as a checkpoint'),
  'a torn checkpoint': (lambda w: [(NAME, w[: len(w) // 2])], f'{NAME}: '),
}
TORN = 'is not a complete .tar.gz archive'
BAD |= {f'cut at {n}': (lambda w: [(NAME, w)], TORN, lambda a, n=n: a[:n]) for n in (10, 1000, -4)}
BAD['wrong checksum'] = (lambda w: [(NAME, w)], TORN, lambda a: a[:-8] + bytes([a[-8] ^ 1]) + a[-7:])


@pytest.mark.parametrize('case', BAD)
def test_refused_and_nothing_left(tmp_path, content, case):
  make, words, *damage = BAD[case]
  path = archive(tmp_path / 'a.tar.gz', *make(content))
  for change in damage:
    pathlib.Path(path).write_bytes(change(pathlib.Path(path).read_bytes()))
  with pytest.raises(InputError) as caught:
    install(path, tmp_path / 'out')
  assert words in str(caught.value) and path in str(caught.value)
  assert not list((tmp_path / 'out').iterdir())


def test_paths_in_the_archive_lead_nowhere(tmp_path, content):
  install(
    archive(tmp_path / 'a.tar.gz', (f'../../escaped/{NAME}', content), ('/tmp/x', b'')), tmp_path / 'deep' / 'out'
  )
  assert (tmp_path / 'deep' / 'out' / NAME).read_bytes() == content
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a.tar.gz', 'deep']


class Quiet(http.server.SimpleHTTPRequestHandler):
  """Serves a folder; of files called short it promises more than it gives."""

  def log_message(self, *args):
    pass

  def send_header(self, keyword, value):
    if keyword == 'Content-Length' and 'short' in self.path:
      value = str(int(value) + 1000)
    super().send_header(keyword, value)


@pytest.fixture
def server(tmp_path):
  (tmp_path / 'served').mkdir()
  with http.server.ThreadingHTTPServer(
    ('127.0.0.1', 0), functools.partial(Quiet, directory=str(tmp_path / 'served'))
  ) as running:
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{running.server_address[1]}'
    running.shutdown()
    thread.join()


def test_fetches_over_http_and_from_a_file(tmp_path, content, server):
  path = archive(tmp_path / 'served' / 'a.tar.gz', (NAME, content))
  for url in (f'{server}/a.tar.gz', pathlib.Path(path).as_uri()):
    with weights.downloaded(url, BACKBONE, tmp_path / 'out') as copy:
      assert pathlib.Path(copy).read_bytes() == pathlib.Path(path).read_bytes()
    assert not list((tmp_path / 'out').iterdir())


@pytest.mark.parametrize('name', ['gone.tar.gz', 'short.tar.gz'])
def test_what_cannot_be_fetched_says_how_to_do_without(tmp_path, server, name):
  (tmp_path / 'served' / 'short.tar.gz').write_bytes(b'x' * 10)
  with pytest.raises(RunError, match='--archive FILE'), weights.downloaded(f'{server}/{name}', BACKBONE, tmp_path):
    pass
  assert [path.name for path in tmp_path.iterdir()] == ['served']


def run(capsys, *flags):
  code = errors.run(fetch_resnet.main, list(flags))
  return code, capsys.readouterr()


def test_script_installs_once(tmp_path, content, monkeypatch, capsys):
  """The real script, told that the small network is the large one."""
  monkeypatch.setattr(
    weights, 'check', functools.partial(lambda path, _, check: check(path, BACKBONE), check=weights.check)
  )
  path = archive(tmp_path / 'a.tar.gz', ('resnet_v1_101.ckpt', content))
  flags = '--url', pathlib.Path(path).as_uri(), '--save-dir', str(tmp_path / 'out')
  code, said = run(capsys, *flags)
  assert code == 0 and 'fetched and checked' in said.out and weights.sha256(path) in said.out
  assert 'exists already' in run(capsys, *flags)[1].out
  (tmp_path / 'out' / 'resnet_v1_101.ckpt').write_bytes(b'torn')
  code, said = run(capsys, *flags)
  assert (
    code == 2 and 'resnet_v1_101.ckpt: cannot be read as a checkpoint' in said.err and 'remove the file' in said.err
  )


@pytest.mark.parametrize(
  ('flags', 'code', 'words'),
  [
    (['--url', 'http://127.0.0.1:9/x.tar.gz'], 1, 'cannot be fetched'),
    (['--url', 'ftp://127.0.0.1/x'], 2, 'begins with neither'),
    (['--url', '/etc/passwd'], 2, 'begins with neither'),
    (['--archive', 'gone.tar.gz'], 2, 'is not a file'),
    (['--archive', __file__], 2, 'is not a complete .tar.gz archive'),
  ],
)
def test_script_fails_in_one_line(tmp_path, capsys, flags, code, words):
  found, said = run(capsys, *flags, '--save-dir', str(tmp_path / 'out'))
  assert found == code and words in said.err and said.err.count('\n') == 1
  assert not list((tmp_path / 'out').glob('*')) and not list((tmp_path / 'out').glob('.*'))


def test_another_network_is_refused_with_a_name(tmp_path, content, capsys):
  path = archive(tmp_path / 'a.tar.gz', ('resnet_v1_101.ckpt', content))
  code, said = run(capsys, '--archive', path, '--save-dir', str(tmp_path / 'out'))
  assert code == 2 and 'lacks resnet_v1_101/' in said.err and 'it holds resnet_v1_14' in said.err
  assert not list((tmp_path / 'out').iterdir())
