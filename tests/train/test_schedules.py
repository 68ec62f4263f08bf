"""Learning rates and the weight of the affinity terms, step by step."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from utils.train import optimizers

data = tiny.data
STEPS = np.arange(10)
POLY = 2 * (1 - STEPS / 10) ** 0.9


@pytest.mark.parametrize(
  ('flags', 'rates'),
  [
    ({}, POLY),
    ({'power': 2}, 2 * (1 - STEPS / 10) ** 2),
    ({'schedule': 'constant'}, [2] * 10),
    ({'schedule': 'cosine'}, 1 + np.cos(np.pi * STEPS / 10)),
    ({'warmup_steps': 4}, POLY * [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]),
    ({'schedule': 'constant', 'warmup_steps': 20}, (STEPS + 1) / 10),
  ],
)
def test_rates_of_a_run(data, flags, rates):
  args = tiny.arguments(data, 'unused', num_steps=10, learning_rate=2, **flags)
  np.testing.assert_allclose([optimizers.learning_rate(tf.constant(s), args) for s in STEPS], rates, rtol=1e-6)


def test_affinity_terms_shrink_to_a_tenth():
  decays = optimizers.affinity_decay(tf.constant([0, 5, 9]), 10)
  np.testing.assert_allclose(decays, 10 ** -np.array([0, 0.5, 0.9]), rtol=1e-6)
