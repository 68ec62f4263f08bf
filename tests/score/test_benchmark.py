"""The benchmark scripts: what they print, which truth they find, and that every way to count counts the same."""

import csv
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pyscripts.benchmark import benchmark_by_instance, benchmark_by_mIoU, encode_cityscapes_testid
from tests.score import scored
from utils.data import labels
from utils.score import boundaries, counting, metrics, pairs
from utils.score import files as score_files
from utils.score.image import ScoredImage

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = re.compile(r'^class (.+): (\d\d), acc: (n/a|[\d.]+%)$')


@pytest.fixture
def data(tmp_path):
  """Three pairs of four classes, and their instances; class 3 is nowhere."""
  rng = np.random.default_rng(0)
  for name in 'abc':
    truth = scored.blobs(rng, 20, 30, [0, 1, 2, 255])
    scored.save(tmp_path / 'gt' / f'{name}.png', truth)
    scored.save(tmp_path / 'inst' / f'{name}.png', scored.blobs(rng, 20, 30, [0, 1, 2, 3, 255]))
    scored.save(tmp_path / 'pred' / f'{name}.png', scored.spoiled(rng, np.where(truth == 255, 0, truth), range(3)))
  return tmp_path


def args(folder, *more, classes=4):
  return ['--pred-dir', f'{folder}/pred', '--gt-dir', f'{folder}/gt', '--num-classes', str(classes), *map(str, more)]


def matrix_of(folder, classes, names='abc'):
  read = lambda path: np.array(Image.open(path))  # noqa: E731
  return sum(metrics.confusion(read(folder / f'pred/{n}.png'), read(folder / f'gt/{n}.png'), classes) for n in names)


def test_prints_a_line_a_class_and_two_means(data, capsys):
  benchmark_by_mIoU.main(args(data))
  lines = capsys.readouterr().out.splitlines()
  matrix = matrix_of(data, 4)
  iou = metrics.iou(matrix)
  assert lines == [f'class {i}: {i:02d}, acc: {100 * iou[i]:.4f}%' for i in range(3)] + [
    'class 3: 03, acc: n/a',
    f'mean IOU: {100 * iou[:3].mean():.4f}%',
    f'mean Pixel Acc: {100 * metrics.pixel_accuracy(matrix):.4f}%',
  ]


def test_real_pairs_score_what_the_voc_devkit_gives(capsys):
  """Twelve pairs of several published models; the figures are VOCevalseg's, from the official development kit."""
  folder = ROOT / 'tests' / 'golden' / 'benchmark_voc'
  expected = {0: 98.5604, 1: 97.8104, 2: 66.2082, 3: 93.6937, 15: 71.9470, 17: 95.0357}
  for more in ([], ['--boundary']):  # counted by Pillow, and by NumPy
    benchmark_by_mIoU.main(['--pred-dir', str(folder / 'res'), '--gt-dir', str(folder / 'gt'), *more])
    lines = capsys.readouterr().out.splitlines()
    figures = [LINE.match(line).group(3) for line in lines[:21]]
    assert {i: float(x[:-1]) for i, x in enumerate(figures) if x != 'n/a'} == pytest.approx(expected, abs=2e-4)
    mean = float(lines[21].removeprefix('mean IOU: ').removesuffix('%'))
    assert mean == pytest.approx(sum(expected.values()) / len(expected), abs=2e-4)


def test_nothing_but_void_has_no_score(tmp_path, capsys):
  scored.save(tmp_path / 'gt' / 'a.png', np.full((4, 5), 255, np.uint8))
  scored.save(tmp_path / 'pred' / 'a.png', np.zeros((4, 5), np.uint8))
  benchmark_by_mIoU.main(args(tmp_path, '--boundary', '--json', tmp_path / 's.json', '--csv', tmp_path / 's.csv'))
  assert capsys.readouterr().out.splitlines()[4:6] == ['mean IOU: n/a', 'mean Pixel Acc: n/a']
  content = json.loads((tmp_path / 's.json').read_text())
  assert set(content['means'].values()) == {None} and content['classes'][0]['iou'] is None


@pytest.mark.parametrize('classes, first, last', [(21, 'background', 'tvmonitor'), (19, 'road', 'bicycle'),
                                                  (11, 'sky', 'bicyclist'), (5, '0', '4')])  # fmt: skip
def test_classes_are_named_by_their_number(data, capsys, classes, first, last):
  benchmark_by_mIoU.main(args(data, classes=classes))
  named = [match.groups()[:2] for line in capsys.readouterr().out.splitlines() if (match := LINE.match(line))]
  assert named[0] == (first, '00') and named[-1] == (last, f'{classes - 1:02d}') and len(named) == classes


def test_class_names_from_a_file(data, capsys):
  names = data / 'names.txt'
  names.write_text('sky\nwet road\ncar\nK\u00e4fer\n', encoding='utf-8')
  benchmark_by_mIoU.main(args(data, '--class-names', names))
  assert 'class wet road: 01, acc: ' in capsys.readouterr().out


def test_a_wish_for_more_prints_the_same_and_more(data, capsys):
  benchmark_by_mIoU.main(args(data))
  plain = capsys.readouterr().out.splitlines()
  benchmark_by_mIoU.main(args(data, '--boundary', '--inst-dir', data / 'inst'))
  more = capsys.readouterr().out.splitlines()
  assert more[: len(plain)] == plain
  assert {line.split(':')[0] for line in more[len(plain) :]} >= {
    'mean Class Acc', 'frequency weighted IOU', 'mean boundary IOU', 'mean boundary F', 'mean instance-wise IOU',
    'mean IOU within 1 px of boundaries'}  # fmt: skip


def test_files_hold_the_figures(data, capsys):
  benchmark_by_mIoU.main(args(data, '--json', data / 'new' / 's.json', '--csv', data / 's.csv'))
  content = json.loads((data / 'new' / 's.json').read_text())
  matrix = matrix_of(data, 4)
  np.testing.assert_array_equal(content['confusion'], matrix)
  assert content['images'] == 3 and content['classes'][3]['iou'] is None
  assert content['means']['mean_iou'] == pytest.approx(100 * metrics.mean(metrics.iou(matrix)), abs=1e-5)
  with open(data / 's.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['id'] for row in rows] == ['0', '1', '2', '3', 'mean'] and rows[3]['iou'] == ''
  assert float(rows[-1]['iou']) == pytest.approx(content['means']['mean_iou'], abs=1e-5)
  assert int(rows[1]['truth_pixels']) == matrix[1].sum()
  assert float(rows[-1]['mean_pixel_acc']) == pytest.approx(100 * metrics.pixel_accuracy(matrix), abs=1e-5)
  assert float(rows[-1]['frequency_weighted_iou']) == content['means']['frequency_weighted_iou']
  assert rows[0]['mean_pixel_acc'] == ''


def test_width_of_boundaries_can_be_chosen(data, capsys):
  """The shares are those that a metric would be given; by default its own."""
  found, _ = pairs.find(['a.png', 'b.png', 'c.png'], f'{data}/pred', f'{data}/gt', '', ('', ''), ('', ''))
  for flags, band, tolerance in (
    ([], boundaries.BAND, boundaries.TOLERANCE),
    (['--boundary-band', '0.1', '--boundary-tolerance', '0.05'], 0.1, 0.05),
  ):
    benchmark_by_mIoU.main(args(data, '--boundary', '--json', data / 's.json', *flags))
    content = json.loads((data / 's.json').read_text())
    assert (content['boundary_band'], content['boundary_tolerance']) == (band, tolerance)
    for metric, column in (
      (boundaries.BoundaryIoU(4, band), 'boundary_iou'),
      (boundaries.BoundaryF(4, tolerance), 'boundary_f'),
    ):
      for files in found:
        metric.add(ScoredImage(files, 4))
      expected = [score_files.percent(value) for value in metric.report().columns[column]]
      assert [row[column] for row in content['classes']] == expected


def test_instance_wise_script(data, capsys):
  benchmark_by_instance.main([*args(data), '--inst-dir', str(data / 'inst')])
  instance_wise = capsys.readouterr().out.splitlines()
  benchmark_by_mIoU.main(args(data, '--inst-dir', data / 'inst', '--json', data / 's.json'))
  content = json.loads((data / 's.json').read_text())
  for row, line in zip(content['classes'], instance_wise, strict=False):
    figure = LINE.match(line).group(3)
    assert figure == ('n/a' if row['instance_iou'] is None else f'{row["instance_iou"]:.4f}%')
  assert instance_wise[4] == f'mean IOU: {content["means"]["mean_instance_wise_iou"]:.4f}%'
  assert len(instance_wise) == 6


def test_cityscapes_flag_adds_its_scores(data, capsys):
  benchmark_by_mIoU.main(args(data, '--cityscapes', '--inst-dir', data / 'inst', classes=19))
  out = capsys.readouterr().out
  assert 'mean category IOU: ' in out and 'mean iIOU: n/a' in out


# Which truth belongs to a prediction.


def renamed(data, old, new):
  new.parent.mkdir(parents=True, exist_ok=True)
  old.rename(new)


def mean_iou(capsys, *argv):
  benchmark_by_mIoU.main([str(a) for a in argv])
  captured = capsys.readouterr()
  return re.search('^mean IOU: (.*)$', captured.out, re.M).group(1), captured.err


def test_truth_in_folders_is_found_by_name(data, capsys):
  flat, _ = mean_iou(capsys, *args(data))
  renamed(data, data / 'gt/a.png', data / 'gt/ulm/x/a.png')
  renamed(data, data / 'gt/b.png', data / 'gt/bonn/b.png')
  assert mean_iou(capsys, *args(data)) == (flat, '')


def test_path_comes_before_name(data, capsys):
  before, _ = mean_iou(capsys, *args(data))
  scored.save(data / 'gt/other/a.png', np.zeros((20, 30), np.uint8))
  after, said = mean_iou(capsys, *args(data))
  assert after == before and '1 files in' in said


def test_string_replace_acts_below_the_folder(data, capsys):
  plain, _ = mean_iou(capsys, *args(data))
  gt = data / 'gt'
  for name in 'abc':
    renamed(data, gt / f'{name}.png', gt / 'gtFine' / f'{name}_gtFine.png')
    renamed(data, data / f'pred/{name}.png', data / f'pred/leftImg/{name}_leftImg.png')
  renamed(data, data / 'pred', data / 'leftImg' / 'pred')
  argv = ['--pred-dir', data / 'leftImg/pred', '--gt-dir', gt, '--num-classes', 4]
  assert mean_iou(capsys, *argv, '--string-replace', 'leftImg,gtFine') == (plain, '')


def test_instances_may_be_named_otherwise(data, capsys):
  benchmark_by_instance.main([*args(data), '--inst-dir', str(data / 'inst')])
  plain = capsys.readouterr().out
  for name in 'abc':
    renamed(data, data / f'pred/{name}.png', data / f'pred/{name}_image.png')
    renamed(data, data / f'gt/{name}.png', data / f'gt/{name}_label.png')
    renamed(data, data / f'inst/{name}.png', data / f'inst/{name}_things.png')
  rules = ['--string-replace', 'image,label', '--inst-string-replace', 'image,things']
  benchmark_by_instance.main([*args(data), '--inst-dir', str(data / 'inst'), *rules])
  assert capsys.readouterr().out == plain


def test_truth_without_prediction_is_noted(data, capsys):
  (data / 'pred/b.png').unlink()
  score, said = mean_iou(capsys, *args(data))
  assert score == f'{100 * metrics.mean(metrics.iou(matrix_of(data, 4, "ac"))):.4f}%'
  assert said == f'note: 1 files in {data}/gt have no prediction; scored: 2\n'


def test_list_chooses_the_images(data, capsys):
  data_list = data / 'list.txt'
  data_list.write_bytes(b'\xef\xbb\xbfimg/a.jpg seg/a.png\r\n\r\nimg/c.jpg\n')
  score, _ = mean_iou(capsys, *args(data, '--data-list', data_list))
  assert score == f'{100 * metrics.mean(metrics.iou(matrix_of(data, 4, "ac"))):.4f}%'


@pytest.mark.parametrize('line, stem', [('a b.jpg a b.png', 'a b'), ('x/a b.PNG\ty.png', 'a b'), ('1.5.jpeg', '1.5'),
                                        ('/x/a.jpg /y/a.png', 'a'), ('a.jpg.png b.png', 'a.jpg')])  # fmt: skip
def test_names_in_lists(tmp_path, line, stem):
  (tmp_path / 'list').write_text(line)
  assert pairs.listed_stems(str(tmp_path / 'list')) == [stem]


def test_links_are_followed_and_loops_are_not(data, capsys):
  plain, _ = mean_iou(capsys, *args(data))
  renamed(data, data / 'gt', data / 'elsewhere')
  (data / 'gt').mkdir()
  (data / 'gt' / 'link').symlink_to(data / 'elsewhere')
  (data / 'elsewhere' / 'up').symlink_to(data / 'gt')
  assert mean_iou(capsys, *args(data)) == (plain, '')


# Counting.


def saved_as(path, array, mode):
  picture = Image.fromarray(array)
  if mode == 'P':
    picture.putpalette([i for i in range(256) for _ in range(3)][::-1])
  picture.save(path)


@pytest.mark.parametrize('mode', ['L', 'P', 'I;16', '1'])
@pytest.mark.parametrize('classes', [1, 2, 7, 15, 16, 255, 256])
def test_counting_by_pillow_equals_the_confusion_matrix(tmp_path, mode, classes):
  rng = np.random.default_rng(classes)
  truth, pred = (rng.integers(0, 256, [11, 13], np.uint8) for _ in range(2))
  if mode == '1':
    truth = truth > 99
  saved_as(tmp_path / 't.png', truth.astype(np.uint16) * 3 if mode == 'I;16' else truth, mode)
  saved_as(tmp_path / 'p.png', pred, 'P' if mode == 'P' else 'L')
  truth, pred = (np.array(Image.open(tmp_path / name)) for name in ('t.png', 'p.png'))
  counts = counting.Counts(classes)
  counts.add(pairs.Files('', str(tmp_path / 'p.png'), str(tmp_path / 't.png')))
  matrix = metrics.confusion(pred, truth.astype(np.uint8) if mode == '1' else truth, classes)
  np.testing.assert_array_equal([counts.truth, counts.pred, counts.both], metrics.class_pixels(matrix))
  np.testing.assert_allclose(counts.iou(), metrics.iou(matrix))
  np.testing.assert_allclose(counting.mean(counts.iou()), metrics.mean(metrics.iou(matrix)))


def test_scripts_load_neither_tensorflow_nor_numpy_to_count(data):
  code = (
    'import sys; from pyscripts.benchmark import benchmark_by_mIoU as b; b.main(sys.argv[1:]);'
    'print(*sorted({"numpy", "tensorflow", "cv2", "scipy"} & set(sys.modules)))'
  )
  run = subprocess.run([sys.executable, '-c', code, *args(data)], cwd=ROOT, capture_output=True, text=True, check=True)
  assert run.stdout.splitlines()[-1] == ''


# Encoding for the test server.


def test_encoding_keeps_the_tree_and_maps_every_id(tmp_path):
  ids = np.array([*range(19), 255], np.uint8).reshape(4, 5)
  scored.save(tmp_path / 'pred/ulm/a.png', ids)
  scored.save(tmp_path / 'pred/b.png', ids[::-1])
  encode_cityscapes_testid.main(['--pred-dir', str(tmp_path / 'pred'), '--save-dir', str(tmp_path / 'out')])
  expected = np.array([label.id for label in labels.CITYSCAPES_TRAINED] + [0]).reshape(4, 5)
  for name, want in (('ulm/a.png', expected), ('b.png', expected[::-1])):
    with Image.open(tmp_path / 'out' / name) as encoded:
      assert encoded.mode == 'L'
      np.testing.assert_array_equal(encoded, want)


def test_older_predictions_encoded_over_newer_ones_take_their_place(tmp_path):
  for value in (1, 2):
    scored.save(tmp_path / f'{value}/a.png', np.full((2, 2), value, np.uint8))
  for value in (2, 1):
    encode_cityscapes_testid.main(['--pred-dir', str(tmp_path / f'{value}'), '--save-dir', str(tmp_path / 'out')])
  with Image.open(tmp_path / 'out/a.png') as encoded:
    assert np.unique(encoded) == [labels.CITYSCAPES_TRAINED[1].id]


def test_one_bad_file_stops_no_other(tmp_path, capsys):
  for name, value in (('a', 18), ('b', 19), ('c', 0)):
    scored.save(tmp_path / f'pred/{name}.png', np.full((2, 2), value, np.uint8))
  argv = ['--pred-dir', str(tmp_path / 'pred'), '--save-dir', str(tmp_path / 'out')]
  assert encode_cityscapes_testid.main(argv) == 1
  assert 'b.png: holds 19, which is no train id' in capsys.readouterr().err
  assert sorted(path.name for path in (tmp_path / 'out').glob('*.png')) == ['a.png', 'c.png']
