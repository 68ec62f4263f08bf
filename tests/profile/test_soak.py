"""A long training in small: its memory stays level, and killed again and again it ends as the one that nothing breaks.

Both train at the same time: two replicas, a network of two convolutions whose steps take milliseconds, validation,
checkpoints. SOAK_STEPS sets how many steps (default: 20,000, minutes).
"""

import os
import random
import signal
import time

import numpy as np

from tests import tiny
from tests.tiny import assert_same, last_checkpoint, rows, start
from utils import runs

data = tiny.data
STEPS, KILLS = int(os.environ.get('SOAK_STEPS', 20000)), 6
GROWTH = 0.03  # what memory may grow by, from a tenth of the steps to the last
RUN = {'script': 'train_aaf_mgpu', 'num_gpu': 2, 'input_size': '16,16', 'num_steps': STEPS}
RUN |= {'save_pred_every': max(2, STEPS // 200), 'keep': 3, 'val_every': STEPS // 20, 'update_tb_every': STEPS // 20}
RUN |= {'deterministic': True, 'resume': True}

pytestmark = tiny.slow


def test_memory_stays_level_and_a_killed_training_ends_as_an_unbroken_one(data, tmp_path):
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  output, rng = open(tmp_path / 'output.txt', 'a+'), random.Random(0)  # noqa: SIM115
  run = {**RUN, 'val_list': data / 'list.txt', 'output': output}
  processes, reached = [start(data, whole, **run)], []
  try:
    for _ in range(KILLS):  # as it starts, trains, validates or saves
      processes.append(start(data, killed, **run))
      time.sleep(rng.uniform(0, STEPS / 500))
      processes[-1].kill()
      assert processes[-1].wait() in (-signal.SIGKILL, 0), last_words(output)
      reached += runs.steps_in(str(killed))[-1:]
    assert min(reached, default=STEPS) < STEPS - 1, 'no kill came in the middle of the training'
    processes.append(start(data, killed, **run))
    assert [process.wait() for process in (processes[-1], processes[0])] == [0, 0], last_words(output)
  finally:
    for process in processes:
      process.kill()
      process.wait()
    output.close()

  assert_same(last_checkpoint(whole), last_checkpoint(killed))
  assert losses(whole) == losses(killed)
  assert rows(whole / 'validation.csv') == rows(killed / 'validation.csv')
  assert names(whole) == names(killed)
  assert runs.steps_in(str(whole))[-1] == STEPS - 1

  memory = np.array([float(row['memory_mb']) for row in rows(whole / 'log.csv')])
  tenth = len(memory) // 10
  early, late = np.median(memory[tenth : 2 * tenth]), np.median(memory[-tenth:])
  slope = 1000 * np.polyfit(np.arange(tenth, len(memory)), memory[tenth:], 1)[0]
  print(f'{STEPS} steps: {early:.0f} MB early, {late:.0f} MB late; {slope:+.3f} MB in 1,000 steps')
  assert late < (1 + GROWTH) * early


def last_words(output) -> str:
  output.seek(0)
  return output.read()[-3000:]


def losses(snapshot) -> list[dict]:
  """The rows of log.csv without what is measured."""
  measured = ('images_per_second', 'waited', 'memory_mb')
  return [{key: value for key, value in row.items() if key not in measured} for row in rows(snapshot / 'log.csv')]


def names(snapshot) -> set[str]:
  """The files of a run, but for TensorBoard's, of which each start writes its own."""
  found = {str(path.relative_to(snapshot)) for path in snapshot.rglob('*')}
  return {name for name in found if 'tfevents' not in name}
