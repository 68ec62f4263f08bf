"""Measures and checks everything in this project that needs an NVIDIA GPU, and writes report.md and report.json. Each
part is a process of its own, whose result is kept: called again, it goes on. Without a GPU the parts run on the CPU at
tiny sizes, which shows that they work and nothing more."""

import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors, files
from utils.profile import figures, gpu_parts
from utils.profile.parts import ROOT, Part, Results, run_all, table


def main(argv=None) -> int:
  parser = arguments.Parser(__doc__)
  parser.add_argument('--quick', action='store_true', help='the main parts, in five minutes at most')
  parser.add_argument('--out-dir', default=str(ROOT / 'gpu_check'), help='folder of the report and of the results')
  parser.add_argument('--minutes', type=arguments.real(0, above=True), help='at most; default: 30, with --quick 5')
  parser.add_argument('--retry', action='store_true', help='run the parts that failed again')
  parser.add_argument('--torch-python', default='', metavar='FILE', help='a Python with PyTorch; default: this one')
  args = parser.parse_args(argv)
  out = pathlib.Path(args.out_dir)
  results = Results(out / 'parts')
  machine = machine_of(results)
  torch_python = gpu_parts.torch_python(args.torch_python)
  gpus = len(machine['GPUs'])
  parts = gpu_parts.on_gpus(gpus, args.quick, torch_python) if gpus else gpu_parts.on_cpu(args.quick, torch_python)
  if args.retry:
    results.forget_failures(parts)
  minutes = args.minutes or (5 if args.quick else 30)
  report = lambda: write_report(out, machine, parts, results)  # noqa: E731
  run_all(parts, results, 60 * minutes, report)
  failed = report()
  print(f'{out / "report.md"}: {len(parts)} parts, {failed} of them failed or not run')
  return 1 if failed else 0


def machine_of(results: Results) -> dict:
  """What `utils.profile.machine` says of this machine.

  Raises:
    InputError: the results in the folder are another machine's, or TensorFlow does not see the GPU that is there.
    RunError: TensorFlow cannot be loaded.
  """
  part = Part('Machine', {}, ('-m', 'utils.profile.machine'))
  before = results.of(part)
  results.forget([part])
  result = results.run(part, part.limit)
  if 'failure' in result:
    raise errors.RunError(f'TensorFlow does not start ({result["failure"]}); see {results.folder / part.name}.log')
  (machine,) = result['rows']
  if before and before.get('rows', [machine]) != [machine]:
    results.keep(part, before)
    raise errors.InputError(f'--out-dir {results.folder.parent}: holds results of another machine; give another folder')
  if not machine['GPUs'] and has_gpu():
    raise errors.InputError(
      'nvidia-smi lists a GPU that TensorFlow does not see: fix the driver, or the environment (bashscripts/setup.sh '
      'installs the GPU build where the environment has no CPU build)'
    )
  return machine


def has_gpu() -> bool:
  try:
    return subprocess.run(['nvidia-smi', '-L'], capture_output=True, text=True).stdout.startswith('GPU')
  except OSError:
    return False


def write_report(out: pathlib.Path, machine: dict, parts: list[Part], results: Results) -> int:
  """Writes the report of what there is so far; returns how many parts have no figures."""
  sections = list(dict.fromkeys(part.section for part in parts))
  of_section = {section: [part for part in parts if part.section == section] for section in sections}
  tables = {section: table(of_section[section], results) for section in sections}
  goals = [goal.judged(tables) for goal in gpu_parts.GOALS]
  if not machine['GPUs']:
    goals = [{**goal, 'figure': 'no GPU here', 'met': ''} for goal in goals]
  text = ['# GPU check\n']
  if not machine['GPUs']:
    text.append('**No GPU: the parts ran on the CPU at tiny sizes. No figure here says anything about speed.**\n')
  text += [''.join(f'- {name}: {value}\n' for name, value in machine.items()), '## Goals\n', figures.markdown(goals)]
  for section in sections:
    text += [f'## {section}\n', figures.markdown(tables[section])]
    text.append(''.join(f'    {part.as_typed}\n' for part in of_section[section]))
  files.write_text(out / 'report.md', '\n'.join(text))
  content = {'machine': machine, 'goals': goals, 'tables': tables}
  files.write_text(out / 'report.json', json.dumps(content, indent=1) + '\n')
  return sum('rows' not in (results.of(part) or {}) for part in parts)


if __name__ == '__main__':
  sys.exit(errors.run(main))
