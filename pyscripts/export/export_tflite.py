"""Writes a checkpoint's network as a TensorFlow Lite (LiteRT) model of one window: uint8 RGB [1, H, W, 3] of
--input-size in, float32 softmax [1, H, W, classes] out. The sliding window stays outside, as in the ONNX model.

--precision float16 halves the file (the weights are stored in 16 bits), int8 quarters it and computes in whole numbers:
one scale per channel of weights, one per tensor of activations, whose ranges are taken from the images of --calibrate.
With --data-list both networks are scored, which needs `pip install ai-edge-litert`.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np

from utils import arguments, checks, errors, files, lists, metrics
from utils.errors import InputError
from utils.predict import flags

CALIBRATED = 100  # images, evenly spread over the list


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  flags.add_prediction_flags(parser, multi_scale=False, precision=False)
  add = parser.add_argument
  add('--out', required=True, metavar='FILE', help='file to write, for example model.tflite')
  kinds = ('float32', 'float16', 'int8')
  add('--precision', dest='stored', choices=kinds, default='float32', metavar='NAME', help=f'one of {", ".join(kinds)}')
  add('--calibrate', default='', metavar='LIST', help='images that int8 takes its ranges from: the training list')
  add('--data-list', default='', help='score the model and the float32 network on this list: `image label`')
  add('--data-dir', default='', help="the folder that the lists' paths are relative to")
  args = flags.parse_described(parser, argv)
  files.check_output_file('--out', args.out)
  if (args.stored == 'int8') != bool(args.calibrate):
    raise InputError(f'--precision {args.stored}, --calibrate {args.calibrate or "(empty)"}: int8 alone needs a list')
  samples = lists.read_list(args.calibrate, args.data_dir, need_label=False) if args.calibrate else []
  pairs = lists.read_list(args.data_list, args.data_dir, need_label=True) if args.data_list else []
  checks.check_pairs(pairs, args.num_classes, args.ignore_label)
  if pairs:
    try:
      from ai_edge_litert.interpreter import Interpreter
    except ImportError:
      raise InputError('--data-list needs the interpreter; install it with `pip install ai-edge-litert`') from None

  with errors.quiet_start():
    from utils.predict import export, outputs, windows
  from utils.predict.predictor import restored
  from utils.train import validation

  args.precision = 'float32'  # of the network that is converted, whatever it was trained in
  model = restored(args)
  number = min(CALIBRATED, len(samples))
  spread = [samples[i * len(samples) // number].image for i in range(number)]
  content = export.tflite(model, args.input_size, args.strides, args.stored, spread)
  files.write_bytes(args.out, content)
  height, width = args.input_size
  print(
    f'exported: {args.out}, {len(content) / 1e6:.1f} MB (windows: uint8 [1, {height}, {width}, 3] -> probabilities)'
  )

  def miou(probabilities) -> float:
    matrix = np.zeros((args.num_classes, args.num_classes + 1), np.int64)
    images = map(validation.read, pairs)
    for pair, _, score in windows.scores(images, probabilities, args.input_size, args.strides):
      matrix += metrics.confusion(outputs.class_map(score), validation.read_truth(pair), args.num_classes)
    return metrics.mean(metrics.iou(matrix))

  if pairs:
    print(f'{args.stored}: mIoU {miou(export.lite_function(Interpreter, content)):.2%} on {args.data_list}')
    probabilities = windows.probability_function(model, args.input_size)
    print(f'TensorFlow, float32: mIoU {miou(probabilities):.2%} on {args.data_list}')


if __name__ == '__main__':
  sys.exit(errors.run(main))
