"""Which image sizes the models take, and which strides a sliding window. Loads no TensorFlow."""

OUTPUT_STRIDE = {'pspnet': 8, 'deeplab': 8, 'fcn8s': 8, 'deeplabv3plus': 16}  # of the backbone, unless another is given


def size_multiple(model: str, output_stride: int | None = None) -> int:
  """What the sides of an image must be multiples of: the output stride, for PSPNet's 6 bins a side 6 times it."""
  return (6 if model == 'pspnet' else 1) * (output_stride or OUTPUT_STRIDE[model])


def size_problem(model: str, height: int, width: int, output_stride: int | None = None) -> str | None:
  """Why `model` cannot take height x width pixels, with the nearest size that it takes; None if it can."""
  multiple = size_multiple(model, output_stride)
  if model == 'pspnet' and height != width:
    side = nearest(max(height, width), multiple)
    return f'{model} needs square input, not {height},{width}; the nearest size is {side},{side}'
  if height % multiple or width % multiple:
    good = f'{nearest(height, multiple)},{nearest(width, multiple)}'
    return f'{model} needs an input size of a multiple of {multiple}, not {height},{width}; the nearest is {good}'
  return None


def padded_size(model: str, height: int, width: int, output_stride: int | None = None) -> tuple[int, int]:
  """The smallest size that `model` takes of an image with zeros at the bottom and right; for PSPNet a square."""
  multiple = size_multiple(model, output_stride)
  padded = tuple(-(-side // multiple) * multiple for side in (height, width))
  return (max(padded),) * 2 if model == 'pspnet' else padded


def nearest(length: int, multiple: int) -> int:
  return max(multiple, round(length / multiple) * multiple)


def stride_problem(strides: tuple[int, int], window: tuple[int, int]) -> str | None:
  """Why windows (height, width) at these strides would leave pixels out; None if they would not."""
  for axis, stride, side in zip(('height', 'width'), strides, window, strict=True):
    if stride > side:
      return (
        f'{strides[0]},{strides[1]}: the {axis} is larger than the window {window[0]},{window[1]}, so pixels would '
        'be left out; give at most the window'
      )
  return None
