"""The parts of the GPU check, in the order in which their time is given to them, and the goals set for their figures.

Parts of equal size for every GPU; without one, tiny ones, which only show that each part works.
"""

import sys
from typing import NamedTuple

from utils.profile.parts import Part

RECORDED, LOSS, STEP, OBJECTIVES = (
  'Recorded values',
  'Adaptive affinity loss',
  'Training step',
  'Affinity over plain step',
)
TORCH, PREDICTION, TWO = 'The same step in PyTorch', 'Prediction at six scales with flips', 'Two replicas on one card'
REPLICAS, WAITING, READER = 'Replicas', 'Training from files', 'Reader'
NO_TF32 = {'NVIDIA_TF32_OVERRIDE': '0'}
PRECISIONS = {  # label -> flag, environment
  'bfloat16': ('bfloat16', {}),
  'TF32': ('float32', {}),
  'float32': ('float32', NO_TF32),
  'float16': ('float16', {}),
}
TINY = ('--backbone', 'resnet_v1_14', '--input-size', '48,48', '--num-classes', '3')


def program(name: str, *words) -> tuple[str, ...]:
  return (f'pyscripts/profile/{name}.py', *map(str, words))


def step(side: int, batch: int, precision: str, xla: bool) -> Part:
  """The plain step of a PSPNet on ResNet-101."""
  flag, environment = PRECISIONS[precision]
  words = ('--input-size', f'{side},{side}', '--batch-size', batch, '--precision', flag, '--plain')
  labels = {'crop': side, 'batch': batch, 'precision': precision, 'XLA': 'yes' if xla else 'no'}
  return Part(STEP, labels, program('step', *words, *(['--xla'] if xla else [])), environment)


def on_gpus(number: int, quick: bool, torch_python: str) -> list[Part]:
  """For a machine with so many GPUs. `torch_python`: a Python that has PyTorch, or empty."""
  first = [
    Part(RECORDED, {'TF32': 'no'}, program('recorded_values'), NO_TF32),
    Part(LOSS, {'crop': 720}, program('loss', '--shape', 8, 90, 90, 19)),
    step(336, 8, 'bfloat16', xla=False),
    Part(OBJECTIVES, {'crop': 336, 'batch': 8}, program('step', '--batch-size', 8, '--precision', 'bfloat16')),
  ]
  if torch_python:
    first.append(Part(TORCH, {'crop': 336, 'batch': 8}, program('torch_step'), python=torch_python))
  first.append(Part(TWO, {}, program('two_replicas'), NO_TF32))
  if quick:
    return first
  images = ('--images', 4, '--batch-sizes', 16, '--precision', 'bfloat16')
  rest = [
    Part(RECORDED, {'TF32': 'yes'}, program('recorded_values')),
    step(336, 8, 'bfloat16', xla=True),
    Part(PREDICTION, {}, program('inference', *images)),
    Part(WAITING, {'crop': 336, 'precision': 'bfloat16'}, program('waiting', '--precision', 'bfloat16')),
    Part(READER, {}, program('reader')),
    Part(LOSS, {'crop': 336}, program('loss', '--shape', 8, 42, 42, 21)),
  ]
  if number > 1:
    words = ('--num-gpu', number, '--batch-size', 8, '--precision', 'bfloat16')
    rest.insert(0, Part(REPLICAS, {}, program('replicas', *words), limit=120 * number))
  steps = [
    step(side, batch, precision, xla)
    for xla in (False, True)
    for side, batch in ((336, 8), (720, 4), (336, 16))
    for precision in PRECISIONS
  ]
  names = {part.name for part in first + rest}
  return first + rest + [part for part in steps if part.name not in names]


def on_cpu(quick: bool, torch_python: str) -> list[Part]:
  """The same programs at tiny sizes; on a busy machine these take long all the same."""
  return [part._replace(limit=900) for part in tiny_parts(quick, torch_python)]


def tiny_parts(quick: bool, torch_python: str) -> list[Part]:
  network, repeat = (*TINY, '--batch-size', 2), ('--repeat', 1)
  parts = [
    Part(LOSS, {}, program('loss', '--shape', 1, 12, 12, 3, *repeat)),
    Part(RECORDED, {'TF32': 'no'}, program('recorded_values', '--what', 'losses'), NO_TF32),
    Part(STEP, {'precision': 'bfloat16'}, program('step', *network, '--precision', 'bfloat16', '--plain', *repeat)),
    Part(TWO, {}, program('two_replicas', *network)),
  ]
  if torch_python:
    words = ('--side', 48, '--units', 1, '--batch-size', 2, '--no-compile', *repeat)
    parts.append(Part(TORCH, {}, program('torch_step', *words), python=torch_python))
  if quick:
    return parts
  images = ('--strides', '48,48', '--image-size', '60,60', '--batch-sizes', 2, '--images', 2, *repeat)
  return [
    *parts,
    Part(OBJECTIVES, {}, program('step', *network, *repeat)),
    Part(REPLICAS, {}, program('replicas', *network, *repeat)),
    Part(PREDICTION, {}, program('inference', *TINY, *images)),
    Part(WAITING, {}, program('waiting', *TINY[:4], '--batch-size', 2, '--steps', 6)),
    Part(READER, {}, program('reader', '--batches', 2, '--input-size', '48,48', *repeat)),
  ]


class Goal(NamedTuple):
  """What a figure is to be. `figure(tables)` takes {section: rows}; KeyError or StopIteration: it was not measured."""

  text: str
  figure: object
  least: float | None = None
  most: float | None = None

  def judged(self, tables: dict) -> dict:
    try:
      value = self.figure(tables)
    except (KeyError, StopIteration, ValueError):
      return {'goal': self.text, 'figure': 'not measured', 'met': ''}
    met = (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
    return {'goal': self.text, 'figure': value, 'met': met}


def measured(rows: list[dict], column: str, **labels) -> list:
  """The figures of a column in the rows with these labels; ValueError if there are none."""
  found = [row[column] for row in rows if column in row and all(row.get(key) == value for key, value in labels.items())]
  if not found:
    raise ValueError(column)
  return found


BFLOAT16 = {'crop': 336, 'batch': 8, 'precision': 'bfloat16'}
GOALS = (
  Goal(
    'bfloat16 step at 336, batch 8, the better of with and without XLA: at least 0.45 of the matrix product',
    lambda tables: max(measured(tables[STEP], 'of matrix product', **BFLOAT16)),
    least=0.45,
  ),
  Goal(
    'adaptive affinity step over the plain step: at most 1.02 of the time',
    lambda tables: max(measured(tables[OBJECTIVES], 'of plain step', objective='AdaptiveAffinity')),
    most=1.02,
  ),
  Goal(
    'loss of 8x90x90x19 with gradients: at least 20 times faster than pairs x classes',
    lambda tables: min(measured(tables[LOSS], 'times faster', logits='8x90x90x19')),
    least=20,
  ),
  Goal(
    'the same step in PyTorch (bfloat16, torch.compile, channels_last): at most 1 of its time',
    lambda tables: min(measured(tables[STEP], 'step s', **BFLOAT16)) / min(measured(tables[TORCH], 'step s')),
    most=1,
  ),
  Goal(
    'recorded values within their tolerances: none outside',
    lambda tables: measured(tables[RECORDED], 'within').count(False),
    most=0,
  ),
  Goal(
    'two replicas on one card train as one: update differs by at most 0.01',
    lambda tables: max(measured(tables[TWO], 'update differs by')),
    most=0.01,
  ),
)


def torch_python(named: str) -> str:
  """The Python for PyTorch: the one that was named, else this one if it has it, else empty."""
  import importlib.util

  return named or (sys.executable if importlib.util.find_spec('torch') else '')
