"""What a folder of images may hold, what a kill leaves in the folder of outputs, and who may write there."""

import os
import pathlib
import signal

import pytest

from tests.predict import predicted
from tests.predict.predicted import files, flags, run
from utils import errors
from utils.predict import flags as inference_flags
from utils.predict import outputs

checkpoint, folder = predicted.checkpoint, predicted.folder


def test_what_a_kill_in_the_middle_of_a_write_leaves_is_removed(checkpoint, folder, tmp_path):
  """The process dies between the writing of a temporary file and its renaming."""
  dies = 'import os, signal; real = os.replace; os.replace = lambda a, b: '
  dies += 'os.kill(os.getpid(), signal.SIGKILL) if "color" in str(b) else real(a, b)'
  words = flags(checkpoint, tmp_path / 'out', '--image-dir', folder, '--skip-existing')
  process = predicted.start(words, before=dies)
  process.communicate(timeout=120)
  assert process.returncode == -signal.SIGKILL
  (left,) = (tmp_path / 'out/color').iterdir()
  assert left.name.startswith('.') and left.read_bytes()
  assert run(words) == 0
  assert set(files(tmp_path / 'out')) == {f'{kind}/{i}.png' for kind in ('gray', 'color') for i in range(5)}


@pytest.mark.parametrize(('first', 'second', 'refused'), [
  (None, None, True),
  (None, '1/2', True),
  ('1/2', None, True),
  ('1/2', '3/4', True),
  ('1/2', '1/2', True),
  ('1/2', '2/2', False),
])  # fmt: skip
def test_two_processes_share_a_folder_only_by_parts_that_do_not_overlap(
  checkpoint, folder, tmp_path, capsys, first, second, refused
):
  shard = lambda text: ['--shard', text] if text else []  # noqa: E731
  words = [flags(checkpoint, tmp_path / 'out', '--image-dir', folder, *shard(text)) for text in (first, second)]
  args = inference_flags.parse('', words[0])
  with outputs.Outputs(args).claim(args.shard):
    other = inference_flags.parse('', words[1])
    if refused:
      with pytest.raises(errors.InputError, match=f'process {os.getpid()} on .* is writing there'):
        outputs.Outputs(other).claim(other.shard).__enter__()
    else:
      with outputs.Outputs(other).claim(other.shard):
        pass
  assert not files(tmp_path / 'out')


def test_names_that_are_not_utf_8_are_predicted(checkpoint, tmp_path):
  name = os.fsdecode(b'street \xff.png')
  try:
    predicted.picture(pathlib.Path(tmp_path, 'images', name))
  except OSError:
    pytest.skip('this file system takes no such names')
  assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path / 'images')) == 0
  assert {path.name for path in (tmp_path / 'out/gray').iterdir()} == {name}


def test_a_pipe_among_the_images_is_listed_and_the_others_predicted(checkpoint, folder, tmp_path, capsys):
  (tmp_path / 'images').mkdir()
  os.mkfifo(tmp_path / 'images/pipe.png')
  (tmp_path / 'images/device.png').symlink_to('/dev/zero')
  (tmp_path / 'images/0.png').symlink_to(folder / '0.png')
  assert run(flags(checkpoint, tmp_path / 'out', '--image-dir', tmp_path / 'images')) == 1
  lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
  for name in ('pipe', 'device'):
    assert len([line for line in lines if f'{name}.png: is a {name}, not a file' in line]) == 1
  assert set(files(tmp_path / 'out')) == {'gray/0.png', 'color/0.png'}
