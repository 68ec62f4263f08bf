"""Pictures and lists as files, and small data sets in each official layout, for the tests of the scripts that prepare
them."""

import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]


def save(path, array, palette=None, **kwargs) -> str:
  """Integers of 64 bits, as lists and NumPy have them, become 8."""
  path, array = pathlib.Path(path), np.asarray(array)
  path.parent.mkdir(parents=True, exist_ok=True)
  image = Image.fromarray(array.astype(np.uint8) if array.dtype == np.int64 else array)
  if palette is not None:
    image.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
  image.save(path, **kwargs)
  return str(path)


def photo(path, height=5, width=7, **kwargs) -> str:
  return save(path, np.zeros((height, width, 3), int), **kwargs)


def turned(orientation) -> Image.Exif:
  """The tags of a photo that lies turned."""
  exif = Image.Exif()
  exif[274] = orientation
  return exif


def flat_mask(path, value=0, height=5, width=7) -> str:
  return save(path, np.full((height, width), value))


def raw_png(width, height, bits, colour, rows: bytes) -> bytes:
  """A PNG of any header; `colour`: 0 is grey, 2 RGB."""
  header = struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, 0)
  data = b'\x89PNG\r\n\x1a\n'
  for kind, body in ((b'IHDR', header), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')):
    data += struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
  return data


def read_list(folder, name) -> list[str]:
  return pathlib.Path(folder, f'{name}.txt').read_text().splitlines()


def snapshot(folder) -> dict[str, tuple]:
  """Every file's bytes and time of change."""
  files = sorted(path for path in pathlib.Path(folder).rglob('*') if path.is_file())
  return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def tick(folder) -> None:
  """Waits until the file system's clock has moved on: what is written from here on is newer than what is there."""
  probe = pathlib.Path(folder, 'probe')
  probe.write_text('')
  first = probe.stat().st_mtime_ns
  while probe.stat().st_mtime_ns == first:
    probe.write_text('')
  probe.unlink()


def png(path):
  """A PNG's pixels as they are, and its mode."""
  with Image.open(path) as image:
    return np.asarray(image), image.mode


def own(folder):
  photo(folder / 'images' / 'a.png')
  flat_mask(folder / 'masks' / 'a.png')
  return folder


def camvid(folder):
  for split in ('train', 'val', 'test'):
    photo(folder / split / 'a.png')
    flat_mask(folder / f'{split}annot' / 'a.png')
  return folder


def gta5(folder):
  photo(folder / 'images' / '00001.png')
  flat_mask(folder / 'labels' / '00001.png', 7)
  return folder


def cityscapes(folder):
  photo(folder / 'leftImg8bit' / 'train' / 'ulm' / 'ulm_0_0_leftImg8bit.png')
  flat_mask(folder / 'gtFine' / 'train' / 'ulm' / 'ulm_0_0_gtFine_labelIds.png', 7)
  return folder


def voc(folder):
  photo(folder / 'VOC2012' / 'JPEGImages' / 'a.jpg')
  for name in ('SegmentationClass', 'SegmentationObject'):
    flat_mask(folder / 'VOC2012' / name / 'a.png')
  splits = folder / 'VOC2012' / 'ImageSets' / 'Segmentation'
  splits.mkdir(parents=True)
  for name in ('train', 'val', 'trainval', 'test'):
    (splits / f'{name}.txt').write_text('' if name == 'val' else 'a\n')
  return folder
