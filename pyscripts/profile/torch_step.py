"""Measures a training step of PSPNet on ResNet-101 in PyTorch, with torch.compile and channels_last, to hold the step
of this project against: the same layers, crops, loss and update. Needs PyTorch, and no TensorFlow."""

import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from pyscripts.profile.measure import show
from utils import arguments, errors

BLOCKS = ((3, 64, 1), (4, 128, 1), (23, 256, 2), (3, 512, 4))  # units, base depth, rate at output stride 8


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  parser.add_argument('--batch-size', type=arguments.whole(1), default=8, help='crops per step')
  parser.add_argument('--side', type=arguments.whole(48), default=336, help='of the crops, in pixels: a multiple of 48')
  parser.add_argument('--num-classes', type=arguments.whole(2), default=21, help='classes')
  parser.add_argument('--units', type=arguments.whole(1, 23), default=23, help='a block at most; fewer for a trial')
  parser.add_argument('--precision', choices=('float32', 'bfloat16'), default='bfloat16', help='by autocast')
  parser.add_argument('--no-compile', action='store_true', help='without torch.compile')
  parser.add_argument('--repeat', type=arguments.whole(1), default=5, help='measurements; the median is printed')
  parser.add_argument('--json', default='', metavar='FILE', help='write the figures there too, as a row')
  args = parser.parse_args(argv)
  if args.side % 48:
    raise errors.InputError(f'--side {args.side} is no multiple of 48; give {48 * max(1, round(args.side / 48))}')
  try:
    import torch
  except ModuleNotFoundError:
    raise errors.InputError('PyTorch is not installed for this Python; name one that has it') from None
  show([measure(torch, args)], args.json)


def measure(torch, args) -> dict:
  """The row of figures."""
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
  torch.backends.cudnn.benchmark = True
  network = pspnet(torch, args.num_classes, args.units).to(device, memory_format=torch.channels_last).train()
  compiled = network if args.no_compile else torch.compile(network)
  decays = {
    5e-4: [p for p in network.parameters() if p.ndim > 1],
    0.0: [p for p in network.parameters() if p.ndim <= 1],
  }
  groups = [{'params': parameters, 'weight_decay': decay} for decay, parameters in decays.items()]
  optimiser = torch.optim.SGD(groups, lr=1e-4, momentum=0.9)
  images = 60 * torch.randn(args.batch_size, 3, args.side, args.side, device=device)
  images = images.contiguous(memory_format=torch.channels_last)
  labels = torch.randint(args.num_classes, (args.batch_size, args.side // 8, args.side // 8), device=device)

  def step():
    with torch.autocast(device, getattr(torch, args.precision), enabled=args.precision != 'float32'):
      logits = compiled(images)
    loss = torch.nn.functional.cross_entropy(logits.float(), labels)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.item()  # waits for the device

  times = []
  for _ in range(args.repeat + 3):
    begun = time.perf_counter()
    step()
    times.append(time.perf_counter() - begun)
  seconds = statistics.median(times[3:])
  speed = {'PyTorch': torch.__version__, 'step s': seconds, 'images/s': args.batch_size / seconds}
  return {**speed, 'first step s': times[0], 'GPU memory MB': torch.cuda.max_memory_allocated() / 1e6}


def pspnet(torch, num_classes: int, most_units: int):
  """The layers of seg_models.models.pspnet and network.common.resnet_v1 at output stride 8."""
  nn = torch.nn

  def conv(channels_in, channels, kernel, stride=1, rate=1, activation=nn.ReLU):
    convolution = nn.Conv2d(channels_in, channels, kernel, stride, rate * (kernel - 1) // 2, rate, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels, 1e-3, 0.0003), activation(inplace=True))

  class Bottleneck(nn.Module):
    def __init__(self, channels_in, depth, stride, rate):
      super().__init__()
      self.stride = stride
      self.shortcut = None
      if channels_in != 4 * depth:
        self.shortcut = conv(channels_in, 4 * depth, 1, stride, activation=nn.Identity)
      self.body = nn.Sequential(
        conv(channels_in, depth, 1),
        conv(depth, depth, 3, stride, rate),
        conv(depth, 4 * depth, 1, activation=nn.Identity),
      )

    def forward(self, x):
      shortcut = self.shortcut(x) if self.shortcut else x[..., :: self.stride, :: self.stride]
      return torch.relu(self.body(x) + shortcut)

  class PSPNet(nn.Module):
    def __init__(self):
      super().__init__()
      units, channels = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
      for block, (number, depth, rate) in enumerate(BLOCKS):
        number = min(number, most_units)
        for unit in range(number):
          units.append(Bottleneck(channels, depth, 2 if (block, unit) == (0, number - 1) else 1, rate))
          channels = 4 * depth
      self.backbone = nn.Sequential(*units)
      self.pools = nn.ModuleList(conv(channels, 512, 1) for _ in range(4))
      self.classifier = nn.Sequential(conv(channels + 4 * 512, 512, 3), nn.Conv2d(512, num_classes, 1))

    def forward(self, images):
      x = self.backbone(images)
      side = x.shape[-1]
      pooled = [pool(nn.functional.avg_pool2d(x, side // n)) for n, pool in zip((1, 2, 3, 6), self.pools, strict=True)]
      resized = [nn.functional.interpolate(branch, size=(side, side), mode='bilinear') for branch in pooled]
      return self.classifier(torch.cat([*resized, x], 1))

  return PSPNet()


if __name__ == '__main__':
  sys.exit(errors.run(main))
