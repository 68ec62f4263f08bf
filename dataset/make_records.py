"""Puts the images and labels of a list into one ArrayRecord file, for file systems that are slow with many small files.

Training reads it as --data-list FILE.array_record, without --data-dir: the order, images and labels are the list's, bit
for bit. The originals are only read. Needs the package array-record (pip install array-record).
"""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tqdm import tqdm

from utils import arguments, errors, files, labels, lists, records
from utils.errors import InputError, RunError

LARGEST = 1 << 30  # bytes of an image file


def main(argv=None):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--data-dir', default='', help="the folder that the list's paths are relative to")
  parser.add_argument('--data-list', required=True, help='one line per image: `image label`')
  parser.add_argument('--out', default='', help='the file to write; default: LIST.array_record beside the list')
  args = parser.parse_args(argv)
  out = args.out or str(pathlib.Path(args.data_list).with_suffix(records.SUFFIX))
  if not records.is_file(out):
    raise InputError(f'--out {out}: does not end with {records.SUFFIX}; rename it')
  records.need_package(out)
  files.check_output_file('--out', out)
  classes, there = labels.classes_beside(args.data_list), labels.classes_beside(out)
  if classes and there and there.names != classes.names:
    raise InputError(f'--out {out}: the classes beside it are those of other data; name another folder')
  pairs = lists.read_list(args.data_list, args.data_dir, need_label=True)
  lines = [line for _, line in lists.list_lines(args.data_list)]
  names = [[os.path.relpath(path, args.data_dir or '.') for path in pair] for pair in pairs]
  with files.whole_file(out) as temporary:
    writer = records.array_record.ArrayRecordWriter(temporary, 'group_size:1,uncompressed')  # pictures are compressed
    try:
      writer.write(json.dumps({'lines': lines, 'names': names}).encode())
      for pair in tqdm(pairs, desc='writing', unit='pair', disable=None):
        for path in pair:
          writer.write(files.read_bytes(path, 'an image or label', LARGEST))
      writer.close()
    except RuntimeError as e:
      raise RunError(
        f'{out}: cannot be written ({errors.one_line(e)[:200]}); free space, or give another --out'
      ) from None
  if classes:  # training finds them beside its list
    labels.write_classes(pathlib.Path(out).parent, classes)
  print(f'{out}: {len(pairs)} images with their labels')


if __name__ == '__main__':
  sys.exit(errors.run(main))
