"""--video: the class ids of every frame as PNGs, and the colours over the frames as a video. OpenCV reads and writes.

Conventions: frames are uint8 RGB [h, w, 3], numbered from 1. The frames' class ids are written first and the video is
made from them, so that an interrupted run goes on with the frames that it lacks.
"""

import itertools
import os
import tempfile
from collections.abc import Iterator

import cv2
import numpy as np
from tqdm import tqdm

from utils.errors import InputError, RunError
from utils.files import whole_file
from utils.images import read_label
from utils.labels import blend, colour
from utils.predict import run
from utils.predict.predictor import load_network

# Quiet: what is wrong with a file is one line from here.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

CODEC = cv2.VideoWriter_fourcc(*'mp4v')  # MPEG-4 part 2: every build of OpenCV's own packages has it
DEFAULT_RATE = 25.0  # frames a second, where the file names no rate


class Video:
  """A video file.

  Raises:
    InputError: no frame of it can be decoded.
  """

  def __init__(self, path: str):
    self.path = path
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    read, frame = capture.read()
    if not read:
      raise InputError(f'--video {path}: no frame can be decoded; give a video file that FFmpeg reads, such as .mp4')
    self.size = frame.shape[:2]
    self.header_rate = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE
    self.frame_count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))  # as the file says; 0: it does not
    self.times = []  # of the frames, in milliseconds, once all have been read

  @property
  def rate(self) -> float:
    """Frames a second: the header's, but the mean of the frames' times where they differ by over 2 %.

    Browsers write a WebM's unit of time, a thousandth of a second, where its rate should stand. Above 65 the rate is a
    whole number: MPEG-4's unit of time has 16 bits, in which 211.222 does not fit.
    """
    rate, span = self.header_rate, self.times[-1] - self.times[0] if self.times else 0
    if span > 0:
      measured = 1000 * (len(self.times) - 1) / span
      rate = rate if abs(measured / rate - 1) <= 0.02 else measured
    return rate if rate <= 65 else float(round(rate))

  def frames(self, title: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (number, frame) from the first to the last that can be decoded, with a progress bar."""
    capture = cv2.VideoCapture(self.path, cv2.CAP_FFMPEG)
    for number in tqdm(itertools.count(1), title, self.frame_count or None, unit='frame'):
      read, frame = capture.read()
      if not read:
        return
      self.times[number - 1 :] = [capture.get(cv2.CAP_PROP_POS_MSEC)]
      yield number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def predict(args, paths: list[str], outputs) -> int:
  """Predicts the one video in `paths`; `args` from `flags.parse`. Returns the exit code.

  Raises:
    InputError: the video cannot be read, or its frames are too large for the memory.
    RunError: the outputs cannot be written.
  """
  [path] = paths
  video = Video(path)
  run.check_memory(path, *video.size, run.affordable_pixels(args.num_classes, args.scales))
  with tempfile.TemporaryDirectory() as folder:
    open_writer(f'{folder}/test.mp4', video).release()  # before long work

  def frames():
    """Those whose outputs are to be written."""
    for number, image in video.frames('predicting'):
      name = outputs.frame(number)
      if not (args.skip_existing and outputs.all_there(name)):
        yield name, image

  for _ in run.predicted(frames(), load_network(args), outputs):
    pass
  count = write_overlay(video, outputs)
  outputs.remove_frames(count + 1)
  if count < video.frame_count:
    print(f'{path}: {count} of the {video.frame_count} frames that the file names could be decoded')
  print(f'{count} frames predicted: {outputs.video}')
  return 0


def write_overlay(video: Video, outputs) -> int:
  """Writes the video of the colours over the frames, from the frames' class ids; returns the number of frames.

  OpenCV tells of no error while it writes (a full disk), so the frames are counted in the file. The codec takes even
  sizes: a last row or column is repeated.
  """
  odd = [side % 2 for side in video.size]
  with whole_file(outputs.video) as temporary:
    writer = open_writer(temporary, video)
    count = 0
    for count, image in video.frames('writing video'):
      path = str(outputs.path('gray', outputs.frame(count)))
      labels = read_label(path)
      if labels.shape != image.shape[:2]:
        raise InputError(f'{path}: is of another size than the frames of {video.path}; name an empty --save-dir')
      shown = cv2.cvtColor(blend(image, colour(labels, outputs.colours)), cv2.COLOR_RGB2BGR)
      writer.write(cv2.copyMakeBorder(shown, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE))
    writer.release()
    written = int(cv2.VideoCapture(temporary, cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT))
    if written != count:
      raise RunError(
        f'{outputs.video}: only {written} of {count} frames could be written (disk full?); fix it and go on with '
        '--skip-existing'
      )
  return count


def open_writer(path: str, video: Video) -> cv2.VideoWriter:
  """Raises a RunError if this OpenCV does not write videos of this size."""
  height, width = (side + side % 2 for side in video.size)
  writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, CODEC, video.rate, (width, height))
  if not writer.isOpened():
    raise RunError(
      f'this OpenCV cannot write mp4v videos of {video.size[1]} x {video.size[0]} pixels; install '
      'opencv-python-headless with `pip`, which has the codec, or give larger frames'
    )
  return writer
