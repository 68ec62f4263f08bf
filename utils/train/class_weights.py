"""Weights of the classes in the cross-entropy: counted from the labels of the training list, or read from a file.

With n_c pixels of class c, labelled pixels alone, over K classes that have any:

  balanced  (sum of n) / (K n_c): scikit-learn's rule; every class has the same sum of weights
  median    median of f / f_c, f_c = n_c / (pixels of the images that hold c): Eigen and Fergus, ICCV 2015
            (arXiv 1411.4734), and SegNet
  enet      1 / ln(1.02 + n_c / (sum of n)): Paszke et al. 2016 (arXiv 1606.02147)

A class without pixels has the weight 0.
"""

import argparse

import numpy as np

from utils import arguments, labels, runs
from utils.errors import InputError
from utils.files import read_text

RULES = ('balanced', 'median', 'enet')


def of_run(args, pixels: np.ndarray, around: np.ndarray) -> tuple[float, ...] | None:
  """The weights that `--class-weights` asks for, or None; the counts are those of `utils.checks.check_pairs`. A run
  that goes on has those that it was started with, though a label may have been mended since.

  Raises:
    InputError: the file of weights cannot be read, does not have one number per class, or has nothing but zeros.
  """
  if not args.class_weights:
    return None
  if args.class_weights in RULES:
    before = runs.recorded(args.snapshot_dir) if args.resume and runs.steps_in(args.snapshot_dir) else {}
    kept = before.get('class_weight_values') if before.get('class_weights') == args.class_weights else None
    return tuple(kept or by_rule(args.class_weights, pixels, around))
  return read(args.class_weights, labels.choose_classes(args.num_classes, args.class_names, args.data_list).names)


def by_rule(rule: str, pixels: np.ndarray, around: np.ndarray) -> tuple[float, ...]:
  """The weights, to six digits, from the counts of `utils.checks.check_pairs`."""
  there = pixels > 0
  weights = np.zeros(len(pixels))
  if rule == 'balanced':
    weights[there] = pixels.sum() / (np.count_nonzero(there) * pixels[there])
  elif rule == 'median':
    frequency = pixels[there] / around[there]
    weights[there] = np.median(frequency) / frequency
  else:
    weights[there] = 1 / np.log(1.02 + pixels[there] / pixels.sum())
  return tuple(float(f'{weight:.6g}') for weight in weights)


def read(path: str, names: list[str]) -> tuple[float, ...]:
  """The weights of a file: one number per line, or `name number`, in the order of the classes `names`."""
  text = read_text(path, f'class weights (or give {", ".join(RULES)})')
  lines = [line.split() for line in text.splitlines() if line.strip()]
  if len(lines) != len(names):
    raise InputError(
      f'{path}: has {len(lines)} class weights for --num-classes {len(names)}; write one line per class, `number` or '
      '`name number`'
    )
  for i, (*words, _) in enumerate(lines):
    if (name := ' '.join(words)) in names and names[i] != name:
      raise InputError(f'{path}: {name} is line {i + 1} and class {names.index(name)}; order the lines by class id')
  try:
    weights = tuple(arguments.real(0)(number) for *_, number in lines)
  except argparse.ArgumentTypeError as e:
    raise InputError(f'{path}: the class weight {e}') from None
  if not any(weights):
    raise InputError(f'{path}: every class weight is 0, so there is nothing to learn; give at least one above 0')
  return weights


def described(weights: tuple[float, ...], names: list[str]) -> str:
  """A line for the log."""
  named = zip(names, weights, strict=True)
  return 'class weights: ' + ', '.join(f'{name} {weight:g}' for name, weight in named)
