"""The flags of the training scripts: what each is, their help, and the limits of each type."""

import pytest

from utils.arguments import Parser, Role, names_of
from utils.predict.flags import add_prediction_flags
from utils.train import flags


def test_every_flag_says_what_it_is():
  actions = [action for action in flags.every_flag()._actions if action.dest != 'help']
  assert [action.dest for action in actions if not hasattr(action, 'role')] == []
  assert all(bool(action.role & Role.FREE) == (action.role == Role.FREE) for action in actions)


def test_prediction_has_the_flags_that_the_network_needs():
  parser, network = Parser(''), Role.NETWORK | Role.SHARED
  add_prediction_flags(parser, multi_scale=False)
  assert names_of(parser, network) == flags.names(network)
  assert set(flags.names(Role.NETWORK)) == {'model', 'backbone', 'num_classes', 'output_stride'}


@pytest.mark.parametrize('several_gpus', [False, True])
def test_help_begins_with_the_ten_most_used(several_gpus, capsys):
  with pytest.raises(SystemExit) as end:
    flags.parse('Trains.', ['--help'], affinity=True, several_gpus=several_gpus)
  assert not end.value.code
  usage, _, _, *groups = capsys.readouterr().out.strip().split('\n\n')
  assert len(usage.splitlines()) == 1
  title, *most_used = groups[0].splitlines()
  assert title == 'most used:' and sum(line.startswith('  --') for line in most_used) == 10
  assert groups[-1].startswith('several GPUs and machines:') == several_gpus


@pytest.mark.parametrize(('more', 'says'), [
  ([], '--batch-size 1: pspnet pools the whole image'),
  (['--batch-size', '2', '--kld-sizes', '8,21'], 'have 42 pixels a side, and no pair of 21 apart counts'),
  (['--use-global-status', '--kld-sizes', '20'], None),
])  # fmt: skip
def test_what_trains_and_learns_nothing_is_said(more, says):
  found = flags.warnings(flags.parse('', ['--snapshot-dir', 'x', *more], affinity=True))
  assert says in found[0] if says else found == []
