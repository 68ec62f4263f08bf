"""utils/image_file.py is utils/images.py now."""

import sys

from utils import images

sys.modules[__name__] = images
