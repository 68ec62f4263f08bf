"""The layers of every network here: convolution, batch norm, pooling, resizing.

Conventions: feature maps are [N, H, W, C]; variables are float32 and carry their checkpoint name; a layer computes in
the dtype of its input (float32, bfloat16 or float16), batch statistics always in float32.
"""

import zlib

import tensorflow as tf

from network.common import cpu_gradients

EPSILON = 1e-3  # added to the variance in batch norm
MEAN = (122.675, 116.669, 104.008)  # R, G, B; what the reader subtracts from every image, whatever the backbone


class Conv(tf.Module):
  """`conv -> (+ biases | batch norm) -> (activation)`, the unit that every network here is made of.

  A stride > 1 pads zeros, (k - 1) // 2 before and the rest after, whatever the input's size (TF-Slim's conv2d_same), so
  that feature (i, j) of an output stride s sits on pixel (s i, s j). `rate` is the dilation (atrous convolution).

  Variables: `SCOPE/weights` [k, k, in, out], He-uniform: +-sqrt(6 / fan_in), a pure function of seed and name;
  `SCOPE/biases` [out], zero, or `SCOPE/BatchNorm/...`.
  """

  def __init__(
    self,
    scope,
    channels_in,
    channels,
    kernel,
    stride=1,
    rate=1,
    batch_norm_decay=None,
    activation=tf.nn.relu,
    seed=0,
  ):
    super().__init__()
    self.stride, self.rate, self.activation = stride, rate, activation
    self.weights = self.initial_weights(scope, channels_in, channels, kernel, seed)
    self.biases = self.batch_norm = None
    if batch_norm_decay is None:
      self.biases = tf.Variable(lambda: tf.zeros(channels), name=f'{scope}/biases')
    else:
      self.batch_norm = BatchNorm(f'{scope}/BatchNorm', channels, batch_norm_decay)

  def initial_weights(self, scope, channels_in, channels, kernel, seed):
    fan_in = kernel * kernel * channels_in
    return he_uniform(f'{scope}/weights', (kernel, kernel, channels_in, channels), fan_in, seed)

  def convolve(self, x, weights):
    return conv2d(x, weights, self.stride, self.rate)

  def __call__(self, x, training=False):
    weights = tf.cast(self.weights, x.dtype)
    if x.dtype == tf.bfloat16 and not cpu_gradients.has_bfloat16():
      x = cpu_gradients.by_float32(self.convolve, x, weights)
    else:
      x = self.convolve(x, weights)
    x = self.batch_norm(x, training) if self.biases is None else add_biases(x, self.biases)
    return x if self.activation is None else self.activation(x)


def add_biases(x, biases):
  """`x + biases` [C] in float32, rounded at the end: TensorFlow's bfloat16 gradient of biases stops growing at 256."""
  return tf.cast(tf.nn.bias_add(tf.cast(x, tf.float32), tf.cast(biases, tf.float32)), x.dtype)


class DepthwiseConv(Conv):
  """`Conv` with one filter per channel: `SCOPE/depthwise_weights` [k, k, C, 1], with the same padding.

  As in TF-Slim they are not named `weights`, so they have no weight decay: batch norm follows each, so the scale of its
  9 or 25 weights per channel hardly changes the output, and decay would only shrink them.
  """

  def __init__(self, scope, channels, kernel, *args, **kwargs):
    super().__init__(scope, 1, channels, kernel, *args, **kwargs)

  def initial_weights(self, scope, channels_in, channels, kernel, seed):
    return he_uniform(f'{scope}/depthwise_weights', (kernel, kernel, channels, 1), kernel * kernel, seed)

  def convolve(self, x, weights):
    return cpu_gradients.depthwise_conv2d(x, weights, self.stride, self.rate)


def he_uniform(name, shape, fan_in, seed):
  """A variable `SCOPE/...` that starts in +-sqrt(6 / fan_in) (He et al. 2015), drawn by seed and scope."""
  limit = (6 / fan_in) ** 0.5
  scope_seed = zlib.crc32(name.rpartition('/')[0].encode()) & 0x7FFFFFFF
  return tf.Variable(lambda: tf.random.stateless_uniform(shape, [seed, scope_seed], -limit, limit), name=name)


def conv2d(x, weights, stride=1, rate=1):
  """[N, H, W, in] -> [N, ceil(H / stride), ceil(W / stride), out]; see `Conv` for the padding.

  The zeros are an op of their own: oneDNN's gradients do not take explicit padding, and TensorFlow's own are slower.
  """
  if stride == 1:
    return cpu_gradients.conv2d(x, weights, rate)
  padding = weights.shape[0] - 1
  pad = [padding // 2, padding - padding // 2]
  return tf.nn.conv2d(tf.pad(x, [[0, 0], pad, pad, [0, 0]]), weights, stride, 'VALID', dilations=rate)


class BatchNorm(tf.Module):
  """Batch normalisation (Ioffe and Szegedy 2015), over the global batch of all replicas.

  `training=False`: the moving averages are used and nothing changes. `training=True`: the batch's mean and biased
  variance are used, and `average <- decay * average + (1 - decay) * statistic`. With one replica that is TensorFlow's
  fused kernel; with several, the replicas' sums are added up first, gradients included.
  """

  def __init__(self, scope, channels, decay):
    super().__init__()
    self.decay = decay
    self.gamma = tf.Variable(lambda: tf.ones(channels), name=f'{scope}/gamma')
    self.beta = tf.Variable(lambda: tf.zeros(channels), name=f'{scope}/beta')
    # Every replica computes the same average, so each keeps its own and the first one's is saved.
    average = {
      'trainable': False,
      'synchronization': tf.VariableSynchronization.ON_READ,
      'aggregation': tf.VariableAggregation.ONLY_FIRST_REPLICA,
    }
    self.moving_mean = tf.Variable(lambda: tf.zeros(channels), name=f'{scope}/moving_mean', **average)
    self.moving_variance = tf.Variable(lambda: tf.ones(channels), name=f'{scope}/moving_variance', **average)

  def __call__(self, x, training=False):
    if not training:
      statistics = {'mean': self.moving_mean, 'variance': self.moving_variance, 'is_training': False}
      return tf.raw_ops.FusedBatchNormV3(x=x, scale=self.gamma, offset=self.beta, epsilon=EPSILON, **statistics).y
    replicas = tf.distribute.get_replica_context()
    if replicas is None or replicas.num_replicas_in_sync == 1:
      y, mean, variance = fused_batch_norm(x, self.gamma, self.beta)
    else:
      y, mean, variance = replicated_batch_norm(x, self.gamma, self.beta, self.moving_mean, replicas)
    self.moving_mean.assign_sub((1 - self.decay) * (self.moving_mean - mean))
    self.moving_variance.assign_sub((1 - self.decay) * (self.moving_variance - variance))
    return y


def fused_batch_norm(x, gamma, beta):
  """Batch norm by the batch's own statistics -> (y, mean [C], biased variance [C])."""
  empty = tf.zeros([0])
  out = tf.raw_ops.FusedBatchNormV3(
    x=x, scale=gamma, offset=beta, mean=empty, variance=empty, epsilon=EPSILON, is_training=True
  )
  # The kernel normalises by the biased variance but returns the unbiased one, n / (n - 1) larger; of one value: 0.
  n = tf.cast(tf.size(x) / tf.shape(x)[-1], tf.float32)
  biased = tf.where(n > 1, out.batch_variance * (n - 1) / n, 0.0)
  return out.y, tf.stop_gradient(out.batch_mean), tf.stop_gradient(biased)


def replicated_batch_norm(x, gamma, beta, shift, replicas):
  """Batch norm by the statistics of all replicas' batches -> (y, mean [C], biased variance [C]).

  With n = (x - mean) / sqrt(variance + EPSILON) and sums over the N pixels of all replicas, the gradient for x is

    gamma / sqrt(variance + EPSILON) * (g - sum(g) / N - n sum(g n) / N),

  g that of y; those for gamma and beta are the sums over the replica's own pixels, since the training adds them up.
  It is written out for speed, and because the gradient of `ReplicaContext.all_reduce` makes TensorFlow walk the graph
  backwards from each sum through the networks of all other replicas: quadratic in the number of layers. Here the
  statistics are arguments of what has the gradient, so the walk ends at once.
  """
  mean, variance, count = global_moments(tf.stop_gradient(x), shift, replicas)

  @tf.custom_gradient
  def normalise(x, gamma, beta, mean, variance, count):
    statistics = {'mean': mean, 'variance': variance, 'is_training': False}
    y = tf.raw_ops.FusedBatchNormV3(x=x, scale=gamma, offset=beta, epsilon=EPSILON, **statistics).y

    def gradients(g):
      g, inverse = tf.cast(g, tf.float32), tf.math.rsqrt(variance + EPSILON)
      normal = (tf.cast(x, tf.float32) - mean) * inverse
      d_beta, d_gamma = tf.reduce_sum(g, [0, 1, 2]), tf.reduce_sum(g * normal, [0, 1, 2])
      of_all = add_up(tf.stack([d_beta, d_gamma]), replicas) / count
      d_x = gamma * inverse * (g - of_all[0] - normal * of_all[1])
      return tf.cast(d_x, x.dtype), d_gamma, d_beta, None, None, None

    return y, gradients

  return normalise(x, gamma, beta, mean, variance, count), mean, variance


def global_moments(x, shift, replicas):
  """Mean [C], biased variance [C] and number of pixels of the batches of all replicas, by one all-reduce.

  The sums are taken about `shift` [C] (equal on all replicas; the moving mean), so that a mean far from zero does not
  cancel the variance's digits.
  """
  shift = tf.convert_to_tensor(shift)
  centred = tf.cast(x, tf.float32) - shift
  count = tf.cast(tf.size(x) / tf.shape(x)[-1], tf.float32)
  sums = [tf.reduce_sum(centred, [0, 1, 2]), tf.reduce_sum(centred * centred, [0, 1, 2]), [count]]
  sums = add_up(tf.concat(sums, 0), replicas)
  mean, square = tf.unstack(tf.reshape(sums[:-1] / sums[-1], [2, -1]))
  return mean + shift, tf.nn.relu(square - mean * mean), sums[-1]


def add_up(x, replicas):
  """The sum of the replicas' tensors `x`, on each of them; without a gradient."""
  [total] = replicas.strategy.extended._replica_ctx_all_reduce(tf.distribute.ReduceOp.SUM, [x])
  return total


def max_pool_stem(x):
  """3x3 max pooling, stride 2, on one pixel of zero padding: pixel (i, j) sits on pixel (2i, 2j)."""
  return tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, 'VALID')


def average_pool(x, size, stride):
  """Means over windows [h, w] that lie `stride` apart, without padding. Of float16, the sums would overflow."""
  return tf.cast(tf.nn.avg_pool2d(tf.cast(x, tf.float32), size, stride, 'VALID'), x.dtype)


def resize_bilinear(x, size):
  """TensorFlow 1's bilinear resize to `size` [h, w]: source = target * in / out, no half-pixel centres. Float32 out."""
  return tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=False, half_pixel_centers=False)
