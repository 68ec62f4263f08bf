"""Files are written whole and only where a file is or nothing; reading takes regular files of a bounded size."""

import errno
import os
import pathlib

import pytest

from utils import errors, files

OTHERS = {
  'link': lambda path, folder: path.symlink_to(folder / 'victim'),
  'pipe': lambda path, folder: os.mkfifo(path),
  'folder': lambda path, folder: path.mkdir(),
}


@pytest.mark.parametrize('kind', OTHERS)
def test_what_is_no_file_is_not_written(tmp_path, kind):
  (tmp_path / 'victim').write_text('kept')
  path = tmp_path / 'out.json'
  OTHERS[kind](path, tmp_path)
  with pytest.raises(errors.InputError, match=f'out.json: is a {kind}'):
    files.write_text(path, 'new')
  with pytest.raises(errors.InputError, match=f'--json .*out.json: is a {kind}'):
    files.check_output_file('--json', str(path))
  assert (tmp_path / 'victim').read_text() == 'kept'


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path):
  (tmp_path / 'victim').write_text('kept')
  (tmp_path / '.a.part.txt').symlink_to(tmp_path / 'victim')
  files.write_text(tmp_path / 'a.txt', 'new')
  assert (tmp_path / 'victim').read_text() == 'kept' and (tmp_path / 'a.txt').read_text() == 'new'
  assert sorted(os.listdir(tmp_path)) == ['a.txt', 'victim']


def test_a_full_disk_leaves_the_file_as_it_was_and_is_one_line(tmp_path, capsys):
  path = tmp_path / ('n' * 251 + '.txt')  # as long as names may be
  files.write_text(path, 'old')

  def main(argv):
    with files.whole_file(path) as temporary:
      open(temporary, 'w').close()
      raise OSError(errno.ENOSPC, 'No space left on device')

  assert errors.run(main) == 1 and capsys.readouterr().err == f'error: {path}: No space left on device\n'
  assert path.read_text() == 'old' and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
  ('path', 'says'),
  [
    ('/dev/zero', 'is a device'),
    ('pipe', 'is a pipe'),
    ('folder', 'is a folder'),
    ('absent', 'no such file'),
    ('long', 'has more than 1 MB'),
    ('latin', 'is not UTF-8 text'),
  ],
)
def test_reading_takes_regular_files_of_a_bounded_size(tmp_path, path, says):
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'folder').mkdir()
  (tmp_path / 'long').write_bytes(b'x' * 2**20 + b'x')
  (tmp_path / 'latin').write_bytes(b'stra\xdfe')
  path = str(tmp_path / path)
  with pytest.raises(errors.InputError, match=f'{path}: {says}.* give a list'):
    files.read_text(path, 'a list', limit=2**20)


def test_one_process_holds_a_folder_and_a_link_is_no_lock(tmp_path):
  (tmp_path / 'victim').write_text('kept')
  with files.claim(tmp_path / 'run', 'lock'), pytest.raises(files.Held, match=f'process {os.getpid()}'):
    files.claim(tmp_path / 'run', 'lock').__enter__()
  assert os.listdir(tmp_path / 'run') == []
  (tmp_path / 'run' / '.lock').symlink_to(tmp_path / 'victim')
  with pytest.raises(errors.InputError), files.claim(tmp_path / 'run', 'lock'):
    pass
  assert (tmp_path / 'victim').read_text() == 'kept'


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys):
  def flock(file, operation):
    raise OSError(errno.ENOSYS, 'Function not implemented')

  monkeypatch.setattr(files.fcntl, 'flock', flock)
  with files.claim(tmp_path / 'run', 'lock'):
    assert 'no locks there' in capsys.readouterr().err
  assert os.listdir(tmp_path / 'run') == []


def test_what_nobody_foresaw_is_one_line_with_the_file_and_its_trace(capsys):
  def main(argv):
    raise errors.working_on(LookupError('no such\nencoding \x1b[2J'), ('a.xml', 3))

  assert errors.run(main) == 1
  line = capsys.readouterr().err
  assert line.startswith('error: a.xml: LookupError: no such encoding \\x1b[2J (trace: ') and line.count('\n') == 1
  trace = line.rpartition('trace: ')[2].rstrip(')\n')
  assert 'in main' in pathlib.Path(trace).read_text()
  os.remove(trace)
