"""The help of the training scripts."""

import re

import pytest

from utils.train import flags


@pytest.mark.parametrize('several_gpus', [False, True])
def test_help_has_one_line_a_flag_and_begins_with_ten(several_gpus, monkeypatch, capsys):
  monkeypatch.setenv('COLUMNS', '120')
  with pytest.raises(SystemExit) as end:
    flags.parse('Trains.', ['--help'], affinity=True, several_gpus=several_gpus)
  assert not end.value.code
  usage, _, _, *groups = capsys.readouterr().out.strip().split('\n\n')
  assert len(usage.splitlines()) == 1
  wrapped = [line for group in groups for line in group.splitlines()[1:] if not re.match(r'  --\S+( \S+)?  +\S', line)]
  assert wrapped == []
  title, *most_used = groups[0].splitlines()
  assert title == 'most used:' and len(most_used) == 10
  assert groups[-1].startswith('several GPUs and machines:') == several_gpus
