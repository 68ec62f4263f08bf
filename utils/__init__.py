"""What the scripts share, by subject; README.md says where to look.

Ctrl-C while a script still imports, before `errors.run` catches it, ends in one line too.
"""

import sys


def _one_line(kind, error, trace) -> None:
  if issubclass(kind, KeyboardInterrupt):
    print('error: interrupted', file=sys.stderr)
  else:
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _one_line
