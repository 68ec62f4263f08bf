"""Does one run of a study: trains, predicts, scores, each by the project's own scripts, and notes that it is done.

settings.json   what the run was begun with
run.log         what its scripts printed
training.json   the most memory that the training's last part held; there once the training is over
val/, test/     the predictions
val.json, test.json  their scores, there once the run is done; beside them what the training keeps in its folder
"""

import contextlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys

from utils import atomic, list_file
from utils.errors import RunError, Stopped
from utils.score import boundaries, files, scoring
from utils.score.pairs import Files
from utils.study.plan import Run, inference

ROOT = pathlib.Path(__file__).resolve().parents[2]
METRICS = {'confusion': scoring.Confusion, **boundaries.METRICS}
INTERRUPTED = (KeyboardInterrupt, Stopped)


def execute(words, log: pathlib.Path) -> tuple[int, float]:
  """Runs a script of the project, its output appended to `log` -> (exit code, the most memory it held, in MB).

  Ctrl-C and SIGTERM are passed on as SIGTERM and waited for: training saves what it has. A second one kills.
  """
  with open(log, 'a', encoding='utf-8') as out:
    print('$', shlex.join(words), file=out, flush=True)
    command = [sys.executable, ROOT / words[0], *words[1:]]
    streams = {'stdin': subprocess.DEVNULL, 'stdout': out, 'stderr': subprocess.STDOUT}
    process = subprocess.Popen(command, **streams, start_new_session=True)  # else a terminal's Ctrl-C arrives twice
  try:
    return reap(process)
  except INTERRUPTED:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it ended at the same moment
      try:
        os.kill(process.pid, signal.SIGTERM)
        reap(process)
      except INTERRUPTED:
        os.kill(process.pid, signal.SIGKILL)
        reap(process)
    raise


def reap(process) -> tuple[int, float]:
  _, status, usage = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  return process.returncode, usage.ru_maxrss * (1024 if sys.platform != 'darwin' else 1) / 1e6


def call(words, run: Run, what: str) -> float:
  """`execute` for a run; the memory in MB. Raises RunError with the script's own last words."""
  log = run.folder / 'run.log'
  code, memory = execute(words, log)
  if code:
    lines = log.read_text(encoding='utf-8', errors='replace').replace('\r', '\n').split('\n')
    said = next((line.strip()[:300] for line in reversed(lines) if line.strip()), '')
    said = 'it was killed, for want of memory?' if code == -signal.SIGKILL else said.removeprefix('error: ')
    raise RunError(
      f'{run.name}: {what} failed, exit code {code} ({said}); see {log}, mend it and start the same command again: '
      'what is finished is kept'
    )
  return memory


def begin(run: Run) -> None:
  atomic.write_text(run.folder / 'settings.json', json.dumps(run.settings, indent=1) + '\n')


def train(run: Run) -> None:
  done = run.folder / 'training.json'
  if not done.exists():
    memory = call(run.words, run, 'training')
    atomic.write_text(done, json.dumps({'peak_memory_mb': round(memory, 1)}) + '\n')


def predict_and_score(run: Run, split: str, data_list: str, data_dir: str, names: list[str]) -> None:
  """Predicts the images of a list into the folder `split` of the run and writes the scores beside it."""
  call(inference(run, split, data_list, data_dir), run, f'prediction of {data_list}')
  pairs = list_file.read_list(data_list, data_dir, need_label=True)
  parts = scoring.score(predicted(run, split, pairs), len(names), METRICS)
  report = files.merged([part.report() for part in parts.values()])
  content = files.as_dict(report, names, unit='percent', images=len(pairs), list=list_file.list_digest(data_list))
  files.write_json(str(scores_path(run, split)), content)


def predicted(run: Run, split: str, pairs) -> list[Files]:
  """Prediction and truth of each pair of a list."""
  names = [f'{pathlib.PurePath(pair.image).stem}.png' for pair in pairs]
  return [Files(n, str(run.folder / split / 'gray' / n), pair.label) for n, pair in zip(names, pairs, strict=True)]


def scores_path(run: Run, split: str) -> pathlib.Path:
  return run.folder / f'{split}.json'
