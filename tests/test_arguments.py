"""Types of flags, the flags of the training scripts, and --config: a file says what the command line would say, which
has the last word."""

import argparse
import json

import pytest

from tests import tiny
from tests.tiny import arguments
from utils import errors
from utils.arguments import Parser, Role, height_width, names_of, real, whole
from utils.predict import flags as inference_flags
from utils.score.pairs import replacement
from utils.train import flags

data = tiny.data
FACTS = {'objective': 'AdaptiveAffinity', 'data_list_contents': '7 lines', 'resume': True, 'overwrite': True}


@pytest.mark.parametrize(
  ('kind', 'good', 'bad'),
  [
    (whole(1), {'7': 7}, dict.fromkeys(('0', '1.5', str(10**30)), 'a whole number from 1 to 2147483647')),
    (whole(2, 255), {'255': 255}, {'1': 'from 2 to 255', '256': 'from 2 to 255'}),
    (
      real(0, 1, below=True),
      {'0': 0.0, '1e-3': 1e-3},
      dict.fromkeys(('1', '-0.1', 'a'), 'a finite number at least 0 and below 1'),
    ),
    (real(0, above=True), {'2.5': 2.5}, dict.fromkeys(('0', 'nan', 'inf', '1e999'), 'a finite number above 0')),
    (height_width, {'32,48': (32, 48)}, dict.fromkeys(('32', '1,2,3', 'a,b', '-8,8', '70000,8'), '336,336')),
    (flags.distances, {'1,4': (1, 4)}, dict.fromkeys(('0,1', '2,2', 'far', '9' * 20), '1,2,3')),
    (flags.scale_range, {'1,2': (1.0, 2.0)}, dict.fromkeys(('2', '2,0.5', '1,nan'), 'LOW <= HIGH')),
    (flags.first_last, {'2,5': (2, 5)}, dict.fromkeys(('5,2', '5'), 'A <= B')),
    (replacement, {'a,b': ('a', 'b'), ',': ('', ''), 'a,': ('a', '')}, dict.fromkeys(('a', 'a,b,c', ',x'), 'old,new')),
  ],
)
def test_a_type_takes_its_values_and_says_what_else_is_wrong(kind, good, bad):
  assert {text: kind(text) for text in good} == good
  for text, says in bad.items():
    with pytest.raises(argparse.ArgumentTypeError, match=says) as e:
      kind(text)
    assert text in str(e.value)


def test_every_flag_says_what_it_is():
  actions = [action for action in flags.every_flag()._actions if action.dest != 'help']
  assert [action.dest for action in actions if not hasattr(action, 'role')] == []
  assert all(bool(action.role & Role.FREE) == (action.role == Role.FREE) for action in actions)


def test_prediction_has_the_flags_that_the_network_needs():
  parser, network = Parser(''), Role.NETWORK | Role.SHARED
  inference_flags.add_prediction_flags(parser, multi_scale=False)
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
  assert title == 'most used:' and '(default: 336,336)' in groups[0]
  assert sum(line.startswith('  --') for line in most_used) == 10
  assert groups[-1].startswith('several GPUs and machines:') == several_gpus


@pytest.mark.parametrize(('more', 'says'), [
  ([], '--batch-size 1: pspnet pools the whole image'),
  (['--batch-size', '2', '--kld-sizes', '8,21'], 'have 42 pixels a side, and no pair of 21 apart counts'),
  (['--use-global-status', '--kld-sizes', '20'], None),
])  # fmt: skip
def test_what_trains_and_learns_nothing_is_said(more, says):
  found = flags.warnings(flags.parse('', ['--snapshot-dir', 'x', *more], affinity=True))
  assert says in found[0] if says else found == []


# --config.


def parse(path, *words):
  return flags.parse('', ['--config', str(path), *words], affinity=True)


def written(folder, text, name='run.yaml'):
  (folder / name).write_text(text)
  return folder / name


def test_the_config_of_a_run_gives_its_flags_back(data, tmp_path):
  changes = {'random_mirror': None, 'output_stride': 16, 'kld_sizes': '1,4', 'clip_norm': 1e-7, 'profile_steps': '2,3'}
  args = arguments(data, tmp_path / 'run', affinity=True, **changes)
  config = written(tmp_path, json.dumps({**vars(args), **FACTS, 'kld_weight_rate': 1.0}), 'config')
  again = parse(config)
  assert vars(again) == {**vars(args), 'config': str(config)}
  assert parse(config, '--num-steps', '9', '--kld-sizes=2').kld_sizes == (2,)
  assert args.random_crop and not parse(config, '--no-random-crop').random_crop
  assert parse(config, '--input-size', '96,96').val_strides == (64, 64)
  with pytest.raises(errors.InputError, match='none.yaml: no such file'):
    parse(tmp_path / 'none.yaml')
  with pytest.raises(errors.InputError, match='is of a run of another script, and .* has no kld_decay'):
    flags.parse('', ['--config', str(config)])


def test_another_origin_leaves_behind_what_the_config_says_of_its_own(data, tmp_path):
  """A run from ImageNet is repeated without its head; a new run from that run's checkpoint has the head."""
  args = arguments(data, tmp_path / 'run', affinity=True, restore_from='imagenet', not_restore_classifier=True)
  config = written(tmp_path, json.dumps({**vars(args), **FACTS}), 'config')
  assert parse(config).not_restore_classifier and parse(config).restore_from == 'imagenet'
  assert parse(config, '--restore-from=imagenet').not_restore_classifier
  other = parse(config, '--restore-from=run/model.ckpt-9')
  assert (other.restore_from, other.not_restore_classifier) == ('run/model.ckpt-9', False)
  assert parse(config, '--restore-from=run/model.ckpt-9', '--not-restore-logits').not_restore_logits


@pytest.mark.parametrize(
  'text',
  [
    'learning-rate: 1e-3\ninput_size: 32,48\nmodel: fcn8s\nrandom_crop: true\nxla: no\nclip_norm: null\nval_list: ""',
    'learning_rate: 0.001\ninput-size: [32, 48]\nmodel: "fcn8s"  # the head\nrandom-crop: yes',
  ],
)
def test_yaml_is_read_as_a_command_line(tmp_path, text):
  words = ['--learning-rate=1e-3', '--input-size=32,48', '--model=fcn8s', '--random-crop']
  args = parse(written(tmp_path, text), '--snapshot-dir=x')
  assert vars(args) == {**vars(flags.parse('', [*words, '--snapshot-dir=x'], affinity=True)), 'config': args.config}


def test_prediction_takes_its_flags_from_a_file_too(tmp_path):
  values = {'image': ['a.png', 'b c.png'], 'restore_from': 'x', 'save_dir': 'y', 'overlay': True, 'palette': True}
  path = written(tmp_path, json.dumps(values), 'p.json')
  args = inference_flags.parse('', ['--config', str(path), '--no-overlay'])
  assert (args.image, args.restore_from, args.save_dir) == (['a.png', 'b c.png'], 'x', 'y')
  assert args.palette and not args.overlay


@pytest.mark.parametrize(
  ('name', 'text', 'says'),
  [
    ('run.yaml', 'learning_rte: 1', '; did you mean learning_rate?'),
    ('run.yaml', 'learning_rate: -1', "learning_rate: '-1': give a finite number above 0"),
    ('run.yaml', 'learning_rate: true', 'learning_rate: true is not a value; give one'),
    ('run.yaml', 'num_steps: [1, 2]', "num_steps: '1,2': give a whole number from 1"),
    ('run.yaml', 'random_crop: 1', 'random_crop: give true or false'),
    ('run.yaml', 'model: none', "model: invalid choice: 'none' (choose from "),
    ('run.yaml', 'a: [', 'is not YAML: while parsing'),
    ('run.yaml', '- 1', 'does not hold `name: value` pairs'),
    ('run.json', 'num_steps: 1', 'is not JSON (YAML files end in .yaml): Expecting value'),
  ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path, name, text, says):
  path = written(tmp_path, text, name)
  with pytest.raises(errors.InputError) as e:
    parse(path)
  assert f'{path}: ' in str(e.value) and says in str(e.value)
