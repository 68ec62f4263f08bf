"""The losses as objects: equal to the functions, with edge weights that ascend under any optimiser and in Keras; and
`pip install .` brings them, as `adaptive_affinity`, and nothing else."""

import functools
import pathlib
import runpy
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import network.aaf
from dataset import make_demo
from network.aaf import AdaptiveAffinityLoss, AffinityLoss, EdgeWeights, affinity_loss, modules, reference
from tests.data.trees import ROOT
from utils.train.objectives import AdaptiveAffinity

# Keras 3.15 reads its variables in a way that NumPy 2 will no longer take.
pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')

EXAMPLE = ROOT / 'examples/keras_aaf.py'
CLASSES, MARGIN = 3, 1.0
LABELS = np.random.default_rng(0).integers(0, CLASSES + 1, (2, 4, 4)).repeat(2, 1).repeat(2, 2)
LOGITS = np.random.default_rng(1).normal(size=(2, 8, 8, CLASSES))
IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)


def randomise_edge_weights(loss):
  for i, variable in enumerate(loss.edge_weights):
    variable.assign(np.random.default_rng(i).normal(size=variable.shape))


def loss_and_gradients(loss, labels, logits, edge_weights):
  with tf.GradientTape() as tape:
    tape.watch(logits)
    value = loss(labels, logits)
  return value, *tape.gradient(value, [logits, *edge_weights])


def test_affinity_loss_is_the_weighted_sum_of_its_terms_plus_another_loss():
  logits = tf.constant(LOGITS, tf.float32)
  edge, nonedge = affinity_loss(LABELS, tf.nn.softmax(logits), CLASSES, MARGIN)
  loss = AffinityLoss(CLASSES, MARGIN, lambda_edge=2.0, lambda_nonedge=0.5, from_logits=True)
  np.testing.assert_allclose(loss(LABELS, logits), 2 * edge + 0.5 * nonedge, 1e-6)
  plain = AffinityLoss(CLASSES, MARGIN, 2.0, 0.5)
  np.testing.assert_allclose(plain(LABELS[..., np.newaxis].astype(float), tf.nn.softmax(logits)), loss(LABELS, logits))
  base = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=CLASSES)
  both = AffinityLoss(CLASSES, MARGIN, 2.0, 0.5, from_logits=True, base=base)
  np.testing.assert_allclose(both(LABELS, LOGITS), loss(LABELS, logits) + base(LABELS, LOGITS), 1e-6)
  assert not loss.trainable_variables


@pytest.mark.parametrize('from_logits', [True, False])
@pytest.mark.parametrize('kind', [AffinityLoss, AdaptiveAffinityLoss])
def test_one_sigmoid_channel_is_two_classes(kind, from_logits):
  """p is the second of two classes: softmax of [0, x]."""
  x = tf.constant(LOGITS[..., :1], tf.float32)
  labels = np.where(LABELS == CLASSES, 255, LABELS % 2)[..., np.newaxis]
  one, two = kind(1, MARGIN, from_logits=from_logits), kind(2, MARGIN, from_logits=True)
  for loss in (one, two) if kind is AdaptiveAffinityLoss else ():
    randomise_edge_weights(loss)
  got = loss_and_gradients(one, labels, x if from_logits else tf.sigmoid(x), one.trainable_variables)
  want = loss_and_gradients(two, labels, tf.concat([tf.zeros_like(x), x], -1), two.trainable_variables)
  np.testing.assert_allclose(got[0], want[0], 1e-5)
  given = x if from_logits else tf.sigmoid(x)  # as Keras gives them where labels have no channel
  np.testing.assert_array_equal(one(labels[..., 0], given[..., 0]), one(labels, given))
  by_logit = got[1] if from_logits else got[1] * tf.sigmoid(x) * tf.sigmoid(-x)
  np.testing.assert_allclose(by_logit, want[1][..., 1:], 1e-4, 1e-6)
  for g, e in zip(got[2:], want[2:], strict=True):
    np.testing.assert_allclose(g, e, 1e-4, 1e-6)


CALLS = {
  'affinity_loss': lambda classes, labels, probs: affinity_loss(labels, probs, classes, MARGIN),
  'AdaptiveAffinityLoss': lambda classes, labels, probs: AdaptiveAffinityLoss(classes)(labels, probs),
}


@pytest.mark.parametrize('call', CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
  ('classes', 'labels', 'message'),
  [
    (0, LABELS, 'num_classes is 0; give how many'),
    ('7', LABELS, "num_classes is '7'; give how many"),
    (CLASSES, np.eye(CLASSES + 1)[LABELS], r'labels \(2, 8, 8, 4\) look one-hot; give class ids'),
  ],
)
def test_settings_and_labels_that_do_not_fit(call, classes, labels, message):
  with pytest.raises(ValueError, match=message):
    call(classes, labels, np.full((2, 8, 8, CLASSES), 1 / CLASSES, np.float32))


@pytest.mark.parametrize('jit_compile', [None, True])
def test_adaptive_gradients_are_the_scripts(jit_compile):
  logits = tf.constant(LOGITS, tf.float32)
  loss = AdaptiveAffinityLoss(CLASSES, MARGIN, 2.0, 0.5, from_logits=True)
  randomise_edge_weights(loss)
  assert loss.trainable_variables == tuple(loss.edge_weights)
  objective = AdaptiveAffinity(CLASSES, MARGIN, 2.0, 0.5)
  trained = [objective.edge_w, objective.nonedge_w]
  for theirs, ours in zip(trained, loss.edge_weights, strict=True):
    theirs.assign(tf.reshape(ours, theirs.shape))

  def script(labels, logits):
    return objective.terms(tf.constant(labels), logits, objective.counts(labels), decay=1.0)['aaf_loss']

  expected = loss_and_gradients(script, LABELS, logits, trained)
  call = lambda logits: loss_and_gradients(loss, LABELS, logits, loss.edge_weights)  # noqa: E731
  got = call(logits) if jit_compile is None else tf.function(call, jit_compile=jit_compile)(logits)
  for g, e in zip(got, expected, strict=True):
    assert np.any(e)
    np.testing.assert_allclose(g, np.reshape(e, g.shape), 1e-4, 1e-6)


def small_model(classes=CLASSES):
  return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, padding='same', activation='relu'),
                           keras.layers.Conv2D(classes, 1)])  # fmt: skip


@pytest.mark.parametrize('name', ['SGD', 'Adam', 'AdamW', 'RMSprop', 'Adagrad', 'Lion', 'Lamb', 'Ftrl'])
def test_optimisers_that_minimise_raise_the_loss_by_the_edge_weights(name):
  """In a loop of one's own, without a Keras model."""
  logits, loss = tf.constant(LOGITS, tf.float32), AdaptiveAffinityLoss(CLASSES, MARGIN, from_logits=True)
  before, _, *gradients = loss_and_gradients(loss, LABELS, logits, loss.edge_weights)
  getattr(keras.optimizers, name)(0.05).apply_gradients(zip(gradients, loss.edge_weights, strict=True))
  assert loss(LABELS, logits) > before


@pytest.mark.parametrize('depth', [0, 2])
def test_saved_model_brings_its_edge_weights_at_any_depth(tmp_path, depth):
  first, plain = AdaptiveAffinityLoss(CLASSES), small_model()
  model = first.attach(plain)
  np.testing.assert_array_equal(model(IMAGES), plain(IMAGES))
  for _ in range(depth):
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, model(keras.layers.Rescaling(0.5)(images)))
  assert first.attach(model) is model
  randomise_edge_weights(first)
  model.save(tmp_path / 'model.keras')
  loaded = keras.models.load_model(tmp_path / 'model.keras')
  second = AdaptiveAffinityLoss(CLASSES)
  assert second.attach(loaded) is loaded and second.edge_weights[0] is loaded.trainable_variables[-2]
  for a, b in zip(first.edge_weights, second.edge_weights, strict=True):
    np.testing.assert_array_equal(a, b)


def test_model_compiled_with_the_loss_is_saved_and_trained_on(tmp_path):
  """The loaded loss' edge weights are the loaded model's: training goes on as if unbroken, also if XLA compiles it."""
  cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=CLASSES)
  loss = AdaptiveAffinityLoss(CLASSES, MARGIN, 2.0, sizes=(1, 2), from_logits=True, base=cross_entropy)
  model = loss.attach(small_model())
  saving = keras.callbacks.ModelCheckpoint(tmp_path / 'model.keras')
  fit(loss, model, keras.optimizers.SGD(0.5, momentum=0.9), callbacks=[saving])
  loaded = keras.models.load_model(tmp_path / 'model.keras')
  assert all(a is b for a, b in zip(loaded.loss.edge_weights, loaded.trainable_variables[-2:], strict=True))
  assert loaded.loss.get_config() == loss.get_config()
  for each, jit_compile in ((model, False), (loaded, True)):
    each.jit_compile = jit_compile
    each.fit(IMAGES, LABELS, verbose=0)
  for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, 1e-4, 1e-5)
  assert loss.edge_weights[0] is model.trainable_variables[-2]


def test_plain_affinity_loss_is_saved_with_a_model(tmp_path):
  model = small_model()
  model.compile('sgd', AffinityLoss(CLASSES, 2.0, 3.0, 4.0, True), jit_compile=False)
  model.save(tmp_path / 'model.keras')
  loaded = keras.models.load_model(tmp_path / 'model.keras').loss
  assert loaded.get_config() == model.loss.get_config() and loaded.lambda_nonedge == 4.0


def test_models_that_cannot_be_attached_to():
  class Own(keras.Model):
    def __init__(self, *layers):
      super().__init__()
      self.all = layers

    def call(self, x):
      return functools.reduce(lambda x, layer: layer(x), self.all, x)

  with pytest.raises(ValueError, match='put an EdgeWeights layer into this one'):
    AdaptiveAffinityLoss(CLASSES).attach(Own(keras.layers.Conv2D(CLASSES, 1)))
  with pytest.raises(ValueError, match=r'are \(5, 3\), this loss'):
    AdaptiveAffinityLoss(CLASSES).attach(Own(EdgeWeights(5)))
  good = Own(keras.layers.Conv2D(CLASSES, 1), EdgeWeights(CLASSES))
  assert AdaptiveAffinityLoss(CLASSES).attach(good) is good


def fit(loss, model, optimizer, steps=2, **options):
  model.compile(optimizer, loss, jit_compile=False)
  return model.fit(IMAGES, LABELS, batch_size=2, epochs=steps, verbose=0, **options).history['loss']


def test_fit_under_mixed_precision():
  keras.mixed_precision.set_global_policy('mixed_float16')
  try:
    loss = AdaptiveAffinityLoss(CLASSES, MARGIN, from_logits=True)
    model = loss.attach(small_model())
  finally:
    keras.mixed_precision.set_global_policy('float32')
  assert model.layers[-2].compute_dtype == 'float16' and all(w.dtype == 'float32' for w in loss.edge_weights)
  history = fit(loss, model, keras.optimizers.SGD(0.1))
  assert np.all(np.isfinite(history))
  assert all(np.any(w) and np.all(np.isfinite(w)) for w in loss.edge_weights)


def test_fit_on_several_devices(mirrored, monkeypatch):
  """Equal to the reference, which takes less time to compile, on one."""
  with mirrored(2).scope():
    loss = AdaptiveAffinityLoss(CLASSES, MARGIN, from_logits=True)
    model = loss.attach(small_model())
    optimizer = keras.optimizers.SGD(0.1)
  start = model.get_weights()
  fit(loss, model, optimizer, steps=1)
  trained = model.get_weights()

  single = AdaptiveAffinityLoss(CLASSES, MARGIN, from_logits=True)
  alone = single.attach(small_model())
  alone.set_weights(start)

  def mean_of_both(labels, logits):
    return (single(labels[:1], logits[:1]) + single(labels[1:], logits[1:])) / 2

  monkeypatch.setattr(modules, 'adaptive_affinity_loss', reference.adaptive_affinity_loss)
  fit(mean_of_both, alone, keras.optimizers.SGD(0.1), steps=1)
  for a, b in zip(trained, alone.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, 1e-4, 1e-6)
  assert np.any(trained[-1])


def test_the_example_learns_and_its_edge_weights_ascend(tmp_path, monkeypatch):
  make_demo.main(['--out-dir', str(tmp_path / 'demo'), '--num-train', '8', '--num-val', '1', '--image-size', '64,64'])
  monkeypatch.setitem(sys.modules, 'adaptive_affinity', network.aaf)  # its name once it is installed
  monkeypatch.chdir(tmp_path)
  example = runpy.run_path(str(EXAMPLE))
  losses, edge, nonedge = example['history'].history['loss'], example['edge'], example['nonedge']
  assert losses[-1] < 0.9 * losses[0]
  # Ascending, the non-edge weights turn to where probabilities differ most: to the largest distance, for every class.
  assert np.all(nonedge[:, 2] > nonedge[:, 0])
  np.testing.assert_allclose(edge.sum(1), 1, 1e-5)
  loaded = keras.models.load_model('demo/aaf.keras')
  np.testing.assert_array_equal(loaded.loss.edge_weights[0], example['loss'].edge_weights[0])


def test_the_readme_shows_the_example_whole():
  _, _, code = EXAMPLE.read_text(encoding='utf-8').split('"""', 2)
  assert f'```python\n{code.strip()}\n```\n' in (ROOT / 'network/aaf/README.md').read_text(encoding='utf-8')


# As a package.

PROGRAM = """
import adaptive_affinity, tensorflow as tf
labels = tf.constant([[[0, 0, 1], [0, 1, 1], [0, 0, 1]]])
probs = tf.nn.softmax(tf.zeros([1, 3, 3, 2]))
edge, nonedge = adaptive_affinity.affinity_loss(labels, probs, num_classes=2, kld_margin=3.0)
layer = tf.keras.utils.get_registered_object('adaptive_affinity>EdgeWeights')  # a saved model asks for it
print(adaptive_affinity.__file__, float(edge), float(nonedge), layer.__name__)
"""


def python(*args, **kwargs) -> str:
  result = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False, **kwargs)
  assert result.returncode == 0, result.stderr
  return result.stdout


def test_the_losses_alone_are_installed_and_work_from_another_folder(tmp_path):
  """Of a copy of the project, since building leaves files beside the sources."""
  source, target = tmp_path / 'source', tmp_path / 'target'
  for folder in ('dataset', 'network', 'pyscripts', 'seg_models', 'tests', 'utils'):
    shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns('__pycache__', 'golden'))
  for name in ('pyproject.toml', 'network/aaf/README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source / name)
  offline = ['--no-deps', '--no-build-isolation', '--no-index', '--disable-pip-version-check']
  python('-m', 'pip', 'install', '-q', *offline, '--target', str(target), str(source))
  assert {path.name for path in target.iterdir() if path.suffix != '.dist-info'} == {'adaptive_affinity'}
  arrived = {path.name for path in target.rglob('*.py')}
  assert arrived == {path.name for path in (ROOT / 'network/aaf').glob('*.py')}

  said = python('-c', PROGRAM, cwd=tmp_path, env={'PYTHONPATH': str(target), 'TF_CPP_MIN_LOG_LEVEL': '3'})
  path, edge, nonedge, layer = said.split()
  assert pathlib.Path(path).is_relative_to(target)
  assert layer == 'EdgeWeights'
  assert float(edge) == 3.0  # equal probabilities: kl = 0, so the whole margin
  assert float(nonedge) == pytest.approx(0.0, abs=1e-7)  # and nothing but kl's rounding
