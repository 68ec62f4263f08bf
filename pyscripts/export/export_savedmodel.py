"""Writes a checkpoint as a SavedModel: uint8 RGB images of any size in, class map and probabilities out, the sliding
window (scales and flips too, if asked for) inside. Plain TensorFlow loads it without this project, and TensorFlow
Serving serves a folder MODEL/1 that it is written to."""

import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors, files
from utils.predict import flags


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  flags.add_prediction_flags(parser, multi_scale=True)
  parser.add_argument('--save-dir', required=True, help='folder to make, for example MODEL/1')
  args = flags.parse_described(parser, argv)
  if os.path.exists(args.save_dir):
    raise errors.InputError(
      f'--save-dir {args.save_dir}: is there already; name a new folder, for example the next number'
    )
  files.check_output_file('--save-dir', args.save_dir)
  parent = os.path.dirname(os.path.abspath(args.save_dir))
  os.makedirs(parent, exist_ok=True)
  with errors.quiet_start():
    import tensorflow as tf

  from utils.predict.export import Predictor
  from utils.predict.predictor import restored

  predictor = Predictor(restored(args), args.num_classes, args.input_size, args.strides, args.scales, args.flip_aug)
  signatures = {'serving_default': predictor.__call__.get_concrete_function()}
  with tempfile.TemporaryDirectory(prefix='.writing-', dir=parent) as folder:
    try:
      tf.saved_model.save(predictor, os.path.join(folder, 'model'), signatures)
    except tf.errors.OpError as e:
      raise errors.RunError(f'{args.save_dir}: could not be written ({errors.one_line(e)[:200]}); make room') from None
    os.rename(os.path.join(folder, 'model'), args.save_dir)
  print(f'exported: {args.save_dir} (images: uint8 [N, h, w, 3] -> classes, probabilities)')


if __name__ == '__main__':
  sys.exit(errors.run(main))
