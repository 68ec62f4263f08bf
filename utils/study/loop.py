"""Brings the runs of a study from wherever they are to their scores, one after the other."""

from tqdm import tqdm

from utils import list_file
from utils.errors import InputError
from utils.study import outcome
from utils.study import run as study_run
from utils.study.plan import Run


def run_all(runs: list[Run], lists: dict[str, str], data_dir: str, names: list[str], test: bool) -> None:
  """`lists`: 'val' and, if there is one, 'test'; the latter is predicted and scored with `test` alone.

  Raises:
    RunError: a script failed, or two runs of one seed did not start alike.
    Stopped, KeyboardInterrupt: what was being done has been stopped, and goes on when this is called again.
  """
  splits = ('val', 'test') if test else ('val',)
  left = [(run, [split for split in splits if not scored(run, split, lists[split])]) for run in runs]
  left = [(run, missing) for run, missing in left if missing]
  with tqdm(total=len(runs), initial=len(runs) - len(left), unit='run', desc='study') as bar:
    for run, missing in left:
      study_run.begin(run)
      bar.set_postfix_str(f'{run.name}: training')
      study_run.train(run)
      outcome.check_equal_start(runs)
      for split in missing:
        bar.set_postfix_str(f'{run.name}: {split}')
        study_run.predict_and_score(run, split, lists[split], data_dir, names)
      bar.update()


def scored(run: Run, split: str, data_list: str) -> bool:
  """Raises InputError if the scores there are of another list."""
  before = outcome.scores(run, split)
  now = list_file.list_digest(data_list)
  if before and before['list'] != now:
    raise InputError(
      f'{study_run.scores_path(run, split)}: is of a list of {before["list"]}, and {data_list} has {now}; give that '
      f'list, or remove {run.folder / split} and the scores'
    )
  return before is not None
