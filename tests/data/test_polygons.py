"""Predictions as polygons, and back through prepare_own: the same pixels at tolerance 0."""

import json

import numpy as np
import pytest
import tifffile

from dataset.formats import drawing
from pyscripts.export import export_polygons
from tests.data import labelled, trees
from tests.data.labelled import whole
from utils import errors, labels

STREET = labels.Classes(['road', 'car', 'tree'], labels.voc_colours(3))
OBJECTS = labels.Classes(['car', 'background', 'tree'], labels.voc_colours(3))  # ids are kept, wherever background is


def scenes() -> dict[str, np.ndarray]:
  """What outlines get wrong: single pixels, lines, corners that touch, holes in parts in holes, void, borders."""
  random = np.random.default_rng(0)
  rings = np.zeros((15, 19), np.uint8)
  for depth in range(6):
    rings[depth : 15 - depth, depth : 19 - depth] = depth % 3
  chessboard = np.indices((9, 8)).sum(0) % 3
  scenes = {'rings': rings, 'chessboard': chessboard, 'one': np.zeros((4, 5), int), 'pixel': np.eye(1, 1, dtype=int)}
  scenes['noise'] = random.integers(0, 3, (40, 30))
  scenes['blobs'] = random.integers(0, 3, (9, 8)).repeat(5, 0).repeat(4, 1)
  scenes['void'] = np.where(random.random((20, 31)) < 0.1, 255, random.integers(0, 3, (20, 31)))
  return {name: scene.astype(np.uint8) for name, scene in scenes.items()}


def predicted(folder, classes=STREET) -> dict[str, np.ndarray]:
  """The scenes as predictions of photos."""
  for name, scene in scenes().items():
    trees.photo(folder / 'images' / 'street' / f'{name}.jpg', *scene.shape)
    trees.save(folder / 'out' / 'gray' / 'street' / f'{name}.png', scene)
  labels.write_classes(folder / 'out', classes)
  return scenes()


def words_of(folder, form, *flags) -> list[str]:
  words = ['--pred-dir', folder / 'out' / 'gray', '--image-dir', folder / 'images', '--format', form]
  return [*map(str, [*words, '--out', folder / {'coco': 'coco.json'}.get(form, form), *flags])]


def export(folder, form, *flags) -> int:
  return errors.run(export_polygons.main, words_of(folder, form, *flags))


@pytest.mark.parametrize('classes', [STREET, OBJECTS], ids=['street', 'objects'])
@pytest.mark.parametrize('form', ['coco', 'labelme'])
def test_polygons_give_the_same_pixels_again(tmp_path, form, classes):
  want = predicted(tmp_path, classes)
  assert export(tmp_path, form) == 0
  flags = '--unlabelled', 'void' if classes is STREET else 'background', '--max-void', 1
  assert labelled.prepare(tmp_path, f'--{form}', {'coco': 'coco.json'}.get(form, form), *flags) == 0
  assert labels.read_classes(tmp_path / 'lists' / 'classes.csv').names == classes.names
  for name, scene in want.items():
    np.testing.assert_array_equal(trees.png(tmp_path / 'label_ids' / 'street' / f'{name}.png')[0], scene, name)


def test_a_tolerance_spares_points_and_moves_outlines_no_farther(tmp_path, capsys):
  """Pixels that change lie within the tolerance, and half a pixel, of the disc's border."""
  rows, columns = np.indices((40, 40)) + 0.5
  radius = np.hypot(rows - 20, columns - 20)
  (exact,), _ = export_polygons.outlines(radius < 15, 0)
  (simple,), _ = export_polygons.outlines(radius < 15, 1.5)
  assert len(simple[0]) < len(exact[0]) / 3
  changed = whole(drawing.fill(simple, 40, 40), 40, 40) != (radius < 15)
  assert changed.any() and np.abs(radius[changed] - 15).max() < 1.5 + 0.71
  predicted(tmp_path)
  assert export(tmp_path, 'coco', '--tolerance', '1.5') == 0
  assert 'outlines are left out, --tolerance 1.5 leaves them no area' in capsys.readouterr().err


def on_earth(folder, is_point):
  scene = scenes()['rings']
  keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1 + is_point, 3072, 0, 1, 32633)
  tags = [(33550, 'd', 3, (2.0, 3.0, 0.0), True), (33922, 'd', 6, (0, 0, 0, 500000.0, 4000000.0, 0), True)]
  path = folder / 'out' / 'gray' / 'a.tif'
  path.parent.mkdir(parents=True, exist_ok=True)
  tifffile.imwrite(path, scene, tile=(16, 16), extratags=[*tags, (34735, 'H', len(keys), keys, True)])
  labels.write_classes(folder / 'out', STREET)
  return scene


@pytest.mark.parametrize('is_point', [False, True])
def test_geojson_lies_where_the_tiff_does(tmp_path, is_point):
  """North is up: a pixel of 2 x 3 metres further down is 3 metres further south."""
  scene = on_earth(tmp_path, is_point)
  assert export(tmp_path, 'geojson') == 0
  content = json.loads((tmp_path / 'geojson' / 'a.geojson').read_text())
  assert content['crs']['properties']['name'] == 'urn:ogc:def:crs:EPSG::32633'
  drawn = np.full(scene.shape, 255, np.uint8)
  for feature in content['features']:
    assert feature['properties']['fill'] == ['#000000', '#800000', '#008000'][feature['properties']['id']]
    assert feature['properties']['class'] == STREET.names[feature['properties']['id']]
    outline, *holes = [
      (np.array(ring) - (500000, 4000000)) / (2, -3) + is_point / 2 for ring in feature['geometry']['coordinates']
    ]
    inside = whole(drawing.fill([outline], *scene.shape), *scene.shape)
    for hole in holes:
      inside &= ~whole(drawing.fill([hole], *scene.shape), *scene.shape)
    assert (drawn[inside] == 255).all()
    drawn[inside] = feature['properties']['id']
  np.testing.assert_array_equal(drawn, scene)


# what is done to the predictions, format, what the line holds
BAD = [
  (lambda f: (f / 'out' / 'classes.csv').unlink(), 'coco', 'no classes.csv is in it or beside it'),
  (lambda f: (f / 'images/street/one.jpg').unlink(), 'coco', 'one.png: has no image: neither street/one nor'),
  (lambda f: (f / 'classes.txt').write_text('a\nb\n'), 'labelme', 'classes.txt: names other classes'),
  (lambda f: trees.save(f / 'out/gray/street/one.png', [[7]]), 'coco', 'one.png: holds class 7, and classes.csv has 3'),
  (lambda f: on_earth(f, False), 'geojson', 'blobs.png: is no TIFF with a georeference'),
]


@pytest.mark.parametrize(('spoil', 'form', 'words'), BAD)
def test_what_is_wrong_is_one_line(refused, tmp_path, spoil, form, words):
  predicted(tmp_path)
  spoil(tmp_path)
  refused(export_polygons.main, words_of(tmp_path, form), words)


def test_what_was_corrected_is_not_replaced(refused, tmp_path):
  predicted(tmp_path)
  (tmp_path / 'classes.txt').write_text(''.join(f'1 2 {i} {name}\n' for i, name in enumerate(STREET.names)))
  before = (tmp_path / 'classes.txt').read_text()
  assert export(tmp_path, 'labelme') == 0 and (tmp_path / 'classes.txt').read_text() == before
  assert export(tmp_path, 'coco') == 0
  for form in ('labelme', 'coco'):
    refused(export_polygons.main, words_of(tmp_path, form), 'is there already, corrected perhaps')
