"""utils/engine/checkpoint.py is utils/checkpoint.py now."""

import sys

from utils import checkpoint

sys.modules[__name__] = checkpoint
