"""Validation while training is what the inference and benchmark scripts say of the checkpoint."""

import re

import numpy as np
import pytest

from pyscripts.benchmark import benchmark_by_mIoU
from pyscripts.inference import inference
from tests import tiny
from tests.tiny import CLASSES, FLAGS, train

data = tiny.data


@pytest.mark.parametrize('ema', [{}, {'ema_decay': 0.9}])
def test_validation_is_inference_and_benchmark(data, tmp_path, capfd, ema):
  """A real network, on images smaller and larger than its window, at several steps of a run."""
  every_step = {'num_steps': 3, 'val_every': 1, 'save_pred_every': 1}
  train(data, tmp_path / 'run', val_list=data / 'list.txt', val_strides='20,16', **every_step, **ema)
  lines = (tmp_path / 'run' / 'validation.csv').read_text().splitlines()
  assert lines[0] == 'step,mIoU,class 0,class 1,class 2' and len(lines) == 3
  capfd.readouterr()
  for line in lines[1:]:
    step, miou, *iou = line.split(',')
    flags = [f'--{name}={FLAGS[name.replace("-", "_")]}' for name in ('model', 'backbone', 'num-classes', 'input-size')]
    flags += [f'--data-dir={data}', f'--data-list={data}/list.txt', '--strides=20,16']
    flags += [f'--restore-from={tmp_path}/run/model.ckpt-{step}', f'--save-dir={tmp_path}/predictions-{step}']
    inference.main([*flags, *(['--ema'] if ema else [])])
    folders = [f'--pred-dir={tmp_path}/predictions-{step}/gray', f'--gt-dir={data}', f'--num-classes={CLASSES}']
    benchmark_by_mIoU.main(folders)
    out = capfd.readouterr().out
    classes = re.findall(r'^class .*: \d+, acc: *([\d.]+)', out, re.M)
    np.testing.assert_allclose(np.float64(iou), np.float64(classes), atol=1.01e-4)
    [mean] = re.findall(r'^mean IOU: *([\d.]+)%', out, re.M)
    assert float(miou) == pytest.approx(float(mean), abs=1.01e-4)
