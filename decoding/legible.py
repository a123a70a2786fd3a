"""Names of tokens, bars and tables that one can read, in a terminal and under a picture."""

from __future__ import annotations

import sys
import unicodedata

from .tokenizer import Tokenizer

# what stands for characters that standard output lacks
_PLAIN = {ord("…"): "...", ord("✓"): "+", ord("█"): "#"} | {ord(part): " " for part in "▏▎▍▌▋▊▉"}
_PLAIN |= {ord("│"): "|", ord("├"): "|", ord("└"): "`"}


def token_name(tokenizer: Tokenizer, id: int, width: int = 24) -> str:
    """The token in quotes, on one line: white space and bytes that are no text are escaped, and long ones are cut."""
    try:
        text = tokenizer.token_bytes(id).decode("utf-8")
        name = visible(text)
    except UnicodeDecodeError:
        name = "".join(f"\\x{byte:02x}" for byte in tokenizer.token_bytes(id))
    shown = cut(name.replace('"', '\\"'), width - 2)
    return f'"{shown}"'


def visible(text: str) -> str:
    """The text on one line: every character that prints nothing, or more than a line, as Python escapes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns(text: str) -> int:
    """How many columns a terminal needs for one line: East Asian wide characters take two, combining marks none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me") for character in text)


def cut(text: str, width: int) -> str:
    """The text if it fits into `width` columns, otherwise its beginning and an ellipsis."""
    if columns(text) <= width:
        return text
    shown = text
    while shown and columns(shown) > width - 1:
        shown = shown[:-1]
    return shown + "…"


def padded(text: str, width: int) -> str:
    """The text on one line, cut or filled with spaces to exactly `width` columns."""
    shown = cut(visible(text), width)
    return shown + " " * (width - columns(shown))


def bar(share: float, width: int) -> str:
    """A horizontal bar, padded to `width`; in eighths of a column where standard output can print them."""
    if not can_print("█▏"):
        return ("#" * round(share * width)).ljust(width)
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def can_print(text: str) -> bool:
    """Whether standard output has all these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def printable(text: str) -> str:
    """The text as standard output can print it: bars in plain characters, all else that it lacks escaped."""
    if can_print(text):
        return text
    plain = text.translate(_PLAIN)
    return "".join(c if can_print(c) else c.encode("unicode_escape").decode() for c in plain)
