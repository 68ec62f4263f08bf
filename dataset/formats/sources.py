"""The kinds of labels that prepare_own takes: how each is read, and how a mask of class ids is made from it."""

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dataset import pairing
from dataset.formats import classes, coco, cvat, drawing, labelme, masks
from utils import checks, parallel
from utils.errors import InputError
from utils.labels import VOID, voc_colours


class LabelSource(NamedTuple):
  """One kind of labels.

  `read(path, images, notes)` returns three things: image name -> label (of `images`, name -> path); class name -> what
  stands for it in the labels (`category 3`, a colour), in the order of the class ids; and a line for each file that
  failed. `converter(class_ids)` returns the function (image path, label) -> class ids, uint8 [H, W], and what was done
  (`conversion.summary`).
  """

  flag: str
  path: str  # the flag's value: a folder or file below DATA_DIR, maybe with {split}
  read: Callable[[str, dict[str, str], list[str]], tuple[dict, dict[str, str], list[str]]]
  converter: Callable | None  # None: the labels are masks of class ids, which are listed as they are
  meaning: str  # of the labels' values, written to conversion.txt
  has_names: bool  # classes have names
  unlabelled: str = 'void'  # what pixels without a label are, or background
  settings: str = ''  # what else decides the masks
  colours: Callable[[list[str]], np.ndarray] = lambda names: voc_colours(len(names))


def chosen(args) -> LabelSource:
  """The labels that the flags of prepare_own ask for.

  Raises:
    InputError: they ask for two kinds, or the colour table or the class map is faulty.
  """
  kinds = {'colors': colour_masks, 'zero_is_void': zero_is_void, 'coco': coco_file, 'labelme': labelme_folder}
  kinds['cvat'] = cvat_file
  wanted = [name for name in kinds if getattr(args, name)]
  if len(wanted) > 1:
    flags = [f'--{name.replace("_", "-")}' for name in wanted]
    raise InputError(f'{flags[0]} and {flags[1]} are labels of two kinds; give one')
  return kinds[wanted[0]](args) if wanted else _masks(args, None, 'ids')


def _masks(args, converter: Callable | None, meaning: str, names: dict[str, str] | None = None, **more) -> LabelSource:
  def read(path, images, notes):
    faults, affixes = [], (args.mask_prefix, args.mask_ending)
    inside = set(images.values())
    labels = pairing.files_by_name(
      args.data_dir, path, '--masks', masks.SUFFIXES, affixes, lambda file: file in inside, faults
    )
    return labels, names or {}, faults

  return LabelSource('--masks', args.masks, read, converter, meaning, has_names=names is not None, **more)


def mapped_names(names: dict[str, str], class_map: dict[str, str]) -> dict[str, str]:
  """Name -> the class that its pixels belong to, by a class map of names, or of ids (`category 3`: 3).

  Raises:
    InputError: the map holds a name that the labels do not.
  """
  by_id = {origin.split()[-1]: name for name, origin in names.items() if origin.startswith('category ')}
  wanted = {(by_id.get(old, old) if old not in names else old): new for old, new in class_map.items()}
  unknown = [name for name in wanted if name not in names]
  if unknown:
    raise InputError(
      f'--class-map: the labels have no class {unknown[0]!r}; they have {", ".join(list(names)[:20])}; correct the line'
    )
  return {name: wanted.get(name, name) for name in names}


def _regrouped(names: dict[str, str], mapping: dict[str, str]) -> dict[str, str]:
  """New names -> what stands for each, joined."""
  found = {}
  for old, new in mapping.items():
    origin = names[old] if new == old else f'{old}, {names[old]}'.rstrip(', ')
    found[new] = f'{found[new]}; {origin}' if new in found else origin
  return found


def zero_is_void(args) -> LabelSource:
  if args.class_map:
    raise InputError('--zero-is-void and --class-map: give --class-map alone, with a line `0 -> void`')

  def converter(ids):
    return lambda image, mask: (masks.read_zero_is_void(mask, args.ignore_label), {})

  return _masks(args, converter, f'0, {args.ignore_label} and {VOID} are void, k is class k - 1')


def colour_masks(args) -> LabelSource:
  table = {colour: classes.plain(name) for colour, name in masks.read_colour_table(args.colors).items()}
  colours = {}
  for colour, name in table.items():
    colours.setdefault(name, []).append(colour)
  names = {name: ', '.join(' '.join(map(str, colour)) for colour in values) for name, values in colours.items()}
  mapping = mapped_names(names, args.class_map)
  first = {}
  for name, values in colours.items():
    first.setdefault(mapping[name], values[0])

  def converter(ids):
    lookup = masks.lookup_table({colour: ids[mapping[name]] for colour, name in table.items()})
    advice = (
      f'add it to {args.colors} (`r g b void` if it is not a class), or was the mask smoothed when it was saved? '
      '(--color-tolerance 128 takes the nearest colour)'
    )
    return lambda image, mask: masks.read_colours(mask, lookup, advice, args.color_tolerance)

  def shown(names):
    return np.array([first.get(n, tuple(c)) for n, c in zip(names, voc_colours(len(names)), strict=True)], np.uint8)

  meaning = f'colours of {args.colors}'
  settings = f'{args.color_tolerance} {sorted(table.items())}'
  return _masks(args, converter, meaning, _regrouped(names, mapping), settings=settings, colours=shown)


def coco_file(args) -> LabelSource:
  return _annotations(args, '--coco', args.coco, coco.read)


def cvat_file(args) -> LabelSource:
  return _annotations(args, '--cvat', args.cvat, cvat.read)


def labelme_folder(args) -> LabelSource:
  return _annotations(args, '--labelme', args.labelme, labelme.read)


def _annotations(args, flag: str, path: str, read_annotations: Callable) -> LabelSource:
  def read(path, images, notes):
    found = read_annotations(os.path.join(args.data_dir, path))
    (annotated, names), faults = found if isinstance(found[0], drawing.Annotations) else (found, [])
    names = {classes.plain(name): origin for name, origin in names.items()}
    mapping = mapped_names(names, args.class_map)
    new = [
      image._replace(
        regions=[r._replace(name=mapping.get(n := classes.plain(r.name), n)) for r in image.regions],
      )
      for image in annotated
    ]
    return pairing.labels_by_image(images, new, path, notes), _regrouped(names, mapping), faults

  def converter(ids):
    fill = ids[classes.background_of(list(ids))] if args.unlabelled == 'background' else VOID
    by_area, resize = args.order == 'area', args.resize_labels
    return lambda image, annotated: drawing.paint(annotated, image, ids, fill, by_area, resize)

  meaning = f'pixels without a label are {args.unlabelled}'
  settings = f'{args.order} {args.class_map}'
  return LabelSource(flag, path, read, converter, meaning, True, args.unlabelled, settings)


def id_masks(args, pairs: list[pairing.Pair], given: list[str] | None, notes: list[str]):
  """What masks of ids need: (source, class name -> ids that stand for it, sound pairs, a line for each faulty mask).

  The source converts them where training cannot read them as they are: other formats and depths, black and white,
  palettes whose indices differ from file to file, a class map, other sizes than the images'.

  Raises:
    InputError: the values are no ids: grey levels of colours or of smoothed edges.
  """
  labelled = [pair for pair in pairs if isinstance(pair.label, str)]
  found = list(
    parallel.in_threads(
      lambda pair: masks.survey(os.path.join(args.data_dir, pair.label)), labelled, 'looking at masks', 'mask'
    )
  )
  faults = [str(survey) for survey in found if isinstance(survey, InputError)]
  if faults and len(faults) == len(found):
    raise InputError(faults[0] + (f' (and {len(faults) - 1} other masks)' if len(faults) > 1 else ''))
  bad = {pair.label for pair, survey in zip(labelled, found, strict=True) if isinstance(survey, InputError)}
  pairs = [pair for pair in pairs if pair.label not in bad]
  surveys = {
    pair.label: survey for pair, survey in zip(labelled, found, strict=True) if not isinstance(survey, InputError)
  }
  values = Counter()
  for survey in surveys.values():
    values.update(survey.values)
  top = max(values, default=0)
  transparent = any(survey.void for survey in surveys.values())
  ids = set(values) - {VOID, args.ignore_label}
  table, names = {i: i for i in ids if 0 <= i < VOID}, None
  to_ids = None  # a palette image's colours -> ids
  if top in (VOID, 65535) and set(values) == {0, top} and args.ignore_label == VOID and not transparent:
    names = given if given and len(given) == 2 else ['background', 'object']
    table = {0: 0, top: 1}
    print(f'the masks hold 0 and {top} alone: two classes, 0 is {names[0]} and {top} is {names[1]}')
  elif not args.class_map:
    _refuse_grey_levels(values, given)
    if max(ids, default=0) > VOID:
      classes.names_of_ids(ids, given, args.ignore_label, notes)
    to_ids = _palette_by_colour(surveys, notes)
  if args.class_map or args.drop_empty and names is None:
    old = names or [given[i] if given and i < len(given) else f'class_{i}' for i in range(max(table, default=-1) + 1)]
    by_value = {i: old[table[i]] for i in table}
    names, table = _renumbered(args, by_value)
  as_is = all(survey.as_is for survey in surveys.values()) and names is None and to_ids is None and not transparent
  if as_is and not (args.resize_labels and _sizes_differ(args.data_dir, pairs, surveys)):
    return _masks(args, None, 'ids'), {}, pairs, faults

  def converter(_):
    return functools.partial(_convert_ids, table, to_ids, {VOID, args.ignore_label} - table.keys())

  void = ' and '.join(str(value) for value in sorted({VOID, args.ignore_label} - table.keys()))
  source = _masks(args, converter, f'ids; {void or "nothing"} is void', settings=f'{sorted(table.items())} {to_ids}')
  origins = {}
  for name, value in zip(names or (), range(VOID), strict=False):
    origins[name] = ', '.join(str(old) for old, new in table.items() if new == value)
  return source._replace(has_names=names is not None), origins, pairs, faults


def _convert_ids(table, to_ids, void, image: str, mask: str) -> tuple[np.ndarray, dict]:
  label = masks.read_ids(mask)
  if to_ids is not None:
    survey = masks.survey(mask)
    table = {i: to_ids[colour] for i, colour in survey.palette.items() if i not in void}
  out, tally = np.full(label.shape, VOID, np.uint8), Counter()
  for value in np.unique(label).tolist():
    if value in table:
      out[label == value] = table[value]
    elif value not in void:
      raise InputError(f'{mask}: holds {value}, and class ids end at {VOID - 1}; are these instance ids?')
  return out, tally


def _renumbered(args, by_value: dict[int, str]) -> tuple[list[str], dict[int, int]]:
  """The class names after the class map, and mask value -> class id."""
  mapping = {name: name for name in by_value.values()}
  for old, new in args.class_map.items():
    name = old if old in mapping else by_value.get(int(old)) if old.isdecimal() else None
    if name is None:
      raise InputError(
        f'--class-map: the masks have no class {old!r}; they have {", ".join(list(mapping)[:20])}; correct the line'
      )
    mapping[name] = new
  values = sorted(by_value)
  names = list(dict.fromkeys(mapping[by_value[i]] for i in values if not classes.is_void(mapping[by_value[i]])))
  ids = {name: i for i, name in enumerate(names)}
  return names, {i: ids.get(mapping[by_value[i]], VOID) for i in values}


def _refuse_grey_levels(values: Counter, given: list[str] | None) -> None:
  between = {value: pixels for value, pixels in values.items() if 0 < value < VOID}
  total = values.total()
  if values[0] and values[VOID] and len(between) > 4 and sum(between.values()) < total / 4 and given is None:
    raise InputError(
      f'the masks hold 0, 255 and {len(between)} levels between: ids are mostly gaps, so these are smoothed edges of '
      'black and white masks; give --colors colors.txt --color-tolerance 128, with the lines `0 0 0 background` and '
      '`255 255 255 object` in that file'
    )
  classes_in_use = between.keys() | ({VOID} & values.keys())
  if given is None and len(between) > 1 and max(between) > 36 and classes_in_use - {VOID} <= checks.VOC_LUMINANCES:
    raise InputError(
      "the masks hold VOC's colours turned to grey: ids are mostly gaps; take the original palette masks, or give "
      '--colors for masks of colours'
    )


def _palette_by_colour(surveys: dict[str, masks.Survey], notes: list[str]) -> dict | None:
  """Colour -> id, where an index has two colours in different files; None where palettes agree, or colours cannot tell
  the classes apart."""
  meaning, clash = {}, None
  for path, survey in surveys.items():
    for index, colour in survey.palette.items():
      other = meaning.setdefault(index, (colour, path))
      if other[0] != colour and clash is None:
        clash = f'{other[1]} and {path} (index {index} is {other[0]} and {colour})'
  if clash is None:
    return None
  if any(len(set(survey.palette.values())) < len(survey.palette) or not survey.palette for survey in surveys.values()):
    notes.append(f'palettes differ: {clash}; the indices are taken as ids, so check that they mean the same')
    return None
  to_ids = {}
  for survey in surveys.values():
    for index, colour in sorted(survey.palette.items()):
      if colour not in to_ids and index != VOID:
        taken = set(to_ids.values())
        to_ids[colour] = index if index not in taken else next(i for i in range(VOID) if i not in taken)
  notes.append(f'palettes differ: {clash}; classes are told by their colours, with the ids of the first file')
  return to_ids


def _sizes_differ(data_dir: str, pairs: list[pairing.Pair], surveys: dict[str, masks.Survey]) -> bool:
  def differs(pair) -> bool:
    try:
      return checks.image_size(os.path.join(data_dir, pair.image)) != surveys[pair.label].size
    except InputError:
      return False

  return any(parallel.in_threads(differs, [pair for pair in pairs if pair.label], 'sizes'))
