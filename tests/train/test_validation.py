"""Validation while training is what the inference and benchmark scripts say of the checkpoint."""

import re

import numpy as np
import pytest
from PIL import Image

from pyscripts.benchmark import benchmark_by_mIoU
from pyscripts.inference import inference
from tests import tiny
from tests.data.trees import photo, save, turned
from tests.tiny import CLASSES, FLAGS, train
from utils import images
from utils.lists import Pair
from utils.train.validation import cross_entropy, read_truth

data = tiny.data


@pytest.mark.parametrize('ema', [{}, {'ema_decay': 0.9}])
def test_validation_is_inference_and_benchmark(data, tmp_path, capfd, ema):
  """On images smaller and larger than the window."""
  training = {'num_steps': 3, 'val_every': 1, 'batch_norm_decay': 0.1, 'val_strides': '20,16', **ema}
  train(data, tmp_path / 'run', val_list=data / 'list.txt', **training)
  lines = (tmp_path / 'run' / 'validation.csv').read_text().splitlines()
  assert lines[0] == 'step,mIoU,loss,class 0,class 1,class 2' and len(lines) == 3
  step, miou, loss, *iou = lines[-1].split(',')
  flags = [f'--{name}={FLAGS[name.replace("-", "_")]}' for name in ('model', 'backbone', 'num-classes', 'input-size')]
  flags += [f'--data-dir={data}', f'--data-list={data}/list.txt', '--strides=20,16', '--save-probs']
  flags += [f'--restore-from={tmp_path}/run/model.ckpt-{step}', f'--save-dir={tmp_path}/out']
  flags += ['--ema'] if ema else []
  inference.main(flags)
  capfd.readouterr()
  benchmark_by_mIoU.main([f'--pred-dir={tmp_path}/out/gray', f'--gt-dir={data}', f'--num-classes={CLASSES}'])
  out = capfd.readouterr().out
  classes = re.findall(r'^class .*: \d+, acc: *([\d.]+)', out, re.M)
  np.testing.assert_allclose(np.float64(iou), np.float64(classes), atol=1.01e-4)
  [mean] = re.findall(r'^mean IOU: *([\d.]+)%', out, re.M)
  assert float(miou) == pytest.approx(float(mean), abs=1.01e-4)
  assert float(loss) == pytest.approx(cross_entropy_of_files(data, tmp_path / 'out/probs'), rel=2e-3)


def cross_entropy_of_files(data, folder) -> float:
  """The mean of -ln p over the pixels that are not void, of saved probabilities (float16)."""
  nats = []
  for path in folder.glob('*.npy'):
    label, probabilities = np.asarray(Image.open(data / f'{path.stem}.png')), np.load(path).astype(np.float64)
    nats += [-np.log(probabilities[..., c][label == c]) for c in range(CLASSES)]
  return float(np.mean(np.concatenate(nats)))


def test_loss_by_hand():
  score = np.float32([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [1, 0, 0], [0, 0, 1]]])
  assert cross_entropy(score, np.uint8([[1, 2, 0, 255]])) == pytest.approx(np.log(4) - np.log(0.7), rel=1e-6)
  assert cross_entropy(score, np.uint8([[255, 3, 1, 9]])) == pytest.approx(87.3, abs=0.1)  # probability 0


def test_label_is_turned_with_its_photo(tmp_path):
  """Each turn, and what stays: tests/test_labels.py."""
  stored = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24)
  pair = Pair(photo(tmp_path / 'a.jpg', 16, 24, exif=turned(6)), save(tmp_path / 'a.png', stored))
  np.testing.assert_array_equal(read_truth(pair), images.upright(stored, 6))
