"""Trains, predicts and scores the runs of a study, one after the other, with the project's own scripts.

A stage that is finished leaves a file and is not done again; a training that was stopped resumes by itself. A run's
folder holds, besides the files of the training:

settings.json   what decides the result
run.log         the output of the scripts
training.json   the peak memory of the training process; written when the training is finished
val/, test/     the predictions
val.json, test.json  their scores

Several processes may work on one study, each on runs of its own: the folder of a run is claimed while it is worked on.
"""

import contextlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys

from tqdm import tqdm

from utils import files, metrics
from utils.errors import RunError, Stopped
from utils.lists import Pair, list_digest, read_list
from utils.score import boundaries, scoring
from utils.score import files as score_files
from utils.score.pairs import Files
from utils.study import outcome
from utils.study.plan import Run, prediction_command

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_all(runs: list[Run], lists: dict[str, str], data_dir: str, names: list[str]) -> None:
  """Brings every run to its scores, but for those that another process has at work.

  `lists`: split ('val', 'test') -> list file; `names`: of the classes.

  Raises:
    RunError: a script failed, or two runs of one seed did not start alike.
    Stopped, KeyboardInterrupt: the script at work was stopped; it continues when this is called again.
  """
  bar = tqdm([run for run in runs if not run.row], unit='run', desc='study')
  for run in bar:
    with contextlib.suppress(files.Held), files.claim(run.folder, 'study'):
      splits = [split for split in lists if not run.scores_path(split).exists()]
      if splits:
        bar.set_postfix_str(f'{run.name}: training')
        train(run)
        outcome.check_equal_start(runs)
      for split in splits:
        bar.set_postfix_str(f'{run.name}: {split}')
        predict_and_score(run, split, lists[split], data_dir, names)


def train(run: Run) -> None:
  files.write_text(run.folder / 'settings.json', json.dumps(run.settings, indent=1) + '\n')
  if not run.training_path.exists():
    peak = call(run, run.command, 'training')
    files.write_text(run.training_path, json.dumps({'peak_memory_mb': round(peak, 1)}) + '\n')


def predict_and_score(run: Run, split: str, data_list: str, data_dir: str, names: list[str]) -> None:
  call(run, prediction_command(run, split, data_list, data_dir), f'prediction of {data_list}')
  pairs = read_list(data_list, data_dir, need_label=True)
  counted = scoring.count_files(predictions(run, split, pairs), len(names), [boundaries.count])
  report = metrics.joined(scoring.report(counted), boundaries.report(counted))
  content = score_files.as_dict(report, names, unit='percent', images=len(pairs), list=list_digest(data_list))
  score_files.write_json(str(run.scores_path(split)), content)


def predictions(run: Run, split: str, pairs: list[Pair]) -> list[Files]:
  """Prediction and ground truth of each pair of a list."""
  names = [f'{pathlib.PurePath(pair.image).stem}.png' for pair in pairs]
  folder = run.folder / split / 'gray'
  return [Files(name, str(folder / name), pair.label) for name, pair in zip(names, pairs, strict=True)]


def call(run: Run, command, stage: str) -> float:
  """Runs a script -> its peak memory in MB. Raises RunError with the last line that the script printed."""
  log = run.folder / 'run.log'
  code, peak = execute(command, log)
  if code:
    lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
    last = next((line.strip()[:300] for line in reversed(lines) if line.strip()), '').removeprefix('error: ')
    reason = 'it was killed, perhaps for lack of memory' if code == -signal.SIGKILL else last
    raise RunError(
      f'{run.name}: {stage} failed, exit code {code} ({reason}); see {log}, fix it and start the same command again: '
      'finished runs are kept'
    )
  return peak


def execute(command, log: pathlib.Path) -> tuple[int, float]:
  """Runs a script of the project, its output appended to `log` -> (exit code, its peak memory in MB).

  Ctrl-C and SIGTERM are passed on as SIGTERM, so that a training saves its state before it ends. A second one ends it
  at once.
  """
  with open(log, 'a', encoding='utf-8') as out:
    print('$', shlex.join(command), file=out, flush=True)
    words = [sys.executable, ROOT / command[0], *command[1:]]
    streams = {'stdin': subprocess.DEVNULL, 'stdout': out, 'stderr': subprocess.STDOUT}
    process = subprocess.Popen(words, **streams, start_new_session=True)  # else a terminal's Ctrl-C arrives twice
  stopped = None
  while process.returncode is None:
    try:
      _, status, usage = os.wait4(process.pid, 0)  # it alone reports the memory of this one process
      process.returncode = os.waitstatus_to_exitcode(status)
    except (KeyboardInterrupt, Stopped) as e:
      stopped = e
      os.kill(process.pid, signal.SIGTERM)
  if stopped:
    raise stopped
  return process.returncode, usage.ru_maxrss * (1024 if sys.platform != 'darwin' else 1) / 1e6
