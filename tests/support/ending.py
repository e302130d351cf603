"""What a test process must undo before it ends, whatever becomes of its tests: above all servers that it started."""

from __future__ import annotations

import atexit
import contextlib

_ends = contextlib.ExitStack()
atexit.register(_ends.close)  # where pytest does not come to its end

at_end = _ends.callback  # (function, *arguments): the last one first
end_all = _ends.close  # legal twice
