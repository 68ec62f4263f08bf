"""The flags of the prediction scripts, and what can be checked and settled before TensorFlow loads."""

import argparse
import os
import sys

from seg_models.names import MODELS, size_problem, stride_problem
from utils import labels, runs
from utils.arguments import (
  SWITCH,
  Parser,
  Role,
  add_network_flags,
  add_precision_flag,
  height_width,
  names_of,
  parse_with_config,
  real,
  separated,
  whole,
)
from utils.errors import InputError, quiet_start
from utils.predict.outputs import Outputs, images_to_do
from utils.predict.tiff import is_tiff, tifffile

STRIDES = (320, 320)  # of windows, where no run says others
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # of --scale-aug
shard = separated('I/N', int, lambda part, parts: 1 <= part <= parts, 'I/N, I from 1 to N, for example 1/4', by='/')


def parse(description: str, argv, multi_scale: bool = False) -> argparse.Namespace:
  """Parses and checks the flags of one prediction script.

  Raises:
    InputError: flags that contradict each other.
  """
  parser = Parser(description)
  group = parser.add_argument_group('images: a list, or files, or a folder, or a video')
  group.add_argument('--data-dir', default='', help='the folder that the list is relative to')
  group.add_argument('--data-list', default='', help='one line per image: `image` or `image label`')
  group.add_argument('--image', nargs='+', metavar='FILE', help='image files, without a list')
  group.add_argument('--image-dir', metavar='DIR', help='all images of a folder and its sub-folders')
  group.add_argument('--video', metavar='FILE', help='a video, by frames: gray/NAME_000001.png ... and video/NAME.mp4')
  group.add_argument('--shard', type=shard, help='the I-th of N parts of the images, I from 1')
  group = add_prediction_flags(parser, multi_scale)
  group.add_argument('--batch-size', type=whole(1), help='windows at a time; default: 4 on a CPU, 16 on a GPU')
  group.add_argument('--whole-image', **SWITCH, help='no windows: an image in one piece, padded as needed')
  group = parser.add_argument_group('output')
  group.add_argument('--save-dir', required=True, help='gets gray/NAME.png (class ids) and color/NAME.png')
  group.add_argument(
    '--colormap', default='', help='.mat file of colours, for example misc/colormapvoc.mat; default: by classes'
  )
  group.add_argument('--palette', **SWITCH, help='write class ids with a palette, so that viewers show colours')
  group.add_argument('--overlay', **SWITCH, help='write overlay/NAME.png too, the colours over the image')
  group.add_argument('--confidence', **SWITCH, help='write confidence/NAME.png too: 255 = certain')
  group.add_argument(
    '--min-confidence', type=real(0, 1), default=0.0, metavar='P', help='pixels of a smaller probability become 255'
  )
  group.add_argument('--save-probs', **SWITCH, help='write probs/NAME.npy too, float16 [h, w, classes]')
  group.add_argument('--skip-existing', **SWITCH, help='leave out images whose outputs are all there')
  args = parse_described(parser, argv)
  _check(args)
  return args


def parse_described(parser: Parser, argv) -> argparse.Namespace:
  """Parses flags of which the run named by --run or --restore-from says the defaults; `args.classes` are its classes,
  `args.scales` those of the views.

  Raises:
    InputError: neither is given, a flag contradicts the run's network, --save-dir is empty where the script has it, or
      the windows are of a size that the model does not take or leave pixels out.
  """
  words = sys.argv[1:] if argv is None else [str(word) for word in argv]
  run = runs.named(words)
  if run:
    told = {name: run.config[name] for name in names_of(parser, Role.NETWORK | Role.SHARED) if name in run.config}
    parser.set_defaults(**told, restore_from=run.checkpoint, ema=run.ema, input_size=run.window, strides=None)
  args = parse_with_config(parser, argv)
  if not args.restore_from:
    raise InputError('--restore-from is empty; give it, or --run, the folder of a training')
  if run:
    _check_network(args, run, names_of(parser, Role.NETWORK))
    print(f'{run.folder}: {args.restore_from}{", the averages of its weights" if args.ema else ""}', file=sys.stderr)
  args.classes = run.classes if run and run.classes else labels.numbered(args.num_classes)
  args.scales = SCALES if args.scale_aug else (1.0,)
  if getattr(args, 'save_dir', None) == '':
    raise InputError('--save-dir is empty; name a folder')
  if problem := size_problem(args.model, *args.input_size, args.output_stride):
    raise InputError(f'--input-size: {problem}')
  if 'strides' in args:
    args.strides = args.strides or (run.strides(args.input_size) if run else STRIDES)
    if problem := stride_problem(args.strides, args.input_size):
      raise InputError(f'--strides {problem}')
  return args


def _check_network(args: argparse.Namespace, run: runs.Run, names: list[str]) -> None:
  """An InputError where one of the network's flags `names` contradicts the run."""
  for name in names:
    value, trained = getattr(args, name), run.config.get(name)
    if name == 'output_stride':
      value, trained = (given or MODELS[args.model].output_stride for given in (value, trained))
    if trained is not None and value != trained:
      flag = f'--{name.replace("_", "-")}'
      raise InputError(
        f'{flag} {value}: {os.path.join(run.folder, "config")} says that {run.checkpoint} has {flag} {trained}; leave '
        'the flag out'
      )


def add_prediction_flags(parser: Parser, multi_scale: bool, strides: bool = True, precision: bool = True):
  """The network and its windows: the same in prediction and export. Returns the group of the windows' flags."""
  parser.set_defaults(flip_aug=False, scale_aug=False, whole_image=False, batch_size=None)  # where they are no flags
  add_network_flags(parser)
  if precision:
    add_precision_flag(parser)
  group = parser.add_argument_group('prediction')
  group.add_argument('--run', metavar='DIR', help="a training's folder: network, classes, window, best checkpoint")
  group.add_argument('--restore-from', help="checkpoint, such as RUN/model.ckpt-30000 [the run's best]")
  group.add_argument('--ema', **SWITCH, help='the averages of --ema-decay, or not [where the run keeps them]')
  group.add_argument('--config', metavar='FILE', help='flags from JSON or YAML; these here come on top')
  group.add_argument('--input-size', type=height_width, default=(480, 480), help='window, unless a run says another')
  if strides:
    group.add_argument('--strides', type=height_width, help="of the windows [the run's, else 320,320]")
  if multi_scale:
    group.add_argument('--flip-aug', **SWITCH, help='add the mirrored image')
    group.add_argument('--scale-aug', **SWITCH, help='scales 0.5 to 1.75 in steps of 0.25, not 1 alone')
  return group


def run(args: argparse.Namespace) -> int:
  """Runs a prediction script on what `parse` returned. Returns the exit code: 1 if an image failed or is missing."""
  outputs = Outputs(args)
  paths = images_to_do(args, outputs)
  _check_tiffs(args, paths)
  with outputs.claim(args.shard):
    if args.skip_existing:
      paths = [path for path in paths if not outputs.done(path)]
    if not paths:
      print(f'nothing left to predict: {outputs.video or args.save_dir}')
      return 0
    with quiet_start():  # here, so that --help and bad input are answered before TensorFlow loads
      from utils.predict import run as images
      from utils.predict import video

    return (video if args.video else images).predict(args, paths, outputs)


def _check_tiffs(args, paths: list[str]) -> None:
  tiff = next(filter(is_tiff, paths), None)
  for flag in ('scale_aug', 'flip_aug', 'whole_image', 'save_probs'):
    if tiff and getattr(args, flag):
      flag = flag.replace('_', '-')
      raise InputError(f'--{flag} does not go with {tiff}: TIFF images are predicted in bands of windows, at one scale')
  if tiff:
    tifffile()


def _check(args):
  given = [flag for flag in ('data_list', 'image', 'image_dir', 'video') if getattr(args, flag)]
  if len(given) != 1:
    raise InputError('give one of --data-list, --image, --image-dir and --video' + (', not several' if given else ''))
  for flag in ('shard', 'overlay', 'save_probs'):
    if args.video and getattr(args, flag):
      raise InputError(f'--{flag.replace("_", "-")} does not go with --video, which writes class ids and one video')
  if args.whole_image and (args.batch_size or 1) > 1:
    raise InputError(
      f'--batch-size {args.batch_size}: --whole-image predicts one image at a time; leave one of them out'
    )
