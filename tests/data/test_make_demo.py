"""The demo data: the same seed draws the same bytes, labels agree with instances, lists can be read."""

import numpy as np
from PIL import Image

from dataset import make_demo
from utils import labels, lists


def make(folder, *flags) -> dict[str, bytes]:
  """The contents of each file."""
  make_demo.main(['--out-dir', str(folder), '--num-train', '6', '--num-val', '2', '--image-size', '96,120', *flags])
  return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_same_seed_same_bytes_and_another_seed_other_scenes(tmp_path):
  first, again, other = make(tmp_path / 'a'), make(tmp_path / 'b'), make(tmp_path / 'c', '--seed', '1')
  assert first == again
  assert first.keys() == other.keys()
  images = [name for name in first if name.endswith('.jpg')]
  assert len(images) == 8 and all(first[name] != other[name] for name in images)
  assert len({first[name] for name in images}) == 8


def test_lists_name_every_file_and_labels_are_class_ids_shown_in_voc_colours(tmp_path):
  """Every class is drawn, and an instance is of one class."""
  make(tmp_path, '--num-train', '20')
  seen = set()
  for split, count in (('train', 20), ('val', 2)):
    pairs = lists.read_list(str(tmp_path / f'{split}.txt'), str(tmp_path / 'VOCdevkit'), need_label=True)
    assert len(pairs) == count
    for pair in pairs:
      both = [Image.open(path) for path in (pair.label, pair.label.replace('segcls', 'seginst'))]
      classes, instances = map(np.asarray, both)
      for ids, picture in zip((classes, instances), both, strict=True):
        np.testing.assert_array_equal(np.asarray(picture.convert('RGB')), labels.voc_colours()[ids])
      for value in (0, 255):
        np.testing.assert_array_equal(classes == value, instances == value)
      assert all(len(np.unique(classes[instances == instance])) == 1 for instance in np.unique(instances))
      seen |= set(np.unique(classes))
  assert seen == {*range(len(make_demo.CLASSES)), 255}
  assert (tmp_path / 'classes.txt').read_text().split() == list(make_demo.CLASSES)


def test_an_object_may_lie_outside_a_wide_scene():
  image, classes, _ = make_demo.draw_scene(np.random.default_rng([0, 0, 48]), 64, 192)
  assert image.shape == (64, 192, 3) and classes.shape == (64, 192)
