"""The kinds of labels that prepare_own takes: how each is read, and how a mask of class ids is made from it."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dataset import listing, pairing
from dataset.formats import annotations, classes, drawing, masks
from utils import parallel
from utils.errors import InputError
from utils.labels import VOID, voc_colours

READERS = {'coco': annotations.read_coco, 'labelme': annotations.read_labelme, 'cvat': annotations.read_cvat}


class LabelSource(NamedTuple):
  """One kind of labels.

  `read(path, images, notes)` returns three things: image name -> label (of `images`, name -> path); name in the labels
  -> what stands for it there (`category 3`, a colour), in the order of the class ids; and one line for each file that
  failed. `converter(ids, names)`, of name in the labels -> class id and of the classes' names, returns the function
  (image path, label) -> class ids, uint8 [H, W], and what was done (`convert.summary`).
  """

  flag: str
  path: str  # the flag's value: a folder or file below DATA_DIR, maybe with {split}
  read: Callable[[str, dict[str, str], list[str]], tuple[dict, dict[str, str], list[str]]]
  converter: Callable | None  # None: the labels are masks of class ids; `of_ids` says what is to be done with them
  meaning: str  # of the labels' values, written to conversion.txt
  has_names: bool  # classes have names
  unlabelled: str = 'void'  # what pixels without a label are, or background
  settings: str = ''  # what else decides the masks
  colours: dict[str, masks.Colour] = {}  # name in the labels -> the first of its colours
  mapping: dict[str, str] = {}  # name in the labels -> class; `with_class_map` makes it

  def palette(self, names: list[str]) -> np.ndarray:
    """The classes' colours, uint8 [n, 3]: the labels', where these have any, else VOC's."""
    palette = voc_colours(len(names))
    for name, colour in reversed(self.colours.items()):
      if self.mapping[name] in names:
        palette[names.index(self.mapping[name])] = colour
    return palette


def chosen(args) -> LabelSource:
  """The labels that the flags of prepare_own ask for.

  Raises:
    InputError: the colour table is faulty.
  """
  if args.zero_is_void and args.class_map:
    raise InputError('--zero-is-void and --class-map: give --class-map alone, with a line `0 -> void`')
  if args.colors:
    return _colour_masks(args)
  kind = next((kind for kind in READERS if getattr(args, kind)), None)
  return _annotation_files(args, kind) if kind else _masks(args, None, 'ids')


def _masks(args, converter: Callable | None, meaning: str, names: dict[str, str] | None = None, **more) -> LabelSource:
  def read(path, images, notes):
    faults, inside, affixes = [], set(images.values()), (args.mask_prefix, args.mask_ending)
    found = pairing.files_by_name(
      args.data_dir, path, '--masks', masks.SUFFIXES, affixes, lambda file: file in inside, faults
    )
    return found, names or {}, faults

  return LabelSource('--masks', args.masks, read, converter, meaning, has_names=names is not None, **more)


def with_class_map(args, source: LabelSource, origins: dict[str, str], notes: list[str], whole: bool):
  """The source, and class name -> what stands for it in the labels, after --class-map: its lines name what the labels
  name, or ids (`category 3`, `id 3`: 3).

  Raises:
    InputError: the map holds a name that the labels do not, and these were read as a whole; or an id of several names.
  """
  by_id = defaultdict(list)
  for name, origin in origins.items():
    if origin.startswith(('category ', 'id ')):
      by_id[origin.split()[-1]].append(name)
  for old in args.class_map.keys() - origins:
    if by_id[old][1:]:
      raise InputError(f'--class-map: {old} is {" and ".join(by_id[old])}, in different files; write the names')
  wanted = {(old if old in origins else (by_id[old] or [old])[0]): new for old, new in args.class_map.items()}
  void, absent = {str(VOID), str(args.ignore_label)}, set()
  for name in sorted(wanted.keys() - origins) if whole else ():
    is_id = source.flag == '--masks' and not source.colours and name in map(str, range(256))
    if not is_id or name in void and not classes.is_void(wanted[name]):
      raise InputError(
        f'--class-map: the labels have no class {name!r}; they have {", ".join(list(origins)[:20])}; correct the line'
      )
    absent |= {name} - void
  if absent:
    notes.append(f'--class-map: no mask holds {listing.first_names(absent)}')
  mapping, found = {name: wanted.get(name, name) for name in origins}, {}
  for old, new in mapping.items():
    origin = origins[old] if new == old else f'{old}, {origins[old]}'.rstrip(', ')
    found[new] = f'{found[new]}; {origin}' if new in found else origin
  return source._replace(mapping=mapping), found


def _colour_masks(args) -> LabelSource:
  table = {colour: classes.plain(name) for colour, name in masks.read_colour_table(args.colors).items()}
  colours = {}
  for colour, name in table.items():
    colours.setdefault(name, []).append(colour)
  names = {name: ', '.join(' '.join(map(str, colour)) for colour in values) for name, values in colours.items()}

  def converter(ids, names):
    lookup = masks.lookup_table({colour: ids[name] for colour, name in table.items()})
    advice = (
      f'add it to {args.colors} (`r g b void` if it is not a class), or was the mask smoothed when it was saved? '
      '(--color-tolerance 128 takes the nearest colour)'
    )
    return lambda image, mask: masks.read_colours(mask, lookup, advice, args.color_tolerance)

  settings, first = f'{args.color_tolerance} {sorted(table.items())}', {name: c[0] for name, c in colours.items()}
  return _masks(args, converter, f'colours of {args.colors}', names, settings=settings, colours=first)


def _annotation_files(args, kind: str) -> LabelSource:
  def read(path, images, notes):
    found = READERS[kind](os.path.join(args.data_dir, path))
    return pairing.labels_by_image(images, found.images, path, notes), found.names, found.faults

  def converter(ids, names):
    background = classes.background_of(names)  # none where --drop-empty left it out
    fill = names.index(background) if background and args.unlabelled == 'background' else VOID
    by_area, resize = args.order == 'area', args.resize_labels
    return lambda image, annotated: drawing.paint(annotated, image, ids, names, fill, by_area, resize)

  meaning = f'pixels without a label are {args.unlabelled}'
  return LabelSource(f'--{kind}', getattr(args, kind), read, converter, meaning, True, args.unlabelled, args.order)


def of_ids(args, pairs: list[pairing.Pair], given: list[str] | None, notes: list[str]):
  """What masks of ids need: (source, name -> the id that it stands for, sound pairs, one line per faulty mask).

  The source converts them where training cannot read them as they are: other formats and depths, black and white,
  0 as void, palettes whose indices differ from file to file, a class map, --resize-labels.

  Raises:
    InputError: the values are no ids: grey levels of colours or of smoothed edges.
  """

  def contents(label: str) -> masks.Mask:
    return masks.read_ids(os.path.join(args.data_dir, label))._replace(ids=None)

  values, faults, paths = Counter(), [], [pair.label for pair in pairs if pair.label is not None]
  surveys = dict(parallel.sound_results(contents, paths, 'looking at masks', faults, 'mask'))
  for survey in surveys.values():
    values.update(survey.values)
  top, transparent = max(values, default=0), any(survey.void for survey in surveys.values())
  void = {VOID, args.ignore_label} | ({0} if args.zero_is_void else set())
  ids, names, by_colour = values.keys() - void, {}, None  # names: mask value -> class name
  # Mask value -> class id; a class map gives classes to higher values too.
  table = {i: i - args.zero_is_void for i in sorted(ids) if i >= 0 and (i < VOID or args.class_map)}
  objects, white = ([path for path, survey in surveys.items() if i in survey.values] for i in (1, VOID))
  if values.keys() == {0, 1, VOID} and args.ignore_label == VOID and set(objects).isdisjoint(white):
    notes.append(
      f'no mask holds both 1 and 255, which is void: {objects[0]} holds 1, {white[0]} 255; if both mean the object, '
      'save them alike'
    )
  black_and_white = top in (VOID, 65535) and values.keys() == {0, top} and args.ignore_label == VOID
  if black_and_white and not transparent and not args.zero_is_void:
    names = dict(zip((0, top), given if given and len(given) == 2 else ['background', 'object'], strict=True))
    print(f'the masks hold 0 and {top} alone: two classes, 0 is {names[0]} and {top} is {names[top]}')
  elif not args.class_map and not args.zero_is_void:
    _refuse_grey_levels(values, given)
    if given is None:
      _note_numbered_objects(surveys, void, notes)
    if max(ids, default=0) > VOID:
      classes.names_of_ids(ids, given, args.ignore_label, notes)
    by_colour = _palette_by_colour(surveys, notes)
    table = {i: i for i in sorted(by_colour.values())} if by_colour else table
  if (args.class_map or args.drop_empty) and not names:
    # A class map may name new classes in classes.txt: it names the masks' ids where it has a name for all.
    old = given if given and (not args.class_map or max(table.values(), default=0) < len(given)) else []
    names = {value: old[i] if i < len(old) else f'class_{i}' for value, i in table.items()}
  sound = [pair for pair in pairs if pair.label is None or pair.label in surveys]
  as_is = all(survey.as_is for survey in surveys.values()) and not names and by_colour is None and not transparent
  if as_is and not args.zero_is_void and not args.resize_labels:
    return _masks(args, None, 'ids'), {}, sound, faults
  void -= names.keys()

  def converter(class_ids, _):
    usual = {value: class_ids[name] for value, name in names.items()} or table

    def convert(image: str, path: str) -> tuple[np.ndarray, dict]:
      mask, in_file = masks.read_ids(path), usual
      if by_colour is not None:
        in_file = {i: usual[by_colour[colour]] for i, colour in mask.palette.items() if colour in by_colour}
      converted = np.full(mask.ids.shape, VOID, np.uint8)
      for value in mask.values.keys() - void:
        if value not in in_file:
          raise InputError(
            f'{path}: holds {value}, and class ids are 0 to {VOID - 1}; where it means no data, make it {VOID} '
            f'(`gdalwarp -dstnodata {VOID}`); or are these instance ids?'
          )
        converted[mask.ids == value] = in_file[value]
      return converted, {}

    return convert

  meaning = f'ids; {" and ".join(map(str, sorted(void))) or "nothing"} is void' + ', k is k - 1' * args.zero_is_void
  origins, settings = {name: f'id {value}' for value, name in names.items()}, f'{table} {by_colour} {sorted(void)}'
  source = _masks(args, converter, meaning, origins if names else None, settings=settings)
  return source, origins, sound, faults


def _refuse_grey_levels(values: Counter, given: list[str] | None) -> None:
  between = {value: pixels for value, pixels in values.items() if 0 < value < VOID}
  smoothed = values[0] and values[VOID] and len(between) > 4 and sum(between.values()) < values.total() / 4
  if smoothed and given is None:
    raise InputError(
      f'the masks hold 0, 255 and {len(between)} levels between: ids are mostly gaps, so these are smoothed edges of '
      'black and white masks; give --colors colors.txt --color-tolerance 128, with the lines `0 0 0 background` and '
      '`255 255 255 object` in that file'
    )


def _note_numbered_objects(surveys: dict[str, masks.Mask], void: set[int], notes: list[str]) -> None:
  """Masks whose objects are numbered, as Cellpose and StarDist write them: each holds 1 to n, and n differs."""
  found = [survey.values.keys() - void - {0} for survey in surveys.values()]
  numbers = sorted({len(ids) for ids in found})
  if numbers[1:] and numbers[-1] >= 10 and all(ids == set(range(1, len(ids) + 1)) for ids in found):
    notes.append(
      f'each mask holds all ids up to its highest, which is {numbers[0]} to {numbers[-1]}: do they number the objects '
      'of one class? Then give --class-map, with a line `1 -> object` for each of them'
    )


def _palette_by_colour(surveys: dict[str, masks.Mask], notes: list[str]) -> dict | None:
  """Colour -> id, where an index has two colours in different files; None where palettes agree, or colours cannot tell
  the classes apart."""
  meaning, clash = {}, None
  for path, survey in surveys.items():
    for index, colour in survey.palette.items():
      first, other = meaning.setdefault(index, (colour, path))
      if first != colour and clash is None:
        clash = f'{other} and {path} (index {index} is {first} and {colour})'
  if clash is None:
    return None
  if any(len(set(survey.palette.values())) < len(survey.palette) or not survey.palette for survey in surveys.values()):
    notes.append(f'palettes differ: {clash}; the indices are taken as ids, so check that they mean the same')
    return None
  ids = {}
  for survey in surveys.values():
    for index, colour in sorted(survey.palette.items()):
      if colour not in ids and index != VOID:
        ids[colour] = index if index not in ids.values() else min(set(range(VOID)) - set(ids.values()))
  notes.append(f'palettes differ: {clash}; classes are told by their colours, with the ids of the first file')
  return ids
