"""Score predictions by instance-wise mIoU: each image's IoU of a class counts once for every instance of the class."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import benchmark, errors, metrics, scoring


def main(argv=None) -> None:
  flags = benchmark.parser(__doc__)
  flags.add_argument('--inst-dir', required=True, help='folder of instance id images, 8 or 16 bit; 255 is void')
  flags.add_argument(
    '--inst-string-replace',
    default='',
    metavar='OLD,NEW',
    help='how a prediction path becomes the instance image; by default as --string-replace says',
  )
  args = flags.parse_args(argv)
  names = benchmark.class_names(args)
  makers = {'confusion': scoring.Confusion, 'instances': scoring.InstanceWise}
  scores = scoring.score(benchmark.files(args), args.num_classes, makers)
  benchmark.print_iou(scores['instances'].iou(), metrics.pixel_accuracy(scores['confusion'].matrix), names)


if __name__ == '__main__':
  sys.exit(errors.run(main))
