"""The HTML report: its figures are the benchmark's, its pictures are right, a browser draws it without complaint."""

import base64
import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from pyscripts.benchmark import benchmark_by_mIoU, report
from tests.data.trees import photo, save, turned
from tests.score import scored
from utils import images, labels
from utils.score import pairs
from utils.score import report as reports

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)
CLASSES = ['sky', '</script><b>"$1', 'K\u00e4fer']  # a name must not become part of the page


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """Five images, predicted badly (old) and better (new)."""
  folder = tmp_path_factory.mktemp('report')
  rng = np.random.default_rng(0)
  for name in 'abcde':
    truth = scored.blobs(rng, 20, 30, [0, 1, 2, 255])
    save(folder / 'gt' / f'{name}.png', truth)
    for which, share in (('old', 0.6), ('new', 0.1)):
      guess = scored.spoiled(rng, np.where(truth == 255, 0, truth), range(4), share * rng.random() + 0.05)
      save(folder / which / 'gray' / f'{name}.png', guess)
    save(folder / 'images' / 'sub' / f'{name}.jpg', rng.integers(0, 256, (20, 30, 3), np.uint8))
  (folder / 'names.txt').write_text('\n'.join(CLASSES), encoding='utf-8')
  return folder


def args(folder, *more, preds=('old', 'new'), out='report.html'):
  dirs = [str(folder / name / 'gray') for name in preds]
  return ['--pred-dir', *dirs, '--gt-dir', str(folder / 'gt'), '--num-classes', '3', '--class-names',
          str(folder / 'names.txt'), '--out', str(folder / out), *map(str, more)]  # fmt: skip


def page_of(folder, *more, **changed):
  report.main(args(folder, *more, **changed))
  return (folder / changed.get('out', 'report.html')).read_text(encoding='utf-8')


def data_of(page):
  return json.loads(re.search('<script type="application/json" id="data">(.*)</script>', page).group(1))


def test_figures_are_the_benchmarks(data, capsys):
  shown = data_of(page_of(data))
  for folder, name in zip(shown['folders'], ('old', 'new'), strict=True):
    flags = ['--pred-dir', f'{data}/{name}/gray', '--gt-dir', f'{data}/gt', '--num-classes', '3', '--boundary']
    benchmark_by_mIoU.main([*flags, '--json', f'{data}/{name}.json'])
    scores = json.loads((data / f'{name}.json').read_text())
    assert folder['name'] == name and folder['confusion'] == scores['confusion']
    assert list(folder['means'].values()) == [
      scores['means'][key] for key in list(scores['means']) if not key.startswith('mean_iou_within')
    ]
    assert folder['columns']['boundary_f'] == [row['boundary_f'] for row in scores['classes']]
    assert folder['curve'][1] == scores['means']['mean_iou_within_2_px_of_boundaries']
  assert [row['name'] for row in shown['classes']] == CLASSES


def test_groups_are_worst_best_and_most_changed(data):
  shown = data_of(page_of(data, '--num-images', 2))
  all_of_them = data_of(page_of(data, '--num-images', 99))
  new = sorted(strip['iou'][1] for strip in all_of_them['strips'])
  changes = sorted(abs(strip['iou'][1] - strip['iou'][0]) for strip in all_of_them['strips'])
  of = lambda group, key: [key(shown['strips'][i]) for i in shown['groups'][group]]  # noqa: E731
  assert of('worst', lambda s: s['iou'][1]) == new[:2]
  assert of('best', lambda s: s['iou'][1]) == new[::-1][:2]
  assert of('most changed', lambda s: abs(s['iou'][1] - s['iou'][0])) == changes[::-1][:2]
  assert 'most changed' not in data_of(page_of(data, preds=('new',)))['groups']
  assert data_of(page_of(data, '--num-images', 0))['strips'] == []


def picture(uri):
  return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(',', 1)[1]))).convert('RGB'))


def test_pictures_show_truth_prediction_and_errors(data):
  strip = data_of(page_of(data, '--image-dir', data / 'images'))['strips'][0]
  pictures = {entry['label']: picture(entry['src']) for entry in strip['pictures']}
  assert list(pictures) == ['image', 'truth', 'prediction old', 'errors old', 'prediction new', 'errors new']
  truth, pred = (np.array(Image.open(data / folder / strip['name'])) for folder in ('gt', 'new/gray'))
  expected = np.where((truth == pred)[..., None], np.uint8(reports.RIGHT), np.uint8(reports.WRONG))
  expected[truth == 255] = reports.VOID
  np.testing.assert_array_equal(pictures['errors new'], expected)
  np.testing.assert_array_equal(np.unique(pictures['truth'][truth == 1], axis=0), [(128, 0, 0)])
  np.testing.assert_array_equal(np.unique(pictures['prediction new'][pred == 2], axis=0), [(0, 128, 0)])
  assert pictures['image'].shape == (20, 30, 3)
  strip = data_of(page_of(data, '--picture-width', 16, '--image-dir', data / 'images'))['strips'][0]
  assert {picture(entry['src']).shape[1] for entry in strip['pictures']} == {16}


def test_photos_of_one_name_are_told_apart_by_folders_and_shown_upright(tmp_path):
  for folder in ('v1', 'v2'):
    photo(tmp_path / folder / 'a.jpg', 20, 30, exif=turned(6))
  found, _ = pairs.in_folder('--image-dir', str(tmp_path), 'pred', ['v1/a.png', 'v2/a.png'])
  assert found == [f'{tmp_path}/{v}/a.jpg' for v in ('v1', 'v2')]
  for path in found:  # labels that are drawn on the photos as they are stored
    stored, name = scored.blobs(np.random.default_rng(0), 20, 30, range(3)), path[len(str(tmp_path)) : -4]
    save(f'{tmp_path}/new/gray{name}.png', images.upright(stored, 6))
    save(f'{tmp_path}/gt{name}.png', stored)
  (tmp_path / 'names.txt').write_text('a\nb\nc\n')
  page = data_of(page_of(tmp_path, '--image-dir', tmp_path, preds=['new']))
  assert [strip['iou'] for strip in page['strips']] == [[100], [100]]
  ramp = np.arange(0, 60000, 100, np.uint16).reshape(20, 30)
  Image.fromarray(ramp).save(tmp_path / 'deep.png')
  strips = reports.Strips([], labels.numbered(3), 320)
  assert strips._photo(str(tmp_path / 'v1/a.jpg')).size == (20, 30)
  np.testing.assert_array_equal(np.asarray(strips._photo(str(tmp_path / 'deep.png')))[..., 0], ramp // 256)


def test_confidence_is_shown_and_its_error_printed(data, tmp_path, capsys):
  """Where every prediction has it: the picture, the curve, and the benchmark's line."""
  shutil.copytree(data / 'new', tmp_path / 'new')
  for path in (tmp_path / 'new/gray').iterdir():
    save(tmp_path / 'new/confidence' / path.name, np.full((20, 30), 204, np.uint8))
  shutil.copytree(data / 'gt', tmp_path / 'gt')
  shutil.copy(data / 'names.txt', tmp_path)
  shown = data_of(page_of(tmp_path, preds=['new']))
  assert [each['label'] for each in shown['strips'][0]['pictures']] == ['truth', 'prediction', 'errors', 'confidence']
  [folder] = shown['folders']
  right = np.trace(np.array(folder['confusion'])[:, :3]) / np.sum(np.array(folder['confusion'])[:, :3])
  assert folder['calibrationError'] == pytest.approx(100 * abs(right - 0.8), abs=1e-4)
  assert folder['reliability']['confidence'][12] == 80 and folder['reliability']['share'].count(0) == 14
  capsys.readouterr()
  benchmark_by_mIoU.main(['--pred-dir', f'{tmp_path}/new/gray', '--gt-dir', f'{tmp_path}/gt', '--num-classes', '3'])
  assert f'expected calibration error: {100 * abs(right - 0.8):.4f}%' in capsys.readouterr().out


def test_page_needs_nothing_from_elsewhere(data):
  page = page_of(data)
  assert page.count('</script>') == 2 and '<b>' not in page
  assert set(re.findall(r'https?://[^\s"\']+', page)) == {'http://www.w3.org/2000/svg'}  # a name, never fetched
  assert not re.findall(r'(?:src|href)="(?!data:)', page)


@pytest.mark.parametrize('folders, names', [('/r/base/gray /r/aaf/gray', 'base aaf'), ('/x', 'x'),
                                            ('/a/x/gray /b/x/gray', 'a/x b/x')])  # fmt: skip
def test_folders_are_told_apart_by_name(folders, names):
  assert report.own_names(folders.split(), []) == names.split()
  given = [f'n{i}' for i in range(len(names.split()))]
  assert report.own_names(folders.split(), given) == given


REFUSED = [
  ('a name too few', lambda f: args(f, '--name', 'one'), ['--name', '1 names for 2 folders']),
  ('other images', lambda f: args(f, preds=('old', 'few')), ['few/gray: has no prediction', 'b.png', '--data-list']),
  ('one name for two', lambda f: args(f, '--name', 'a', 'a'), ["--name: 'a' stands for two folders"]),
  ('image missing', lambda f: args(f, '--image-dir', f / 'few'), ['has no image', '--image-dir']),
  ('image twice', lambda f: args(f, '--image-dir', f), ['have the same name', '--image-dir']),
  ('output a folder', lambda f: args(f, out='gt'), ['--out', 'is a folder']),
  (
    'truth of more classes',
    lambda f: args(f, '--num-classes', 1, '--class-names', f / 'one'),
    ['neither a class', '--num-classes 3'],
  ),
]


@pytest.mark.parametrize('argv, words', [pytest.param(*row[1:], id=row[0].replace(' ', '-')) for row in REFUSED])
def test_refusals_are_one_line(refused, data, tmp_path, argv, words):
  shutil.copytree(data, tmp_path, dirs_exist_ok=True)
  (tmp_path / 'one').write_text('sky')
  (tmp_path / 'few' / 'gray').mkdir(parents=True)
  shutil.copy(data / 'new/gray/a.png', tmp_path / 'few/gray')
  refused(report.main, argv(tmp_path), *words)


# In a browser.

ACTIONS = """
<script>
  const head = document.querySelectorAll('#classes th button')[2];
  const column = i => [...document.querySelectorAll('#classes tbody tr')].map(row => row.children[i].textContent);
  const strips = () => [...document.querySelectorAll('.strip h3')].map(each => each.firstChild.textContent);
  const seen = {names: column(0).sort()};
  head.click(); seen.falling = column(2);
  head.click(); seen.rising = column(2);
  document.querySelectorAll('#column button')[3].click(); seen.other = column(2).length;
  seen.points = document.querySelectorAll('#trimap circle').length;
  seen.cells = document.querySelectorAll('#confusion td').length;
  document.querySelectorAll('#groups button')[1].click(); seen.worst = strips();
  const order = document.querySelector('#order');
  order.value = '1'; order.dispatchEvent(new Event('change')); seen.ordered = strips();
  seen.broken = [...document.images].filter(image => image.complete && !image.naturalWidth).length;
  document.body.setAttribute('data-seen', JSON.stringify(seen));
</script>
</body>"""


def browse(path):
  """The page as the browser has it in the end, without a complaint about it (its own pages complain of no network)."""
  command = [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=3000', '--dump-dom']
  command += ['--enable-logging=stderr', f'file://{path}']
  run = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
  said = [line for line in run.stderr.splitlines() if 'CONSOLE' in line]
  assert all('source: chrome://' in line for line in said), said
  return run.stdout


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium here')
def test_a_browser_draws_and_sorts_it(data):
  page = page_of(data, '--image-dir', data / 'images')
  shown = data_of(page)
  path = data / 'acted.html'
  path.write_text(page.replace('</body>', ACTIONS), encoding='utf-8')
  seen = json.loads(html.unescape(re.search('data-seen="([^"]*)"', browse(path)).group(1)))
  iou = sorted((f'{value:.2f}' for value in shown['folders'][0]['columns']['iou']), key=float)
  worst = [shown['strips'][i]['name'] for i in shown['groups']['worst']]
  assert seen == {
    'names': sorted(CLASSES), 'falling': iou[::-1], 'rising': iou, 'other': 3, 'worst': worst, 'ordered': sorted(worst),
    'points': 2 * len(shown['widths']), 'cells': 3 * 4, 'broken': 0}  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium here')
def test_a_browser_draws_what_has_no_score(tmp_path):
  save(tmp_path / 'gt/a.png', np.full((4, 5), 255, np.uint8))
  save(tmp_path / 'pred/a.png', np.zeros((4, 5), np.uint8))
  out = tmp_path / 'r.html'
  report.main(['--pred-dir', str(tmp_path / 'pred'), '--gt-dir', str(tmp_path / 'gt'), '--out', str(out)])
  page = browse(out)
  assert 'n/a' in page and 'no boundaries' in page
