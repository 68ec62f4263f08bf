"""Writes predictions as polygons that annotation tools edit: one COCO JSON, a LabelMe JSON per image, or a GeoJSON per
georeferenced TIFF. dataset/prepare_own.py reads COCO and LabelMe; at --tolerance 0 it makes the same pixels again.

Each connected part of a class is one polygon along the edges of its pixels: points (x, y) are pixel corners, and a part
of one pixel is a square. Holes stay holes: rings of their own in GeoJSON; in COCO and LabelMe, which have one ring, it
enters a hole along a cut and leaves it along the same. Pixels of the class `background` get no polygon, void ones have
the label `void`. Names and colours are those of classes.csv beside the predictions; classes.txt, which keeps the ids,
goes beside --out.
"""

import functools
import json
import os
import pathlib
import sys
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from dataset.formats.classes import background_of
from utils import arguments, errors, files, images, labels, parallel
from utils.errors import InputError
from utils.predict import tiff
from utils.score import pairs


class Traced(NamedTuple):
  """A prediction's polygons: (class id, rings), the first ring its outline, the others its holes, each int [n, 2]."""

  path: str  # of the prediction
  size: tuple[int, int]  # height, width
  polygons: list[tuple[int, list[np.ndarray]]]
  lost: int  # outlines that --tolerance left no area


def parse(argv):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--pred-dir', required=True, metavar='DIR', help='predictions: SAVE_DIR/gray')
  parser.add_argument('--image-dir', default='', metavar='DIR', help='their images, found by name (coco, labelme)')
  parser.add_argument('--out', required=True, metavar='PATH', help='coco: the file to write; else a folder')
  parser.add_argument('--format', required=True, choices=WRITERS, help='of the polygons')
  parser.add_argument('--tolerance', type=arguments.real(0), default=0, help='pixels that an outline may move')
  return parser.parse_args(argv)


def main(argv=None) -> None:
  args = parse(argv)
  classes = labels.classes_beside(args.pred_dir) or labels.classes_beside(os.path.join(args.pred_dir, os.pardir))
  if classes is None:
    raise InputError(f'--pred-dir {args.pred_dir}: no classes.csv is in it or beside it; name SAVE_DIR/gray')
  if args.format != 'geojson' and not args.image_dir:
    raise InputError(f'--image-dir is empty; give the folder of the images, which --format {args.format} names')
  names = pathlib.Path(os.path.abspath(args.out)).parent / labels.TEXT
  if names.exists() and labels.read_classes(names).names != classes.names:
    raise InputError(f'{names}: names other classes than the predictions have; give an --out elsewhere, or remove it')
  found, photos = pairs.predictions(args.pred_dir), []
  paths = [os.path.join(args.pred_dir, name) for name in found]
  if args.format != 'geojson':
    photos, _ = pairs.in_folder('--image-dir', args.image_dir, args.pred_dir, found)
  suffix = '.geojson' if args.format == 'geojson' else '.json'
  outputs = [args.out] if args.format == 'coco' else [out_path(args, path, suffix) for path in paths]
  if there := [path for path in outputs if os.path.exists(path)]:
    raise InputError(f'{there[0]}: is there already, corrected perhaps ({len(there)} files); give another --out')
  trace = functools.partial(traced, classes=classes, tolerance=args.tolerance)
  done = list(parallel.in_threads(trace, paths, 'tracing', 'image'))
  WRITERS[args.format](args, classes, photos, done)
  if not names.exists():
    files.write_text(names, '\n'.join(classes.names) + '\n')
  number, lost = (sum(map(count, done)) for count in (lambda image: len(image.polygons), lambda image: image.lost))
  print(f'{args.out}: {number} polygons of {len(done)} images; classes: {names}')
  if lost:
    print(f'warning: {lost} outlines are left out, --tolerance {args.tolerance:g} leaves them no area', file=sys.stderr)


def traced(path: str, classes: labels.Classes, tolerance: float) -> Traced:
  ids = images.read_label(path)
  background, polygons, lost = background_of(classes.names), [], 0
  for value in np.unique(ids).tolist():
    if len(classes.names) <= value != labels.VOID:
      raise InputError(f'{path}: holds class {value}, and classes.csv has {len(classes.names)}; name SAVE_DIR/gray')
    if value == labels.VOID or classes.names[value] != background:
      found, more = outlines(ids == value, tolerance)
      polygons += [(value, rings) for rings in found]
      lost += more
  return Traced(path, ids.shape, polygons, lost)


def outlines(mask: np.ndarray, tolerance: float) -> tuple[list[list[np.ndarray]], int]:
  """The rings of each part of bool [h, w] (pixels that touch at edges or corners), and how many rings lost their area.

  cv2.findContours goes through the centres of the outermost pixels. In a mask of twice the size these are sub-pixels:
  2 x lies at the edge x of pixel x, and 2 x + 1 at its edge x + 1, which is half of either, rounded up.
  """
  twice = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1)
  contours, (tree,) = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
  parts, lost = {}, 0
  for number, (points, (*_, parent)) in enumerate(zip(contours, tree.tolist(), strict=True)):
    ring = (points + 1) // 2
    ring = (cv2.approxPolyDP(ring, tolerance, True) if tolerance else ring)[:, 0]
    ring = ring[(ring != np.roll(ring, 1, 0)).any(1)]
    if len(ring) < 3:
      lost += 1
    elif parent < 0:
      parts[number] = [ring]
    elif parent in parts:  # a hole, behind its outline
      parts[parent].append(ring)
  return list(parts.values()), lost


def joined(rings: list[np.ndarray]) -> np.ndarray:
  """One ring [n, 2]: from the point nearest to a hole's first one it goes there, around the hole and back. Fills that
  count crossings or turns leave the hole out: the cut is passed both ways, and holes run against outlines."""
  ring = rings[0]
  for hole in rings[1:]:
    nearest = np.square(ring - hole[0]).sum(1).argmin()
    ring = np.concatenate([ring[: nearest + 1], hole, hole[:1], ring[nearest:]])
  return ring


def write_coco(args, classes, photos, done) -> None:
  """Category ids are class ids + 1 (tools take 0 for the background), void's is 256."""
  used = sorted({*range(len(classes.names)), *(value for image in done for value, _ in image.polygons)})
  content = {'images': [], 'annotations': []}
  content['categories'] = [{'id': value + 1, 'name': shown(classes, value)[0]} for value in used]
  for number, (image, photo) in enumerate(zip(done, photos, strict=True), 1):
    name = os.path.relpath(photo, args.image_dir)
    content['images'].append({'id': number, 'file_name': name, 'height': image.size[0], 'width': image.size[1]})
    for value, rings in image.polygons:
      ring, box = joined(rings), np.concatenate([rings[0].min(0), np.ptp(rings[0], 0)]).tolist()
      entry = {'id': len(content['annotations']) + 1, 'image_id': number, 'category_id': value + 1, 'iscrowd': 0}
      entry |= {'bbox': box, 'area': cv2.contourArea(ring), 'segmentation': [ring.ravel().tolist()]}
      content['annotations'].append(entry)
  files.write_text(args.out, json.dumps(content))


def shown(classes: labels.Classes, value: int) -> tuple[str, list[int]]:
  """Name and colour of a class, or of void."""
  return ('void', [255, 255, 255]) if value == labels.VOID else (classes.names[value], classes.colours[value].tolist())


def write_labelme(args, classes, photos, done) -> None:
  for image, photo in zip(done, photos, strict=True):
    path = out_path(args, image.path, '.json')
    shapes = [
      {'label': shown(classes, value)[0], 'points': joined(rings).astype(float).tolist()}
      | {'group_id': None, 'shape_type': 'polygon', 'flags': {}}
      for value, rings in image.polygons
    ]
    content = {'version': '5.5.0', 'flags': {}, 'shapes': shapes, 'imageData': None}
    content |= {'imagePath': os.path.relpath(photo, os.path.dirname(path))}
    files.write_text(path, json.dumps(content | {'imageHeight': image.size[0], 'imageWidth': image.size[1]}))


def out_path(args, prediction: str, suffix: str) -> str:
  return os.path.join(args.out, os.path.splitext(os.path.relpath(prediction, args.pred_dir))[0] + suffix)


def write_geojson(args, classes, photos, done) -> None:
  """Coordinates of the TIFF's own reference system, whose EPSG code the member `crs` names, as GDAL writes it."""
  places = [georeference(image.path) for image in done]
  for image, (on_earth, code) in zip(done, places, strict=True):
    features = []
    for value, rings in image.polygons:
      name, colour = shown(classes, value)
      closed = [on_earth(np.concatenate([ring, ring[:1]])).tolist() for ring in rings]
      look = {'class': name, 'id': value, 'fill': '#' + bytes(colour).hex()}
      features.append({'type': 'Feature', 'properties': look, 'geometry': {'type': 'Polygon', 'coordinates': closed}})
    content = {'type': 'FeatureCollection', 'features': features}
    if code:
      content['crs'] = {'type': 'name', 'properties': {'name': f'urn:ogc:def:crs:EPSG::{code}'}}
    files.write_text(out_path(args, image.path, '.geojson'), json.dumps(content))


def georeference(path: str):
  """(pixel corners [n, 2] -> coordinates [n, 2], EPSG code or None) of a GeoTIFF (OGC GeoTIFF 1.1, section 7)."""
  tags = {}
  if tiff.is_tiff(path):
    with tiff.tifffile().TiffFile(path) as file:
      tags = file.pages[0].geotiff_tags or {}
  if 'ModelTransformation' in tags:
    matrix = np.reshape(tags['ModelTransformation'], (4, 4))
  elif 'ModelPixelScale' in tags and 'ModelTiepoint' in tags:
    (width, height, _), (column, row, _, x, y, _) = tags['ModelPixelScale'], tags['ModelTiepoint'][:6]
    matrix = np.array([[width, 0, 0, x - column * width], [0, -height, 0, y + row * height]])
  else:
    raise InputError(f'{path}: is no TIFF with a georeference, which --format geojson needs; take coco or labelme')
  corner = 0.5 if tags.get('GTRasterTypeGeoKey') == 2 else 0  # there (0, 0) is the first pixel's centre
  code = int(tags.get('ProjectedCSTypeGeoKey') or tags.get('GeographicTypeGeoKey') or 0)
  return lambda points: (points - corner) @ matrix[:2, :2].T + matrix[:2, 3], code if code != 32767 else None


WRITERS = {'coco': write_coco, 'labelme': write_labelme, 'geojson': write_geojson}

if __name__ == '__main__':
  sys.exit(errors.run(main))
