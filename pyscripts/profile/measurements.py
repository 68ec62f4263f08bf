"""What measure.py measures, on generated data. Each measurement returns rows {column: figure}.

Machines are shared and noisy, so a time says little by itself. Every time is a median and has a ratio beside it whose
other side was timed in turns with it, so that a busy moment falls on both: the product of two matrices on this machine
(`of matrix product`), or another way to do the same.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import multiprocessing
import pathlib
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from network.aaf import losses, reference
from network.common.layers import resize_bilinear
from seg_models.augmentation import NO_AUGMENTATION, Augmentation
from seg_models.image_reader import training_dataset
from seg_models.names import build
from utils import devices
from utils.lists import Pair, read_list
from utils.parallel import cores
from utils.predict import windows
from utils.predict.flags import SCALES
from utils.train.objectives import AdaptiveAffinity, Affinity, CrossEntropy
from utils.train.optimizers import TrainingState
from utils.train.step import make_step

CPU_SIDE, GPU_SIDE, GPU_PRODUCTS = 2048, 8192, 4  # of the matrices; a GPU is waited for once in that many products


def seconds_in_turns(calls: dict[str, Callable], repeat: int) -> dict[str, float]:
  """Median seconds of each call, made in turns `repeat` times after a first time that does not count."""
  times = {name: [] for name in calls}
  for _ in range(repeat + 1):
    for name, call in calls.items():
      begun = time.perf_counter()
      wait_for(call())
      times[name].append(time.perf_counter() - begun)
  return {name: statistics.median(values[1:]) for name, values in times.items()}


def wait_for(result) -> None:
  """Returns when every tensor of a result has been computed."""
  tf.nest.map_structure(np.asarray, result)


def seconds_and_ceiling(calls: dict[str, Callable], repeat: int, precision: str) -> tuple[dict[str, float], float]:
  """`seconds_in_turns`, and the GFLOP/s of a matrix product that takes its turn with them."""
  side, products = (GPU_SIDE, GPU_PRODUCTS) if gpu() else (CPU_SIDE, 1)
  deviations = 1, side**-0.5  # so that the products stay in float16's range
  a, b = (tf.cast(tf.random.stateless_normal([side] * 2, [0, 0], 0, x), precision) for x in deviations)

  @tf.function(autograph=False)
  def product():
    x = a
    for _ in range(products):
      x = tf.matmul(x, b)
    return tf.cast(tf.reduce_sum(x[0]), tf.float32)

  seconds = seconds_in_turns({**calls, 'product': product}, repeat)
  return seconds, 2e-9 * products * side**3 / seconds.pop('product')


def conv_gflop(function: Callable, shape) -> float:
  """GFLOP (two per multiply-add) of the convolutions in one call of `function` on float32 of this shape."""
  total = 0
  for op in tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(shape)).graph.get_operations():
    if op.type == 'Conv2D':
      filters, outputs = op.inputs[1].shape, op.outputs[0].shape
      total += 2 * filters.num_elements() // filters[-1] * outputs.num_elements()
  return total / 1e9


def in_fresh_process(function: Callable, *args):
  """`function(*args)` of a new process: it begins with the interpreter's start, and no memory is reused."""
  with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as process:
    return process.submit(function, *args).result()


def gpu() -> str:
  """The first GPU's name, or an empty string."""
  return 'GPU:0' if tf.config.list_physical_devices('GPU') else ''


def peak_memory() -> float:
  """The largest memory of this process so far, in MB: on the GPU, or without one resident (Linux; elsewhere 0)."""
  if gpu():
    return tf.config.experimental.get_memory_info(gpu())['peak'] / 1e6
  with contextlib.suppress(OSError):  # getrusage would count the process it was forked from
    return int(re.search(r'VmHWM:\s*(\d+) kB', pathlib.Path('/proc/self/status').read_text())[1]) * 1024 / 1e6
  return 0.0


def machine() -> str:
  """One line: what the measurements ran on."""
  gpus = tf.config.list_physical_devices('GPU')
  names = [tf.config.experimental.get_device_details(device).get('device_name', 'GPU') for device in gpus]
  cpuinfo = pathlib.Path('/proc/cpuinfo')  # Linux
  processor = re.search(r'model name\s*: (.*)', cpuinfo.read_text() if cpuinfo.exists() else '')
  names.append(f'{cores()} cores of {processor[1] if processor else platform.machine()}')
  return f'{", ".join(names)}; Python {platform.python_version()}, TensorFlow {tf.__version__}'


# The network, its data and its step.

LOSS = {'margin': 3.0, 'lambda_1': 1.0, 'lambda_2': 1.0}  # as training's flags by default
OBJECTIVES = {
  'cross-entropy': CrossEntropy,
  'affinity': functools.partial(Affinity, **LOSS),
  'adaptive affinity': functools.partial(AdaptiveAffinity, **LOSS),
}


def network(args):
  model = build(args.model, args.backbone, args.num_classes, output_stride=args.output_stride)
  devices.apply(model, args.precision)
  return model


def random_batch(args, number: int) -> tuple[tf.Tensor, tf.Tensor]:
  """`number` images float32 [n, h, w, 3] and labels int32 [n, h, w] in blocks of 24 pixels."""
  height, width = args.input_size
  rng = np.random.default_rng(0)
  images = rng.normal(0, 60, (number, height, width, 3)).astype(np.float32)
  blocks = rng.integers(0, args.num_classes, (number, -(-height // 24), -(-width // 24)), np.int32)
  return tf.constant(images), tf.constant(blocks.repeat(24, 1).repeat(24, 2)[:, :height, :width])


def step_call(args, strategy, model, objective: str, batch) -> Callable:
  """A function that does one step -> its metrics. `objective`: one of OBJECTIVES."""
  with strategy.scope():
    state = TrainingState(model, OBJECTIVES[objective](args.num_classes), args)
  do_step = make_step(strategy, state, args)
  return lambda: do_step([batch], tf.constant(0))


def strategy_on(args, replicas: int):
  """The strategy on that many GPUs; a GPU that is alone, or the CPU, is split into as many logical devices."""
  gpus = tf.config.list_physical_devices('GPU')
  if len(gpus) != 1 or replicas == 1:
    of_replicas = {'num_gpu': replicas} if replicas > 1 else {}
    return devices.choose(argparse.Namespace(batch_size=args.batch_size, cluster=None, **of_replicas))
  part = tf.config.LogicalDeviceConfiguration(args.memory_mb)
  tf.config.set_logical_device_configuration(gpus[0], [part] * replicas)
  # NCCL takes a card only once, so the sums are made on one of its parts.
  return tf.distribute.MirroredStrategy([f'/gpu:{i}' for i in range(replicas)], tf.distribute.ReductionToOneDevice())


# measure.py step


def step(args) -> list[dict]:
  """The forward pass, and the step by objective, which counts as three forward passes."""
  names = ['cross-entropy'] if args.plain else list(OBJECTIVES)
  starts = {name: in_fresh_process(start, one_step, (args, name), time.time()) for name in names}
  strategy = strategy_on(args, 1)
  model, batch = network(args), random_batch(args, args.batch_size)
  gflop = conv_gflop(lambda x: model(x), batch[0].shape)
  forward = tf.function(lambda: tf.nn.softmax(resize_bilinear(model(batch[0]), args.input_size)), autograph=False)
  calls = {'forward to softmax': lambda: forward()[0, 0, 0]}
  calls |= {name: step_call(args, strategy, model, name, batch) for name in names}
  seconds, ceiling = seconds_and_ceiling(calls, args.repeat, args.precision)

  def row(name: str, passes: int) -> dict:
    speed = {'what': name, 's': seconds[name], 'images/s': args.batch_size / seconds[name]}
    return {**speed, 'of matrix product': passes * gflop / seconds[name] / ceiling, 'product GFLOP/s': ceiling}

  def step_row(name: str, plain: str) -> dict:
    (first, memory, _), (_, plain_memory, _) = starts[name], starts[plain]
    of_plain = {'of plain step': seconds[name] / seconds[plain], 'of plain memory': memory / (plain_memory or 1)}
    return {**row(name, 3), **of_plain, 'memory MB': memory, **first}

  return [row('forward to softmax', 1), *(step_row(name, names[0]) for name in names)]


def one_step(args, name: str) -> Callable:
  return step_call(args, strategy_on(args, 1), network(args), name, random_batch(args, args.batch_size))


def start(make_call: Callable, args: tuple, begun: float | None = None) -> tuple[dict, float, float]:
  """For a new process: `first_step` of `make_call(*args)`; the largest MB of the process after two more calls, and how
  much of that is above what it had before."""
  devices.grow_memory()  # before the first look at memory, which starts the GPU
  before = peak_memory()
  call = make_call(*args)
  first = first_step(call, begun or time.time())
  for _ in range(2):
    wait_for(call())
  return first, peak_memory(), peak_memory() - before


def first_step(call: Callable, begun: float) -> dict:
  """The seconds from `begun` to the end of the first call, tracing included, and the process's processor seconds."""
  wait_for(call())
  return {'first step s': time.time() - begun, 'its processor s': time.process_time()}


# measure.py replicas

TOLERANCE = 1e-2  # of the norm of the change: sums are added in another order, which batch norm and the steps enlarge


def replicas(args) -> list[dict]:
  """The step of a batch on one replica, and split among --num-gpu; and whether both change the weights alike."""
  devices.obey_tf32_override()
  exact = args.precision == 'float32' and not devices.cuts_float32()
  numbers = dict.fromkeys((1, args.num_gpu))  # in processes of their own: TensorFlow splits a device once
  (one, alone), *others = [in_fresh_process(on_replicas, args, number, time.time()) for number in numbers]
  rows = [{**one, 'of 1 replica': 1.0}]
  for row, change in others:
    difference = float(np.linalg.norm(change - alone) / np.linalg.norm(alone))
    same = {'tolerance': TOLERANCE, 'within': difference <= TOLERANCE} if exact else {}
    rows.append({**row, 'of 1 replica': row['step s'] / one['step s'], 'change differs by': difference, **same})
  return rows


def on_replicas(args, number: int, begun: float) -> tuple[dict, np.ndarray]:
  """The figures of the adaptive affinity step; and by how much three steps changed each number of the model."""
  strategy, each = strategy_on(args, number), args.batch_size // number
  with strategy.scope():
    model = network(args)
  images, labels = random_batch(args, args.batch_size)

  def part(context):
    first = context.replica_id_in_sync_group * each
    return images[first : first + each], labels[first : first + each]

  batch = strategy.experimental_distribute_values_from_function(part)
  call, before = step_call(args, strategy, model, 'adaptive affinity', batch), [v.numpy() for v in model.variables]
  first = first_step(call, begun)
  for _ in range(2):
    wait_for(call())
  change = np.concatenate([(v.numpy() - old).ravel() for v, old in zip(model.variables, before, strict=True)])
  gflop = 3 * conv_gflop(lambda x: model(x), images.shape)
  seconds, ceiling = seconds_and_ceiling({'step': call}, args.repeat, args.precision)
  ceiling *= number if len(tf.config.list_physical_devices('GPU')) >= number else 1  # else they share one device
  speed = {'step s': seconds['step'], 'images/s': args.batch_size / seconds['step']}
  share = {'of matrix product': gflop / seconds['step'] / ceiling}
  return {'replicas': number, 'on': 'GPU' if gpu() else 'CPU', **first, **speed, **share}, change


# measure.py loss

SHAPES = ((8, 90, 90, 19), (8, 42, 42, 21))  # logits of 720 and 336 pixel crops
LOSSES = {'here': losses.adaptive_affinity_loss, 'pairs x classes': reference.adaptive_affinity_loss}


def loss(args) -> list[dict]:
  """The adaptive loss with its gradients, against the same loss as tensors of pairs x classes."""
  devices.grow_memory()  # the new processes need room beside this one
  rows = []
  for shape in [tuple(args.shape)] if args.shape else SHAPES:
    (first, _, megabytes), (*_, of_tensors) = [in_fresh_process(start, loss_call, (name, shape)) for name in LOSSES]
    calls = {name: loss_call(name, shape) for name in LOSSES}
    seconds, ceiling = seconds_and_ceiling(calls, args.repeat, 'float32')
    here, tensors = (np.array(call()) for call in calls.values())
    speed = {'s': seconds['here'], 'times faster than pairs x classes': seconds['pairs x classes'] / seconds['here']}
    memory = {'memory MB': megabytes, 'pairs x classes MB': of_tensors, 'first call s': first['first step s']}
    error = {'differ by': float(abs(here / tensors - 1).max()), 'product GFLOP/s': ceiling}
    rows.append({'logits': 'x'.join(map(str, shape)), **speed, **memory, **error})
  return rows


def loss_call(name: str, shape: tuple) -> Callable:
  """A function of no arguments: loss and gradients, each down to one number, so that only computing is waited for.

  Labels in patches, a twentieth of them void; random logits, and raw edge and non-edge weights.
  """
  rng = np.random.default_rng(0)
  batch, height, width, classes = shape
  labels = rng.integers(0, classes, (batch, -(-height // 9), -(-width // 9))).repeat(9, 1).repeat(9, 2)
  labels = np.where(rng.random((batch, height, width)) < 0.05, 255, labels[:, :height, :width]).astype(np.int32)
  weights = classes, len(losses.SIZES)
  logits, *weights = [tf.constant(rng.normal(size=s), tf.float32) for s in (shape, weights, weights)]

  @tf.function(autograph=False)
  def call():
    with tf.GradientTape() as tape:
      tape.watch([logits, weights])
      terms = LOSSES[name](labels, tf.nn.softmax(logits), classes, LOSS['margin'], *map(tf.nn.softmax, weights))
      total = tf.add_n([tf.reduce_sum(term) for term in terms])
    return [total, *map(tf.norm, tape.gradient(total, [logits, *weights]))]

  return call


# measure.py predict


def predict(args) -> list[dict]:
  """Windows by batch size; and, with the best of these, images at six scales with flips."""
  devices.grow_memory()
  model = network(args)
  gflop = conv_gflop(lambda x: model(x), (1, *args.input_size, 3))
  windows.freeze(model)
  probabilities = windows.probability_function(model, args.input_size)
  batches = {n: tf.random.stateless_normal([n, *args.input_size, 3], [0, 1], stddev=60) for n in args.batch_sizes}
  calls = {n: lambda batch=batch: probabilities(batch)[0, 0, 0] for n, batch in batches.items()}
  seconds, ceiling = seconds_and_ceiling(calls, args.repeat, args.precision)
  best = min(args.batch_sizes, key=lambda n: seconds[n] / n)

  def row(what: str, number: int, seconds: float, ceiling: float) -> dict:
    share = number * gflop / seconds / ceiling
    return {'what': what, 'windows': number, 's': seconds, 'of matrix product': share, 'product GFLOP/s': ceiling}

  of_windows = [row('windows', n, seconds[n], ceiling) for n in args.batch_sizes]
  view = {'window': args.input_size, 'strides': args.strides}
  image = np.random.default_rng(0).integers(0, 256, (*args.image_size, 3), np.uint8)
  sizes = [windows.at_scale(image, scale, False).shape[:2] for scale in SCALES]
  number = 2 * sum(len(windows.View(size, (), **view).places) for size in sizes)
  options = {'scales': SCALES, 'flip': True, 'batch_size': best}

  def images() -> None:
    for _ in windows.scores(((None, image) for _ in range(args.images)), probabilities, **view, **options):
      pass

  before = peak_memory()  # the network's, with its windows
  seconds, ceiling = seconds_and_ceiling({'': images}, args.repeat, args.precision)
  of_images = row(f'{args.images} images, {best} windows at a time', args.images * number, seconds[''], ceiling)
  return [*of_windows, {**of_images, 'memory above MB': peak_memory() - before}]


# measure.py reader

RANDOM = Augmentation(random_scale=True, random_mirror=True, random_crop=True)
AUGMENTATIONS = {
  'only cropped': NO_AUGMENTATION,
  'scaled, mirrored, cropped': RANDOM,
  'and --random-rotate 20': RANDOM._replace(random_rotate=20.0),
  'and --color-jitter': RANDOM._replace(color_jitter=True),
  'and --crop-max-share 0.5': RANDOM._replace(crop_max_share=0.5),
}


def reader(args) -> list[dict]:
  """The reader of training, by augmentation: on a list of one's own, or on 64 images made for it."""
  with tempfile.TemporaryDirectory() as folder:
    pairs = read_list(args.data_list, args.data_dir, True) if args.data_list else draw(pathlib.Path(folder))
    processor = {name: [] for name in AUGMENTATIONS}
    calls = {name: read_call(args, pairs, name, processor[name]) for name in AUGMENTATIONS}
    seconds = seconds_in_turns(calls, args.repeat)
  number, cropped, rows = args.batches * args.batch_size, seconds['only cropped'], []
  for name in AUGMENTATIONS:
    speed = {'augmentation': name, 'images/s': number / seconds[name], 'times only cropped': seconds[name] / cropped}
    rows.append({**speed, 'processor ms an image': 1e3 * statistics.median(processor[name][1:]) / number})
  return rows


def read_call(args, pairs: list[Pair], name: str, processor: list[float]) -> Callable:
  """A function that reads `--batches` batches, and adds the processor time that it took to `processor`."""
  dataset = training_dataset(pairs, args.batch_size, args.input_size, 255, seed=0, augmentation=AUGMENTATIONS[name])
  batches = iter(dataset.batch(args.batch_size).prefetch(2))

  def read() -> None:
    begun = time.process_time()
    for _ in range(args.batches):
      wait_for(next(batches))
    processor.append(time.process_time() - begun)

  return read


def draw(folder: pathlib.Path, number: int = 64, size: tuple[int, int] = (480, 360)) -> list[Pair]:
  """Smooth noise, which takes about as many bytes as photographs do, with labels in smooth regions of 11 classes."""
  rng, pairs = np.random.default_rng(0), []
  for i in range(number):
    pairs.append(Pair(str(folder / f'{i}.jpg'), str(folder / f'{i}.png')))
    noise = Image.fromarray(rng.integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8))
    noise.resize(size, Image.Resampling.BICUBIC).save(pairs[-1].image, quality=92, subsampling=0)
    scores = [Image.fromarray(x).resize(size, Image.Resampling.BICUBIC) for x in rng.random((11, 8, 12), np.float32)]
    Image.fromarray(np.argmax(scores, axis=0).astype(np.uint8)).save(pairs[-1].label)
  return pairs
