"""Prepares PASCAL VOC 2012, with SBD's masks where they are given: class ids, instance ids and lists.

DATA_DIR is the unpacked VOCdevkit (training's --data-dir later). Writes VOC2012/segcls/ID.png (class ids 0 to 20, 255
is void) and VOC2012/seginst/ID.png (instances from 1, 0 is background, 255 is void) as grey PNGs for every image that
has a mask, VOC's own masks before SBD's, and the lists train, val, trainval, test and train+ (all masks but val's).
Without SBD, VOC2012/SegmentationClassAug (the merged masks of class ids that many projects hand on) takes its place.
The originals are only read. Run it again after an interruption or after adding files: it does what is left.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from dataset import convert, listing
from utils import errors, files, images, labels
from utils.errors import InputError
from utils.labels import VOID

OFFICIAL = {'train': 1464, 'val': 1449, 'trainval': 2913, 'test': 1456, 'train+': 10582}
# Output folder -> VOC's folder of palette masks; SBD's folder and the name of the struct in its files; the highest id.
MASKS = {
  'segcls': ('SegmentationClass', 'cls', 'GTcls', 20),
  'seginst': ('SegmentationObject', 'inst', 'GTinst', 254),
}
MERGED = 'SegmentationClassAug'


def main(argv=None):
  parser = listing.parser(__doc__, 'voc12', 'VOCdevkit, the folder that holds VOC2012')
  parser.add_argument('--sbd-dir', default='', help="SBD's benchmark_RELEASE; train+ lacks 9,118 images without it")
  args = parser.parse_args(argv)
  root, sbd, sbd_dir = pathlib.Path(args.data_dir), None, pathlib.Path(args.sbd_dir)
  advice = 'unpack VOCtrainval_11-May-2012.tar and give its VOCdevkit'
  places = [root, root / 'VOCdevkit', root.parent]
  devkit = listing.find_folder('--data-dir', places, advice, 'VOC2012/JPEGImages')
  if args.sbd_dir:
    places = [sbd_dir, sbd_dir / 'dataset', sbd_dir / 'benchmark_RELEASE' / 'dataset']
    sbd = listing.find_folder('--sbd-dir', places, 'unpack benchmark.tgz and give its benchmark_RELEASE', 'cls')
  faults = []
  for folder in MASKS:
    faults += convert.run(jobs(folder, devkit / 'VOC2012', sbd), folder, root=devkit / 'VOC2012').values()
  write_lists(devkit, args.list_dir)
  if devkit != root:
    print(f'the lists are relative to {devkit}: give that as --data-dir')
  labels.write_classes(args.list_dir, labels.published('voc12'))
  return errors.report(faults)


def jobs(folder: str, voc: pathlib.Path, sbd: pathlib.Path | None) -> list[convert.Job]:
  """One conversion for every image that has a mask."""
  official_folder, sbd_folder, struct, highest = MASKS[folder]
  sources = listing.files_by_stem(sbd / sbd_folder, ('.mat',)) if sbd else {}
  if folder == 'segcls' and not sbd:
    sources = listing.files_by_stem(voc / MERGED, ('.png',))
  sources |= listing.files_by_stem(voc / official_folder, ('.png',))

  def make(path: str) -> np.ndarray:
    mask = read_sbd(path, struct) if path.endswith('.mat') else images.read_label(path)
    wrong = (mask > highest) & (mask != VOID) | (mask < 0)
    if wrong.any():
      raise InputError(
        f'{path}: holds {mask[wrong][0]}, which is not an id (0 to {highest}, 255 is void); unpack the original again'
      )
    return mask.astype(np.uint8)

  return [convert.Job(path, str(voc / folder / f'{name}.png'), make) for name, path in sorted(sources.items())]


def read_sbd(path: str, struct: str) -> np.ndarray:
  """The field Segmentation of the struct GTcls or GTinst in a MATLAB file. Reading one executes nothing."""
  kind = f'a MATLAB file with {struct}.Segmentation'
  mask = listing.read_mat(path, [struct], kind, lambda found: found[struct][0, 0]['Segmentation'])
  if mask.ndim != 2 or not mask.size or mask.dtype.kind not in 'iu':
    raise InputError(
      f'{path}: {struct}.Segmentation is {mask.dtype} {list(mask.shape)}, not [H, W] ids; unpack it again'
    )
  return mask


def write_lists(devkit: pathlib.Path, list_dir: str) -> None:
  voc = devkit / 'VOC2012'
  images = listing.files_by_stem(voc / 'JPEGImages', ('.jpg',))
  masks = listing.files_by_stem(voc / 'segcls', ('.png',))
  splits = {name: read_ids(voc, name) for name in ('train', 'val', 'trainval')}
  if splits['val']:
    splits['train+'] = sorted((set(masks) | set(splits['train'])) - set(splits['val']))
  else:
    listing.warn('train+: not told from val, whose ids are missing; unpack ImageSets/Segmentation')
    splits['train+'] = []
  for name, ids in splits.items():
    listing.write_official(list_dir, name, OFFICIAL[name], devkit, ids, images, masks)
  # The test images have a folder of their own, VOC2012-test, or were unpacked into VOC2012.
  test_ids = read_ids(devkit / 'VOC2012-test', 'test', quiet=True) or read_ids(voc, 'test')
  images |= listing.files_by_stem(devkit / 'VOC2012-test' / 'JPEGImages', ('.jpg',))
  listing.write_official(list_dir, 'test', OFFICIAL['test'], devkit, test_ids, images, None)


def read_ids(voc: pathlib.Path, split: str, quiet: bool = False) -> list[str]:
  """The ids of an official split; none, with a warning, where its file is missing."""
  path = voc / 'ImageSets' / 'Segmentation' / f'{split}.txt'
  if path.exists():
    return list(dict.fromkeys(files.read_text(path, 'a list of ids').split()))
  if not quiet:
    listing.warn(f'{path}: is missing, so {split} stays empty; unpack it from the official archive')
  return []


if __name__ == '__main__':
  sys.exit(errors.run(main))
