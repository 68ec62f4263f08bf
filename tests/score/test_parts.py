"""Merged scores: those of the parts of a data set, however it was split, add up to those of the whole."""

import json

import numpy as np
import pytest

from pyscripts.benchmark import benchmark_by_instance, benchmark_by_mIoU
from tests.score import scored

NAMES = 'abcde'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """Five pairs in two folders, and their instances, coded as Cityscapes codes them."""
  folder, rng = tmp_path_factory.mktemp('parts'), np.random.default_rng(4)
  for name in NAMES:
    truth = scored.blobs(rng, 24, 32, [0, 1, 11, 13, 13, 255])
    path = f'ulm/{name}.png' if name < 'c' else f'bonn/{name}.png'
    scored.save(folder / 'gt' / path, truth)
    scored.save(folder / 'pred' / path, scored.spoiled(rng, np.where(truth == 255, 0, truth), range(15)))
    number = scored.blobs(rng, 24, 32, range(3)).astype(np.uint16)
    scored.save(folder / 'inst' / path, np.where(truth == 13, 26_000 + number, truth).astype(np.uint16))
  return folder


def score(data, capsys, script, names, *flags):
  """Scores the images `names` -> standard output, the JSON file, and the CSV file's text."""
  (data / f'{names}.txt').write_text(''.join(f'{name}.jpg\n' for name in names))
  folders = ['--pred-dir', data / 'pred', '--gt-dir', data / 'gt', '--data-list', data / f'{names}.txt']
  return run(data, capsys, script, names, *folders, *flags)


def run(data, capsys, script, out, *flags):
  flags = [*flags, '--json', data / f'{out}.json', '--csv', data / f'{out}.csv']
  code, printed, err = scored.outcome(script, flags, capsys)
  assert code == 0, err
  return printed, json.loads((data / f'{out}.json').read_text()), (data / f'{out}.csv').read_text()


@pytest.mark.parametrize('parts', [['a', 'b', 'c', 'd', 'e'], ['eb', 'adc'], ['abcde']])
@pytest.mark.parametrize('script, flags', [
  (benchmark_by_mIoU, ['--num-classes', '14']),
  (benchmark_by_mIoU, ['--num-classes', '19', '--cityscapes', '--boundary', '--boundary-band', '0.05', '--inst-dir']),
  (benchmark_by_instance, ['--num-classes', '14', '--inst-dir']),
])  # fmt: skip
def test_merged_parts_score_as_the_whole(data, capsys, script, flags, parts):
  flags = [*flags, data / 'inst'] if flags[-1] == '--inst-dir' else flags
  printed, whole, table = score(data, capsys, script, NAMES, *flags)
  for part in parts:
    score(data, capsys, script, part, *flags)
  files = [data / f'{part}.json' for part in parts]
  merged = run(data, capsys, script, 'merged', '--merge', *files)
  assert (merged[0], merged[2]) == (printed, table)
  where = ('pred_dir', 'gt_dir', 'merged', 'part')
  assert [item for item in merged[1].items() if item[0] not in where] == [
    item for item in whole.items() if item[0] not in where
  ]
  half = run(data, capsys, script, 'half', '--merge', *files[: len(files) // 2 or 1])
  again = run(data, capsys, script, 'again', '--merge', data / 'half.json', *files[len(files) // 2 or 1 :])
  assert half[1]['images'] <= 5 and (again[0], again[2]) == (printed, table)


CLASSES = ['--num-classes', '14']
REFUSED = {
  'an image twice': (['a', 'ab'], [[], []], [], ['ab.json', 'ulm/a.png', 'a.json', 'one part']),
  'other classes': (['a', 'b'], [[], ['--num-classes', '15']], [], ['b.json', 'num_classes is 15', '14', 'a.json']),
  'other class names': (['a', 'b'], [[], ['--class-names', 'NAMES']], [], ['b.json', 'class 0 is k0, and 0 in']),
  'other scores': (['a', 'b'], [['--boundary'], []], [], ['b.json', 'boundary is False', 'a.json', 'same flags']),
  'a flag without effect': (['a', 'b'], [[], []], ['--num-classes', '14'], ['--num-classes', 'no effect']),
  'no file': (['a'], [[]], ['none.json'], ['none.json', 'no such file']),
  'not JSON': (['a'], [[]], ['list.txt'], ['list.txt', 'no sums to merge', '--json']),
  'JSON of something else': (['a'], [[]], ['other.json'], ['other.json', 'no sums to merge']),
  'damaged sums': (['a'], [[]], ['damaged.json'], ['damaged.json', 'no sums to merge']),
}


@pytest.mark.parametrize('names, flags, more, words', REFUSED.values(), ids=REFUSED)
def test_refusals_are_one_line(data, capsys, monkeypatch, names, flags, more, words):
  monkeypatch.chdir(data)
  (data / 'NAMES').write_text('\n'.join(f'k{i}' for i in range(14)))
  for name, changed in zip(names, flags, strict=True):
    _, content, _ = score(data, capsys, benchmark_by_mIoU, name, *CLASSES, *changed)
  (data / 'list.txt').write_text('a.jpg\n')
  (data / 'other.json').write_text('{"images": 3}')
  (data / 'damaged.json').write_text(json.dumps({**content, 'part': content['part'][:40]}))
  argv = ['--merge', *(data / f'{name}.json' for name in names), *more, '--json', data / 'refused.json']
  code, out, err = scored.outcome(benchmark_by_mIoU, argv, capsys)
  assert (code, out) == (2, '') and err.startswith('error: ') and err.count('\n') == 1, err
  assert not [word for word in words if word not in err], err
  assert not (data / 'refused.json').exists()


def test_instance_wise_merge_needs_instances(data, capsys):
  score(data, capsys, benchmark_by_mIoU, 'a', *CLASSES)
  code, _, err = scored.outcome(benchmark_by_instance, ['--merge', data / 'a.json'], capsys)
  assert code == 2 and 'a.json: was scored without --inst-dir' in err
