"""Bad flags of the prediction scripts: one line with the flag, its value and what to do; exit code 2; nothing written.

A bad image does not stop the others: test_run.py. Refused list files and checkpoints: tests/train/test_bad_input.py.
"""

import numpy as np
import pytest
import scipy.io

from tests.predict import predicted
from tests.predict.predicted import CLASSES, NETWORK, WINDOWS, files, picture, run

checkpoint = predicted.checkpoint


def network(flag, value) -> list[str]:
  """The network's flags, one of them changed."""
  flags = dict(zip(NETWORK[::2], NETWORK[1::2], strict=True)) | {flag: value}
  return [word for pair in flags.items() for word in pair]


def windows(size='48,48', strides='32,32'):
  return ['--input-size', size, '--strides', strides]


class Case:
  """A command line: the folder `there` holds a.png, and a.txt that lists it."""

  def __init__(self, checkpoint, tmp_path):
    self.there, self.save_dir = tmp_path / 'there', tmp_path / 'out'
    self.parts = {
      'images': ['--image', picture(self.there / 'a.png')],
      'network': NETWORK,
      'windows': WINDOWS,
      'from': ['--restore-from', checkpoint],
      'to': ['--save-dir', self.save_dir],
      'more': [],
    }
    self.write('a.txt', 'a.png\n')

  def write(self, name, contents):
    path = self.there / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return path

  def listed(self, contents):
    return ['--data-dir', self.there, '--data-list', self.write('list.txt', contents)]

  def colormap(self, contents, name='colours.mat', key='colours'):
    scipy.io.savemat(self.there / name, {key: contents})
    return ['--colormap', self.there / name]

  def words(self):
    return [str(word) for part in self.parts.values() for word in part]


def same_names(case):
  return ['--image', picture(case.there / 'b/a.png'), picture(case.there / 'b/a.jpg')]


def inside(case):
  """An image in the folder that the colours would be written to."""
  picture(case.there / 'color/x.png')
  case.parts['to'] = ['--save-dir', case.there]
  return ['--image-dir', case.there / 'color']


# name -> (part of the command line, what takes its place or makes it, words of the one line)
CASES = {
  'no images': ('images', [], ['--data-list, --image, --image-dir and --video']),
  'list and folder': ('images', lambda c: [*c.listed('a.png'), '--image-dir', c.there], ['not several']),
  'image missing': ('images', ['--image', 'none.jpg'], ['--image none.jpg', 'no such file']),
  'image is a folder': ('images', lambda c: ['--image', c.there], ['--image-dir']),
  'folder missing': ('images', ['--image-dir', 'none'], ['none', 'give a folder']),
  'folder without images': (
    'images',
    lambda c: ['--image-dir', c.write('x/y.txt', '').parent],
    ['no image', '1 of .txt'],
  ),
  'list missing': ('images', ['--data-list', 'none.txt'], ['none.txt: no such list file', 'prepare_own.py']),
  'list names nothing': ('images', lambda c: c.listed('a.png\n\nz.png\n'), ['list.txt line 3', 'z.png is not a file']),
  'two of one name': ('images', same_names, ['b/a.png', 'b/a.jpg', 'two --save-dir']),
  'twice the same': ('images', lambda c: c.listed('a.png\na.png\n'), ['a.png: is to be predicted twice']),
  'images where outputs go': ('images', inside, ['color/x.png', 'another --save-dir']),
  'shard 0': ('more', ['--shard', '0/4'], ['--shard', 'from 1 to N']),
  'shard of a word': ('more', ['--shard', 'x'], ['--shard', '1/4']),
  'checkpoint of no name': ('from', ['--restore-from', ''], ['--restore-from is empty']),
  'checkpoint missing': ('from', ['--restore-from', 'none'], ['none: no such checkpoint', 'check --restore-from']),
  'other number of classes': ('network', network('--num-classes', '4'), ['--num-classes']),
  'one class': ('network', network('--num-classes', '1'), ['--num-classes', 'from 2 to 255']),
  'unknown model': ('network', network('--model', 'unet'), ['--model', 'deeplab']),
  'window not of 8': ('windows', windows('50,48'), ['--input-size', 'multiple of 8', '48,48']),
  'strides larger than the window': ('windows', windows('48,48', '32,49'), ['--strides 32,49', 'width is larger']),
  'batches of whole images': (
    'more',
    ['--whole-image', '--batch-size', '2'],
    ['--batch-size 2', 'one image at a time'],
  ),
  'cut flag': ('more', ['--over'], ['--over']),
  'no output': ('to', [], ['--save-dir']),
  'output of no name': ('to', ['--save-dir', ''], ['--save-dir is empty']),
  'output is a file': ('to', lambda c: ['--save-dir', c.there / 'a.png'], ['a.png: cannot be made', 'another']),
  'output cannot be written': ('to', ['--save-dir', '/proc'], ['/proc: cannot be written']),
  'colour map missing': ('more', ['--colormap', 'none.mat'], ['none.mat', 'misc/colormapvoc.mat']),
  'colour map is a picture': ('more', lambda c: ['--colormap', c.there / 'a.png'], ['a.png', 'a file of classes']),
  'colour map of another key': ('more', lambda c: c.colormap(np.ones((3, 3)), key='palette'), ['holds palette, not']),
  'colour map of another shape': ('more', lambda c: c.colormap(np.ones((3, 4))), ['(3, 4)', '[n, 3]']),
  'colour map of bytes': ('more', lambda c: c.colormap(np.full((3, 3), 255)), ['divide by 255']),
  'too few colours': ('more', lambda c: c.colormap(np.ones((2, 3))), ['2 colours', f'--num-classes {CLASSES}']),
}


@pytest.mark.parametrize(('part', 'change', 'words'), CASES.values(), ids=CASES)
def test_is_refused_in_one_line(checkpoint, tmp_path, capsys, part, change, words):
  case = Case(checkpoint, tmp_path)
  case.parts[part] = change(case) if callable(change) else change
  before = files(tmp_path)
  code = run(case.words())
  err = capsys.readouterr().err
  assert code == 2 and err.startswith('error: ') and err.count('\n') == 1, err
  for word in words:
    assert word in err
  assert files(tmp_path) == before
