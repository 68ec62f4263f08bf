"""Draws small street scenes with pixel-exact labels: data to try the system on without downloading any.

A scene is sky and ground with objects painted from back to front. Thin things (wires, spokes, pickets) are 3 to 6
pixels wide at 144 x 144: affinity losses are about keeping such structures in one piece, and a network of output
stride 8 can still learn them. Arrays: pictures are float [H, W, 3], RGB, 0 to 255; masks are uint8 [H, W], 0 or 1.
"""

from typing import NamedTuple

import cv2
import numpy as np

from utils.data.demo_objects import PAINTERS, Drawing, noise
from utils.data.labels import VOID

CLASSES = ('background', *PAINTERS)


class Scene(NamedTuple):
  """One picture with its truth. Instances are numbered from 1; a pixel beside an object is void in both labels."""

  image: np.ndarray  # uint8 [H, W, 3], RGB
  classes: np.ndarray  # uint8 [H, W]: 0 .. len(CLASSES) - 1, 255 void
  instances: np.ndarray  # uint8 [H, W]: 0 background, 1 .. objects, 255 void


def draw_scene(rng: np.random.Generator, height: int, width: int) -> Scene:
  """A random scene of two to four objects. The same state of `rng` and the same size give the same pixels."""
  horizon = int(height * rng.uniform(0.42, 0.62))
  image = _backdrop(rng, height, width, horizon)
  classes = np.zeros((height, width), np.uint8)
  instances = np.zeros((height, width), np.uint8)
  for number, (base, name) in enumerate(_place_objects(rng, height, horizon), 1):
    drawing = PAINTERS[name](rng, height, width, base, (base / height) ** 0.5 * min(height, width) / 144)
    image = _composite(image, drawing)
    border = cv2.dilate(drawing.mask, np.ones((3, 3), np.uint8)) > drawing.mask
    for label, value in ((classes, CLASSES.index(name)), (instances, number)):
      label[border] = VOID
      label[drawing.mask > 0] = value
  return Scene(_photograph(rng, image), classes, instances)


def _place_objects(rng, height, horizon) -> list[tuple[int, str]]:
  """The row that each object of the scene stands on, and its class; the farthest first."""
  names = [str(name) for name in rng.permutation(CLASSES[1:])[: rng.integers(2, 4)]]
  names += ['ball'] * int(rng.integers(0, 2)) * ('ball' in names)
  reach = {'power_line': (0.02, 0.25), 'tree': (0.05, 0.5), 'house': (0.05, 0.45), 'fence': (0.35, 0.9)}
  objects = []
  for name in names:
    low, high = reach.get(name, (0.5, 0.95))
    objects.append((int(horizon + (height - horizon) * rng.uniform(low, high)), name))
  return sorted(objects)


def _backdrop(rng, height, width, horizon):
  down = np.linspace(0, 1, horizon)[:, None, None]
  zenith = np.array((85, 135, 205)) + rng.normal(0, 12, 3)
  haze = np.array((200, 215, 228)) + rng.normal(0, 8, 3)
  clouds = np.clip(noise(rng, horizon, width, 22) + 0.4 * noise(rng, horizon, width, 7) - 0.3, 0, 1.2)
  sky = np.clip(zenith + (haze - zenith) * down + 45 * clouds, 0, 250)
  soil = np.array(((150, 165, 85), (165, 140, 105), (140, 140, 140), (190, 175, 130))[rng.integers(4)]) + 0.0
  rows = height - horizon
  ground = soil + 9 * noise(rng, rows, width, 12) + 9 * noise(rng, rows, width, 2)
  ground = ground * np.linspace(0.95, 1.1, rows)[:, None, None]
  image = np.concatenate([sky, ground])
  if rng.random() < 0.6:  # hills
    xs = np.arange(width)
    crest = horizon - height * 0.07 * (1 + np.sin(xs / width * rng.uniform(4, 9) + rng.uniform(0, 6)))
    hills = (np.arange(height)[:, None] > crest) & (np.arange(height)[:, None] < horizon)
    image[hills] = (np.array((125, 150, 165)) + 5 * noise(rng, height, width, 5))[hills]
  return image


def _composite(image, drawing: Drawing):
  """Paints over with soft edges, and a shadow where the object stands."""
  _, top, _, tall = cv2.boundingRect(drawing.mask)
  foot = top + tall
  shadow = np.zeros(drawing.mask.shape, np.float32)
  shadow[foot - 2 : foot + 4] = 0.6 * drawing.mask[foot - 4 : foot].max(axis=0)
  image = image * (1 - cv2.GaussianBlur(shadow, (0, 0), 3, sigmaY=1.5)[..., None])
  alpha = cv2.GaussianBlur(drawing.mask.astype(np.float32), (0, 0), 0.6)[..., None]
  alpha = np.maximum(alpha, 0.85 * drawing.mask[..., None])
  return image * (1 - alpha) + drawing.paint * alpha


def _photograph(rng, image):
  """Exposure, a trace of blur and sensor noise."""
  image = cv2.GaussianBlur(image * rng.uniform(0.85, 1.1), (0, 0), 0.5)
  return np.clip(image + rng.normal(0, 5, image.shape), 0, 255).round().astype(np.uint8)
