"""utils/locks.py is utils/files.py now."""

import sys

from utils import files

sys.modules[__name__] = files
