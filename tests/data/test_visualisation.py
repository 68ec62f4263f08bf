"""Class ids to pictures."""

import pathlib

import numpy as np
import pytest
import scipy.io

from utils.data import datasets
from utils.data.visualisation import blend, colour, read_colormap
from utils.errors import InputError

MISC = pathlib.Path(__file__).resolve().parents[2] / 'misc'


@pytest.mark.parametrize(('name', 'wanted'), [('voc', datasets.voc_colours(21)), ('cs', datasets.cityscapes_colours())])
def test_shipped_colormaps_are_the_data_sets_colours(name, wanted):
  np.testing.assert_array_equal(read_colormap(str(MISC / f'colormap{name}.mat'))[: len(wanted)], wanted)


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
  labels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
  got = colour(labels, palette).reshape(256, 3)
  assert got.dtype == np.uint8
  np.testing.assert_array_equal(got[:10], palette)
  assert not got[10:255].any() and got[255].tolist() == [255] * 3
  np.testing.assert_array_equal(colour(np.array([[255]]), datasets.voc_colours())[0, 0], [224, 224, 192])


def test_blend_is_the_middle():
  one, other = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
  middle = blend(one, other)
  assert middle.dtype == np.uint8
  np.testing.assert_array_equal(middle, np.ceil((one.astype(float) + other) / 2))
  np.testing.assert_array_equal(middle, middle.T)
