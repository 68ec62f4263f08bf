"""Arbitrary bytes as a list file and as a label image: the documented error or a sound result, nothing else.

FUZZ_EXAMPLES=20000 in the environment tries more.
"""

import io
import os
import pathlib
import tempfile
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from dataset import listing
from tests.fuzzed import fuzz
from utils import checks, files, images, lists
from utils.errors import InputError

many = fuzz(300)


def encoded(file_format: str, mode: str) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).convert(mode).save(buffer, file_format)
  return buffer.getvalue()


PICTURES = [encoded(name, mode) for name in images.FORMATS for mode in ('L', 'RGB')]
PICTURES += [encoded(name, 'P') for name in ('PNG', 'GIF', 'TIFF', 'BMP')]


@st.composite
def damaged_pictures(draw, pictures=PICTURES):
  """A picture with some bytes replaced, cut out or put in."""
  data = bytearray(draw(st.sampled_from(pictures)))
  for _ in range(draw(st.integers(0, 6))):
    at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 4))
    data[at : at + length] = draw(st.binary(max_size=4))
  return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@pytest.fixture
def picture(tmp_path):
  return tmp_path / 'picture.png'


@many
@given(st.one_of(damaged_pictures(), st.binary(max_size=200)))
@example(b'')
@example(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n')
def test_label_decoder(picture, data):
  picture.write_bytes(data)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # a damaged file may bring Pillow's warnings
    try:
      label = images.read_label(str(picture))
    except InputError as e:
      assert str(picture) in str(e) and '\n' not in str(e)
    else:
      assert label.ndim == 2 and label.size and label.dtype.kind in 'iu'
    found = checks.inspect(lists.Pair(str(picture), str(picture)), 21, 255, thorough=True)
    assert found.fault is None or str(picture) in found.fault


NAMES = st.one_of(
  st.text(st.sampled_from('ab. é-'), min_size=1, max_size=12),
  st.text(st.characters(codec='utf-8', exclude_characters='/\0'), min_size=1, max_size=20),
).filter(lambda name: len(name.encode()) < 200 and name not in ('.', '..'))


@many
@given(st.one_of(st.binary(max_size=200), st.text(st.sampled_from('ab .\t\n\r/\0\ufeff\u2028é'), max_size=60)))
@example(b'\xff\xfe')
@example('a\0b a')
@example('a' * 5000)
@example('../' * 50 + 'etc/passwd')
def test_list_parser(tmp_path, data):
  (tmp_path / 'a').write_text('')
  path = tmp_path / 'list.txt'
  path.write_bytes(data if isinstance(data, bytes) else data.encode())
  for need_label in (False, True):
    try:
      pairs = lists.read_list(str(path), str(tmp_path), need_label)
    except InputError as e:
      assert str(path) in str(e)
    else:
      assert pairs
      for pair in pairs:
        assert os.path.isfile(pair.image) and (pair.label is None or os.path.isfile(pair.label))
        assert pair.label or not need_label


@many
@given(NAMES, NAMES)
@example('a b.jpg', 'c.png')
@example('a', 'a a')
@example(' a', 'b')
@example('\ufeffa', 'b')
@example('\u2028', 'b')
@example('x', '\u3000b')
def test_what_the_list_builders_write_is_read_back(tmp_path, image, label):
  """Any file names: either the builders refuse them, or the line names these two files again."""
  folder = pathlib.Path(tempfile.mkdtemp(dir=tmp_path))
  paths = [folder / 'images' / image, folder / 'masks' / label]
  for path in paths:
    path.parent.mkdir()
    path.write_bytes(b'')
  try:
    line = listing.line(f'images/{image}', f'masks/{label}')
  except InputError:
    assert any(not name.isprintable() or name != name.strip() for name in (image, label))
    return
  files.write_text(folder / 'list.txt', line + '\n')
  pairs = lists.read_list(str(folder / 'list.txt'), str(folder), need_label=True)
  assert [pathlib.Path(path) for path in pairs[0]] == paths
