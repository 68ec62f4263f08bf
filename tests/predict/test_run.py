"""The prediction scripts, run as people run them, on a small real network."""

import io
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from seg_models.image_reader import decode_image
from tests.predict import predicted
from tests.predict.predicted import (
  CLASSES,
  NETWORK,
  ROOT,
  WINDOWS,
  files,
  flags,
  gray,
  picture,
  pixels,
  run,
  start_slowly,
)
from utils import images, labels
from utils.labels import voc_colours
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


def test_list_and_files_and_folder_give_the_same(checkpoint, folder, whole, tmp_path):
  (tmp_path / 'list.txt').write_text('0.png\n1.png 1.png\n\n3.png not/there.png\n')  # no label is needed
  list_flags = ['--data-dir', str(folder) + '/', '--data-list', tmp_path / 'list.txt']
  assert run(flags(checkpoint, tmp_path / 'list', *list_flags)) == 0
  assert (
    run(flags(checkpoint, tmp_path / 'files', '--image', folder / '0.png', folder / '1.png', folder / '3.png')) == 0
  )
  want = {name: data for name, data in files(whole).items() if name[:5] in ('gray/', 'color') and name[-5] in '013'}
  assert files(tmp_path / 'list') == files(tmp_path / 'files') == want


def test_sub_folders_are_kept_and_outputs_below_the_images_are_not_predicted(checkpoint, folder, whole, tmp_path):
  for path in ('0.png', 'a/0.png', 'a/b/1.png', '.hidden/2.png'):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    os.link(folder / path[-5:], tmp_path / path)
  for _ in range(2):
    assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path)) == 0
    names = ('0.png', 'a/0.png', 'a/b/1.png')
    want = {f'{kind}/{name}': files(whole)[f'{kind}/{name[-5:]}'] for kind in ('gray', 'color') for name in names}
    assert files(tmp_path / 'out') == want


def test_images_of_one_name_keep_their_folders(checkpoint, folder, whole, tmp_path):
  """Frames of several videos in one list; a list without such names goes to one folder, as in 2018."""
  for path, image in (('clip0/1.png', '1.png'), ('clip1/1.png', '2.png')):
    (tmp_path / 'in' / path).parent.mkdir(parents=True)
    shutil.copy(folder / image, tmp_path / 'in' / path)
  (tmp_path / 'list').write_text('in/clip0/1.png\nin/clip1/1.png\n')
  words = ['--data-dir', tmp_path, '--data-list', tmp_path / 'list']
  assert run(flags(checkpoint, tmp_path / 'out', *words)) == 0
  want = files(whole / 'gray')
  assert files(tmp_path / 'out/gray') == {'clip0/1.png': want['1.png'], 'clip1/1.png': want['2.png']}


@pytest.mark.parametrize('ending', ['bmp', 'gif', 'webp', 'jfif'])
def test_other_pictures_are_predicted(checkpoint, tmp_path, capsys, ending):
  """And what a folder holds besides is counted."""
  image = Image.fromarray(predicted.pixels())
  image.save(tmp_path / f'a.{ending}', **({'lossless': True} if ending == 'webp' else {}))
  np.save(tmp_path / 'b.npy', 1)
  assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path)) == 0
  assert '1 files are not predicted: 1 of .npy' in capsys.readouterr().err
  with Image.open(tmp_path / f'a.{ending}') as stored:
    stored.convert('RGB').save(tmp_path / 'same.png')
  assert run(flags(checkpoint, tmp_path / 'out', '--image', tmp_path / 'same.png')) == 0
  if ending != 'jfif':  # TensorFlow and Pillow decode JPEG with other roundings
    np.testing.assert_array_equal(gray(tmp_path / 'out', 'a'), gray(tmp_path / 'out', 'same'))


def test_uncertain_pixels_become_void(checkpoint, folder, tmp_path):
  """Confidence is the highest probability, in 255ths."""
  words = ['--image', folder / '3.png', '--save-probs', '--confidence']
  assert run(flags(checkpoint, tmp_path / 'all', *words)) == 0
  assert run(flags(checkpoint, tmp_path / 'some', *words, '--min-confidence', 0.7)) == 0
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


@pytest.mark.parametrize('batch_size', [1, 3])
def test_batch_size_is_a_matter_of_speed(checkpoint, folder, whole, tmp_path, batch_size):
  run(flags(checkpoint, tmp_path, '--image-dir', folder, '--batch-size', batch_size))
  for i in range(5):
    assert np.mean(gray(tmp_path, i) == gray(whole, i)) > 0.999


def test_skip_existing_makes_what_is_missing_and_nothing_else(checkpoint, folder, whole, tmp_path, capsys):
  everything = ['--image-dir', folder, '--overlay', '--save-probs', '--skip-existing']
  assert run(flags(checkpoint, tmp_path, *everything)) == 0
  assert files(tmp_path) == files(whole)
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
def test_whole_image_is_the_window_of_its_padded_size(checkpoint, folder, tmp_path, model, padded):
  """Image 2 has 54 x 60 pixels. To the last bit."""
  if model == 'pspnet':
    checkpoint = predicted.save_drawn(model, tmp_path / 'model.ckpt-0')
  network = ['--model', model, *NETWORK[2:]]
  images = ['--image', folder / '2.png', '--save-probs']
  assert run(flags(checkpoint, tmp_path / 'whole', *images, '--whole-image', network=network)) == 0
  windows = ['--input-size', padded, '--strides', padded, '--batch-size', '1']
  assert run(flags(checkpoint, tmp_path / 'windows', *images, network=network, windows=windows)) == 0
  assert files(tmp_path / 'whole') == files(tmp_path / 'windows')


def test_several_scales_and_flips(checkpoint, folder, whole, tmp_path):
  """Other scores than one scale gives, and for a picture and its mirror image the same ones mirrored, nearly."""
  Image.open(folder / '3.png').transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / 'mirror.png')
  images = ['--image', folder / '3.png', tmp_path / 'mirror.png', '--save-probs']
  assert run(flags(checkpoint, tmp_path / 'a', *images, '--flip-aug', '--scale-aug'), 'inference.inference_msc') == 0
  assert run(flags(checkpoint, tmp_path / 'b', *images), 'inference.inference_msc') == 0
  one = np.load(tmp_path / 'a/probs/3.npy').astype(float)
  other = np.load(tmp_path / 'a/probs/mirror.npy').astype(float)
  assert np.abs(one - other[:, ::-1]).mean() < 0.1 * one.std()
  assert files(tmp_path / 'b')['gray/3.png'] == files(whole)['gray/3.png']
  assert np.abs(np.load(tmp_path / 'b/probs/3.npy') - one).mean() > 1e-3


def test_bfloat16_is_nearly_float32(checkpoint, folder, whole, tmp_path):
  assert run(flags(checkpoint, tmp_path, '--image-dir', folder, '--precision', 'bfloat16', '--save-probs')) == 0
  for i in range(5):
    one, other = (np.load(where / f'probs/{i}.npy').astype(float) for where in (tmp_path, whole))
    assert 0 < np.abs(one - other).mean() < 0.02
    assert np.mean(gray(tmp_path, i) == gray(whole, i)) > 0.9


def test_palette_images_hold_the_same_ids(checkpoint, folder, whole, tmp_path):
  colormap = ROOT / 'misc/colormapcs.mat'
  run(flags(checkpoint, tmp_path, '--image', folder / '0.png', '--palette', '--colormap', colormap))
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


def rotated():
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned by 90 degrees
  return exif


RGB = Image.fromarray(pixels(20, 30))
KINDS = {  # what a file holds -> its bytes and the picture that the network shall see
  'CMYK.jpg': (stored(RGB.convert('CMYK'), 'JPEG'), RGB),
  'grey.jpg': (stored(RGB.convert('L'), 'JPEG'), RGB.convert('L')),
  'progressive.jpg': (stored(RGB, 'JPEG', progressive=True, quality=100, subsampling=0), RGB),
  'turned by EXIF.jpg': (stored(RGB, 'JPEG', exif=rotated(), quality=100, subsampling=0), RGB),
  'sixteen.png': (stored(Image.fromarray(pixels(20, 30)[..., 0].astype(np.uint16) * 256 + 77), 'PNG'), RGB.split()[0]),
  'alpha.png': (stored(RGB.convert('RGBA'), 'PNG'), RGB),
  'grey with alpha.png': (stored(RGB.convert('LA'), 'PNG'), RGB.convert('L')),
  'palette.png': (stored(RGB.convert('P'), 'PNG'), RGB.convert('P')),
  'bits.png': (stored(RGB.convert('1'), 'PNG'), RGB.convert('1')),
  'moving.png': (stored(RGB, 'PNG', save_all=True, append_images=[Image.new('RGB', RGB.size)]), RGB),
  'JPEG.png': (stored(RGB, 'JPEG', quality=100, subsampling=0), RGB),
  'PNG.jpg': (stored(RGB, 'PNG'), RGB),
  'ünïcødé 图.png': (stored(RGB, 'PNG'), RGB),
  'two.dots.png': (stored(RGB, 'PNG'), RGB),
  'one pixel.png': (stored(RGB.crop((0, 0, 1, 1)), 'PNG'), RGB.crop((0, 0, 1, 1))),
}


def test_pictures_of_every_kind(checkpoint, tmp_path):
  """Grey is repeated, alpha dropped, 16 bits cut to 8, the first of several frames taken, EXIF's orientation applied.
  Names may hold spaces and any letters."""
  for name, (data, _) in KINDS.items():
    (tmp_path / name).write_bytes(data)
  assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path)) == 0
  for name, (data, image) in KINDS.items():
    turn = images.orientation_of(data)
    want = images.upright(np.asarray(image.convert('RGB')).astype(int), turn)
    got = predict.read_image(str(tmp_path / name), np.inf)
    np.testing.assert_array_equal(got, images.upright(decode_image(data).numpy(), turn))  # what training reads
    assert got.shape == want.shape and np.abs(got - want).mean() < 3, name
    assert gray(tmp_path / 'out', name.rpartition('.')[0]).shape == want.shape[:2]


def test_long_thin_pictures(checkpoint, tmp_path):
  picture(tmp_path / 'wide.png', 2, 20000)
  picture(tmp_path / 'tall.png', 2000, 1)
  assert (
    run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path, '--strides', '48,48', '--batch-size', 64)) == 0
  )
  assert gray(tmp_path / 'out', 'wide').shape == (2, 20000) and gray(tmp_path / 'out', 'tall').shape == (2000, 1)


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
  }
  for name, data in bad.items():
    (tmp_path / name).write_bytes(data)
  images = [folder / '0.png', *(tmp_path / name for name in bad), folder / '1.png']
  assert run(flags(checkpoint, tmp_path / 'out', '--image', *images)) == 1
  out, err = capsys.readouterr()
  assert '2 of 8 images predicted' in out
  lines = [line for line in err.splitlines() if line.startswith('error:')]
  for name in bad:
    words = ('replace', 'cut it')
    assert len([line for line in lines if str(tmp_path / name) in line and any(word in line for word in words)]) == 1
  assert len(lines) == len(bad) + 1 and '6 files failed' in lines[-1]
  assert set(files(tmp_path / 'out')) == {'gray/0.png', 'color/0.png', 'gray/1.png', 'color/1.png'}
  assert files(tmp_path / 'out')['gray/1.png'] == files(whole)['gray/1.png']


def test_picture_too_large_for_the_memory_is_listed(checkpoint, folder, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(predict, 'affordable_pixels', lambda *_: 2000)
  assert run(flags(checkpoint, tmp_path, '--image', folder / '0.png', folder / '1.png')) == 1
  assert '75 x 37 pixels do not fit into the memory' in capsys.readouterr().err
  assert (tmp_path / 'gray/0.png').exists()


def test_memory_is_asked_of_the_machine():
  most = predict.affordable_pixels(21, (1.0,))
  assert 1e6 < most < 1e12
  assert predict.affordable_pixels(21, (0.5, 1.75)) < most and predict.affordable_pixels(200, (1.0,)) < most / 9


def test_links_and_dots_are_followed_and_outputs_stay_in_the_folder(checkpoint, folder, whole, tmp_path):
  (tmp_path / 'data/deep').mkdir(parents=True)
  (tmp_path / 'data/link.png').symlink_to(folder / '0.png')
  picture(tmp_path / 'beside.png')
  (tmp_path / 'list.txt').write_text(f'link.png\n../beside.png\n{folder}/1.png\ndeep/../../data/./deep/../link2.png\n')
  (tmp_path / 'data/link2.png').symlink_to('link.png')
  before = set(tmp_path.rglob('*')) | set(folder.rglob('*'))
  victim = tmp_path / 'victim.png'
  victim.write_bytes(b'not to be touched')
  (tmp_path / 'out/gray').mkdir(parents=True)
  (tmp_path / 'out/gray/link.png').symlink_to(victim)
  words = flags(checkpoint, tmp_path / 'out', '--data-dir', tmp_path / 'data', '--data-list', tmp_path / 'list.txt')
  assert run(words) == 2 and victim.read_bytes() == b'not to be touched'  # a link in an output's place
  (tmp_path / 'out/gray/link.png').unlink()
  assert run(words) == 0
  new = set(tmp_path.rglob('*')) | set(folder.rglob('*'))
  assert all(path.is_relative_to(tmp_path / 'out') for path in new - before - {victim})
  assert victim.read_bytes() == b'not to be touched'
  assert {path.stem for path in (tmp_path / 'out/gray').iterdir()} == {'link', 'beside', '1', 'link2'}
  assert files(tmp_path / 'out')['gray/link.png'] == files(whole)['gray/0.png']


# In processes of their own: signals, kills, neighbours.


@pytest.fixture(scope='session')
def many(folder, tmp_path_factory):
  many = tmp_path_factory.mktemp('many')
  for i in range(200):
    os.link(folder / f'{i % 5}.png', many / f'{i:03}.png')
  return many


@pytest.mark.parametrize(
  ('signum', 'code', 'words'), [(signal.SIGTERM, 143, 'stopped by SIGTERM'), (signal.SIGINT, 130, 'interrupted')]
)
def test_stopped_runs_leave_whole_files(checkpoint, many, whole, tmp_path, signum, code, words):
  process = start_slowly(flags(checkpoint, tmp_path, '--image-dir', many), tmp_path)
  process.send_signal(signum)
  _, err = process.communicate(timeout=60)
  assert process.returncode == code
  assert [line for line in err.splitlines() if line.startswith('error:')] == [f'error: {words}']
  assert 'Traceback' not in err
  left = files(tmp_path)
  assert 0 < len(left) < 400
  for name, data in left.items():
    assert data == files(whole)[f'{name.split("/")[0]}/{int(name[-7:-4]) % 5}.png']


def test_killed_run_goes_on_where_it_was_and_a_second_process_is_sent_away(checkpoint, many, whole, tmp_path, capsys):
  process = start_slowly(flags(checkpoint, tmp_path, '--image-dir', many), tmp_path)
  assert run(flags(checkpoint, tmp_path, '--image-dir', many)) == 2
  assert f'process {process.pid} on' in capsys.readouterr().err
  process.send_signal(signal.SIGKILL)
  process.wait(60)
  process.stdout.close(), process.stderr.close()
  done = len(list((tmp_path / 'gray').glob('[!.]*')))
  assert 0 < done < 200
  assert run(flags(checkpoint, tmp_path, '--image-dir', many, '--skip-existing')) == 0
  assert f'{200 - done} of' in capsys.readouterr().out
  want, got = files(whole), files(tmp_path)
  for i in range(200):
    for kind in ('gray', 'color'):
      assert got[f'{kind}/{i:03}.png'] == want[f'{kind}/{i % 5}.png']


def test_a_lost_shard_is_completed_elsewhere(checkpoint, many, whole, tmp_path, capsys):
  """The machine of part 2 of 2 dies; part 2, started again with --skip-existing, predicts the rest and nothing else."""
  process = start_slowly(flags(checkpoint, tmp_path, '--image-dir', many, '--shard', '2/2'), tmp_path)
  process.send_signal(signal.SIGKILL)
  process.communicate(timeout=60)
  done = len(list((tmp_path / 'gray').glob('[!.]*')))
  assert run(flags(checkpoint, tmp_path, '--image-dir', many, '--shard', '2/2', '--skip-existing')) == 0
  assert f'{100 - done} of {100 - done} images' in capsys.readouterr().out
  want = {
    f'{kind}/{i:03}.png': files(whole)[f'{kind}/{i % 5}.png'] for kind in ('gray', 'color') for i in range(1, 200, 2)
  }
  assert files(tmp_path) == want


def test_shards_run_side_by_side(checkpoint, folder, whole, tmp_path):
  runs = [
    predicted.start(
      flags(checkpoint, tmp_path, '--image-dir', folder, '--overlay', '--save-probs', '--shard', f'{i}/2')
    )
    for i in (1, 2)
  ]
  for process in runs:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
  assert files(tmp_path) == files(whole)


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
    'try: errors.run({0}.main, ["--help"])\nexcept SystemExit as e: assert not e.code\n'
    'sys.exit(errors.run({0}.main, ["--image", "none.png", "--restore-from", "x", "--save-dir", "y"]))'
  ).replace('{0}', script)
  result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path)
  assert result.returncode == 2 and result.stderr == 'error: --image none.png: no such file\n'
  assert '--save-probs' in result.stdout and ('--flip-aug' in result.stdout) == (script == 'inference_msc')
  assert not list(tmp_path.iterdir())


def test_defaults_are_those_of_2018(monkeypatch):
  from utils.predict import flags as inference_flags

  args = inference_flags.parse('', ['--image', 'a', '--restore-from', 'b', '--save-dir', 'c'])
  assert (args.input_size, args.strides, args.num_classes, args.ignore_label) == ((480, 480), (320, 320), 21, 255)
  assert WINDOWS[1] == '48,48' and args.model == 'pspnet' and args.backbone == 'resnet_v1_101'
