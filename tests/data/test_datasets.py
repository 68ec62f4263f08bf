"""Names, ids and colours of the data sets agree with each other and the stored files; class ids become pictures."""

import pathlib

import numpy as np
import pytest
import scipy.io

from utils import labels
from utils.errors import InputError
from utils.labels import VOID, blend, colour, read_colormap

MISC = pathlib.Path(__file__).resolve().parents[2] / 'misc'


@pytest.mark.parametrize(
  'stem, colours', [('colormapvoc', labels.voc_colours()), ('colormapcs', labels.cityscapes_colours())]
)
def test_stored_colormap_is_the_table(stem, colours):
  np.testing.assert_array_equal(read_colormap(str(MISC / f'{stem}.mat')), colours)


def test_voc_colours_are_the_published_ones():
  colours = labels.voc_colours()
  published = {0: (0, 0, 0), 1: (128, 0, 0), 7: (128, 128, 128), 15: (192, 128, 128), 20: (0, 64, 128)}
  published[255] = (224, 224, 192)
  assert {i: tuple(int(c) for c in colours[i]) for i in published} == published
  assert len({tuple(c) for c in colours}) == 256


def test_cityscapes_ids_translate_there_and_back():
  there, back = labels.cityscapes_label_ids(), labels.cityscapes_train_ids()
  assert there.tolist() == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
  np.testing.assert_array_equal(back[there], np.arange(19))
  assert (back == VOID).sum() == 256 - 19


def test_colormap_is_read_under_the_files_own_name(tmp_path):
  """Integers of 0 and 1 are colours too."""
  colours = np.array([[0, 1, 0.2], [1 / 255, 254 / 255, 1]])
  scipy.io.savemat(tmp_path / 'mine.mat', {'other': 1, 'mine': colours})
  assert read_colormap(str(tmp_path / 'mine.mat')).tolist() == [[0, 255, 51], [1, 254, 255]]
  scipy.io.savemat(tmp_path / 'ints.mat', {'ints': np.array([[0, 1, 1]], np.uint8)})
  assert read_colormap(str(tmp_path / 'ints.mat')).tolist() == [[0, 255, 255]]


@pytest.mark.parametrize('data', [b'', b'MATLAB 5.0 MAT-file' + bytes(109), b'\0' * 200, bytes(range(256)) * 4])
def test_damaged_colormaps_are_one_line(tmp_path, data):
  (tmp_path / 'x.mat').write_bytes(data)
  with pytest.raises(InputError, match='x.mat'):
    read_colormap(str(tmp_path / 'x.mat'))


def test_every_id_has_its_colour():
  palette = np.arange(30, dtype=np.uint8).reshape(10, 3)
  ids = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
  got = colour(ids, palette).reshape(256, 3)
  assert got.dtype == np.uint8
  np.testing.assert_array_equal(got[:10], palette)
  assert not got[10:255].any() and got[255].tolist() == [255] * 3
  np.testing.assert_array_equal(colour(np.array([[255]]), labels.voc_colours())[0, 0], [224, 224, 192])


def test_blend_is_the_middle():
  one, other = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
  middle = blend(one, other)
  assert middle.dtype == np.uint8
  np.testing.assert_array_equal(middle, np.ceil((one.astype(float) + other) / 2))
  np.testing.assert_array_equal(middle, middle.T)
