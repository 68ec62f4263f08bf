"""The name by which users of the 2018 code import the file helpers."""

from utils.atomic import whole_file, write_png, write_text
from utils.image_file import list_images, read_label
from utils.list_file import Pair, read_list

__all__ = ['Pair', 'list_images', 'read_label', 'read_list', 'whole_file', 'write_png', 'write_text']
