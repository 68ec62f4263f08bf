"""Writes a checkpoint's network as an ONNX model of one window: uint8 RGB [N, H, W, 3] of --input-size in, softmax
[N, H, W, classes] out. The sliding window stays outside (the SavedModel has it inside), because the converter cannot
translate convolutions inside loops. Needs `pip install tf2onnx`."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors, files
from utils.predict import flags


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  flags.add_prediction_flags(parser, multi_scale=False, strides=False, precision=False)
  parser.add_argument('--output', required=True, help='file to write, for example model.onnx')
  args = flags.parse_described(parser, argv)
  files.check_output_file('--output', args.output)
  args.precision = 'float32'  # whatever it was trained in
  try:
    import tf2onnx
  except ImportError:
    raise errors.InputError('the converter is not installed; install it with `pip install tf2onnx`') from None
  with errors.quiet_start():
    from utils.predict.export import window_network
  from utils.predict.predictor import restored
  from utils.predict.windows import probability_function

  onnx = window_network(probability_function(restored(args), args.input_size), args.input_size)
  converted, _ = tf2onnx.convert.from_function(onnx, onnx.input_signature, opset=18)
  files.write_bytes(args.output, converted.SerializeToString())
  print(f'exported: {args.output} (windows: uint8 [N, {args.input_size[0]}, {args.input_size[1]}, 3] -> probabilities)')


if __name__ == '__main__':
  sys.exit(errors.run(main))
