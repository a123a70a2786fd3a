"""From bytes to text as it is made: stops, and characters that are not whole yet."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence


class Stops:
    """Strings that end a text, matched as bytes, wherever they begin: also in the middle of a token.

    The stop that is complete first counts (of those complete at the same byte the longest), so that the text does not
    depend on how it was cut into tokens.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        if isinstance(strings, str) or not isinstance(strings, Iterable):
            raise ValueError(f'stops are a list of strings, such as ["\\n\\n"]; got {strings!r}')
        strings = list(strings)
        if not all(isinstance(string, str) for string in strings):
            raise ValueError(f'stops are a list of strings, such as ["\\n\\n"]; got {strings!r}')
        if any(not string for string in strings):
            raise ValueError("an empty stop would end every text before it begins; leave it out")
        try:
            self.stops = [string.encode("utf-8") for string in strings]
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the stop {error.object!r} has half of a surrogate pair, which is no character"
            ) from error
        self._longest = max(map(len, self.stops), default=0)

    def find(self, text: bytes) -> tuple[int, int] | None:
        """Where the first stop in `text` begins and ends."""
        ends = [(start + len(stop), start, stop) for stop in self.stops if (start := text.find(stop)) >= 0]
        if not ends:
            return None
        end, start, _ = min(ends)  # of equal ends the earliest start, which is the longest stop
        return start, end

    def pending(self, text: bytes) -> int:
        """How many bytes at the end of `text` may be the beginning of a stop."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self.stops if len(stop) > length):
                return length
        return 0

    def completed_by(self, token_bytes: Callable[[int], bytes]) -> Callable[[Sequence[int]], bool] | None:
        """The question of `Limits.stops`: does the last of these ids complete a stop? None where there are no stops."""
        if not self.stops:
            return None

        def completed(new_ids: Sequence[int]) -> bool:
            tail = last = token_bytes(new_ids[-1])
            for id in reversed(new_ids[:-1]):  # as far back as a stop that ends in the last id can begin
                if len(tail) >= len(last) + self._longest - 1:
                    break
                tail = token_bytes(id) + tail
            return any(stop in tail for stop in self.stops)

        return completed


class TextStream:
    """Bytes in, text out, each byte once, and only what is certain.

    Held back are an unfinished UTF-8 character and whatever may become a stop. Bytes that can never become UTF-8 come
    out as U+FFFD.
    """

    def __init__(self, stops: Stops) -> None:
        self._stops = stops
        self._held = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.stopped = False

    def push(self, new: bytes) -> str:
        """The text that is certain after these bytes. Nothing comes behind a stop."""
        if self.stopped:
            return ""
        self._held += new
        found = self._stops.find(self._held)
        if found is not None:
            self.stopped = True
            return self._decoder.decode(self._held[: found[0]], final=True)
        certain = len(self._held) - self._stops.pending(self._held)
        text = self._decoder.decode(self._held[:certain])
        self._held = self._held[certain:]
        return text

    def close(self) -> str:
        """What was held back, now that nothing follows."""
        if self.stopped:
            return ""
        self.stopped = True
        return self._decoder.decode(self._held, final=True)
