"""Which image sizes the models take, and which strides a sliding window. Loads no TensorFlow."""

MULTIPLE = {'pspnet': 48, 'deeplab': 8, 'fcn8s': 8}  # PSPNet's 6 bins a side on features of stride 8


def size_problem(model: str, height: int, width: int) -> str | None:
  """Why `model` cannot take height x width pixels, with the nearest size that it takes; None if it can."""
  multiple = MULTIPLE[model]
  if model == 'pspnet' and height != width:
    side = nearest(max(height, width), multiple)
    return f'{model} needs square input, not {height},{width}; the nearest size is {side},{side}'
  if height % multiple or width % multiple:
    good = f'{nearest(height, multiple)},{nearest(width, multiple)}'
    return f'{model} needs an input size of a multiple of {multiple}, not {height},{width}; the nearest is {good}'
  return None


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
