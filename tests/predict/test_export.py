"""Exports as SavedModel, ONNX and TFLite, the checkpoint tool, and the plot of the learned edge weights."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from network.common.layers import MEAN
from pyscripts.export import checkpoint_tool, export_onnx, export_savedmodel, export_tflite, plot_edge_weights
from tests import tiny
from tests.predict import predicted
from tests.predict.predicted import NETWORK, WINDOWS, flags, gray, pixels, run
from utils import checkpoint as checkpoints
from utils import labels
from utils.predict import flags as inference_flags
from utils.predict import predictor, windows

checkpoint, data, folder = predicted.checkpoint, tiny.data, predicted.folder
PLUS = ['--model', 'deeplabv3plus', *NETWORK[2:]]
LIGHT = ['--model', 'deeplabv3plus', '--backbone', 'efficientnet_lite0', *NETWORK[4:]]


@pytest.fixture(scope='session')
def plus_checkpoint(tmp_path_factory):
  """The prefix of a checkpoint of `PLUS`, whose head has depthwise convolutions."""
  return predicted.save_drawn(tmp_path_factory.mktemp('plus') / 'model.ckpt-7', 'deeplabv3plus')


@pytest.fixture(scope='session')
def light_checkpoint(tmp_path_factory):
  """That of `LIGHT`, whose averages are drawn."""
  prefix = tmp_path_factory.mktemp('light') / 'model.ckpt-7'
  return predicted.save_drawn(prefix, 'deeplabv3plus', 'efficientnet_lite0', 'BatchNorm')


def test_exported_models_predict_as_the_scripts(checkpoint, plus_checkpoint, folder, tmp_path):
  """Loaded in a process that knows TensorFlow and nothing of this project; images of any size, several at a time."""
  images = ['--image', folder / '0.png', folder / '3.png', '--save-probs']
  for name, words, prefix, script, more in (
    ('one', PLUS, plus_checkpoint, 'inference', []),
    ('several', NETWORK, checkpoint, 'inference_msc', ['--scale-aug', '--flip-aug']),
  ):
    assert run(flags(prefix, tmp_path / f'{name}-out', *images, *more, network=words), f'inference.{script}') == 0
    assert run(flags(prefix, tmp_path / name / '1', *more, network=words), 'export.export_savedmodel') == 0
  np.save(tmp_path / '0.npy', np.asarray(Image.open(folder / '0.png'))[np.newaxis])
  three = np.asarray(Image.open(folder / '3.png'))
  np.save(tmp_path / '3.npy', np.stack([three, three[::-1]]))
  program = """
import numpy as np, tensorflow as tf
for model in ('one', 'several'):
  predict = tf.saved_model.load(f'{model}/1').signatures['serving_default']
  for name in '03':
    out = predict(images=tf.constant(np.load(f'{name}.npy')))
    np.savez(f'{model}-{name}.npz', **{key: value.numpy() for key, value in out.items()})
"""
  environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'PYTHONPATH': ''}
  result = subprocess.run(
    [sys.executable, '-c', program], cwd=tmp_path, env=environment, capture_output=True, text=True
  )
  assert result.returncode == 0, result.stderr
  for model in ('one', 'several'):
    for name, number in (('0', 1), ('3', 2)):
      out = np.load(tmp_path / f'{model}-{name}.npz')
      want, probs = gray(tmp_path / f'{model}-out', name), np.load(tmp_path / f'{model}-out/probs/{name}.npy')
      assert set(out) == {'classes', 'probabilities'} and out['classes'].dtype == np.uint8
      assert out['classes'].shape == (number, *want.shape) and out['probabilities'].dtype == np.float32
      assert np.mean(out['classes'][0] == want) > 0.999
      np.testing.assert_allclose(out['probabilities'][0], probs, atol=2e-3)
      np.testing.assert_allclose(out['probabilities'].sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize(('folder', 'words'), [('', 'is there already'), ('file/1', 'file is not a folder; name a')])
def test_bad_output_of_the_export(refused, checkpoint, tmp_path, folder, words):
  (tmp_path / 'file').touch()
  refused(export_savedmodel.main, flags(checkpoint, tmp_path / folder), words)


def of_windows(words, checkpoint):
  """The network as the exports have it: windows uint8 [N, 48, 48, 3] -> probabilities."""
  model = predictor.restored(inference_flags.parse('', flags(checkpoint, 'x', '--image', 'y', network=words)))
  probabilities = windows.probability_function(model, (48, 48))
  return lambda pictures: probabilities(pictures - np.float32(MEAN)).numpy()


def test_onnx_model_is_the_network_of_a_window(light_checkpoint, tmp_path):
  pytest.importorskip('tf2onnx', reason='the converter is for those who want ONNX files')
  runtime = pytest.importorskip('onnxruntime')
  more = [*WINDOWS[:2], '--restore-from', light_checkpoint, '--output', str(tmp_path / 'model.onnx')]
  assert run([*LIGHT, *more], 'export.export_onnx') == 0
  pictures = np.stack([pixels(48, 48, seed) for seed in range(3)])
  session = runtime.InferenceSession(str(tmp_path / 'model.onnx'))
  (got,) = session.run(['probabilities'], {'windows': pictures})
  np.testing.assert_allclose(got, of_windows(LIGHT, light_checkpoint)(pictures), atol=1e-3)


def list_of(data) -> list[str]:
  return ['--data-dir', str(data), '--data-list', str(data / 'list.txt')]


@pytest.mark.parametrize(
  ('words', 'checkpoint', 'precision', 'off', 'bytes_a_weight'),
  [
    (PLUS, 'plus_checkpoint', 'float32', 1e-4, 4),
    (PLUS, 'plus_checkpoint', 'float16', 0.02, 2),
    (LIGHT, 'light_checkpoint', 'int8', 0.2, 1),
  ],
)
def test_tflite_model_is_the_network_of_a_window(
  request, data, tmp_path, capsys, words, checkpoint, precision, off, bytes_a_weight
):
  runtime = pytest.importorskip('ai_edge_litert.interpreter', reason='the interpreter is for those who want TFLite')
  images, out, checkpoint = list_of(data), tmp_path / 'model.tflite', request.getfixturevalue(checkpoint)
  more = [*WINDOWS, *images, '--restore-from', checkpoint, '--precision', precision, '--out', str(out)]
  more += ['--calibrate', str(data / 'list.txt')] if precision == 'int8' else []
  assert run([*words, *more], 'export.export_tflite') == 0
  assert len(re.findall(r'mIoU \d+\.\d\d% on', capsys.readouterr().out)) == 2
  reader = checkpoints.Reader(checkpoint)
  weights = sum(np.prod(shape, dtype=int) for shape in reader.shapes.values())  # a file has some 150 KB more
  assert out.stat().st_size < (bytes_a_weight + 0.5) * weights + 150e3
  lite, network = runtime.Interpreter(str(out)).get_signature_runner(), of_windows(words, checkpoint)
  for seed in range(3):
    picture = pixels(48, 48, seed)[np.newaxis]
    got = lite(windows=picture)['probabilities']
    assert got.dtype == np.float32 and np.abs(got - network(picture)).max() < off


@pytest.mark.parametrize(
  ('script', 'more', 'words'),
  [
    (export_onnx, [], 'pip install tf2onnx'),
    (export_tflite, [], 'pip install ai-edge-litert'),
    (export_tflite, ['--precision', 'int8'], '--precision int8, --calibrate (empty)'),
  ],
)
def test_converters_say_what_they_need(refused, checkpoint, data, tmp_path, monkeypatch, script, more, words):
  monkeypatch.setitem(sys.modules, 'tf2onnx', None)
  monkeypatch.setitem(sys.modules, 'ai_edge_litert.interpreter', None)
  out = ['--output', str(tmp_path / 'x')]
  if script is export_tflite:
    out = ['--out', str(tmp_path / 'x'), *WINDOWS[2:], *list_of(data)]
  refused(script.main, [*NETWORK, *WINDOWS[:2], '--restore-from', checkpoint, *out, *more], words)


# Checkpoints.


@pytest.fixture
def trained(tmp_path):
  """A small checkpoint as training leaves it."""
  random, size = np.random.default_rng(0), (1, 1, 1, 11, 1, 3)
  tensors = {
    'resnet_v1_14/conv1/weights': random.normal(size=(3, 3, 3, 4)).astype(np.float32),
    'resnet_v1_14/conv1/weights/Momentum': np.ones((3, 3, 3, 4), np.float32),
    'edge_w': random.normal(size=size).astype(np.float32),
    'edge_w/ExponentialMovingAverage': np.ones(size, np.float32),
    'training/best_step': np.int64(7),
  }
  zeros = ('nonedge_w', 'edge_w/Momentum', 'edge_w/Adam', 'edge_w/Adam_1')
  tensors |= dict.fromkeys(zeros, np.zeros(size, np.float32))
  prefix = str(tmp_path / 'model.ckpt-7')
  checkpoints.save(prefix, tensors)
  return prefix, tensors


def test_list(trained, capsys):
  assert run(['list', trained[0]], 'export.checkpoint_tool') == 0
  lines = capsys.readouterr().out.splitlines()
  assert lines[-1] == '9 tensors, 415 numbers'
  assert any(line.startswith('training/best_step  scalar  int64  mean') for line in lines)
  assert any(line.startswith('resnet_v1_14/conv1/weights  3x3x3x4  float32') for line in lines)


def test_strip_keeps_what_prediction_and_fine_tuning_need(refused, trained, tmp_path):
  prefix, tensors = trained
  assert run(['strip', prefix, str(tmp_path / 'small')], 'export.checkpoint_tool') == 0
  reader = checkpoints.Reader(str(tmp_path / 'small'))
  names = {'resnet_v1_14/conv1/weights', 'edge_w', 'nonedge_w'}
  assert set(reader.shapes) == {*names, 'training/averaged'}
  want = tensors | {'edge_w': tensors['edge_w/ExponentialMovingAverage']}  # what was validated
  assert all(np.array_equal(reader.get(name), want[name]) for name in names)
  variable = tf.Variable(tf.zeros(want['edge_w'].shape))
  checkpoints.restore(str(tmp_path / 'small'), {'edge_w': variable}, '', ema=True)  # as the run's config says
  assert np.array_equal(variable, want['edge_w'])
  refused(checkpoint_tool.main, ['strip', prefix, tmp_path / 'small'], 'is there already')


def test_checkpoints_of_objects_are_listed_compared_and_stripped(tmp_path, capsys):
  prefix = tf.train.Checkpoint(v=tf.Variable([1.0, 2.0])).save(str(tmp_path / 'objects'))
  assert run(['strip', prefix, str(tmp_path / 'small')], 'export.checkpoint_tool') == 0
  for name in (prefix, str(tmp_path / 'small')):
    assert run(['list', name], 'export.checkpoint_tool') == 0
    assert run(['compare', prefix, name], 'export.checkpoint_tool') == 0
  out = capsys.readouterr().out
  assert '_CHECKPOINTABLE_OBJECT_GRAPH  scalar  object' in out and '3 tensors are the same, 0 differ' in out


def test_compare(trained, tmp_path, capsys):
  prefix, tensors = trained
  assert run(['compare', prefix, prefix], 'export.checkpoint_tool') == 0
  other = {**tensors, 'edge_w': 2 * tensors['edge_w'], 'new': np.float32(1), 'nonedge_w': np.zeros(3, np.float32)}
  del other['training/best_step']
  checkpoints.save(str(tmp_path / 'other'), other)
  capsys.readouterr()
  assert run(['compare', prefix, str(tmp_path / 'other')], 'export.checkpoint_tool') == 1
  out = capsys.readouterr().out
  assert 'edge_w: differs by 1 of its norm\n' in out and f'new: not in {prefix}\n' in out
  assert f'training/best_step: not in {tmp_path}/other' in out and 'nonedge_w: (1, 1, 1, 11, 1, 3) and (3,)' in out
  assert out.endswith('6 tensors are the same, 4 differ\n')


def test_bad_input_to_the_tool(refused):
  for words in (['list', 'none'], ['list'], ['list', 'none', '--run', 'none'], ['melt']):
    refused(checkpoint_tool.main, words)


def test_picture_of_the_learned_weights(refused, trained, checkpoint, tmp_path, capfd):
  """Cells are there in the shades of the heaviest and of the lightest weight, and numbers on standard output."""
  prefix, tensors = trained
  picture = tmp_path / 'weights.png'
  labels.write_classes(pathlib.Path(prefix).parent, labels.published('camvid'))
  assert run([prefix, str(picture)], 'export.plot_edge_weights') == 0
  out = capfd.readouterr().out
  raw = tensors['edge_w'].reshape(11, 3)
  soft = np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)
  assert f'sky: edge {soft[0, 0]:.3f} {soft[0, 1]:.3f}' in out and 'non-edge 0.333 0.333 0.333' in out
  image = np.asarray(Image.open(picture)).astype(int)
  assert image.shape[0] > 11 * 18 and image.shape[1] > 6 * 72
  weights = np.append(soft, 1 / 3)  # the non-edge weights are where they began
  depth = (soft[0] - weights.min()) / np.ptp(weights)
  shades = [[round(255 + (dark - 255) * share) for dark in (8, 48, 107)] for share in (0, *depth, 1)]
  assert all(np.all(image == shade, -1).sum() > 300 for shade in shades)  # cells have 70 x 16 pixels less the digits
  refused(plot_edge_weights.main, [checkpoint, tmp_path / 'none.png'], 'holds no edge_w')


def test_picture_names_the_sizes_of_the_training(refused, trained, tmp_path):
  prefix, _ = trained

  def picture(*more):
    assert run([prefix, str(tmp_path / 'a.png'), *more], 'export.plot_edge_weights') == 0
    return (tmp_path / 'a.png').read_bytes()

  by_flag, plain = picture('--kld-sizes', '1,2,4'), picture()
  assert plain == picture('--kld-sizes', '1,2,3') != by_flag
  (tmp_path / 'config').write_text('{"kld_sizes": [1, 2, 4]}')
  assert picture() == by_flag
  assert run(['--run', str(tmp_path), str(tmp_path / 'b.png')], 'export.plot_edge_weights') == 0
  assert (tmp_path / 'b.png').read_bytes() == by_flag
  words = [prefix, tmp_path / 'a.png', '--kld-sizes', '1,2']
  refused(plot_edge_weights.main, words, f'{prefix}: has weights of 3 sizes, not of (1, 2)')


def test_an_export_that_a_full_disk_stops_leaves_nothing(checkpoint, tmp_path, capsys, full_disk):
  with full_disk(10000):
    assert run(flags(checkpoint, tmp_path / 'out/1'), 'export.export_savedmodel') == 1
  err = capsys.readouterr().err
  assert err.startswith(f'error: {tmp_path}/out/1: could not be written (') and err.count('\n') == 1
  assert not list((tmp_path / 'out').iterdir())
