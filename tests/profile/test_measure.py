"""measure.py: each of its measurements runs to the end on a tiny network, and its ratios are those of its figures."""

import json
import os
import subprocess
import sys

import pytest

from pyscripts.profile import measure, measurements
from tests import tiny
from utils import errors

TOY = ['--model', 'fcn8s', '--backbone', 'toy', '--num-classes', '3', '--input-size', '48,48']


def of_step(forward, step):
  assert step['what'] == 'cross-entropy' and step['images/s'] == pytest.approx(2 / step['s'])
  assert step['of plain step'] == 1 and min(step['s'], step['first step s']) > 0
  assert step['of matrix product'] / forward['of matrix product'] == pytest.approx(3 * forward['s'] / step['s'])
  assert step['memory MB'] > 100 or not os.path.exists('/proc/self/status')


def of_replicas(one, two):
  assert [one['replicas'], two['replicas']] == [1, 2] and min(one['first step s'], two['first step s']) > 0
  assert two['of 1 replica'] == pytest.approx(two['step s'] / one['step s'])
  assert 0 <= two['change differs by'] < 1e-4 and two['within']  # sums in another order: not the same to the last bit


def of_loss(row):
  assert row['logits'] == '1x18x20x3' and row['differ by'] < 1e-4
  assert row['times faster than pairs x classes'] > 0 and row['first call s'] > 0


def of_prediction(one, two, image):
  assert image['windows'] == 2 * (1 + 1 + 4 + 4 + 4 + 9)  # sides of 30, 45, 60, 75, 90, 105 pixels
  assert (one['windows'], two['windows']) == (1, 2) and image['s'] > 0 and image['of matrix product'] > 0


def of_reader(cropped, *others):
  for row in others:
    assert row['times only cropped'] == pytest.approx(cropped['images/s'] / row['images/s'])
  assert cropped['times only cropped'] == 1 and len(others) == 4


MEASURED = [  # a command, and what holds of its rows
  (['step', *TOY, '--plain', '--precision', 'float32'], of_step),
  (['step', *TOY, '--plain', '--precision', 'bfloat16'], of_step),
  (['replicas', *TOY, '--batch-size', '2'], of_replicas),
  (['loss', '--shape', '1', '18', '20', '3'], of_loss),
  (['predict', *TOY, '--image-size', '60,60', '--strides', '48,48', '--batch-sizes', '1', '2'], of_prediction),
  (['reader', '--batches', '2', '--batch-size', '2', '--input-size', '48,48'], of_reader),
]


@pytest.mark.parametrize(('words', 'holds'), MEASURED)
def test_what_is_measured(words, holds, tmp_path, monkeypatch):
  """Not in new processes, which take seconds and do not know the network of the tests."""
  monkeypatch.setattr(measurements, 'in_fresh_process', lambda function, *args: function(*args))
  path = tmp_path / 'rows.json'
  assert errors.run(measure.main, [*words, '--repeat', '1', '--json', str(path)]) == 0
  holds(*json.loads(path.read_text()))


def test_a_fresh_process_is_another_one():
  assert measurements.in_fresh_process(os.getpid) != os.getpid()


@pytest.mark.parametrize(('words', 'message'), [
  (['step', '--input-size', '100,100'], '--input-size: pspnet needs an input size of a multiple of 48'),
  (['replicas', '--batch-size', '3'], '--batch-size 3 does not divide evenly; give a multiple of 2'),
  (['loss', '--json', '/dev/full'], '--json /dev/full: is a device, not a file'),
])  # fmt: skip
def test_is_refused_in_one_line(refused, words, message):
  refused(measure.main, words, message)


def gpu_check(*words, **values) -> subprocess.CompletedProcess:
  command = ['bash', tiny.ROOT / 'bashscripts/gpu_check.sh', *words]
  return subprocess.run(command, env={**os.environ, **values}, capture_output=True, text=True)


def test_every_command_of_the_gpu_check_has_flags_that_are_taken():
  result = gpu_check(DRY_RUN='1')
  assert result.returncode == 0, result.stderr
  commands = [line.split() for line in result.stdout.splitlines() if 'measure.py' in line]
  parsed = [measure.parse(words[words.index('pyscripts/profile/measure.py') + 1 :]) for words in commands]
  assert {args.what for args in parsed} == {'loss', 'step', 'replicas', 'predict', 'reader'}


@tiny.slow
def test_gpu_check_writes_its_page_without_a_gpu(tmp_path):
  page = tmp_path / 'page.md'
  result = gpu_check(page, VENV=sys.prefix, CUDA_VISIBLE_DEVICES='-1')
  text = page.read_text()
  assert result.returncode == 0, result.stderr + text
  assert '**No GPU' in text and 'FAILED' not in text and text.count('| first step s |') == 2
