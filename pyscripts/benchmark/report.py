"""Write one HTML file that shows the scores of one or several folders of predictions side by side: tables, confusion
matrix, trimap curve, and the best, worst and most changed images. It needs no network and no server: open it."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import arguments, errors, files
from utils.score import benchmark, report


def parse(argv):
  flags = arguments.Parser(__doc__)
  add = flags.add_argument
  add(
    '--pred-dir', required=True, nargs='+', metavar='DIR', help='folders of predictions; changes are from first to last'
  )
  add('--name', nargs='+', default=[], metavar='NAME', help='names of the folders; default: the ends of their paths')
  benchmark.add_truth_flags(flags)
  add(
    '--image-dir', default='', metavar='DIR', help='folder of the images to show beside the predictions, found by name'
  )
  add('--out', required=True, metavar='FILE', help='HTML file to write')
  add('--title', default='Segmentation report', help='heading of the page')
  add('--num-images', type=arguments.whole(0, 1000), default=6, help='images per group: best, worst, most changed')
  add('--picture-width', type=arguments.whole(16, 4096), default=320, help='width of a picture in pixels')
  return flags.parse_args(argv)


def main(argv=None) -> None:
  args = parse(argv)
  folder_names = own_names(args.pred_dir, args.name)
  classes = benchmark.chosen_classes(args, args.pred_dir)
  files.check_output_file('--out', args.out)
  found_files = [benchmark.find_files(folder, args, image_dir=args.image_dir) for folder in args.pred_dir]
  report.check_same_images(args.pred_dir, found_files)
  pairs = zip(folder_names, found_files, strict=True)
  folders = [report.Folder(name, found, args.num_classes) for name, found in pairs]
  benchmark.check_truth(args, *(folder.sums for folder in folders))
  strips = report.Strips(folders, classes, args.picture_width)
  content = report.content(args.title, folders, classes, args.num_images, strips)
  files.write_text(args.out, report.page(content))
  print(f'{args.out}: {content["images"]} images, {len(folders)} folders')


def own_names(folders: list[str], names: list[str]) -> list[str]:
  """`names`, or the shortest ends of the paths (without `gray`) that differ from folder to folder."""
  if names and len(names) != len(folders):
    raise errors.InputError(f'--name: {len(names)} names for {len(folders)} folders of --pred-dir; give one for each')
  paths = [[name for name in pathlib.Path(folder).resolve().parts if name not in ('gray', '/')] for folder in folders]
  depth = 1
  while len({tuple(path[-depth:]) for path in paths}) < len(paths) and depth < max(map(len, paths)):
    depth += 1
  found = names or ['/'.join(path[-depth:]) for path in paths]
  for name in found:
    if found.count(name) > 1:
      raise errors.InputError(f'--name: {name!r} stands for two folders of --pred-dir; give each its own name')
  return found


if __name__ == '__main__':
  sys.exit(errors.run(main))
