"""Holds the losses and PSPNet's logits, computed on this machine's device, against the values in tests/golden, which
the 2018 code gave in float32 on a CPU. Prints each error and its tolerance; exit code 1 if one is larger."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.profile import figures

# Relative errors: in float32; and where products are cut to TF32, which has ten bits of mantissa in place of 23.
TOLERANCES = {
  'loss': (2e-5, 1e-3),
  'gradient': (2e-4, 1e-3),
  'logits, frozen': (2e-4, 2e-2),
  'logits, batch': (2e-3, 5e-2),
  'moving averages': (5e-6, 1e-2),
}


def main(argv=None) -> int:
  parser = arguments.Parser(__doc__)
  parser.add_argument(
    '--what', nargs='+', choices=('losses', 'logits'), default=('losses', 'logits'), help='is compared'
  )
  figures.add_flag(parser)
  args = parser.parse_args(argv)
  import tensorflow as tf

  from utils import devices

  devices.grow_memory()
  devices.obey_tf32_override()
  cut = devices.cuts_float32()
  device = 'GPU' if tf.config.list_physical_devices('GPU') else 'CPU'
  rows = []
  for check in args.what:
    for name, kind, error in {'losses': losses, 'logits': logits}[check]():
      tolerance = TOLERANCES[kind][cut]
      row = {'value': name, 'device': device, 'TF32': cut, 'relative error': error}
      rows.append({**row, 'tolerance': tolerance, 'within': error <= tolerance})
      print(rows[-1], flush=True)
  figures.write(args.json, rows)
  return 0 if all(row['within'] for row in rows) else 1


def losses():
  """(name, kind, relative error) of the losses and of their gradients."""
  import numpy as np
  import tensorflow as tf

  from network.aaf.losses import adaptive_affinity_loss, affinity_loss
  from tests import recorded

  values = np.load(recorded.GOLDEN / 'losses.npz')
  for case in sorted({name.split('/')[0] for name in values.files}):
    of_case = argparse.Namespace(
      **{name.split('/')[1]: values[name] for name in values.files if name.startswith(f'{case}/')}
    )
    classes, margin = of_case.logits.shape[-1], float(of_case.kld_margin)
    variables = [tf.constant(x) for x in (of_case.logits, of_case.edge_w, of_case.nonedge_w)]

    def compare(loss, variables, terms, gradients, case=case, of_case=of_case):
      with tf.GradientTape() as tape:
        tape.watch(variables)
        edge, nonedge = loss()
        total = of_case.lambda_edge * tf.reduce_sum(edge) + of_case.lambda_nonedge * tf.reduce_sum(nonedge)
      yield f'{terms}, {case}', 'loss', relative_error(np.transpose([edge, nonedge]), getattr(of_case, terms))
      for name, gradient in zip(gradients, tape.gradient(total, variables), strict=True):
        yield f'{name}, {case}', 'gradient', relative_error(gradient, getattr(of_case, name))

    def plain(of_case=of_case, variables=variables, classes=classes, margin=margin):
      return affinity_loss(of_case.labels, tf.nn.softmax(variables[0]), classes, margin)

    def adaptive(of_case=of_case, variables=variables, classes=classes, margin=margin):
      probs, *weights = map(tf.nn.softmax, variables)
      return adaptive_affinity_loss(of_case.labels, probs, classes, margin, *weights)

    yield from compare(plain, variables[:1], 'affinity_edge_nonedge', ['affinity_grad_logits'])
    yield from compare(
      adaptive,
      variables,
      'aaf_edge_nonedge_by_size',
      [f'aaf_grad_{name}' for name in ('logits', 'edge_w', 'nonedge_w')],
    )


def logits():
  """(name, kind, relative error) of PSPNet's logits, and of the moving averages after a batch."""
  import numpy as np

  from seg_models.models.pspnet import pspnet_resnet101
  from tests import recorded
  from utils import checkpoint

  network = pspnet_resnet101(num_classes=21)
  variables = {checkpoint.name_of(v): v for v in network.variables}
  for name, variable in variables.items():
    variable.assign(recorded.weights(name, tuple(variable.shape)))
  values = np.load(recorded.GOLDEN / 'forward_pspnet.npz')
  for mode in ('frozen', 'batch'):
    got = network(values[f'pspnet/{mode}/images'], training=mode == 'batch')
    yield f'logits, {mode} statistics', f'logits, {mode}', relative_error(got, values[f'pspnet/{mode}/logits'])
  for key in values.files:
    if '/after/' in key:
      name = key.split('/after/')[1]
      yield name, 'moving averages', relative_error(variables[name], values[key])


def relative_error(got, recorded) -> float:
  import numpy as np

  got, recorded = np.asarray(got, np.float64), np.asarray(recorded, np.float64)
  return float(np.linalg.norm(got - recorded) / np.linalg.norm(recorded))


if __name__ == '__main__':
  sys.exit(errors.run(main))
