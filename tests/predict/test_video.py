"""--video: class ids of frames, and the overlay video."""

import shutil
import signal

import cv2
import numpy as np
import pytest
from PIL import Image

from pyscripts.inference import inference
from tests.predict import predicted
from tests.predict.predicted import CLASSES, files, flags, gray, pixels, run
from utils.labels import voc_colours
from utils.predict import video as videos

checkpoint = predicted.checkpoint
FRAMES, SIZE = 20, (48, 64)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
  """A video of coloured blocks that change with every frame."""
  path = tmp_path_factory.mktemp('clip') / 'street.scene.mp4'
  writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, videos.CODEC, 12.5, SIZE[::-1])
  for i in range(FRAMES):
    writer.write(pixels(*SIZE, seed=i))
  writer.release()
  return path


def decoded(path) -> list[np.ndarray]:
  """The frames of a video, RGB."""
  capture = cv2.VideoCapture(str(path))
  frames = []
  while (frame := capture.read()[1]) is not None:
    frames.append(frame[..., ::-1])
  return frames


@pytest.fixture(scope='module')
def whole(checkpoint, clip, tmp_path_factory):
  """The outputs of one run over the clip."""
  save_dir = tmp_path_factory.mktemp('whole')
  assert run(flags(checkpoint, save_dir, '--video', clip)) == 0
  return save_dir


def test_frames_are_predicted_as_images_are(checkpoint, clip, whole, tmp_path):
  names = [f'street.scene_{i:06}' for i in range(1, FRAMES + 1)]
  assert set(files(whole)) == {f'gray/{name}.png' for name in names} | {'video/street.scene.mp4'}
  for name, frame in zip(names, decoded(clip), strict=True):
    Image.fromarray(frame).save(tmp_path / f'{name}.png')
  assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path)) == 0
  assert files(tmp_path / 'out/gray') == files(whole / 'gray')


def test_video_is_the_colours_over_the_frames(clip, whole):
  """But for the codec's loss, which is far less than the frames and their colours differ."""
  written = decoded(whole / 'video/street.scene.mp4')
  assert cv2.VideoCapture(str(whole / 'video/street.scene.mp4')).get(cv2.CAP_PROP_FPS) == 12.5
  for i, (got, frame) in enumerate(zip(written, decoded(clip), strict=True), 1):
    want = frame / 2 + voc_colours(CLASSES)[gray(whole, f'street.scene_{i:06}')] / 2
    assert np.abs(got - want).mean() < 12 < np.abs(frame - want).mean()


def test_interrupted_video_goes_on_with_the_frames_that_it_lacks(checkpoint, clip, whole, tmp_path):
  words = flags(checkpoint, tmp_path, '--video', clip, '--skip-existing')
  process = predicted.stopped(words, signal.SIGINT)
  assert process.returncode == 130 and 'error: interrupted' in process.stderr and 'Traceback' not in process.stderr
  done = {path: path.stat().st_mtime_ns for path in (tmp_path / 'gray').glob('[!.]*')}
  assert 0 < len(done) < FRAMES and not (tmp_path / 'video').exists()
  assert run(words) == 0
  assert files(tmp_path) == files(whole)
  assert all(path.stat().st_mtime_ns == time for path, time in done.items())
  assert run([*words, '--confidence']) == 0 and len(list(tmp_path.glob('confidence/*.png'))) == FRAMES


@pytest.mark.parametrize(
  ('header', 'read', 'rate'), [(12.4, True, 12.4), (1000, True, 12.5), (30, True, 12.5), (211.222, False, 211)]
)
def test_rate_is_that_of_the_frames_times_where_the_header_is_wrong(clip, header, read, rate):
  """A browser's WebM has its unit of time there, 1/1000 s. A high rate is whole: MPEG-4's unit of time has 16 bits."""
  video = videos.Video(str(clip))
  video.header_rate = header
  assert not read or len(list(video.frames(''))) == FRAMES
  assert video.rate == pytest.approx(rate, rel=1e-3)


def test_odd_sizes_lose_nothing_and_shorter_videos_leave_nothing_behind(checkpoint, tmp_path):
  first, *more = (Image.fromarray(pixels(47, 63, seed=i)) for i in range(4))
  first.save(tmp_path / 'a.gif', save_all=True, append_images=more, duration=40)
  assert run(flags(checkpoint, tmp_path / 'out', '--video', tmp_path / 'a.gif', '--confidence')) == 0
  assert [frame.shape for frame in decoded(tmp_path / 'out/video/a.mp4')] == [(48, 64, 3)] * 4
  assert gray(tmp_path / 'out', 'a_000004').shape == (47, 63)
  assert len(list((tmp_path / 'out/confidence').iterdir())) == 4
  first.save(tmp_path / 'a.gif', save_all=True, append_images=more[:1], duration=40)  # now shorter
  assert run(flags(checkpoint, tmp_path / 'out', '--video', tmp_path / 'a.gif')) == 0
  assert set(files(tmp_path / 'out')) == {'gray/a_000001.png', 'gray/a_000002.png', 'video/a.mp4'}


def test_finished_video_needs_no_network(clip, whole, capsys):
  assert run(flags('/no/such/checkpoint', whole, '--video', clip, '--skip-existing')) == 0
  assert 'nothing left to predict' in capsys.readouterr().out


@pytest.mark.parametrize(
  ('name', 'more', 'words'),
  [
    ('none.mp4', [], 'none.mp4: no such file'),
    ('text.mp4', [], 'text.mp4: no frame can be decoded'),
    ('a.mp4', ['--overlay'], '--overlay does not go with --video'),
    ('out/video/a.mp4', [], 'the output would replace it'),
  ],
)
def test_bad_videos_are_one_line(refused, checkpoint, clip, tmp_path, name, more, words):
  path = tmp_path / name
  path.parent.mkdir(parents=True, exist_ok=True)
  if name != 'none.mp4':
    path.write_bytes(b'no video at all' if name == 'text.mp4' else clip.read_bytes())
  argv = flags(checkpoint, tmp_path / 'out', '--video', path, *more)
  refused(inference.main, argv, words, but=('out', 'classes.csv'))  # a video is read when the folder is claimed


def test_frames_of_another_video_are_refused(checkpoint, clip, whole, tmp_path, capsys):
  shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
  (tmp_path / 'video/street.scene.mp4').unlink()
  frame = tmp_path / 'gray/street.scene_000001.png'
  Image.fromarray(np.zeros((4, 6), np.uint8)).save(frame)
  assert run(flags(checkpoint, tmp_path, '--video', clip, '--skip-existing')) == 2
  assert f'error: {frame}: is of another size than the frames of {clip}' in capsys.readouterr().err
  assert not list((tmp_path / 'video').iterdir())


def test_missing_codec_is_said_before_the_prediction(checkpoint, clip, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(videos, 'CODEC', cv2.VideoWriter_fourcc(*'zzzz'))
  assert run(flags(checkpoint, tmp_path, '--video', clip)) == 1
  assert 'cannot write mp4v videos of 64 x 48 pixels' in capsys.readouterr().err and files(tmp_path) == {}


def test_video_that_cannot_be_written_whole_is_said(checkpoint, clip, tmp_path, monkeypatch, capsys):
  """As on a full disk: OpenCV drops frames without a word. Here for their size."""
  monkeypatch.setattr(videos, 'blend', lambda image, colours: image[:-8] if image[0, 0, 0] > 128 else image)
  assert run(flags(checkpoint, tmp_path, '--video', clip)) == 1
  assert 'frames could be written' in capsys.readouterr().err
  assert len(list((tmp_path / 'gray').iterdir())) == FRAMES and not list((tmp_path / 'video').iterdir())
