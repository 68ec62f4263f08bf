"""Large TIFF images: predicted in bands of rows as in one piece, read and written in tiles."""

import importlib.util
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from dataset.formats import masks
from pyscripts.inference import inference_msc
from tests.predict import predicted
from tests.predict.predicted import files, flags, pixels, run
from tests.predict.test_windows import picture, stand_in
from utils.errors import InputError
from utils.images import read_label
from utils.predict.tiff import TiffReader
from utils.predict.windows import score_bands, scores

checkpoint = predicted.checkpoint
SIZE = (270, 300)
GEOREFERENCE = [
  (33550, 'd', 3, (0.5, 0.5, 0.0), True),
  (33922, 'd', 6, (0.0, 0.0, 0.0, 399960.0, 5600040.0, 0.0), True),
  (34735, 'H', 8, (1, 1, 0, 1, 1026, 34737, 9, 0), True),
  (34737, 's', 0, 'ETRS89, Zürich|', True),
]


def bands_of(image, rows):
  return (image[start : start + rows] for start in range(0, len(image), rows))


@pytest.mark.parametrize(
  ('size', 'window', 'strides', 'band'),
  [
    ((70, 61), (16, 16), (10, 10), 7),
    ((70, 61), (16, 24), (16, 5), 70),
    ((33, 90), (32, 16), (3, 16), 1),
    ((9, 40), (16, 16), (16, 16), 4),
    ((40, 9), (16, 16), (1, 1), 300),
    ((1, 1), (16, 16), (16, 16), 1),
  ],
)
def test_bands_of_rows_give_what_the_whole_image_gives(size, window, strides, band):
  """To the last bit, whatever the bands and the batches."""
  image = picture(*size)
  ((*_, score),) = scores([(0, image)], stand_in, window, strides, batch_size=3)
  got = score_bands(bands_of(image, band), size, stand_in, window, strides, batch_size=3)
  np.testing.assert_array_equal(np.concatenate([part.copy() for part in got]), score)


def test_rows_are_read_shortly_before_they_are_predicted():
  """So memory does not grow with the height: what is read and not yet predicted is a window's height and a few rows."""
  read = 0

  def bands():
    nonlocal read
    for band in bands_of(picture(400, 30), 8):
      read += len(band)
      yield band

  predicted_rows = 0
  for band in score_bands(bands(), (400, 30), stand_in, (16, 16), (10, 10), batch_size=2):
    assert read <= predicted_rows + 16 + 3 * 10 + 2 * 8
    predicted_rows += len(band)
  assert predicted_rows == read == 400


RGB = pixels(*SIZE)
ALPHA = np.concatenate([RGB, RGB[..., :1]], -1)
LAYOUTS = {  # how a TIFF is written -> its pixels, and the settings
  'one strip as it is': (RGB, {}),
  'tiles': (RGB, {'tile': (64, 128), 'compression': 'zlib', 'predictor': True}),
  'tiles as they are': (RGB, {'tile': (128, 64)}),
  'strips': (RGB, {'rowsperstrip': 7, 'compression': 'zlib'}),
  'alpha': (ALPHA, {'tile': (64, 64), 'compression': 'zlib', 'extrasamples': ['unassalpha']}),
  'grey': (RGB[..., 0], {'rowsperstrip': 270, 'compression': 'zlib', 'photometric': 'minisblack'}),
  'BigTIFF': (RGB, {'tile': (64, 64), 'bigtiff': True}),
  'Motorola': (RGB, {'compression': 'zlib', 'byteorder': '>'}),
}


def tiff(path, array, bigtiff=False, byteorder=None, **settings) -> str:
  path.parent.mkdir(parents=True, exist_ok=True)
  tags = [(*head, value.encode() if isinstance(value, str) else value, True) for *head, value, _ in GEOREFERENCE]
  with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as writer:
    writer.write(array, metadata=None, **{'extratags': tags, 'photometric': 'rgb', **settings})
  return str(path)


def test_an_internal_mask_is_no_second_picture(tmp_path):
  with tifffile.TiffWriter(tmp_path / 'a.tif') as writer:
    writer.write(RGB, photometric='rgb', metadata=None)
    writer.write(RGB[..., 0] > 99, subfiletype=4, metadata=None)
  with TiffReader(str(tmp_path / 'a.tif')) as image:
    np.testing.assert_array_equal(np.concatenate(list(image.bands())), RGB)
  np.testing.assert_array_equal(masks.photo(str(tmp_path / 'a.tif')), RGB)


@pytest.mark.parametrize(('array', 'settings'), LAYOUTS.values(), ids=LAYOUTS)
def test_bands_are_the_pixels(tmp_path, array, settings):
  """Grey repeated, alpha dropped."""
  want = array[..., :3] if array.ndim == 3 else np.stack([array] * 3, -1)
  with TiffReader(tiff(tmp_path / 'a.tif', array, **settings)) as image:
    assert image.size == SIZE
    np.testing.assert_array_equal(np.concatenate(list(image.bands())), want)


@pytest.mark.parametrize('layout', ['tiles', 'alpha', 'grey'])
def test_tiff_is_predicted_as_the_png_of_its_pixels(checkpoint, tmp_path, layout):
  """Class ids, colours, overlay and confidence; the outputs are tiled and lie where the image lies."""
  array, settings = LAYOUTS[layout]
  path = tiff(tmp_path / 'in/a.TIFF', array, **settings)
  Image.fromarray(array[..., :3] if array.ndim == 3 else array).save(tmp_path / 'in/a.png')
  more = ('--overlay', '--confidence', '--min-confidence', 0.6, '--palette')
  assert run(flags(checkpoint, tmp_path / 'tiff', '--image', path, *more)) == 0
  assert run(flags(checkpoint, tmp_path / 'png', '--image', tmp_path / 'in/a.png', *more)) == 0
  kinds = ('gray', 'color', 'overlay', 'confidence')
  assert set(files(tmp_path / 'tiff')) == {f'{kind}/a.tif' for kind in kinds}
  for kind in kinds:
    want = np.asarray(Image.open(tmp_path / f'png/{kind}/a.png'))
    assert len(np.unique(want)) > 1
    with tifffile.TiffFile(tmp_path / f'tiff/{kind}/a.tif') as file:
      page = file.pages[0]
      np.testing.assert_array_equal(page.asarray(), want)
      assert page.is_tiled and page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
      assert all(page.tags[code].value == value for code, _, _, value, _ in GEOREFERENCE)
  labels = [read_label(str(tmp_path / path)) for path in ('tiff/gray/a.tif', 'png/gray/a.png')]
  np.testing.assert_array_equal(*labels)
  shown, colours = (Image.open(tmp_path / f'tiff/{kind}/a.tif') for kind in ('gray', 'color'))
  assert shown.mode == 'P'
  np.testing.assert_array_equal(np.asarray(shown.convert('RGB')), np.asarray(colours))


def cut(path):
  path.write_bytes(path.read_bytes()[:-3000])


def taller(path):
  with tifffile.TiffFile(path) as file:
    place = file.pages[0].tags['ImageLength'].valueoffset
  data = bytearray(path.read_bytes())
  data[place : place + 4] = (10**6).to_bytes(4, 'little')
  path.write_bytes(data)


FIVE = np.zeros((9, 9, 5), np.uint8)
BAD = {
  '16 bits': (RGB.astype(np.uint16), {}, None, 'has 16 bits a sample, not 8'),
  'turned': (RGB, {'extratags': [(274, 'H', 1, 6, True)]}, None, 'has orientation 6; save it upright'),
  'stack': (np.stack([RGB, RGB]), {}, None, 'holds 2 pictures; save each as a file'),
  'palette': (RGB[..., 0], {'photometric': 'palette', 'colormap': np.zeros((3, 256), np.uint16)}, None, 'PALETTE'),
  'five bands': (FIVE, {'photometric': 'minisblack', 'planarconfig': 'contig'}, None, 'has 5 samples'),
  'bands apart': (np.moveaxis(RGB, -1, 0), {'planarconfig': 'separate'}, None, 'INTERLEAVE=PIXEL'),
  'cut off': (RGB, {'tile': (64, 64), 'compression': 'zlib'}, cut, 'replace the file'),
  'a damaged height': (RGB, {'rowsperstrip': 7, 'compression': 'zlib'}, taller, 'claims 300 x 1000000 pixels'),
  'a damaged height as it is': (RGB, {}, taller, 'replace the file'),
  'no TIFF': (RGB, {}, lambda path: path.write_bytes(b'no TIFF at all'), 'cannot be decoded'),
}


def test_bad_tiffs_are_listed_and_leave_nothing(checkpoint, tmp_path, capsys):
  paths = [tmp_path / f'in/{name}.tif' for name in BAD]
  for path, (array, settings, damage, _) in zip(paths, BAD.values(), strict=True):
    tiff(path, array, **settings)
    if damage:
      damage(path)
  predicted.picture(tmp_path / 'in/b.png')
  assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path / 'in')) == 1
  errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error:')]
  for path, (*_, words) in zip(paths, BAD.values(), strict=True):
    assert len([line for line in errors if f'{path}: ' in line and words in line]) == 1, path
  assert len(errors) == len(BAD) + 1
  assert set(files(tmp_path / 'out')) == {'gray/b.png', 'color/b.png'}


def test_codecs_that_are_not_there_are_named(tmp_path):
  Image.fromarray(RGB).save(tmp_path / 'a.tif', compression='tiff_lzw')
  with TiffReader(str(tmp_path / 'a.tif')) as reader:
    if importlib.util.find_spec('imagecodecs'):
      np.testing.assert_array_equal(np.concatenate(list(reader.bands())), RGB)
    else:
      with pytest.raises(InputError, match='pip install imagecodecs'):
        list(reader.bands())


def test_what_bands_cannot_do_and_a_missing_library_are_refused(refused, checkpoint, tmp_path, monkeypatch):
  words = flags(checkpoint, tmp_path / 'out', '--image', tiff(tmp_path / 'a.tif', RGB))
  for flag in ('--scale-aug', '--flip-aug', '--whole-image', '--save-probs'):
    refused(inference_msc.main, [*words, flag], f'{flag} does not go with {tmp_path}/a.tif')
  monkeypatch.setitem(sys.modules, 'tifffile', None)
  refused(inference_msc.main, words, 'TIFF images need tifffile; install it with `pip install tifffile`')
