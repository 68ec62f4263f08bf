"""Classes come from a file beside the lists, never from their number; names and colours of the data sets agree with the
stored files; class ids become pictures; photos are turned as people see them."""

import io

import numpy as np
import pytest
import scipy.io
from PIL import Image, ImageOps

from tests.data.trees import turned
from utils import errors, images, labels
from utils.labels import read_colormap


def test_classes_that_are_written_are_read(tmp_path):
  classes = labels.Classes([', blue', '=1+1', '7 Straße'], np.array([[1, 2, 3], [0, 0, 0], [255, 255, 255]], np.uint8))
  labels.write_classes(tmp_path, classes)
  for found in (labels.classes_beside(tmp_path), labels.choose_classes(3, '', tmp_path / 'train.txt')):
    assert found.names == classes.names and np.array_equal(found.colours, classes.colours)


@pytest.mark.parametrize(
  'text, names, first_colour',
  [
    ('background\nred car\n', ['background', 'red car'], (0, 0, 0)),
    ('128 64 128 road\n0,0,142,red car\n', ['road', 'red car'], (128, 64, 128)),
  ],
)
def test_names_alone_and_tables_of_colours_are_classes(tmp_path, text, names, first_colour):
  (tmp_path / 'c.txt').write_text(text)
  classes = labels.read_classes(tmp_path / 'c.txt')
  assert classes.names == names and tuple(classes.colours[0]) == first_colour
  assert np.array_equal(read_colormap(str(tmp_path / 'c.txt')), classes.colours)


def test_nothing_is_guessed_from_a_number_of_classes(tmp_path):
  assert labels.choose_classes(19, '', tmp_path / 'train.txt').names[18] == 'class 18'


def test_a_file_of_another_number_of_classes_or_order_is_refused(tmp_path):
  (tmp_path / 'classes.txt').write_text('a\nb\n')
  with pytest.raises(errors.InputError, match='has 2 classes, --num-classes is 3'):
    labels.choose_classes(3, '', tmp_path / 'train.txt')
  for row in ('1,a,0,0,0', '0,a,0,0,256', '0,a,0,0'):
    (tmp_path / 'classes.csv').write_text(f'id,name,r,g,b\n{row}\n')
    with pytest.raises(errors.InputError, match='classes.csv line 2'):
      labels.classes_beside(tmp_path)


@pytest.mark.parametrize('name, text', [
  ('c.csv', 'name,r,g,b\nroad,1,2,3\n'),
  ('c.csv', 'id;name\n0;road\n'),
  ('c.txt', '1 2 3 a\n4 5 600 b\n'),
])  # fmt: skip
def test_a_table_with_a_wrong_line_is_no_list_of_names(tmp_path, name, text):
  (tmp_path / name).write_text(text)
  with pytest.raises(errors.InputError, match='is no class with a colour'):
    labels.read_classes(tmp_path / name)


def test_stored_colormaps_are_the_tables():
  for stem, colours in (('colormapvoc', labels.voc_colours()), ('colormapcs', labels.CITYSCAPES.colours)):
    np.testing.assert_array_equal(read_colormap(str(labels.MISC / f'{stem}.mat')), colours)
  np.testing.assert_array_equal(labels.published('voc12').colours, labels.voc_colours(21))
  assert len(labels.published('camvid').names) == 11


def test_colormap_is_read_under_the_files_own_name(tmp_path):
  """Integers of 0 and 1 are colours too."""
  scipy.io.savemat(tmp_path / 'mine.mat', {'other': 1, 'mine': np.array([[0, 1, 0.2], [1 / 255, 254 / 255, 1]])})
  assert read_colormap(str(tmp_path / 'mine.mat')).tolist() == [[0, 255, 51], [1, 254, 255]]
  scipy.io.savemat(tmp_path / 'ints.mat', {'ints': np.array([[0, 1, 1]], np.uint8)})
  assert read_colormap(str(tmp_path / 'ints.mat')).tolist() == [[0, 255, 255]]
  for data in (b'', b'MATLAB 5.0 MAT-file' + bytes(109), bytes(range(256)) * 4):
    (tmp_path / 'x.mat').write_bytes(data)
    with pytest.raises(errors.InputError, match='x.mat'):
      read_colormap(str(tmp_path / 'x.mat'))


def test_every_id_has_its_colour():
  palette = np.arange(30, dtype=np.uint8).reshape(10, 3)
  got = labels.colour(np.arange(256, dtype=np.uint8).reshape(2, 8, 16), palette).reshape(256, 3)
  assert got.dtype == np.uint8
  np.testing.assert_array_equal(got[:10], palette)
  assert not got[10:255].any() and got[255].tolist() == [255] * 3
  np.testing.assert_array_equal(labels.colour(np.array([[255]]), labels.voc_colours())[0, 0], [224, 224, 192])


@pytest.mark.parametrize('turn', range(1, 9))
def test_a_photo_is_turned_as_pillow_turns_it(turn):
  pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG', exif=turned(turn))
  assert images.orientation_of(file.getvalue()) == turn
  seen = np.asarray(ImageOps.exif_transpose(Image.open(file)))
  assert np.array_equal(images.upright(pixels, turn), seen)
  assert np.array_equal(images.upright_label(pixels, (2, 3), turn), seen if turn >= 5 else pixels)
  assert np.array_equal(images.upright_label(seen, (2, 3), turn), seen)
