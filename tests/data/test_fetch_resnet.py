"""Fetching ResNet's weights: from an address or a file, whole or not at all, never outside the folder."""

import io
import pathlib
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from dataset import fetch_resnet
from network.common.resnet_v1 import ResNet
from utils import checkpoint, errors

BACKBONE = 'resnet_v1_14'


@pytest.fixture(scope='module')
def content(tmp_path_factory):
  """A checkpoint as TF-Slim's are: format V1, one file, with logits, mean_rgb and global_step besides."""
  path = tmp_path_factory.mktemp('v1') / 'small.ckpt'
  tensors = {checkpoint.name_of(v): np.full(v.shape, 0.25, np.float32) for v in ResNet(BACKBONE).variables}
  tensors |= {'mean_rgb': np.zeros(3, np.float32), 'global_step': np.int64(7)}
  tf.raw_ops.Save(filename=str(path), tensor_names=list(tensors), data=list(tensors.values()))
  return path.read_bytes()


def archive(path, *members) -> str:
  """A .tar.gz of (name, bytes) members; of (name, path) a link."""
  with tarfile.open(path, 'w:gz', compresslevel=1) as tar:
    for name, data in members:
      info = tarfile.TarInfo(name)
      if isinstance(data, str):
        info.type, info.linkname, data = tarfile.SYMTYPE, data, b''
      info.size = len(data)
      tar.addfile(info, io.BytesIO(data))
  return str(path)


TORN = 'is not a complete .tar.gz archive'
BAD = {  # what the archive's checkpoint holds, a text that it links to, or None: the small network; damage; words
  'a link in its place': ('/etc/passwd', None, 'is not in the archive'),
  'no checkpoint': (b'hello' * 100, None, 'cannot be read as a checkpoint'),
  'another network': (None, None, 'it holds resnet_v1_14'),
  'cut at the end': (b'x', lambda a: a[:-4], TORN),
  'wrong checksum': (b'x', lambda a: a[:-8] + bytes([a[-8] ^ 1]) + a[-7:], TORN),
  'grown': (b'x' * 100, None, 'unpacks to more than'),
}


@pytest.mark.parametrize('case', BAD)
def test_refused_and_nothing_left(refused, tmp_path, monkeypatch, content, case):
  data, damage, words = BAD[case]
  path = archive(tmp_path / 'a.tar.gz', ('resnet_v1_50.ckpt', content if data is None else data))
  if damage:
    pathlib.Path(path).write_bytes(damage(pathlib.Path(path).read_bytes()))
  if case == 'grown':
    monkeypatch.setattr(fetch_resnet, 'LARGEST', 99)
  flags = '--archive', path, '--backbone', 'resnet_v1_50', '--save-dir', tmp_path / 'out'
  refused(fetch_resnet.main, flags, f'{path}: ', words, but=('out',))


def run(capsys, *flags):
  code = errors.run(fetch_resnet.main, list(flags))
  return code, capsys.readouterr()


def test_script_fetches_once(tmp_path, content, monkeypatch, capsys):
  """The real script, told that the small network is the large one. Paths in the archive lead nowhere."""
  check = fetch_resnet.check
  monkeypatch.setattr(fetch_resnet, 'check', lambda path, _: check(path, BACKBONE))
  archive(tmp_path / 'a.tar.gz', ('../../escaped/resnet_v1_101.ckpt', content), ('/tmp/x', b''))
  flags = '--url', (tmp_path / 'a.tar.gz').as_uri(), '--save-dir', str(tmp_path / 'out')
  code, said = run(capsys, *flags)
  assert code == 0 and 'unpacked and checked' in said.out
  assert (tmp_path / 'out' / 'resnet_v1_101.ckpt').read_bytes() == content
  assert sorted(path.name for path in tmp_path.rglob('*')) == ['a.tar.gz', 'out', 'resnet_v1_101.ckpt']
  assert 'exists already' in run(capsys, *flags)[1].out
  (tmp_path / 'out' / 'resnet_v1_101.ckpt').write_bytes(b'torn')
  code, said = run(capsys, *flags)
  assert code == 2 and 'cannot be read as a checkpoint' in said.err and 'remove the file' in said.err


def test_script_fails_in_one_line(tmp_path, capsys):
  gone = (tmp_path / 'gone').as_uri()
  for flag, value, code, words in (
    ('--url', gone, 1, f'{gone}: cannot be fetched'),
    ('--url', 'no address', 1, '--backbone resnet_v1_101 --archive FILE'),
    ('--archive', 'gone.tar.gz', 2, 'no such file'),
  ):
    found, said = run(capsys, flag, value, '--save-dir', str(tmp_path / 'out'))
    assert found == code and words in said.err and said.err.count('\n') == 1
    assert not list(tmp_path.glob('out/*'))
