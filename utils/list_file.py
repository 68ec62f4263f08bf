"""utils/list_file.py is utils/lists.py now."""

import sys

from utils import lists

sys.modules[__name__] = lists
