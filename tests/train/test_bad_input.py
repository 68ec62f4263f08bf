"""What the training scripts say about bad input: one line with the cause and the fix, exit code 2, before the first
step, nothing written. And what users expect to work, works."""

import os

import numpy as np
import pytest
from PIL import Image

from pyscripts.train import train, train_mgpu
from tests import tiny
from tests.data.trees import turned
from utils import checkpoint, errors, runs

data = tiny.data


def listed(folder, text, name='list.txt', encoding='utf-8') -> dict:
  (folder / name).write_text(text, encoding=encoding)
  return {'data_list': folder / name}


def image(path, height=16, width=24, mode='RGB', value=1, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new(mode, (width, height), value).save(path, **options)
  return path


def stray(folder) -> dict:
  """A list of one pair, whose label holds a value that is no class."""
  image(folder / 'x.jpg')
  image(folder / 'x.png', mode='L', value=7)
  return {'data_dir': folder, **listed(folder, 'x.jpg x.png\n')}


def saved(folder, change=lambda tensors: tensors, name='other.ckpt') -> dict:
  """A checkpoint of the network, changed."""
  model = tiny.toy()
  checkpoint.save(str(folder / name), change({checkpoint.name_of(v): v.numpy() for v in model.variables}))
  return {'restore_from': folder / name}


def damaged(folder) -> dict:
  flags = saved(folder)
  os.truncate(folder / 'other.ckpt.data-00000-of-00001', 40)
  return flags


def with_nan(tensors):
  next(iter(tensors.values())).ravel()[0] = np.nan
  return tensors


# name -> (flags, or what makes them in a folder; words of the one line)
REFUSED = {
  'no list': ({'data_list': None}, ['--data-list is empty']),
  'no snapshot folder': ({'snapshot_dir': None}, ['--snapshot-dir is empty']),
  'scales without scaling': ({'scale_range': '1,2', 'random_scale': None}, ['--scale-range needs --random-scale;']),
  'ignored label is a class': ({'ignore_label': 2}, ['--ignore-label 2', 'from 3 up']),
  'input size not of 8': ({'input_size': '33,40'}, ['--input-size', 'multiple of 8', '32,40']),
  'resume and overwrite': ({'resume': True, 'overwrite': True}, ['--resume and --overwrite']),
  'validation strides too large': ({'val_strides': '64,32'}, ['--val-strides 64,32', 'larger than']),
  'no class weights': ({'class_weights': 'balancd'}, ['balancd: no such file', 'balanced, median, enet']),
  'no hard pixel': ({'ohem_threshold': 0}, ['--ohem-threshold 0', '--ohem-min-kept']),
  'batch that does not divide': ({'num_gpu': 2, 'batch_size': 3}, ['--batch-size 3 does not', '2 replicas; give 2']),
  # Lists. What `dataset/check.py` finds too has its rows in tests/data.
  'list of VOC missing': (lambda f: {'data_list': 'dataset/voc12/none.txt'}, ['dataset/prepare_voc12.py']),
  'list names no label': (lambda f: listed(f, '0.jpg\n'), ['list.txt line 1', '`0.jpg`', 'names no label']),
  'image missing': (lambda f: listed(f, '0.jpg 0.png\nz.jpg 0.png\n'), ['line 2', 'z.jpg is not a file', '--data-dir']),
  'label value': (stray, ['holds 7', '--ignore-label 7']),
  # Checkpoints.
  'checkpoint missing': (lambda f: {'restore_from': f / 'none'}, ['none: no such checkpoint', '--restore-from']),
  'checkpoint misnamed': (lambda f: (saved(f), {'restore_from': f / 'oth'})[1], ['no such checkpoint', 'other.ckpt?']),
  'checkpoint is an empty folder': (lambda f: {'restore_from': f}, ['is a folder', 'it holds no checkpoint']),
  'checkpoint is a folder': (
    lambda f: (saved(f), {'restore_from': f})[1],
    ['is a folder', 'for example', '/other.ckpt'],
  ),
  'checkpoint data cut off': (damaged, ['other.ckpt', 'the file is damaged']),
  'checkpoint with NaN': (lambda f: saved(f, with_nan), ['not finite; take an earlier']),
  'checkpoint of another backbone': (
    lambda f: saved(f, lambda t: {k.replace('toy', 'resnet_v1_50'): v for k, v in t.items()}),
    ['lacks toy/', '--backbone', 'it holds resnet_v1_50'],
  ),
  'checkpoint of more classes': (
    lambda f: {**saved(f), 'num_classes': 4},
    ['(3,) there and (4,) here', '--num-classes', '--not-restore-c'],
  ),
  'checkpoint of nothing known': (
    lambda f: saved(f, lambda t: {'a': np.zeros(3)}),
    ['lacks toy/', 'it holds no backbone of these scripts'],
  ),
  # Folders.
  'snapshot folder is a file': (
    lambda f: {'snapshot_dir': image(f / 'a.png')},
    ['a.png: cannot be written (File exists)', 'another'],
  ),
  'snapshot folder unwritable': (lambda f: {'snapshot_dir': '/proc'}, ['/proc: cannot be written', 'another']),
}


@pytest.mark.parametrize(('case', 'words'), REFUSED.values(), ids=REFUSED)
def test_is_refused_in_one_line(refused, data, tmp_path, case, words):
  there = tmp_path / 'there'
  there.mkdir()
  changes = case(there) if callable(case) else case
  main = train_mgpu.main if 'num_gpu' in changes else train.main
  refused(main, tiny.flags(data, tmp_path / 'run', **changes), *words, but=('run',))  # checkpoints are read late


def test_overwriting_waits_until_the_run_can_start(refused, data, tmp_path):
  """A mistyped --restore-from costs nothing, and the checkpoint to start from may be one of those overwritten."""
  saved(tmp_path, name='model.ckpt-3')
  missing, there = (
    tiny.flags(data, tmp_path, overwrite=True, num_steps=1, restore_from=tmp_path / f'model.ckpt-{step}')
    for step in (4, 3)
  )
  refused(train.main, missing)
  assert errors.run(train.main, there) == 0 and runs.steps_in(str(tmp_path)) == [0]


PICTURES_THAT_WORK = {
  'PNG called JPEG': {'format': 'PNG'},
  'JPEG called PNG': {'format': 'JPEG', 'suffix': '.png'},
  'CMYK': {'mode': 'CMYK'},
  'grey': {'mode': 'L'},
  'alpha': {'mode': 'RGBA', 'value': (1, 2, 3, 4), 'suffix': '.png'},
  '16 bits': {'mode': 'I;16', 'value': 1 << 14, 'suffix': '.png'},
  '16 bits, black': {'mode': 'I;16', 'value': 0, 'suffix': '.png'},
  'palette': {'mode': 'P', 'suffix': '.png'},
  'one pixel': {'height': 1, 'width': 1},
  '20,000 pixels wide': {'height': 2, 'width': 20000},
  'any letters ünï 图': {},
  'turned by EXIF': {'exif': turned(6)},  # not applied, as the label has the size of the stored picture
  'animated': {'suffix': '.png', 'save_all': True, 'append_images': [Image.new('RGB', (24, 16))]},
}


def test_what_users_expect_to_work_works(data, tmp_path):
  """Every picture takes part in the only step: images of all kinds, names with spaces, tabs, links, `..`, leading
  slashes and absolute paths, in a list with a byte-order mark, Windows line ends and blank lines."""
  lines = []
  for name, options in PICTURES_THAT_WORK.items():
    suffix = options.pop('suffix', '.jpg')
    size = {side: options[side] for side in ('height', 'width') if side in options}
    picture = image(tmp_path / 'data' / (name + suffix), **options)
    label = image(tmp_path / 'data/labels' / f'{name}.png', mode='P', **size)
    lines.append(f'{picture.name}\t{label.relative_to(tmp_path / "data")}')
  label = 'labels/grey.png'
  (tmp_path / 'data/link.jpg').symlink_to('grey.jpg')
  image(tmp_path / 'beside.jpg')
  lines += [f'/CMYK.jpg /{label}', '', f'../beside.jpg ./labels/../{label}', f'{tmp_path}/beside.jpg {label}', '  ']
  lines += [f'link.jpg {label}', f'PNG called JPEG.jpg {label}']
  flags = {'data_dir': tmp_path / 'data', **listed(tmp_path, '\r\n'.join(lines), encoding='utf-8-sig')}
  number = sum(bool(line.strip()) for line in lines)
  words = tiny.flags(data, tmp_path / 'run', num_steps=1, input_size='16,16', batch_size=number, **flags)
  assert errors.run(train.main, words) == 0
  assert runs.steps_in(str(tmp_path / 'run')) == [0]


@pytest.mark.parametrize('flags', [{'num_classes': 255}, {'ignore_label': 3, 'momentum': 0, 'power': 0}])
def test_flags_at_their_limits(data, tmp_path, flags):
  assert errors.run(train.main, tiny.flags(data, tmp_path / 'run', num_steps=1, **flags)) == 0
