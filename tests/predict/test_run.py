"""The prediction scripts, run as people run them, on a small real network."""

import concurrent.futures
import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from seg_models.image_reader import decode_image
from tests.data.trees import turned
from tests.predict import predicted
from tests.predict.predicted import CLASSES, NETWORK, ROOT, files, flags, gray, pixels, run
from utils import images, labels
from utils.labels import voc_colours
from utils.predict import flags as inference_flags
from utils.predict import outputs
from utils.predict import run as predict

checkpoint, folder = predicted.checkpoint, predicted.folder


@pytest.fixture(scope='session')
def whole(checkpoint, folder, tmp_path_factory):
  """The output folder of one run over all pictures, everything written."""
  save_dir = tmp_path_factory.mktemp('whole')
  assert run(flags(checkpoint, save_dir, '--image-dir', folder, '--overlay', '--save-probs')) == 0
  return save_dir


def test_outputs_have_their_formats_and_agree(whole, folder):
  assert set(files(whole)) == {
    f'{kind}/{i}{suffix}'
    for i in range(5)
    for kind, suffix in (('gray', '.png'), ('color', '.png'), ('overlay', '.png'), ('probs', '.npy'))
  }
  seen = set()
  for i in range(5):
    image, ids = Image.open(folder / f'{i}.png'), Image.open(whole / f'gray/{i}.png')
    labels, probs = np.asarray(ids), np.load(whole / f'probs/{i}.npy', allow_pickle=False)
    colours = np.asarray(Image.open(whole / f'color/{i}.png'))
    overlay = np.asarray(Image.open(whole / f'overlay/{i}.png'))
    assert ids.mode == 'L' and ids.size == image.size
    assert probs.dtype == np.float16 and probs.shape == (*labels.shape, CLASSES)
    np.testing.assert_allclose(probs.astype(float).sum(-1), 1, atol=2e-3)
    assert np.all(np.take_along_axis(probs, labels[..., None].astype(int), -1)[..., 0] == probs.max(-1))
    np.testing.assert_array_equal(colours, voc_colours(CLASSES)[labels])
    assert np.all(np.abs(overlay - (np.asarray(image) / 2 + colours / 2)) <= 0.5)
    seen |= set(np.unique(labels))
  assert len(seen) > 1  # otherwise nothing here says much


WAYS = {  # a list, or flags that name images -> the pictures that are predicted, by the names of their outputs
  'list': ('0.png\na/b/1.png 1.png\n\nclip1/../link.png not/there.png\n', {'0': 0, '1': 1, 'link': 3}),
  'list of places': ('link.png\n../beside.png\nFOLDER/1.png\n', {'link': 3, 'beside': 4, '1': 1}),
  'list of one name': ('clip0/1.png\nclip1/1.png\n', {'clip0/1': 1, 'clip1/1': 2}),
  'files': (['--image', '0.png', 'a/b/1.png'], {'0': 0, '1': 1}),
  'files of one name': (['--image', 'clip0/1.png', 'a/../clip1/1.png'], {'clip0/1': 1, 'clip1/1': 2}),
  'folder': (['--image-dir', '.'], {'0': 0, 'a/0': 0, 'a/b/1': 1, 'clip0/1': 1, 'clip1/1': 2, 'link': 3}),
}


@pytest.mark.parametrize('way', WAYS)
def test_images_and_the_names_of_their_outputs(checkpoint, folder, whole, tmp_path, monkeypatch, way):
  """Labels are not needed, links are followed. Nothing is written but below the output folder, which may lie below the
  images, and holds the outputs of one run."""
  words, pictures = WAYS[way]
  places = {'0.png': 0, 'a/0.png': 0, 'a/b/1.png': 1, '.hidden/2.png': 2, 'clip0/1.png': 1, 'clip1/1.png': 2}
  for path, i in {**places, '../beside.png': 4}.items():
    (tmp_path / 'in' / path).parent.mkdir(parents=True, exist_ok=True)
    os.link(folder / f'{i}.png', tmp_path / 'in' / path)
  (tmp_path / 'in/link.png').symlink_to(folder / '3.png')
  if isinstance(words, str):
    (tmp_path / 'list.txt').write_text(words.replace('FOLDER', str(folder)))
    words = ['--data-dir', './', '--data-list', '../list.txt']
  before = {*tmp_path.rglob('*'), *folder.rglob('*')}
  monkeypatch.chdir(tmp_path / 'in')
  for more in (['--confidence'], []):
    assert run(flags(checkpoint, 'out', *words, *more)) == 0
    assert bool(list(tmp_path.glob('in/out/confidence/**/*.png'))) == bool(more)
  want = {f'{kind}/{name}': f'{kind}/{i}.png' for kind in ('gray', 'color') for name, i in pictures.items()}
  assert files('out') == {f'{name}.png': files(whole)[path] for name, path in want.items()}
  new = {*tmp_path.rglob('*'), *folder.rglob('*')} - before
  assert all(path.is_relative_to(tmp_path / 'in/out') for path in new)


def test_photos_may_lie_below_an_output_folder_where_no_output_goes(checkpoint, tmp_path):
  """The folder above them would be refused: test_bad_input.py."""
  predicted.picture(tmp_path / 'color/cam0/x.png')
  before = files(tmp_path)
  assert run(flags(checkpoint, tmp_path, '--image-dir', tmp_path / 'color/cam0')) == 0
  after = files(tmp_path)
  assert after.keys() - before == {'color/x.png', 'gray/x.png'} and before.items() <= after.items()


def test_uncertain_pixels_become_void(checkpoint, folder, tmp_path):
  """Confidence is the highest probability, in 255ths. A palette, which of few classes could have 4 bits, holds void."""
  words = ['--image', folder / '3.png', '--save-probs', '--confidence']
  assert run(flags(checkpoint, tmp_path / 'all', *words)) == 0
  assert run(flags(checkpoint, tmp_path / 'some', *words, '--min-confidence', 0.7, '--palette')) == 0
  confidence = np.asarray(Image.open(tmp_path / 'all/confidence/3.png'))
  probability = np.load(tmp_path / 'all/probs/3.npy').max(-1)
  np.testing.assert_allclose(confidence / 255, probability, atol=0.5 / 255 + 1e-3)
  every, sure = gray(tmp_path / 'all', '3'), gray(tmp_path / 'some', '3')
  assert 0.05 < np.mean(sure == 255) < 0.95
  np.testing.assert_array_equal(sure[sure != 255], every[sure != 255])
  assert probability[sure == 255].max() <= 0.701 and probability[sure != 255].min() >= 0.699


def test_shards_are_the_whole(checkpoint, folder, whole, tmp_path):
  for part in (1, 2, 3):
    run(flags(checkpoint, tmp_path, '--image-dir', folder, '--overlay', '--save-probs', '--shard', f'{part}/3'))
    assert len(list((tmp_path / 'gray').iterdir())) == (2, 4, 5)[part - 1]
  assert files(tmp_path) == files(whole)
  assert run(flags(checkpoint, tmp_path / 'x', '--image', folder / '0.png', '--shard', '2/2')) == 0  # nothing to do


@pytest.mark.parametrize(('first', 'second', 'taken'), [
  (None, None, True),
  (None, '1/2', True),
  ('1/2', '3/4', True),
  ('1/2', '1/2', True),
  ('1/2', '2/2', False),
])  # fmt: skip
def test_two_runs_share_a_folder_only_by_parts_that_do_not_overlap(
  checkpoint, folder, tmp_path, capsys, first, second, taken
):
  words = flags(checkpoint, tmp_path, '--image', folder / '0.png', folder / '1.png')
  first, second = (['--shard', part] if part else [] for part in (first, second))
  args = inference_flags.parse('', [*words, *first])
  with outputs.Outputs(args).claim(args.shard):
    assert run([*words, *second]) == (2 if taken else 0)
  err = capsys.readouterr().err
  assert (f'process {os.getpid()} on ' in err and 'is writing there' in err) == taken
  assert bool(files(tmp_path)) != taken


def test_parts_that_start_at_once_do_not_disturb_each_other(checkpoint, folder, tmp_path):
  def claim_often(part):
    args = inference_flags.parse('', flags(checkpoint, tmp_path, '--image-dir', folder, '--shard', f'{part}/4'))
    for _ in range(100):
      with outputs.Outputs(args).claim(args.shard):
        pass

  with concurrent.futures.ThreadPoolExecutor(4) as threads:
    list(threads.map(claim_often, range(1, 5)))
  assert [path.name for path in tmp_path.iterdir()] == ['classes.csv']


def test_skip_existing_makes_what_is_missing_and_nothing_else(checkpoint, folder, whole, tmp_path, capsys):
  everything = ['--image-dir', folder, '--overlay', '--save-probs', '--skip-existing']
  assert run(flags(checkpoint, tmp_path, *everything)) == 0
  times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.*')}
  lost = {tmp_path / 'gray/1.png', tmp_path / 'probs/3.npy'}
  for path in lost:
    path.unlink()
  assert run(flags(checkpoint, tmp_path, *everything)) == 0
  assert files(tmp_path) == files(whole)
  again = {path for path in times if path.stat().st_mtime_ns != times[path]}
  assert lost <= again and {path.stem for path in again} - {'classes'} == {'1', '3'}
  capsys.readouterr()
  assert run(flags('/no/such/checkpoint', tmp_path, *everything)) == 0  # not even the network is needed
  assert 'nothing left to predict' in capsys.readouterr().out


@pytest.mark.parametrize(('model', 'padded'), [('fcn8s', '56,64'), ('pspnet', '96,96')])
def test_whole_image_is_the_window_of_its_padded_size(folder, tmp_path, model, padded):
  """Image 2 has 54 x 60 pixels. To the last bit."""
  checkpoint = predicted.save_drawn(tmp_path / 'model.ckpt-0', model)
  network = ['--model', model, *NETWORK[2:]]
  images = ['--image', folder / '2.png', '--save-probs']
  assert run(flags(checkpoint, tmp_path / 'whole', *images, '--whole-image', network=network)) == 0
  windows = ['--input-size', padded, '--strides', padded, '--batch-size', '1']
  assert run(flags(checkpoint, tmp_path / 'windows', *images, network=network, windows=windows)) == 0
  assert files(tmp_path / 'whole') == files(tmp_path / 'windows')


def test_bfloat16_is_nearly_float32(checkpoint, folder, whole, tmp_path):
  assert run(flags(checkpoint, tmp_path, '--image-dir', folder, '--precision', 'bfloat16', '--save-probs')) == 0
  for i in range(5):
    one, other = (np.load(where / f'probs/{i}.npy').astype(float) for where in (tmp_path, whole))
    assert 0 < np.abs(one - other).mean() < 0.02
    assert np.mean(gray(tmp_path, i) == gray(whole, i)) > 0.9


def test_palette_images_hold_the_same_ids(checkpoint, folder, whole, tmp_path):
  colormap = ROOT / 'misc/colormapcs.mat'
  assert run(flags(checkpoint, tmp_path, '--image', folder / '0.png', '--palette', '--colormap', colormap)) == 0
  image = Image.open(tmp_path / 'gray/0.png')
  assert image.mode == 'P'
  np.testing.assert_array_equal(np.asarray(image), gray(whole, 0))
  colours = np.asarray(Image.open(tmp_path / 'color/0.png'))
  np.testing.assert_array_equal(np.asarray(image.convert('RGB')), colours)
  np.testing.assert_array_equal(colours, labels.read_colormap(str(colormap))[np.asarray(image)])


# Pictures of every kind.


def stored(image, kind, **options) -> bytes:
  data = io.BytesIO()
  image.save(data, kind, **options)
  return data.getvalue()


RGB = Image.fromarray(pixels(20, 30))
KINDS = {  # what a file holds -> its bytes and the picture that the network shall see
  'CMYK.jpg': (stored(RGB.convert('CMYK'), 'JPEG'), RGB),
  'grey.jpg': (stored(RGB.convert('L'), 'JPEG'), RGB.convert('L')),
  'progressive.jpg': (stored(RGB, 'JPEG', progressive=True, quality=100, subsampling=0), RGB),
  'turned by EXIF.jpg': (stored(RGB, 'JPEG', exif=turned(6), quality=100, subsampling=0), RGB),
  'sixteen.png': (stored(Image.fromarray(pixels(20, 30)[..., 0].astype(np.uint16) * 256 + 77), 'PNG'), RGB.split()[0]),
  'alpha.png': (stored(RGB.convert('RGBA'), 'PNG'), RGB),
  'grey with alpha.png': (stored(RGB.convert('LA'), 'PNG'), RGB.convert('L')),
  'palette.png': (stored(RGB.convert('P'), 'PNG'), RGB.convert('P')),
  'bits.png': (stored(RGB.convert('1'), 'PNG'), RGB.convert('1')),
  'moving.png': (stored(RGB, 'PNG', save_all=True, append_images=[Image.new('RGB', RGB.size)]), RGB),
  'JPEG.png': (stored(RGB, 'JPEG', quality=100, subsampling=0), RGB),
  'PNG.jpg': (stored(RGB, 'PNG'), RGB),
  'ünïcødé 图.png': (stored(RGB, 'PNG'), RGB),
  os.fsdecode(b'not UTF-8 \xff.png'): (stored(RGB, 'PNG'), RGB),
  'two.dots.png': (stored(RGB, 'PNG'), RGB),
  'one pixel.png': (stored(RGB.crop((0, 0, 1, 1)), 'PNG'), RGB.crop((0, 0, 1, 1))),
  'jfif.jfif': (stored(RGB, 'JPEG', quality=100, subsampling=0), RGB),
  'bmp.bmp': (stored(RGB, 'BMP'), RGB),
  'gif.gif': (stored(RGB, 'GIF'), RGB.quantize()),
  'webp.webp': (stored(RGB, 'WEBP', lossless=True), RGB),
}


def test_pictures_of_every_kind(checkpoint, tmp_path, capsys):
  """Grey is repeated, alpha dropped, 16 bits cut to 8, the first of several frames taken, EXIF's orientation applied.
  Names may hold spaces and any letters. What a folder holds besides is counted."""
  for name, (data, _) in KINDS.items():
    (tmp_path / name).write_bytes(data)
  np.save(tmp_path / 'b.npy', 1)
  assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path)) == 0
  assert '1 files are not predicted: 1 of .npy' in capsys.readouterr().err
  for name, (data, image) in KINDS.items():
    turn = images.orientation_of(data)
    want = images.upright(np.asarray(image.convert('RGB')).astype(int), turn)
    got = predict.read_image(str(tmp_path / name), np.inf)
    if name.endswith(('jpg', 'jfif', 'png')):
      np.testing.assert_array_equal(got, images.upright(decode_image(data).numpy(), turn))  # what training reads
    assert got.shape == want.shape and np.abs(got - want).mean() < 3, name
    assert gray(tmp_path / 'out', name.rpartition('.')[0]).shape == want.shape[:2]


def test_bad_pictures_are_listed_and_the_others_predicted(checkpoint, folder, whole, tmp_path, capsys):
  good = (folder / '0.png').read_bytes()
  jpeg = stored(RGB, 'JPEG')
  header = good.index(b'IHDR') + 4
  bad = {
    'empty.jpg': b'',
    'cut.jpg': jpeg[: len(jpeg) // 2],
    'half.png': good[: len(good) // 2],
    'text.png': b'no picture at all',
    'bomb.png': good[:header] + b'\0\1\0\0' * 2 + good[header + 8 :],  # says 65536 x 65536
    'flipped.png': good[:60] + bytes([good[60] ^ 255]) + good[61:],
    'twelve bits.png': stored(Image.fromarray(np.full((6, 8), 4000, np.uint16)), 'PNG'),
  }
  words = ('replace', 'cut it', '-scale 0 4095 0 255')
  says = {**dict.fromkeys(bad, words), 'pipe.png': ['is a pipe'], 'zero.png': ['is a device']}
  for name, data in bad.items():
    (tmp_path / name).write_bytes(data)
  os.mkfifo(tmp_path / 'pipe.png')
  (tmp_path / 'zero.png').symlink_to('/dev/zero')
  for name in ('0.png', '1.png'):
    (tmp_path / name).symlink_to(folder / name)
  assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path)) == 1
  out, err = capsys.readouterr()
  assert '2 of 11 images predicted' in out
  lines = [line for line in err.splitlines() if line.startswith('error:')]
  for name, words in says.items():
    [line] = [line for line in lines if str(tmp_path / name) in line]
    assert any(each in line for each in words), line
  assert len(lines) == len(says) + 1 and '9 failed' in lines[-1]
  assert set(files(tmp_path / 'out')) == {'gray/0.png', 'color/0.png', 'gray/1.png', 'color/1.png'}
  assert files(tmp_path / 'out')['gray/1.png'] == files(whole)['gray/1.png']


def test_picture_too_large_for_the_memory_is_listed(checkpoint, folder, tmp_path, monkeypatch, capsys):
  most = predict.affordable_pixels(21, (1.0,))
  assert 1e6 < most < 1e12
  assert predict.affordable_pixels(21, (0.5, 1.75)) < most and predict.affordable_pixels(200, (1.0,)) < most / 9
  monkeypatch.setattr(predict, 'affordable_pixels', lambda *_: 2000)
  assert run(flags(checkpoint, tmp_path, '--image', folder / '0.png', folder / '1.png')) == 1
  assert '75 x 37 pixels do not fit into the memory' in capsys.readouterr().err
  assert (tmp_path / 'gray/0.png').exists()


# Ends before the end.


@pytest.mark.parametrize(
  ('signum', 'code', 'lines'),
  [
    (signal.SIGTERM, 143, ['error: stopped by SIGTERM']),
    (signal.SIGKILL, -signal.SIGKILL, []),
  ],
)
def test_a_part_that_was_ended_leaves_whole_files_and_is_completed(
  checkpoint, folder, whole, tmp_path, capsys, signum, code, lines
):
  """By another machine, say: the rest of part 2 of 2 is predicted, nothing else, and no unfinished file stays."""
  (tmp_path / 'in').mkdir()
  for i in range(40):
    os.link(folder / f'{i % 5}.png', tmp_path / f'in/{i:02}.png')
  every = [(kind, i) for kind in ('gray', 'color') for i in range(1, 40, 2)]
  wanted = {f'{kind}/{i:02}.png': files(whole)[f'{kind}/{i % 5}.png'] for kind, i in every}
  words = flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path / 'in', '--shard', '2/2', '--skip-existing')
  process = predicted.stopped(words, signum)
  assert process.returncode == code and 'Traceback' not in process.stderr
  assert [line for line in process.stderr.splitlines() if line.startswith('error:')] == lines
  left = {name: data for name, data in files(tmp_path / 'out').items() if '/.' not in name and name[0] != '.'}
  done = len([name for name in left if name.startswith('gray')])
  assert 2 <= done < 20 and left.items() <= wanted.items()
  assert run(words) == 0
  assert f'{20 - done} of {20 - done} images' in capsys.readouterr().out
  assert files(tmp_path / 'out') == wanted


def test_full_disk_is_one_line_and_no_half_file(checkpoint, folder, tmp_path, monkeypatch, capsys):
  def full(path, array, palette=None):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(outputs, 'write_png', full)
  assert run(flags(checkpoint, tmp_path, '--image-dir', folder)) == 1
  err = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error:')]
  assert len(err) == 1 and 'No space left' in err[0] and str(tmp_path) in err[0] and '--skip-existing' in err[0]
  assert files(tmp_path) == {}


@pytest.mark.parametrize('script', ['inference', 'inference_msc'])
def test_help_and_bad_flags_are_answered_without_tensorflow(script, tmp_path):
  code = (
    'import sys; sys.modules["tensorflow"] = None\n'
    f'sys.path.insert(0, {str(ROOT)!r})\n'
    f'from pyscripts.inference import {script}; from utils import errors\n'
    'assert errors.run({0}.main, ["--help"]) == 0\n'
    'sys.exit(errors.run({0}.main, ["--image", "none.png", "--restore-from", "x", "--save-dir", "y"]))'
  ).replace('{0}', script)
  result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path)
  assert result.returncode == 2 and result.stderr == 'error: --image none.png: no such file\n'
  assert '--save-probs' in result.stdout and ('--flip-aug' in result.stdout) == (script == 'inference_msc')
  assert not list(tmp_path.iterdir())


def test_defaults_are_those_of_2018():
  args = inference_flags.parse('', ['--image', 'a', '--restore-from', 'b', '--save-dir', 'c'])
  assert (args.input_size, args.strides, args.num_classes, args.ignore_label) == ((480, 480), (320, 320), 21, 255)
  assert args.model == 'pspnet' and args.backbone == 'resnet_v1_101'
