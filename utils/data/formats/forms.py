"""The forms in which labels come: how each is read, and how a mask of class ids is made from it."""

import os
from collections.abc import Callable
from typing import NamedTuple

from utils.data import lists, own
from utils.data.formats import annotations, class_table, coco, cvat, labelme, masks
from utils.data.labels import VOID
from utils.errors import InputError


class Form(NamedTuple):
  """`read(path)` gives labels by the names of their images, and the class names in the order of their ids, each with
  what stands for it in the file. `converter(ids)` gives a function of image path and label to the mask of class ids."""

  flag: str
  path: str  # the flag's value: a folder or file below DATA_DIR, maybe with {split}
  read: Callable[[str], tuple[dict, dict[str, str]]]
  converter: Callable | None  # None: the labels are masks of class ids
  meaning: str  # of the labels, for the record of a conversion
  named: bool  # classes have names
  unlabelled: str = 'void'  # what pixels without a label are, or background


def chosen(args) -> Form:
  """The form that the flags of prepare_own ask for.

  Raises:
    InputError: they ask for two, or the colour table is faulty.
  """
  forms = {'colors': colour_masks, 'zero_is_void': zero_is_void, 'coco': coco_file, 'labelme': labelme_folder}
  forms['cvat'] = cvat_file
  wanted = [name for name in forms if getattr(args, name)]
  if len(wanted) > 1:
    flags = [f'--{name.replace("_", "-")}' for name in wanted]
    raise InputError(f'{flags[0]} and {flags[1]} are labels of two forms; give one')
  return forms[wanted[0]](args) if wanted else Form('--masks', args.masks, _mask_reader(args), None, 'ids', False)


def _mask_reader(args, names: dict[str, str] | None = None):
  return lambda path: (own.named_files(args.data_dir, path, '--masks', ('.png',), args.mask_ending), names or {})


def zero_is_void(args) -> Form:
  def converter(ids):
    return lambda image, mask: masks.read_zero_is_void(mask, args.ignore_label)

  meaning = f'0, {args.ignore_label} and {VOID} are void, k is class k - 1'
  return Form('--masks', args.masks, _mask_reader(args), converter, meaning, named=False)


def colour_masks(args) -> Form:
  table = masks.read_table(args.colors)
  colours = {}
  for colour, name in table.items():
    colours.setdefault(name, []).append(' '.join(map(str, colour)))

  def converter(ids):
    lookup = masks.lookup({colour: ids[name] for colour, name in table.items()})
    mend = f'add it to {args.colors} (void counts for nothing), or was the mask smoothed when it was saved?'
    return lambda image, mask: masks.read_colours(mask, lookup, mend)

  read = _mask_reader(args, {name: ', '.join(values) for name, values in colours.items()})
  return Form('--masks', args.masks, read, converter, f'colours of {args.colors}', named=True)


def coco_file(args) -> Form:
  return _annotation_form(args, '--coco', args.coco, lambda path: coco.read(os.path.join(args.data_dir, path)))


def cvat_file(args) -> Form:
  return _annotation_form(args, '--cvat', args.cvat, lambda path: cvat.read(os.path.join(args.data_dir, path)))


def labelme_folder(args) -> Form:
  def read(folder):
    files = own.named_files(args.data_dir, folder, '--labelme', ('.json',))
    return labelme.read({name: os.path.join(args.data_dir, path) for name, path in files.items()})

  return _annotation_form(args, '--labelme', args.labelme, read)


def _annotation_form(args, flag: str, path: str, reader: Callable[[str], annotations.Annotations]) -> Form:
  def read(path):
    found = reader(path)
    if found.skipped:
      kinds = ', '.join(f'{number} {kind}' for kind, number in sorted(found.skipped.items()))
      lists.warn(f'{path}: shapes without an area are left out ({kinds})')
    return found.images, found.names

  def converter(ids):
    rest = ids[class_table.background_of(list(ids))] if args.unlabelled == 'background' else VOID
    return lambda image, annotated: annotations.paint(annotated, image, ids, rest)

  meaning = f'pixels without a label are {args.unlabelled}'
  return Form(flag, path, read, converter, meaning, named=True, unlabelled=args.unlabelled)
