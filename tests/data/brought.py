"""Small sets of four images of 60 x 80, with the labels that users bring, for the tests of prepare_own."""

import base64
import io
import json
import struct
import zlib

import numpy as np
from PIL import Image

from dataset import prepare_own
from tests.data.trees import photo, save
from utils import errors

HEIGHT, WIDTH = 60, 80
SQUARE = [30, 20, 50, 20, 50, 40, 30, 40]
POLYGON = '<polygon label="leaf" points="30,20;50,20;50,40;30,40" z_order="0"/>'
LEAF = '<label><name>leaf</name></label>'
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


def prepare(folder, *flags) -> int:
  """Exit code."""
  argv = ['--data-dir', str(folder), '--list-dir', str(folder / 'lists'), '--val-fraction', '0.25', *map(str, flags)]
  return errors.run(prepare_own.main, argv)


def label(folder, name='img0') -> np.ndarray:
  with Image.open(folder / 'label_ids' / f'{name}.png') as image:
    return np.asarray(image)


def classes(folder) -> list[str]:
  return (folder / 'lists' / 'classes.txt').read_text().split()


def lines(folder, *names) -> list[str]:
  """Of the lists; of train and val without names."""
  paths = [folder / 'lists' / f'{name}.txt' for name in names or ('train', 'val')]
  return [line for path in paths for line in path.read_text().splitlines()]


def images(folder, number=4, sub=''):
  for i in range(number):
    photo(folder / 'images' / sub / f'img{i}.jpg', HEIGHT, WIDTH)
  return folder


def square(value=1, ground=0, rows=(20, 40), columns=(30, 50)) -> np.ndarray:
  mask = np.full((HEIGHT, WIDTH), ground, np.uint8)
  mask[slice(*rows), slice(*columns)] = value
  return mask


def mask_files(folder, array, ending='.png', mode=None, **texts):
  """The same mask for every image; `texts`: other files, NAME.txt."""
  (folder / 'masks').mkdir(parents=True)
  for i in range(4):
    path = folder / 'masks' / f'img{i}{ending}'
    if isinstance(array, bytes):
      path.write_bytes(array)
    elif ending == '.npy':
      np.save(path, array)
    elif mode == 'P':
      save(path, array, palette=[(0, 0, 0), (200, 0, 0)])
    else:
      (Image.fromarray(array).convert(mode) if mode else Image.fromarray(array)).save(path)
  for name, text in texts.items():
    (folder / f'{name}.txt').write_text(text)
  return images(folder)


def grey_png(ids, bits) -> bytes:
  """A grey PNG of fewer than 8 bits, which Pillow does not write."""

  def chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

  packed = (ids.reshape(HEIGHT, -1, 8 // bits) << np.arange(8 - bits, -1, -bits)).sum(axis=2).astype(np.uint8)
  data = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', WIDTH, HEIGHT, bits, 0, 0, 0, 0))
  return data + chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row.tobytes() for row in packed))) + chunk(b'IEND', b'')


def coco(folder, *annotations, names=('car',), text='', **changes):
  """Every annotation on every image."""
  content = {
    'images': [{'id': i, 'file_name': f'img{i}.jpg', 'width': WIDTH, 'height': HEIGHT} for i in range(4)],
    'categories': [{'id': i, 'name': name} for i, name in enumerate(names, 1)],
    'annotations': [{'category_id': 1, 'image_id': i, **annotation} for i in range(4) for annotation in annotations],
  }
  for kind, entry in changes.items():
    content[kind].append({**content[kind][0], **entry})
  (folder / 'a.json').write_text(json.dumps(content))
  (folder / 'map.txt').write_text(text)
  return images(folder)


def labelme(folder, kind, points, **more):
  """One shape on every image."""
  (folder / 'json').mkdir()
  content = {'shapes': [{'label': 'cell', 'shape_type': kind, 'points': points, **more}], 'imagePath': 'x.jpg'}
  for i in range(4):
    content |= {'imageHeight': HEIGHT, 'imageWidth': WIDTH}
    (folder / 'json' / f'img{i}.json').write_text(json.dumps(content))
  return images(folder)


def labelme_mask(folder, left, top):
  png = io.BytesIO()
  Image.fromarray(np.full((20, 20), 255, np.uint8)).save(png, 'PNG')
  mask = base64.b64encode(png.getvalue()).decode()
  return labelme(folder, 'mask', [[left, top], [left + 19, top + 19]], mask=mask)


def cvat(folder, labels=LEAF, shapes=POLYGON, subsets=('',)):
  rows = [
    f'<image id="{i}" name="img{i}.jpg" {f"subset={sub!r}" if sub else ""} width="{WIDTH}" height="{HEIGHT}">{shapes}'
    for sub in subsets
    for i in range(4)
  ]
  text = (
    f'<annotations><meta><task><labels>{labels}</labels></task></meta>{"</image>".join(rows)}</image></annotations>'
  )
  (folder / 'a.xml').write_text(text)
  for sub in subsets:
    images(folder, sub=sub)
  return folder
