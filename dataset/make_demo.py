"""Draws demo data in the layout of VOC 2012: small street scenes with thin structures, to try the system on.

Writes OUT_DIR/VOCdevkit/VOC2012/{JPEGImages,segcls,seginst}, the lists OUT_DIR/train.txt and OUT_DIR/val.txt (their
paths are relative to OUT_DIR/VOCdevkit, the --data-dir to train with) and the classes, classes.csv and classes.txt. The
same seed draws the same files.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from utils import arguments, errors, files, labels
from utils.labels import VOID

DARK = np.array((38.0, 38.0, 42.0))
SATURATED = np.array(((215, 45, 40), (240, 190, 30), (35, 90, 210), (200, 50, 170), (245, 120, 30)), float)


def main(argv=None):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--out-dir', required=True, help='the folder to write; is made')
  parser.add_argument('--seed', type=arguments.whole(0), default=0, help='another seed draws other scenes')
  parser.add_argument('--num-train', type=arguments.whole(1, 100_000), default=240, help='training scenes')
  parser.add_argument('--num-val', type=arguments.whole(1, 100_000), default=40, help='validation scenes')
  size = arguments.separated(
    'H,W', int, lambda h, w: 64 <= min(h, w) <= max(h, w) <= 4096, 'height,width from 64 to 4096 pixels'
  )
  parser.add_argument('--image-size', type=size, default=(144, 144), help='height,width in pixels')
  args = parser.parse_args(argv)
  out = pathlib.Path(args.out_dir)
  if (out / 'VOCdevkit').exists() and not (out / 'classes.txt').exists():
    raise errors.InputError(f'{out}: holds a VOCdevkit that is not demo data; give another --out-dir')
  with files.claim(out, 'drawing'):
    labels.write_classes(out, labels.Classes(list(CLASSES), labels.voc_colours(len(CLASSES))))
    files.write_text(out / 'classes.txt', '\n'.join(CLASSES) + '\n')
    for number, (split, count) in enumerate((('train', args.num_train), ('val', args.num_val))):
      lines = []
      for i in tqdm(range(count), desc=f'drawing {split}', unit='scene', disable=None):
        scene = draw_scene(np.random.default_rng([args.seed, number, i]), *args.image_size)
        lines.append(save_scene(*scene, out / 'VOCdevkit', f'{split}_{i:05d}'))
      files.write_text(out / f'{split}.txt', '\n'.join(lines) + '\n')
  print(f'{args.num_train} train, {args.num_val} val scenes of {len(CLASSES)} classes in {out}')


def save_scene(image, classes, instances, devkit: pathlib.Path, name: str) -> str:
  """Writes a scene's three files and returns its line for a list. Labels are palette PNGs in VOC's colours."""
  photo, label = f'VOC2012/JPEGImages/{name}.jpg', f'VOC2012/segcls/{name}.png'
  with files.whole_file(devkit / photo) as temporary:
    Image.fromarray(image).save(temporary, format='JPEG', quality=92)
  files.write_png(devkit / label, classes, labels.voc_colours())
  files.write_png(devkit / f'VOC2012/seginst/{name}.png', instances, labels.voc_colours())
  return f'{photo} {label}'


# A scene is sky and ground with objects painted from back to front, labelled to the pixel. Thin things (wires, spokes,
# pickets) are 3 to 6 pixels wide at 144 x 144: affinity losses are about keeping such structures in one piece, and a
# network of output stride 8 can still learn them. Pictures are float [H, W, 3], RGB, 0 to 255. A function of (rng,
# drawing, base, scale) draws an object: `base` is the row where it stands, `scale` its size, 1 in the foreground of a
# picture of 144 x 144.


class Drawing:
  """One object: where it is, and its colours there."""

  def __init__(self, height: int, width: int):
    self.mask = np.zeros((height, width), np.uint8)  # 1 where the object is
    self.paint = np.zeros((height, width, 3))

  def stroke(self, points, width, colour=None):
    """Adds a polyline to the mask and, where a colour is given, to the paint."""
    points = np.round(np.array(points)).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(self.mask, [points], False, 1, width)
    if colour is not None:
      cv2.polylines(self.paint, [points], False, tuple(map(float, colour)), width)


def noise(rng, height, width, grain) -> np.ndarray:
  """Smooth noise [H, W, 1] of about unit size with blobs of `grain` pixels."""
  coarse = rng.normal(size=(height // grain + 3, width // grain + 3)).astype(np.float32)
  return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None].astype(float)


def _colour(rng):
  return np.clip(SATURATED[rng.integers(len(SATURATED))] + rng.normal(0, 14, 3), 0, 255)


def ball(rng, drawing, base, scale):
  height, width = drawing.mask.shape
  radius = max(5, int(rng.uniform(11, 19) * scale))
  x, y = int(rng.uniform(0.08, 0.92) * width), base - radius
  cv2.circle(drawing.mask, (x, y), radius, 1, -1)
  rows, columns = np.mgrid[:height, :width]
  wedges = (np.arctan2(rows - y, columns - x) / np.pi * 3 + rng.uniform(0, 6)).astype(int) % 2
  light = 1.15 - 0.5 * np.hypot(rows - y + radius / 2, columns - x + radius / 2) / radius / 1.6
  drawing.paint[:] = np.where(wedges[..., None] > 0, _colour(rng), (240, 240, 235)) * light[..., None]


def house(rng, drawing, base, scale):
  height, width = drawing.mask.shape
  wide, tall = int(rng.uniform(42, 66) * scale), int(rng.uniform(26, 40) * scale)
  left = int(rng.uniform(-0.1, 0.75) * width)
  top, middle, eaves = base - tall, left + wide // 2, int(5 * scale)
  wall = np.array(((196, 120, 90), (222, 200, 165), (180, 95, 85))[rng.integers(3)]) + rng.normal(0, 8, 3)
  drawing.paint[:] = wall + 6 * noise(rng, height, width, 2)
  drawing.paint[base % 5 :: 5] -= 22  # courses of bricks
  cv2.rectangle(drawing.mask, (left, top), (left + wide, base), 1, -1)
  ridge = top - int(wide * rng.uniform(0.32, 0.5))
  roof = np.array([[left - eaves, top], [middle, ridge], [left + wide + eaves, top]], np.int32)
  cv2.fillPoly(drawing.mask, [roof], 1)
  cv2.fillPoly(drawing.paint, [roof], tuple(np.array((110.0, 50, 45)) + rng.normal(0, 10, 3)))
  door = int(7 * scale)
  cv2.rectangle(drawing.paint, (middle - door // 2, base - 2 * door), (middle + door // 2, base), (80, 55, 40), -1)
  for x in (left + wide // 5, left + wide - wide // 5):
    window = (x - door // 2, top + tall // 4, door + 1, door + 1)  # x, y, width, height
    cv2.rectangle(drawing.paint, window, (70, 90, 120), -1)
    cv2.rectangle(drawing.paint, window, (240, 240, 235), 1)


def tree(rng, drawing, base, scale):
  height, width = drawing.mask.shape
  tall, x = rng.uniform(52, 84) * scale, int(rng.uniform(0.08, 0.92) * width)
  leaves = np.array((45, 105, 45)) + rng.normal(0, 12, 3)
  drawing.paint[:] = leaves + (16 * noise(rng, height, width, 3) + 10 * noise(rng, height, width, 8))
  fork = base - 0.45 * tall
  drawing.stroke([(x, base), (x + rng.normal(0, 2), fork)], max(4, int(7 * scale)), (95, 68, 45))
  for _ in range(9):
    centre = (int(x + rng.normal(0, 0.13) * tall), int(fork - rng.uniform(0, 0.42) * tall))
    cv2.circle(drawing.mask, centre, int(rng.uniform(0.13, 0.2) * tall), 1, -1)


def bicycle(rng, drawing, base, scale):
  radius, width = int(rng.uniform(17, 23) * scale), max(3, round(5 * scale))
  length = int(radius * rng.uniform(2.5, 2.8)) * rng.choice((-1, 1))  # from the rear hub to the front one
  rear = np.array((int(rng.uniform(0.3, 0.7) * drawing.mask.shape[1]) - length // 2, base - radius))
  front = rear + (length, 0)
  for hub in (rear, front):
    cv2.circle(drawing.mask, hub.tolist(), radius, 1, width)
    cv2.circle(drawing.paint, hub.tolist(), radius, tuple(DARK), width)
    for angle in rng.uniform(0, np.pi) + np.arange(3) * np.pi / 3:
      spoke = radius * np.array((np.cos(angle), np.sin(angle)))
      drawing.stroke([hub - spoke, hub + spoke], max(2, width - 1), (120, 120, 128))
  pedal, saddle = rear + (0.45 * length, 0.1 * radius), rear + (0.3 * length, -1.25 * radius)
  head = rear + (0.8 * length, -1.3 * radius)
  colour = _colour(rng)
  for tube in ([rear, pedal, saddle, rear], [saddle, head, pedal], [head, front]):
    drawing.stroke(tube, width, colour)
  drawing.stroke([saddle - (0.1 * length, 0.2 * radius), saddle + (0.1 * length, -0.2 * radius)], width, DARK)
  drawing.stroke([head, head - (0.05 * length, 0.5 * radius), head + (-0.2 * length, -0.55 * radius)], width, DARK)


def power_line(rng, drawing, base, scale):
  """Poles with a cross-arm each, and wires that sag between them and leave the picture on both sides."""
  height, width = drawing.mask.shape
  thick, gap = max(4, round(7 * scale)), width * rng.uniform(0.5, 0.8)
  top, arm = int(height * rng.uniform(0.06, 0.2)), 9 * scale
  wood = np.array((98, 80, 62)) + rng.normal(0, 8, 3)
  drawing.paint[:] = wood
  poles = rng.uniform(0, 1) * gap + gap * np.arange(-2, 4)
  drift = rng.uniform(-0.06, 0.06) * height  # from pole to pole, as seen at an angle
  tops = top + drift * np.arange(-2, 4)
  levels = [5 * scale, 18 * scale][: rng.integers(1, 3)]
  along = np.linspace(0, 1, 24)
  for level in levels:
    for i in range(len(poles) - 1):
      ys = tops[i] + level + drift * along + 0.4 * gap * along * (1 - along)
      drawing.stroke(np.stack([poles[i] + gap * along, ys], 1), max(3, round(4 * scale)), DARK)
  for x, y in zip(poles, tops, strict=True):
    drawing.stroke([(x, y), (x, base)], thick, wood)
    for level in levels:
      drawing.stroke([(x - arm, y + level), (x + arm, y + level)], max(4, round(5 * scale)), wood)
  drawing.paint += 6 * noise(rng, height, width, 2)


def fence(rng, drawing, base, scale):
  height, width = drawing.mask.shape
  wide, tall = int(rng.uniform(60, 120) * scale), rng.uniform(24, 34) * scale
  left = int(rng.uniform(-0.2, 0.7) * width)
  picket, step = max(4, round(6 * scale)), max(10, round(rng.uniform(14, 18) * scale))
  colour = np.array(((238, 236, 228), (175, 128, 80))[rng.integers(2)]) + rng.normal(0, 6, 3)
  drawing.paint[:] = colour + 6 * noise(rng, height, width, 3)
  for x in range(left, left + wide, step):
    drawing.stroke([(x, base), (x, base - tall)], picket)
  for share in (0.3, 0.75):
    drawing.stroke([(left - 5, base - share * tall), (left + wide, base - share * tall)], max(3, round(5 * scale)))


PAINTERS = {paint.__name__: paint for paint in (ball, house, tree, bicycle, power_line, fence)}
CLASSES = ('background', *PAINTERS)


def draw_scene(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """A random scene of two to four objects. The same state of `rng` and the same size give the same pixels.

  Returns:
    The picture, uint8 RGB [H, W, 3]; its classes, uint8 [H, W]: 0 .. len(CLASSES) - 1; and its instances, uint8 [H, W]:
    0 is background, objects count from 1. A pixel beside an object is void (255) in both.
  """
  horizon = int(height * rng.uniform(0.42, 0.62))
  image = _backdrop(rng, height, width, horizon)
  classes, instances = np.zeros((2, height, width), np.uint8)
  for number, (base, name) in enumerate(_place_objects(rng, height, horizon), 1):
    drawing = Drawing(height, width)
    PAINTERS[name](rng, drawing, base, (base / height) ** 0.5 * min(height, width) / 144)
    image = _composite(image, drawing)
    border = cv2.dilate(drawing.mask, np.ones((3, 3), np.uint8)) > drawing.mask
    for label, value in ((classes, CLASSES.index(name)), (instances, number)):
      label[border] = VOID
      label[drawing.mask > 0] = value
  # Exposure, a trace of blur and sensor noise.
  image = cv2.GaussianBlur(image * rng.uniform(0.85, 1.1), (0, 0), 0.5)
  image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).round().astype(np.uint8)
  return image, classes, instances


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
  if not drawing.mask.any():
    return image  # the object lies outside
  _, top, _, tall = cv2.boundingRect(drawing.mask)
  foot = top + tall
  shadow = np.zeros(drawing.mask.shape, np.float32)
  shadow[foot - 2 : foot + 4] = 0.6 * drawing.mask[foot - 4 : foot].max(axis=0)
  image = image * (1 - cv2.GaussianBlur(shadow, (0, 0), 3, sigmaY=1.5)[..., None])
  alpha = cv2.GaussianBlur(drawing.mask.astype(np.float32), (0, 0), 0.6)[..., None]
  alpha = np.maximum(alpha, 0.85 * drawing.mask[..., None])
  return image * (1 - alpha) + drawing.paint * alpha


if __name__ == '__main__':
  sys.exit(errors.run(main))
