"""The benchmark scripts: what they print, which truth they find, and that every way to count counts the same."""

import csv
import functools
import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from pyscripts.benchmark import benchmark_by_instance, benchmark_by_mIoU, encode_cityscapes_testid, report
from tests.data.trees import ROOT, photo, png, save, turned
from tests.score import scored
from utils import errors, images, labels, metrics
from utils.score import boundaries, pairs, scoring

LINE = re.compile(r'^class (.+): (\d\d), acc: (n/a|[\d.]+%)$')


@pytest.fixture
def data(tmp_path):
  """Three pairs of four classes, and their instances; class 3 is nowhere."""
  rng = np.random.default_rng(0)
  for name in 'abc':
    truth = scored.blobs(rng, 20, 30, [0, 1, 2, 255])
    save(tmp_path / 'gt' / f'{name}.png', truth)
    save(tmp_path / 'inst' / f'{name}.png', scored.blobs(rng, 20, 30, [0, 1, 2, 3, 255]))
    save(tmp_path / 'pred' / f'{name}.png', scored.spoiled(rng, np.where(truth == 255, 0, truth), range(3)))
  return tmp_path


@pytest.fixture
def printed(data, capsys):
  """Runs a script on the data -> the lines of its standard output, and its standard error."""

  def run(*more, script=benchmark_by_mIoU, classes=4):
    capsys.readouterr()
    script.main(args(data, *more, classes=classes))
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err

  return run


def args(folder, *more, classes=4):
  return ['--pred-dir', f'{folder}/pred', '--gt-dir', f'{folder}/gt', '--num-classes', str(classes), *map(str, more)]


def matrix_of(folder, names='abc'):
  read = lambda path: np.array(Image.open(path))  # noqa: E731
  return sum(metrics.confusion(read(folder / f'pred/{n}.png'), read(folder / f'gt/{n}.png'), 4) for n in names)


def lines_of(matrix):
  """What is printed of four classes, the last of which has no score."""
  iou = metrics.iou(matrix)
  return [f'class class {i}: {i:02d}, acc: {100 * iou[i]:.4f}%' for i in range(3)] + [
    'class class 3: 03, acc: n/a',
    f'mean IOU: {100 * iou[:3].mean():.4f}%',
    f'mean Pixel Acc: {100 * metrics.pixel_accuracy(matrix):.4f}%',
  ]


def test_prints_a_line_a_class_and_two_means_and_more_on_demand(data, printed):
  plain = lines_of(matrix_of(data))
  assert printed() == (plain, '')
  more, _ = printed('--boundary', '--inst-dir', data / 'inst')
  assert more[: len(plain)] == plain
  assert [line.split(':')[0] for line in more[len(plain) :]] == [
    'mean Class Acc', 'frequency weighted IOU',
    *(f'{kind} {name}' for name in ('precision', 'recall', 'f1') for kind in ('macro', 'micro')),
    'mean instance-wise IOU', 'mean boundary IOU', 'mean boundary F',
    *(f'mean IOU within {width} px of boundaries' for width in boundaries.WIDTHS)]  # fmt: skip


def test_real_pairs_score_what_the_voc_devkit_gives(capsys):
  """Twelve pairs of several published models; the figures are VOCevalseg's, from the official development kit."""
  folder = ROOT / 'tests' / 'golden' / 'benchmark_voc'
  expected = {0: 98.5604, 1: 97.8104, 2: 66.2082, 3: 93.6937, 15: 71.9470, 17: 95.0357}
  benchmark_by_mIoU.main(['--pred-dir', str(folder / 'res'), '--gt-dir', str(folder / 'gt')])
  lines = capsys.readouterr().out.splitlines()
  figures = [LINE.match(line).group(3) for line in lines[:21]]
  assert {i: float(x[:-1]) for i, x in enumerate(figures) if x != 'n/a'} == pytest.approx(expected, abs=2e-4)
  mean = float(lines[21].removeprefix('mean IOU: ').removesuffix('%'))
  assert mean == pytest.approx(sum(expected.values()) / len(expected), abs=2e-4)


def test_nothing_but_void_has_no_score(data, printed):
  for name in 'abc':
    save(data / f'gt/{name}.png', np.full((20, 30), 255, np.uint8))
  out, _ = printed('--boundary', '--json', data / 's.json', '--csv', data / 's.csv')
  assert out[4:6] == ['mean IOU: n/a', 'mean Pixel Acc: n/a']
  content = json.loads((data / 's.json').read_text())
  assert set(content['means'].values()) == {None} and content['classes'][0]['iou'] is None


def test_files_hold_the_figures(data, printed):
  printed('--json', data / 'new' / 's.json', '--csv', data / 's.csv')
  content = json.loads((data / 'new' / 's.json').read_text())
  matrix = matrix_of(data)
  np.testing.assert_array_equal(content['confusion'], matrix)
  assert content['images'] == 3 and content['classes'][3]['iou'] is None
  assert content['means']['mean_iou'] == pytest.approx(100 * metrics.mean(metrics.iou(matrix)), abs=1e-5)
  rows = list(csv.DictReader((data / 's.csv').read_text().splitlines()))
  assert [row['id'] for row in rows] == ['0', '1', '2', '3', 'mean'] and rows[3]['iou'] == ''
  assert float(rows[-1]['iou']) == pytest.approx(content['means']['mean_iou'], abs=1e-5)
  assert int(rows[1]['truth_pixels']) == matrix[1].sum()
  assert float(rows[-1]['mean_pixel_acc']) == pytest.approx(100 * metrics.pixel_accuracy(matrix), abs=1e-5)
  assert float(rows[-1]['frequency_weighted_iou']) == content['means']['frequency_weighted_iou']
  assert rows[0]['mean_pixel_acc'] == ''


def test_width_of_boundaries_can_be_chosen(data, printed):
  printed('--boundary', '--json', data / 's.json', '--boundary-band', '0.1', '--boundary-tolerance', '0.05')
  content = json.loads((data / 's.json').read_text())
  assert (content['boundary_band'], content['boundary_tolerance']) == (0.1, 0.05)
  found = [pairs.Files(f'{n}.png', f'{data}/pred/{n}.png', f'{data}/gt/{n}.png') for n in 'abc']
  count = functools.partial(boundaries.count, band_share=0.1, tolerance=0.05)
  for column, values in boundaries.report(scoring.count_files(found, 4, [count])).columns.items():
    assert [row[column] for row in content['classes']] == list(map(scoring.percent, values))


def test_instance_wise_script(data, printed):
  instance_wise, _ = printed('--inst-dir', data / 'inst', script=benchmark_by_instance)
  printed('--inst-dir', data / 'inst', '--json', data / 's.json')
  content = json.loads((data / 's.json').read_text())
  expected = [row['instance_iou'] for row in content['classes']] + [content['means']['mean_instance_wise_iou']]
  shown = ['n/a' if value is None else f'{value:.4f}%' for value in expected]
  assert [line.split(': ')[-1] for line in instance_wise[:5]] == shown
  assert instance_wise[4].startswith('mean IOU: ') and len(instance_wise) == 6


def test_cityscapes_flag_adds_its_scores(data, printed):
  out = '\n'.join(printed('--cityscapes', '--inst-dir', data / 'inst', classes=19)[0])
  assert 'mean category IOU: ' in out and 'mean iIOU: n/a' in out


# Which truth belongs to a prediction.


def move(data, names):
  for old, new in names.items():
    (data / new).parent.mkdir(parents=True, exist_ok=True)
    (data / old).rename(data / new)


def test_string_replace_acts_below_the_folder(data, printed):
  before = printed('--inst-dir', data / 'inst')
  for folder, end in (('pred', 'image'), ('gt', 'label'), ('inst', 'things')):
    move(data, {f'{folder}/{name}.png': f'image/{folder}/{end}/{name}_{end}.png' for name in 'abc'})
  save(data / 'image/gt/other/a_label.png', np.zeros((20, 30), np.uint8))  # its path alone tells it from a's
  folders = [f'--{folder}-dir={data}/image/{folder}' for folder in ('pred', 'gt', 'inst')]
  flags = ['--string-replace', 'image,label', '--inst-string-replace', 'image,things']
  assert printed(*folders, *flags)[0] == before[0]


def test_path_comes_before_name_and_truth_without_prediction_is_noted(data, printed):
  save(data / 'gt/other/a.png', np.zeros((20, 30), np.uint8))
  (data / 'pred/b.png').unlink()
  note = f'note: 2 files in {data}/gt have no prediction; scored: 2\n'
  assert printed() == (lines_of(matrix_of(data, 'ac')), note)


def test_list_chooses_the_images(data, printed):
  (data / 'list.txt').write_bytes(b'\xef\xbb\xbfimg/a.jpg seg/a.png\r\n\r\nimg/c.jpg\n')
  assert printed('--data-list', data / 'list.txt')[0] == lines_of(matrix_of(data, 'ac'))


@pytest.mark.parametrize('line, stem', [('a b.jpg a b.png', 'a b'), ('x/a b.PNG\ty.png', 'a b'), ('1.5.jpeg', '1.5'),
                                        ('/x/a.jpg /y/a.png', 'a'), ('a.jpg.png b.png', 'a.jpg')])  # fmt: skip
def test_names_in_lists(tmp_path, line, stem):
  (tmp_path / 'list').write_text(line)
  assert [*map(pairs.stem, pairs.listed_images(str(tmp_path / 'list')))] == [stem]


def test_equal_names_in_sub_folders_are_told_apart_by_the_list(tmp_path):
  for name in ('x/a.png', 'y/a.png', 'b.png'):
    save(tmp_path / 'pred' / name, np.zeros((2, 3), np.uint8))
  (tmp_path / 'list').write_text('root/y/a.jpg truth/a.png\nz/b.jpg\n')
  assert pairs.predictions(str(tmp_path / 'pred'), str(tmp_path / 'list')) == ['y/a.png', 'b.png']
  (tmp_path / 'list').write_text('z/a.jpg\n')
  with pytest.raises(errors.InputError, match='x/a.png and y/a.png could both be the prediction of z/a.jpg'):
    pairs.predictions(str(tmp_path / 'pred'), str(tmp_path / 'list'))


def test_the_list_may_name_the_truth(tmp_path, capsys):
  """Of other names, in other folders, one drawn on a photo as it is stored, turned: as they were trained on."""
  rng = np.random.default_rng(0)
  for name, turn in (('1', 1), ('2', 6)):
    stored = scored.blobs(rng, 20, 30, range(4))
    save(tmp_path / f'masks/{name}_mask.png', stored)
    save(tmp_path / f'pred/{name}_sat.png', images.upright(stored, turn))
    photo(tmp_path / f'photos/{name}_sat.jpg', 20, 30, exif=turned(turn))
  save(tmp_path / 'photos/1_sat.png', np.zeros((20, 30), np.uint8))  # what the name alone would find
  (tmp_path / 'list.txt').write_text(''.join(f'photos/{i}_sat.jpg masks/{i}_mask.png\n' for i in '12'))
  argv = ['--pred-dir', tmp_path / 'pred', '--data-dir', tmp_path, '--num-classes', 4]
  code, out, err = scored.outcome(benchmark_by_mIoU, [*argv, '--data-list', tmp_path / 'list.txt'], capsys)
  assert (code, err) == (0, '') and 'mean IOU: 100.0000%' in out
  page = [*argv, '--data-list', tmp_path / 'list.txt', '--out', tmp_path / 'report.html']
  assert scored.outcome(report, page, capsys)[0] == 0 and 'image/jpeg' in (tmp_path / 'report.html').read_text()
  for wrong in ([*argv], [*argv, '--gt-dir', tmp_path, '--data-list', tmp_path / 'list.txt']):
    code, _, err = scored.outcome(benchmark_by_mIoU, wrong, capsys)
    assert code == 2 and '--gt-dir, or --data-dir with --data-list' in err


def test_links_are_followed_and_loops_are_not(data, printed):
  """The truth is in a folder below the given one, as Cityscapes' is."""
  before = printed()
  move(data, {'gt': 'elsewhere'})
  (data / 'gt').mkdir()
  (data / 'gt' / 'link').symlink_to(data / 'elsewhere')
  (data / 'elsewhere' / 'up').symlink_to(data / 'gt')
  assert printed() == before


# Counting.


def test_truth_of_more_classes_is_refused_and_one_stray_value_is_named(data, capsys):
  save(data / 'gt/a.png', np.full((20, 30), 5, np.uint8))
  code, out, err = scored.outcome(benchmark_by_mIoU, args(data), capsys)
  assert (code, err.count('\n')) == (0, 2) and 'a.png: the ground truth holds 5 (600 pixels)' in err
  assert 'void everywhere' in err and out
  code, _, err = scored.outcome(benchmark_by_mIoU, args(data, '--ignore-label', 5), capsys)
  assert code == 0 and 'holds' not in err
  for folder in ('gt', 'pred'):
    save(data / folder / 'b.png', np.full((20, 30), 6, np.uint8))
  code, out, err = scored.outcome(benchmark_by_mIoU, args(data), capsys)
  assert (code, out) == (2, '') and '5 (600 pixels), 6 (600 pixels)' in err and '--num-classes 7' in err


def test_classes_come_from_beside_the_predictions(data, capsys):
  classes = labels.Classes(['a', 'b', '=c', 'd'], labels.voc_colours(4))
  labels.write_classes(data, classes)
  benchmark_by_mIoU.main(['--pred-dir', f'{data}/pred', '--gt-dir', f'{data}/gt', '--csv', f'{data}/s.csv'])
  rows = list(csv.DictReader((data / 's.csv').read_text().splitlines()))
  assert [row['name'] for row in rows] == ['a', 'b', "'=c", 'd', '']
  labels.write_classes(data / 'gt', labels.Classes(['b', 'a', '=c', 'd'], classes.colours))
  code, _, err = scored.outcome(benchmark_by_mIoU, args(data), capsys)
  assert code == 2 and 'have another order; give --class-names' in err
  labels.write_classes(data / 'gt', labels.Classes(['a', 'B', '=c', 'd'], classes.colours))
  code, _, err = scored.outcome(benchmark_by_mIoU, args(data), capsys)
  assert code == 0 and 'name their classes differently' in err
  labels.write_classes(data / 'gt', labels.Classes(['sea', 'a', 'b'], classes.colours[:3]))
  assert scored.outcome(benchmark_by_mIoU, args(data), capsys)[0] == 2  # a class more in front
  precision, recall, f1 = (float(rows[1][name]) for name in ('precision', 'recall', 'f1'))
  assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-4)


# Encoding for the test server.


def test_encoding_keeps_the_tree_maps_every_id_and_replaces_what_is_there(tmp_path):
  ids = np.array([*range(19), 255], np.uint8).reshape(4, 5)
  expected = np.array([label.id for label in labels.CITYSCAPES_TRAINED] + [0]).reshape(4, 5)
  for step in (1, -1):  # the second time over the first, whose files are newer than these predictions
    save(tmp_path / 'pred/ulm/a.png', ids[::step])
    save(tmp_path / 'pred/b.png', ids[::-step])
    os.utime(tmp_path / 'pred/b.png', (0, 0))
    assert not encode_cityscapes_testid.main([f'--pred-dir={tmp_path}/pred', f'--save-dir={tmp_path}/out'])
    for name, want in (('ulm/a.png', expected[::step]), ('b.png', expected[::-step])):
      found, mode = png(tmp_path / 'out' / name)
      np.testing.assert_array_equal(found, want)
      assert mode == 'L'
  assert len(list((tmp_path / 'out').rglob('*.*'))) == 2
