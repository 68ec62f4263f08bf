"""Bad flags of the prediction scripts: one line with the flag, its value and what to do; exit code 2; nothing written.

A bad image does not stop the others: test_run.py. Refused list files and checkpoints: tests/train/test_bad_input.py.
"""

import numpy as np
import pytest
import scipy.io

from pyscripts.inference import inference
from tests.predict import predicted
from tests.predict.predicted import CLASSES, flags, picture

checkpoint = predicted.checkpoint


def listed(there, contents):
  (there / 'list.txt').write_text(contents)
  return ['--data-dir', there, '--data-list', there / 'list.txt']


def without_images(there):
  (there / 'x').mkdir()
  (there / 'x/y.txt').write_text('')
  return ['--image-dir', there / 'x']


def inside(there):
  """An image below the folder that the colours would be written to."""
  picture(there / 'color/cam0/x.png')
  return ['--image-dir', there / 'color', '--save-dir', there]


def among_photos(there):
  """The layout of RGB-D data: photos in a folder that would be taken for outputs, and left out."""
  picture(there / 'color/0.png')
  picture(there / 'depth/0.png')
  (there / 'classes.txt').write_text('road\n')  # of the user's data, not of a prediction
  return ['--image-dir', there, '--save-dir', there]


def colormap(there, contents, key='colours'):
  scipy.io.savemat(there / 'colours.mat', {key: contents})
  return ['--colormap', there / 'colours.mat']


# name -> (the images' flags, made in a folder that holds a.png; words of the one line)
IMAGES = {
  'no images': (lambda f: [], ['--data-list, --image, --image-dir and --video']),
  'list and folder': (lambda f: [*listed(f, 'a.png'), '--image-dir', f], ['not several']),
  'image is a folder': (lambda f: ['--image', f], ['--image-dir']),
  'folder missing': (lambda f: ['--image-dir', 'none'], ['--image-dir none', 'give a folder']),
  'folder without images': (without_images, ['no image', '1 of .txt']),
  'two of one name': (
    lambda f: ['--image', picture(f / 'b/a.png'), picture(f / 'b/a.jpg')],
    ['b/a.png', 'b/a.jpg', 'two --save-dir'],
  ),
  'twice the same': (lambda f: listed(f, 'a.png\na.png\n'), ['a.png: is to be predicted twice']),
  'photos in a folder of outputs': (among_photos, ['there/color: lies where the outputs go', 'another --save-dir']),
  'images where outputs go': (inside, ['color/cam0/x.png', 'another --save-dir']),
}
# name -> (flags behind good ones, which they overrule; words of the one line)
FLAGS = {
  'shard 0': (['--shard', '0/4'], ['--shard', 'from 1 to N']),
  'shard of a word': (['--shard', 'x'], ['--shard', '1/4']),
  'checkpoint of no name': (['--restore-from', ''], ['--restore-from is empty']),
  'other number of classes': (['--num-classes', '4'], ['--num-classes']),
  'window not of 8': (['--input-size', '50,48'], ['--input-size', 'multiple of 8', '48,48']),
  'strides larger than the window': (['--strides', '32,49'], ['--strides 32,49', 'width is larger']),
  'batches of whole images': (['--whole-image', '--batch-size', '2'], ['--batch-size 2', 'one image at a time']),
  'cut flag': (['--over'], ['--over']),
  'output of no name': (['--save-dir', ''], ['--save-dir is empty']),
  'output is a file': (lambda f: ['--save-dir', f / 'a.png'], ['a.png: cannot be written (File exists)', 'another']),
  'colour map missing': (['--colormap', 'none.mat'], ['none.mat', 'misc/colormapvoc.mat']),
  'colour map is a picture': (lambda f: ['--colormap', f / 'a.png'], ['a.png', 'a file of classes']),
  'colour map of another key': (lambda f: colormap(f, np.ones((3, 3)), key='palette'), ['holds palette, not']),
  'colour map of another shape': (lambda f: colormap(f, np.ones((3, 4))), ['(3, 4)', '[n, 3]']),
  'colour map of bytes': (lambda f: colormap(f, np.full((3, 3), 255)), ['divide by 255']),
  'too few colours': (lambda f: colormap(f, np.ones((2, 3))), ['2 colours', f'--num-classes {CLASSES}']),
}


@pytest.mark.parametrize('name', [*IMAGES, *FLAGS])
def test_is_refused_in_one_line(refused, checkpoint, tmp_path, name):
  there = tmp_path / 'there'
  image, (change, words) = picture(there / 'a.png'), (IMAGES | FLAGS)[name]
  images = [] if name in IMAGES else ['--image', image]
  argv = flags(checkpoint, tmp_path / 'out', *images, *(change(there) if callable(change) else change))
  refused(inference.main, argv, *words, but=('out', 'classes.csv'))  # a checkpoint is read when the folder is claimed
