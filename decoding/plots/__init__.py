"""Pictures of what decoding does, with matplotlib (extra `notebooks`).

Every function returns a `Picture`: in a notebook it shows itself with its alt text, `print(picture)` writes its twin
in a terminal, and `picture.save(path)` writes a PNG. `names` is always a function id -> text, for instance
`words.__getitem__` or `lambda id: token_name(tokenizer, id)` (`decoding.legible`).
"""

try:
    import matplotlib as _matplotlib  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'pictures need matplotlib: `python3 scripts/in_venv.py --extra notebooks ...` / `pip install ".[notebooks]"`',
        name=error.name,
    ) from error

from .charts import bars, heatmap, lines
from .curves import along_text, nucleus_curve
from .drafts import draft_rounds
from .frequencies import frequencies
from .next_token import next_token_bars
from .picture import Picture
from .texts import text_by_probability, text_by_rank
from .trees import search_tree

__all__ = [
    "Picture",
    "along_text",
    "bars",
    "draft_rounds",
    "frequencies",
    "heatmap",
    "lines",
    "next_token_bars",
    "nucleus_curve",
    "search_tree",
    "text_by_probability",
    "text_by_rank",
]
