"""A class set: student copies, their checks and the packages, packed so that it works by itself, without solutions."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .notebooks import ROOT, read_source, student_copy, written

FOLDER = "logits_to_text"  # what the archive unpacks to
_WHEN = (2026, 1, 1, 0, 0, 0)  # the same archive each time
_WHOLE = ["gpt2", "decoding", "notebooks/checks"]
_FILES = [
    "notebooks/weights.py",
    "facts/published.json",
    "scripts/in_venv.py",
    "requirements.txt",
    "pyproject.toml",
    "LICENSE",
]
_KINDS = {".py", ".json", ".bpe", ".safetensors", ".md"}
_LINK = re.compile(r"\[([^\]]*)\]\((\d\d_\w+\.ipynb)\)")  # to another notebook, which may not be in the set

_README = """\
# Exercises: from logits to text

You need Python 3.10 or newer, and once a connection from which Python packages can be installed. In this folder:

    python3 scripts/in_venv.py --extra notebooks -m jupyter lab notebooks

(on Windows: `py` instead of `python3`). The first time this installs what is needed, into the folder `.venv` here; then
a browser opens. Begin with the notebook of the lowest number. Each exercise is a cell to complete; the cell below it
checks your answer and says what is wrong. You may skip any of them. When you are done, save, and hand in your `.ipynb`.
"""


def pack(sources: list[Path], archive: Path) -> None:
    """Write the class set of these sources. Raises OSError, with a sentence, where that is not possible."""
    if not archive.name or archive.is_dir():
        raise OSError(f"{archive} is a folder; name the file that is to be written, class.zip for instance")
    entries: dict[str, bytes] = {"README.md": _README.encode()}
    packed = {f"{source.stem}.ipynb" for source in sources}
    for source in sources:
        copy = student_copy(read_source(source), source.name, solutions=False)
        for cell in copy.cells:
            cell.source = _LINK.sub(lambda link: link[0] if link[2] in packed else link[1], cell.source)
        entries[f"notebooks/{source.stem}.ipynb"] = written(copy).encode()
    for path in _packed_files():
        entries[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    partial = archive.with_name(f"{archive.name}.partial")  # an old archive stays whole until the new one is
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in sorted(entries.items()):
                info = zipfile.ZipInfo(f"{FOLDER}/{name}", _WHEN)
                info.external_attr = 0o644 << 16  # everybody may read it
                file.writestr(info, content, zipfile.ZIP_DEFLATED)
        partial.replace(archive)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _packed_files() -> Iterator[Path]:
    """What the product consists of, and nothing that happens to lie beside it."""
    for folder in _WHOLE:
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in _KINDS and path.name[0] != ".")
    yield from (ROOT / name for name in _FILES)
