"""Measurements as processes of their own, whose results are kept, so that a crash ends one and an interruption none."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from utils import files

ROOT = pathlib.Path(__file__).resolve().parents[2]
GROWTH = {'TF_FORCE_GPU_ALLOW_GROWTH': 'true'}  # processes that a part starts find room on the GPU
LEAST_SECONDS = 15  # no part is begun with less time left: it would not get past loading TensorFlow


class Part(NamedTuple):
  """A program of the project that writes rows by `--json`.

  `section` names the table that its rows belong to, `labels` {column: value} precede the figures in each row.
  """

  section: str
  labels: dict
  command: tuple[str, ...]
  environment: dict = {}
  python: str = sys.executable
  limit: float = 300  # seconds

  @property
  def name(self) -> str:
    """Names its files: letters, digits and hyphens."""
    return re.sub(r'\W+', '-', ' '.join([self.section, *map(str, self.labels.values())])).strip('-').lower()

  @property
  def as_typed(self) -> str:
    """The command for a shell, by which a user repeats it."""
    settings = [f'{key}={value}' for key, value in self.environment.items()]
    return shlex.join([*settings, 'python', *self.command])


class Results:
  """The results of parts in a folder: NAME.json, {'command', 'seconds', and 'rows' or 'failure'}, beside NAME.log.

  A result counts while its part's command is the same.
  """

  def __init__(self, folder):
    self.folder = pathlib.Path(folder)
    self.folder.mkdir(parents=True, exist_ok=True)

  def of(self, part: Part) -> dict | None:
    try:
      result = json.loads((self.folder / f'{part.name}.json').read_text(encoding='utf-8'))
    except FileNotFoundError:
      return None
    return result if result['command'] == part.as_typed else None

  def run(self, part: Part, seconds: float) -> dict | None:
    """Runs a part and keeps its result; None, and nothing kept, if `seconds` were over before its own limit was."""
    rows, log = self.folder / f'.{part.name}-rows.json', self.folder / f'{part.name}.log'
    rows.unlink(missing_ok=True)
    begun = time.monotonic()
    command = [part.python, *part.command, '--json', str(rows.resolve())]
    code = run_process(command, part.environment, log, min(seconds, part.limit))
    if code is None and seconds < part.limit:
      return None
    result = {'command': part.as_typed, 'seconds': round(time.monotonic() - begun, 1)}
    if rows.exists():  # also of a program whose exit code says that a figure is not as it should be
      result['rows'] = json.loads(rows.read_text(encoding='utf-8'))
    else:
      result['failure'] = failure(code, log.read_text(encoding='utf-8', errors='replace'), part.limit)
    rows.unlink(missing_ok=True)
    self.keep(part, result)
    return result

  def keep(self, part: Part, result: dict) -> None:
    files.write_text(self.folder / f'{part.name}.json', json.dumps(result, indent=1) + '\n')

  def forget(self, parts: list[Part]) -> None:
    for part in parts:
      (self.folder / f'{part.name}.json').unlink(missing_ok=True)

  def forget_failures(self, parts: list[Part]) -> None:
    self.forget([part for part in parts if 'failure' in (self.of(part) or {})])


def run_process(command: list[str], environment: dict, log: pathlib.Path, seconds: float) -> int | None:
  """The exit code, negative for a signal; None after so many seconds. No process that it started outlives it."""
  with open(log, 'wb') as f:
    process = subprocess.Popen(
      command, env={**os.environ, **GROWTH, **environment}, cwd=ROOT, stdout=f, stderr=f, start_new_session=True
    )
    try:
      return process.wait(seconds)
    except subprocess.TimeoutExpired:
      return None
    finally:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
      process.wait()


def failure(code: int | None, log: str, limit: float) -> str:
  """One line on how a part failed."""
  if code is None:
    return f'not done after {limit:.0f} s'
  if re.search(r'ResourceExhausted|OutOfMemory|out of memory|RESOURCE_EXHAUSTED', log):
    return 'out of memory'
  last = (log.strip().splitlines() or ['without a word'])[-1]
  how = f'killed by signal {-code}' if code < 0 else f'exit code {code}'
  return f'{how}: {last[:200]}'


def run_all(parts: list[Part], results: Results, seconds: float, after_each: Callable[[], None]) -> None:
  """Runs the parts that have no result yet, in their order, for at most so many seconds."""
  end = time.monotonic() + seconds
  for i, part in enumerate(parts, 1):
    if results.of(part) is None and end - time.monotonic() > LEAST_SECONDS:
      print(f'[{i}/{len(parts)}] {part.as_typed}', flush=True)
      result = results.run(part, end - time.monotonic())
      print(f'  {"time is over" if result is None else result.get("failure") or "done"}', flush=True)
      after_each()


def table(parts: list[Part], results: Results) -> list[dict]:
  """The rows of several parts, labels first; a row that says so for each part that failed or was not run."""
  rows = []
  for part in parts:
    result = results.of(part) or {'failure': 'not run: the time was over; call again'}
    failed = [{'': result['failure']}] if 'failure' in result else []
    rows += [{**part.labels, **row} for row in failed or result['rows']]
  return rows
