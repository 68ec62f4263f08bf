"""What the benchmark scripts say about bad input: one line with the cause and the fix, exit code 2 (1 for faults at run
time), nothing printed as a score, nothing written. And what users expect to work, works."""

import os

import numpy as np
import pytest

from pyscripts.benchmark import benchmark_by_instance, benchmark_by_mIoU, encode_cityscapes_testid
from tests.data.trees import save
from tests.score.scored import outcome
from utils import images

GREY = np.tile(np.arange(4, dtype=np.uint8), (6, 2))  # [6, 8], classes 0 to 3
RGB = np.dstack([GREY] * 3)


def build(folder):
  for part in ('pred', 'gt', 'inst'):
    for name in 'ab':
      save(folder / part / f'{name}.png', GREY)
  return folder


def flags(folder, script=benchmark_by_mIoU, **changed):
  values = {'pred-dir': folder / 'pred', 'gt-dir': folder / 'gt', 'num-classes': 4}
  if script is benchmark_by_instance:
    values['inst-dir'] = folder / 'inst'
  if script is encode_cityscapes_testid:
    values = {'pred-dir': folder / 'pred', 'save-dir': folder / 'out'}
  return [part for key, value in (values | changed).items() for part in (f'--{key}', value) if part is not None]


# Changes to the data: functions of its folder.


def put(name, data=None, **options):
  """The file `name` becomes a picture of this array, saved with these options, or these bytes, or nothing (None)."""

  def change(folder):
    (folder / name).unlink(missing_ok=True)
    if isinstance(data, bytes):
      (folder / name).write_bytes(data)
    elif data is not None:
      save(folder / name, data, **options)

  return change


def folder(name):
  return lambda data: (data / name).mkdir()


def all_of(*changes):
  return lambda folder: [change(folder) for change in changes]


def rename(old, new):
  """In every folder of the data."""
  return lambda folder: [(folder / part / old).rename(folder / part / new) for part in ('pred', 'gt', 'inst')]


nothing = all_of()
only_text = all_of(put('pred/a.png'), put('pred/b.png'), put('pred/notes.txt', b'none yet'))
in_two_cities = all_of(put('gt/a.png'), put('gt/ulm/a.png', GREY), put('gt/bonn/a.png', GREY))
gray_and_color = all_of(folder('pred/gray'), folder('pred/color'))
# What is wrong | the change to good data | flags that differ (folder -> dict) | words in the message.
MIOU = [
  ('no prediction folder', nothing, lambda f: {'pred-dir': f / 'none'}, ['--pred-dir', 'none', 'missing']),
  ('empty flag', nothing, lambda f: {'pred-dir': ''}, ['--pred-dir is empty']),
  ('no truth', nothing, lambda f: {'gt-dir': ''}, ['--gt-dir, or --data-dir with --data-list']),
  ('file for folder', nothing, lambda f: {'pred-dir': f / 'pred/a.png'}, ['--pred-dir', 'a.png', 'is a file']),
  ('nothing that is an image', only_text, dict, ['--pred-dir', 'holds no predictions']),
  ('prediction without truth', put('gt/b.png'), dict, ['b.png', 'has no ground truth', '--string-replace']),
  ('truth in two places', in_two_cities, dict, ['a.png', 'ambiguous', 'ulm', 'bonn']),
  ('two of one truth', put('pred/again/a.png', GREY), dict, ['again/a.png', 'same ground truth', 'pred/a.png']),
  ('the folder above', gray_and_color, dict, ['--pred-dir', 'colours', 'pred/gray']),
  ('other size', put('pred/a.png', GREY[:5]), dict, ['pred/a.png', '8 x 5', 'gt/a.png', '8 x 6']),
  ('label of a turned photo', put('gt/a.png', GREY.T), dict, ['gt/a.png', '6 x 8', '--data-dir with --data-list']),
  ('RGB prediction', put('pred/a.png', RGB), dict, ['pred/a.png', 'RGB', 'class ids']),
  ('JPEG called png', put('pred/a.png', GREY, format='JPEG'), dict, ['pred/a.png', 'JPEG', 'PNG']),
  ('no classes', nothing, lambda f: {'num-classes': 0}, ['--num-classes', '0', 'from 1 to 256']),
  ('replaced into nowhere', nothing, lambda f: {'string-replace': 'a,q'}, ['pred/a.png', 'no ground truth', 'q.png']),
  ('too few names', put('n', b'a\nb\n'), lambda f: {'class-names': f / 'n'}, ['2 classes', '--num-classes is 4']),
  ('list that is no text', put('l', b'\xff'), lambda f: {'data-list': f / 'l'}, ['is not UTF-8 text']),
  ('listed, not predicted', put('l', b'a.jpg\nz.tif z_label.png\n'), lambda f: {'data-list': f / 'l'},
   [': z has no prediction']),
  ('two listed, one predicted', put('l', b'v1/a.jpg\nv2/a.jpg\n'), lambda f: {'data-list': f / 'l'},
   ['v1/a.jpg and v2/a.jpg have one prediction']),
  ('void that is a class', nothing, lambda f: {'ignore-label': 1}, ['--ignore-label 1 is a class']),
  ('json below a file', nothing, lambda f: {'json': f / 'gt/a.png/s.json'}, ['--json', 'a.png', 'is not a folder']),
  ('other classes', nothing, lambda f: {'cityscapes': None}, ['--num-classes 4', '--cityscapes', '19']),
]  # fmt: skip
INSTANCE = [
  ('instance flag empty', nothing, lambda f: {'inst-dir': ''}, ['--inst-dir is empty']),
  ('no instances of an image', put('inst/b.png'), dict, ['b.png', '--inst-dir', '--inst-string-replace']),
  ('instances of another size', put('inst/a.png', GREY[:5]), dict, ['pred/a.png', 'inst/a.png', '8 x 5']),
]
ENCODE = [
  ('into itself', nothing, lambda f: {'save-dir': f / 'gt/../pred'}, ['--save-dir', 'the folder of the predictions']),
  ('no folder to save to', nothing, lambda f: {'save-dir': ''}, ['--save-dir', 'is empty']),
  ('save to a file', nothing, lambda f: {'save-dir': f / 'gt/a.png'}, ['--save-dir', 'a.png']),
]
REFUSED = {benchmark_by_mIoU: MIOU, benchmark_by_instance: INSTANCE, encode_cityscapes_testid: ENCODE}
ROWS = [pytest.param(script, *row, id=name) for script, rows in REFUSED.items() for name, *row in rows]


@pytest.mark.parametrize('script, change, changed, words', ROWS)
def test_refuses(refused, tmp_path, script, change, changed, words):
  change(build(tmp_path))
  argv = flags(tmp_path, script, **(changed(tmp_path) if changed is not dict else {}))
  assert refused(script.main, argv, *words) == ''


@pytest.mark.parametrize('bad, words', [(GREY + 16, ['19', 'not a train id']), (RGB, ['RGB'])])
def test_encodes_the_other_files(tmp_path, capsys, bad, words):
  put('pred/a.png', bad)(build(tmp_path))
  code, _, err = outcome(encode_cityscapes_testid, flags(tmp_path, encode_cityscapes_testid), capsys)
  assert code == 1 and not [word for word in ['pred/a.png', *words] if word not in err] and 'Traceback' not in err
  (path,) = (tmp_path / 'out').glob('*.png')
  assert path.name == 'b.png' and images.read_label(str(path)).shape == (6, 8)


GOOD = {
  'palette': put('gt/a.png', GREY, palette=[200, 3, 7] * 4),
  'folder called png': folder('pred/c.png'),
  '16 bits': put('gt/a.png', GREY.astype(np.uint16)),
  'capital suffix': rename('a.png', 'a.PNG'),
  'bitmap': all_of(*(put(f'{part}/a.{kind}', data) for part in ('pred', 'gt')
                     for kind, data in (('png', None), ('bmp', GREY)))),
  'clutter': all_of(put('pred/.hidden.png', b''), put('pred/notes.txt', b'x'), folder('pred/.thumbs')),
  **{ascii(name): rename('a.png', f'{name}.png')
     for name in (os.fsdecode(b'not UTF-8 \xff'), 'with space', 'K\u00e4fer \u864e', "quote ' % {}", '-dash')},
  **{str(shape): all_of(*(put(f'{part}/a.png', np.ones(shape, np.uint8)) for part in ('pred', 'gt')))
     for shape in ((1, 1), (1, 20_000), (3000, 1))},
}  # fmt: skip


@pytest.mark.parametrize('change', GOOD.values(), ids=GOOD)
def test_what_users_expect_works(tmp_path, capsys, change):
  change(build(tmp_path))
  code, out, err = outcome(benchmark_by_mIoU, [*flags(tmp_path), '--boundary'], capsys)
  assert (code, err) == (0, '') and 'mean IOU: 100.0000%\n' in out
