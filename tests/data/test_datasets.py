"""The facts about the data sets agree with each other and with the files made from them."""

import pathlib

import numpy as np
import pytest
import scipy.io

from utils.data import datasets
from utils.data.labels import VOID, class_names
from utils.errors import InputError

MISC = pathlib.Path(__file__).resolve().parents[2] / 'misc'


@pytest.mark.parametrize(
  'stem, colours', [('colormapvoc', datasets.voc_colours()), ('colormapcs', datasets.cityscapes_colours())]
)
def test_stored_colormap_is_the_table(stem, colours):
  stored = scipy.io.loadmat(MISC / f'{stem}.mat')[stem]
  assert stored.min() >= 0 and stored.max() <= 1
  np.testing.assert_array_equal(np.round(stored * 255).astype(np.uint8), colours)


def test_voc_colours_are_the_published_ones():
  colours = datasets.voc_colours()
  published = {0: (0, 0, 0), 1: (128, 0, 0), 7: (128, 128, 128), 15: (192, 128, 128), 20: (0, 64, 128)}
  published[255] = (224, 224, 192)
  assert {i: tuple(int(c) for c in colours[i]) for i in published} == published
  assert len({tuple(c) for c in colours}) == 256


def test_cityscapes_ids_translate_there_and_back():
  there, back = datasets.cityscapes_label_ids(), datasets.cityscapes_train_ids()
  assert there.tolist() == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
  np.testing.assert_array_equal(back[there], np.arange(19))
  assert (back == VOID).sum() == 256 - 19


def test_class_names_follow_the_number_of_classes(tmp_path):
  assert class_names(21)[15] == 'person'
  assert class_names(19)[10] == 'sky'
  assert class_names(11)[10] == 'bicyclist'
  assert class_names(3) == ['0', '1', '2']
  names = tmp_path / 'names.txt'
  names.write_bytes('\ufeffcat\r\nChien gentil\r\n\r\nK\u00e4fer\r\n'.encode())
  assert class_names(3, str(names)) == ['cat', 'Chien gentil', 'K\u00e4fer']
  with pytest.raises(InputError, match='3 names for --num-classes 4'):
    class_names(4, str(names))


@pytest.mark.parametrize('number', [2, 11, 19, 21, 256, 300])
def test_every_class_has_a_colour(number):
  assert datasets.colours(number).shape == (number, 3)
