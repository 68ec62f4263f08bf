"""Classes come from a file beside the lists, never from their number; photos are turned as people see them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from utils import errors, images, labels


def test_classes_that_are_written_are_read(tmp_path):
  classes = labels.Classes(['sky, blue', '=1+1', 'Straße'], np.array([[1, 2, 3], [0, 0, 0], [255, 255, 255]], np.uint8))
  labels.write_classes(tmp_path, classes)
  for found in (labels.classes_beside(tmp_path), labels.choose_classes(3, '', None, tmp_path / 'train.txt')):
    assert found.names == classes.names and np.array_equal(found.colours, classes.colours)


@pytest.mark.parametrize(
  'name, text, names, first_colour',
  [
    ('classes.txt', 'background\nred car\n', ['background', 'red car'], (0, 0, 0)),
    ('colors.txt', '128 64 128 road\n0,0,142,red car\n', ['road', 'red car'], (128, 64, 128)),
  ],
)
def test_names_alone_and_tables_of_colours_are_classes(tmp_path, name, text, names, first_colour):
  (tmp_path / name).write_text(text)
  classes = labels.read_classes(tmp_path / name)
  assert classes.names == names and tuple(classes.colours[0]) == first_colour
  assert np.array_equal(labels.read_colormap(str(tmp_path / name)), classes.colours)


def test_nothing_is_guessed_from_a_number_of_classes(tmp_path):
  assert labels.choose_classes(19, '', tmp_path / 'train.txt').names[18] == 'class 18'


def test_a_file_of_another_number_of_classes_or_order_is_refused(tmp_path):
  (tmp_path / 'classes.txt').write_text('a\nb\n')
  with pytest.raises(errors.InputError, match='has 2 classes, --num-classes is 3'):
    labels.choose_classes(3, '', tmp_path / 'train.txt')
  (tmp_path / 'classes.csv').write_text('id,name,r,g,b\n1,a,0,0,0\n')
  with pytest.raises(errors.InputError, match='classes.csv line 2'):
    labels.classes_beside(tmp_path)


@pytest.mark.parametrize('turn', range(1, 9))
def test_a_photo_is_turned_as_pillow_turns_it(turn):
  pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
  photo, exif = Image.fromarray(pixels), Image.Exif()
  exif[images.ORIENTATION] = turn
  file = io.BytesIO()
  photo.save(file, 'PNG', exif=exif)
  assert images.orientation_of(file.getvalue()) == turn
  seen = np.asarray(ImageOps.exif_transpose(Image.open(file)))
  assert np.array_equal(images.upright(pixels, turn), seen)
  assert np.array_equal(images.upright_label(pixels, (2, 3), turn), seen if turn >= 5 else pixels)
  assert np.array_equal(images.upright_label(seen, (2, 3), turn), seen)
