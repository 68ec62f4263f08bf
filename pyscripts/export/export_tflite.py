"""Writes a checkpoint's network as a TensorFlow Lite (LiteRT) model of one window: uint8 RGB [1, H, W, 3] of
--input-size in, float32 softmax [1, H, W, classes] out. The sliding window stays outside, as in the ONNX model.

--precision float16 halves the file (the weights are stored in 16 bits), int8 quarters it and computes in whole numbers:
one scale per channel of weights, one per tensor of activations, whose ranges are taken from the images of --calibrate.
With --data-list both networks are scored, which needs `pip install ai-edge-litert`.
"""

import functools
import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, checks, errors, files, lists
from utils.errors import InputError
from utils.predict import flags

CALIBRATED = 100  # images, evenly spread over the list


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  flags.add_prediction_flags(parser, multi_scale=False, precision=False)
  add = parser.add_argument
  add('--out', required=True, metavar='FILE', help='file to write, for example model.tflite')
  kinds = ('float32', 'float16', 'int8')
  add('--precision', dest='stored', choices=kinds, default='float32', metavar='NAME', help=f'of it: {", ".join(kinds)}')
  add('--calibrate', default='', metavar='LIST', help='images that int8 takes its ranges from: the training list')
  add('--data-list', default='', help='score the model and the float32 network on this list: `image label`')
  add('--data-dir', default='', help="the folder that the lists' paths are relative to")
  args = flags.parse_described(parser, argv)
  flags.check_prediction(args)
  files.check_output_file('--out', args.out)
  if (args.stored == 'int8') != bool(args.calibrate):
    raise InputError(f'--precision {args.stored}, --calibrate {args.calibrate or "(empty)"}: int8 alone needs a list')
  samples = lists.read_list(args.calibrate, args.data_dir, need_label=False) if args.calibrate else []
  pairs = lists.read_list(args.data_list, args.data_dir, need_label=True) if args.data_list else []
  checks.check_pairs(pairs, args.num_classes, args.ignore_label)
  interpreter = interpreter_class() if pairs else None

  with errors.quiet_start():
    from network.common import cpu_gradients, layers
  from utils.predict.predictor import restored
  from utils.predict.windows import freeze, probability_function

  args.precision = 'float32'  # of the network that is converted, whatever it was trained in
  model = restored(args)
  freeze(model)
  for conv in model.submodules:
    if isinstance(conv, layers.DepthwiseConv):  # reshaped to over 4832 channels, LiteRT's kernel for it never ends
      conv.convolve = functools.partial(cpu_gradients.depthwise_by_tensorflow, stride=conv.stride, rate=conv.rate)
  probabilities = probability_function(model, args.input_size)
  content = converted(model, probabilities, args, samples)
  files.write_bytes(args.out, content)
  height, width = args.input_size
  print(
    f'exported: {args.out}, {len(content) / 1e6:.1f} MB (windows: uint8 [1, {height}, {width}, 3] -> probabilities)'
  )
  if pairs:
    scored = {args.stored: lite_function(interpreter, content), 'TensorFlow, float32': probabilities}
    for name, function in scored.items():
      print(f'{name}: mIoU {miou(args, pairs, function):.2%} on {args.data_list}')


def interpreter_class():
  try:
    from ai_edge_litert.interpreter import Interpreter
  except ImportError:
    raise InputError('--data-list needs the interpreter; install it with `pip install ai-edge-litert`') from None
  return Interpreter


def converted(model, probabilities, args, samples: list[lists.Pair]) -> bytes:
  """The model; `samples` are the images that int8 is calibrated by."""
  import tensorflow as tf

  from network.common.layers import MEAN

  @tf.function(input_signature=[tf.TensorSpec([1, *args.input_size, 3], tf.uint8, 'windows')], autograph=False)
  def lite(windows):
    return {'probabilities': probabilities(tf.cast(windows, tf.float32) - MEAN)}

  converter = tf.lite.TFLiteConverter.from_concrete_functions([lite.get_concrete_function()], model)
  if args.stored != 'float32':
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if args.stored == 'float16':
    converter.target_spec.supported_types = [tf.float16]
  if args.stored == 'int8':
    converter.representative_dataset = lambda: middle_windows(args, samples)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', UserWarning)  # that uint8 in has no statistics: it is cast in the model
    return converter.convert()


def middle_windows(args, samples: list[lists.Pair]):
  """Yields [uint8 [1, H, W, 3]]: the middle window of images that are evenly spread over the list."""
  from seg_models.image_reader import read_image
  from utils.predict.windows import View

  for number in range(min(CALIBRATED, len(samples))):
    image = read_image(samples[number * len(samples) // min(CALIBRATED, len(samples))].image)
    view = View(image, 1.0, False, args.input_size, args.strides)
    yield [as_bytes(view.pixels[view.slices(view.places[len(view.places) // 2])][None])]


def as_bytes(windows):
  """Windows minus the mean, as the networks take them, to uint8; padding becomes the mean, rounded."""
  import numpy as np

  from network.common.layers import MEAN

  return np.clip(np.rint(windows + np.float32(MEAN)), 0, 255).astype(np.uint8)


def lite_function(interpreter_class, content: bytes):
  """`windows.probability_function` for one window, by the model."""
  from utils import parallel

  interpreter = interpreter_class(model_content=content, num_threads=parallel.cores())
  run = interpreter.get_signature_runner()
  return lambda windows: run(windows=as_bytes(windows))['probabilities']


def miou(args, pairs: list[lists.Pair], probabilities) -> float:
  import numpy as np

  from utils import metrics
  from utils.predict.outputs import class_map
  from utils.predict.windows import scores
  from utils.train.validation import read, read_truth

  matrix = np.zeros((args.num_classes, args.num_classes + 1), np.int64)
  for (pair, _), score in scores(map(read, pairs), probabilities, args.input_size, args.strides):
    matrix += metrics.confusion(class_map(score), read_truth(pair), args.num_classes)
  return metrics.mean(metrics.iou(matrix))


if __name__ == '__main__':
  sys.exit(errors.run(main))
