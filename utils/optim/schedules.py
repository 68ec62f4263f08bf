"""What changes from step to step: the learning rate and the weight of the affinity terms.

Step s counts from 0, as a tensor. Every schedule is a function of s alone, so a resumed run needs no state of it.
"""

import math

import tensorflow as tf

DECAY = 10.0  # the affinity terms shrink to a tenth over a run


def poly(step, num_steps: int, base: float, power: float):
  """base * (1 - step / num_steps)^power (DeepLab: Chen et al., 2016; the schedule of 2018)."""
  return base * (1 - tf.cast(step, tf.float32) / num_steps) ** power


def cosine(step, num_steps: int, base: float):
  """base / 2 * (1 + cos(pi * step / num_steps)) (Loshchilov and Hutter, ICLR 2017, without restarts)."""
  return base / 2 * (1 + tf.cos(math.pi * tf.cast(step, tf.float32) / num_steps))


def warmup(step, warmup_steps: int):
  """The factor min(1, (step + 1) / warmup_steps): the rate rises linearly to the schedule's (Goyal et al., 2017)."""
  return tf.minimum(1.0, (tf.cast(step, tf.float32) + 1) / warmup_steps)


def learning_rate(step, args):
  """The rate of --schedule and --warmup-steps, before the multiples of head and edge weights."""
  if args.schedule == 'poly':
    rate = poly(step, args.num_steps, args.learning_rate, args.power)
  elif args.schedule == 'cosine':
    rate = cosine(step, args.num_steps, args.learning_rate)
  else:
    rate = tf.constant(args.learning_rate)
  return rate * warmup(step, args.warmup_steps) if args.warmup_steps else rate


def affinity_decay(step, num_steps: int, base: float = DECAY):
  """The factor of both affinity terms: base^(-step / num_steps)."""
  return base ** (-tf.cast(step, tf.float32) / num_steps)
