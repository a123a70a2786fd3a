"""Anonymous memory of this process: all but the pages of files, which the system can drop and read again."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import TracebackType

_STATUS = Path("/proc/self/status")
_SECONDS_BETWEEN_LOOKS = 0.001


def anonymous_bytes() -> int | None:
    """RssAnon of Linux; None elsewhere."""
    try:
        found = re.search(r"^RssAnon:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


class Peak:
    """The most that was seen while the block ran.

    >>> with Peak() as peak:
    ...     x = torch.ones(1_000_000)
    >>> peak.bytes
    """

    def __init__(self) -> None:
        self.bytes = anonymous_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        if self.bytes is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bytes is not None:
            self._over.set()
            self._thread.join()
            self._look()

    def _watch(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes or 0, anonymous_bytes() or 0)
