"""Outlines, run lengths and shapes of the annotation formats become the right pixels."""

import json

import numpy as np
import pytest

from dataset.formats import annotations, drawing, masks
from tests.data import labelled
from tests.data.labelled import whole
from utils.errors import InputError

# Run lengths that pycocotools 2.0 wrote: a frame with a hole, and a disc around (30, 25).
FRAME = '01:2HNO0128N'
DISC = 'lj0;_14L4M2M4N0O2N2O0O2O0O2O00000000000000000001N101N101N2N102L3N3L4LZm1'


def slow_fill(ring, height, width):
  """Even-odd rule, a pixel at a time."""
  image = np.zeros((height, width), bool)
  for row, column in np.ndindex(height, width):
    x, y = column + 0.5, row + 0.5
    for ends in zip(ring, [*ring[1:], ring[0]], strict=True):
      (x0, y0), (x1, y1) = sorted(ends, key=lambda end: end[1])  # the same for both neighbours of an edge
      if (y0 <= y) != (y1 <= y) and x >= x0 + (y - y0) / (y1 - y0) * (x1 - x0):
        image[row, column] ^= True
  return image


def test_fill_is_the_even_odd_rule_at_pixel_centres():
  """Of one outline or the union of two, also beyond the image. Of neighbours with one border one has a pixel centre on
  it, so that they neither overlap nor leave a gap."""
  rng = np.random.default_rng(12)
  for case in range(80):
    rings = [rng.uniform(-3, (20, 16), (rng.integers(3, 9), 2)) for _ in range(1 + case // 40)]
    rings = [np.round(2 * ring) / 2 for ring in rings] if case % 2 else rings  # through pixel centres
    expected = np.any([slow_fill(ring.tolist(), 13, 17) for ring in rings], axis=0)
    np.testing.assert_array_equal(whole(drawing.fill(rings, 13, 17), 13, 17), expected)


def test_turned_boxes_and_ellipses():
  box = drawing.fill([drawing.box(10, 20, 30, 26, 90)], 60, 50)
  assert box[:2] == (13, 17) and box[2].shape == (20, 6) and box[2].all()
  ellipse = whole(drawing.fill([drawing.ellipse(25.2, 30.3, 20, 8, 90)], 60, 50), 60, 50)
  rows, columns = np.mgrid[:60, :50] + 0.5
  np.testing.assert_array_equal(ellipse, np.hypot((columns - 25.2) / 8, (rows - 30.3) / 20) < 1)


def test_run_lengths_compressed_by_pycocotools_and_plain():
  frame = np.zeros((5, 7), bool)
  frame[1:4, 2:5] = frame[0, 0] = frame[4, 6] = True
  frame[2, 3] = False
  np.testing.assert_array_equal(annotations.draw_coco({'counts': FRAME, 'size': [5, 7]}, 5, 7)[2], frame)
  rows, columns = np.mgrid[:60, :80]
  for counts in (DISC, annotations.decompress(DISC)):
    disc = whole(annotations.draw_coco({'counts': counts, 'size': [60, 80]}, 60, 80), 60, 80)
    np.testing.assert_array_equal(disc, np.hypot(rows - 25, columns - 30) < 17)


WRONG = [
  ([[20, 0, 25, 5, 22, 5]], r'the point \(20, 0\) and all others outside 12 x 9'),
  ([[0, 0, 5, 5, 3, float('nan')]], 'outside any image'),
  ([[1, 2, 3]], 'a polygon that is not a list x, y, x, y'),
  (7, 'neither polygons nor counts and size'),
  ({'counts': [50]}, 'neither polygons nor counts and size'),
  ({'counts': [108], 'size': [12, 9]}, r'the size \[12, 9\], not \[9, 12\]'),
  *(({'counts': counts, 'size': [9, 12]}, 'do not make 108') for counts in ([50, 50], [-8, 116], [54.0, 54.0])),
  *(({'counts': text, 'size': [9, 12]}, 'are damaged') for text in ('ab\x7f', 'é', 'o' * 99)),
  ({'counts': '0o', 'size': [9, 12]}, 'end in the middle'),
]


@pytest.mark.parametrize(('segmentation', 'words'), WRONG)
def test_segmentations_that_cannot_be_drawn(segmentation, words):
  with pytest.raises(ValueError, match=words):
    annotations.draw_coco(segmentation, 9, 12)


def test_cvat_masks_run_along_the_rows():
  values = {'rle': '1, 2, 3', 'left': '4', 'top': '2', 'width': '3', 'height': '2', 'label': 'car'}
  top, left, mask, _ = annotations.draw_cvat('mask', values, 9, 12)
  assert (top, left) == (2, 4)
  np.testing.assert_array_equal(mask, [[False, True, True], [False, False, False]])


def test_colour_tables_of_other_tools(tmp_path):
  for text in (
    '# label:color_rgb:parts:actions\nbackground:0,0,0::\nwide road:128,64,128::\n',
    'name,r,g,b\nbackground,0,0,0\nwide road,128,64,128\n',
    'id,name,r,g,b\n0,background,0,0,0\n1,wide road,128,64,128\n',
    'background 0 0 0\nwide road 128 64 128\n',
    '0,0,0,background\n128,64,128,wide road\n',
  ):
    (tmp_path / 'colors.txt').write_text(text)
    assert masks.read_colour_table(str(tmp_path / 'colors.txt')) == {
      (0, 0, 0): 'background',
      (128, 64, 128): 'wide road',
    }


def nodes(value, path=()):
  yield path
  for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
    yield from nodes(inner, (*path, key))


@pytest.mark.parametrize('kind', ['coco', 'labelme'])
def test_any_part_of_a_json_file_may_be_anything(tmp_path, kind):
  """Each part in turn replaced: what comes is masks or one error that names the file."""
  labelled.images(tmp_path, ['img0'])
  path = tmp_path / 'labels.json'
  mask = {'category_id': 3, 'segmentation': {'counts': [2400, 100, 2300], 'size': [60, 80]}}
  scene = labelled.coco(labelled.CAR, mask, names=['img0']) if kind == 'coco' else labelled.labelme()
  for place in nodes(scene):
    for value in (None, 0, -3, 1e400, 2**70, 'x', '', [], [[]], {}, [None], {'id': 1}, True):
      content = {'root': json.loads(json.dumps(scene))}
      *parents, last = ('root', *place)
      inner = content
      for key in parents:
        inner = inner[key]
      inner[last] = value
      path.write_text(json.dumps(content['root']))
      try:
        found = annotations.read_coco(str(path)) if kind == 'coco' else annotations.read_labelme(str(tmp_path))
        for annotated in found.images:
          names = {region.name for region in annotated.regions}
          drawing.paint(annotated, str(tmp_path / 'images' / 'img0.jpg'), dict.fromkeys(names, 0), ['x'], 0)
      except InputError as e:
        assert str(path) in str(e) and '\n' not in str(e)
