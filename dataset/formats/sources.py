"""The kinds of labels that prepare_own takes: how each is read, and how a mask of class ids is made from it."""

import os
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from dataset import listing, pairing
from dataset.formats import classes, coco, cvat, drawing, labelme, masks
from utils.errors import InputError
from utils.labels import VOID


class LabelSource(NamedTuple):
  """One kind of labels.

  `read(path, images)` returns three things: image name -> label (of `images`, name -> path); class name -> what stands
  for it in the labels (`category 3`, a colour), in the order of the class ids; and a line for each file that failed.
  `converter(class_ids)` returns the function (image path, label) -> class ids, uint8 [H, W].
  """

  flag: str
  path: str  # the flag's value: a folder or file below DATA_DIR, maybe with {split}
  read: Callable[[str, dict[str, str]], tuple[dict, dict[str, str], list[str]]]
  converter: Callable | None  # None: the labels are masks of class ids, which are listed as they are
  meaning: str  # of the labels' values, written to conversion.txt
  has_names: bool  # classes have names
  unlabelled: str = 'void'  # what pixels without a label are, or background


def chosen(args) -> LabelSource:
  """The labels that the flags of prepare_own ask for.

  Raises:
    InputError: they ask for two kinds, or the colour table is faulty.
  """
  kinds = {'colors': colour_masks, 'zero_is_void': zero_is_void, 'coco': coco_file, 'labelme': labelme_folder}
  kinds['cvat'] = cvat_file
  wanted = [name for name in kinds if getattr(args, name)]
  if len(wanted) > 1:
    flags = [f'--{name.replace("_", "-")}' for name in wanted]
    raise InputError(f'{flags[0]} and {flags[1]} are labels of two kinds; give one')
  return kinds[wanted[0]](args) if wanted else _masks(args, None, 'ids')


def _masks(args, converter: Callable | None, meaning: str, names: dict[str, str] | None = None) -> LabelSource:
  def read(path, images):
    return pairing.files_by_name(args.data_dir, path, '--masks', ('.png',), args.mask_ending), names or {}, []

  return LabelSource('--masks', args.masks, read, converter, meaning, has_names=names is not None)


def zero_is_void(args) -> LabelSource:
  def converter(ids):
    return lambda image, mask: masks.read_zero_is_void(mask, args.ignore_label)

  return _masks(args, converter, f'0, {args.ignore_label} and {VOID} are void, k is class k - 1')


def colour_masks(args) -> LabelSource:
  table = masks.read_colour_table(args.colors)
  colours = {}
  for colour, name in table.items():
    colours.setdefault(name, []).append(' '.join(map(str, colour)))

  def converter(ids):
    lookup = masks.lookup_table({colour: ids[name] for colour, name in table.items()})
    advice = f'add it to {args.colors} (`r g b void` if it is not a class), or was the mask smoothed when it was saved?'
    return lambda image, mask: masks.read_colours(mask, lookup, advice)

  names = {name: ', '.join(values) for name, values in colours.items()}
  return _masks(args, converter, f'colours of {args.colors}', names)


def coco_file(args) -> LabelSource:
  return _annotations(args, '--coco', args.coco, coco.read)


def cvat_file(args) -> LabelSource:
  return _annotations(args, '--cvat', args.cvat, cvat.read)


def labelme_folder(args) -> LabelSource:
  return _annotations(args, '--labelme', args.labelme, labelme.read)


def _annotations(args, flag: str, path: str, read_annotations: Callable[[str], drawing.Annotations]) -> LabelSource:
  def read(path, images):
    annotated, names = read_annotations(os.path.join(args.data_dir, path))
    skipped = Counter(kind for image in annotated for kind in image.skipped)
    if skipped:
      kinds = ', '.join(f'{number} {kind}' for kind, number in sorted(skipped.items()))
      listing.warn(f'{path}: shapes without an area are left out ({kinds})')
    labels, faults = pairing.labels_by_image(images, annotated, path)
    return labels, names, faults

  def converter(ids):
    fill = ids[classes.background_of(list(ids))] if args.unlabelled == 'background' else VOID
    return lambda image, annotated: drawing.paint(annotated, image, ids, fill)

  meaning = f'pixels without a label are {args.unlabelled}'
  return LabelSource(flag, path, read, converter, meaning, has_names=True, unlabelled=args.unlabelled)
