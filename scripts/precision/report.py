"""What the measurements come to: the tables that are printed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from decoding.measures import Measure
from scripts.benchmarking.tables import Table

from .divergence import Divergence
from .measure import Results
from .texts import Text

WIDTH = 92


def introduction(model: str, results: Results, texts: Sequence[Text], prompt_ids: int, new_ids: int) -> str:
    """What is compared with what, in sentences."""
    n = results.n_positions
    read = " and ".join(f"{text.positions:,} of {text.name}" for text in texts)
    prompts = results.rows[0].continuations.texts
    return _wrapped(
        f"{model}, held against itself in eager float32. Positions: {read}, in windows of {n} ids that follow each "
        f"other (stride {n}). Greedy texts: {new_ids} ids behind each of {prompts} prompts of {prompt_ids} ids, "
        f"cut from these texts."
    )


def tables(results: Results, texts: Sequence[Text], new_ids: int) -> list[Table]:
    return [_divergences(results, texts), _continuations(results, new_ids)]


def _divergences(results: Results, texts: Sequence[Text]) -> Table:
    rows: list[Sequence[str]] = []
    for number, text in enumerate(texts):
        rows.append([f"{text.name}, {text.positions:,} positions"])
        rows += [[f"  {row.name}", *_cells(row.divergences[number])] for row in results.rows]
    return Table(
        "Distributions of the next id",
        ["", "KL, mean", "KL, 99 %", "perplexity", "change, %", "same likeliest id"],
        rows,
        _wrapped(
            "KL(float32 || row) in nats a position, and what 99 % of the positions stay below; change of the "
            "perplexity against float32's, with the standard error over positions."
        ),
    )


def _cells(found: Divergence) -> list[str]:
    return [
        _small(found.mean_kl),
        _small(found.kl_99),
        f"{found.perplexity:.3f}",
        _percent(found.change),
        f"{100 * found.agreement:.2f} %",
    ]


def _continuations(results: Results, new_ids: int) -> Table:
    rows = []
    for row in results.rows:
        one = row.continuations
        margins = "-" if one.median_margin is None else f"{one.median_margin:.3g} ({one.largest_margin:.3g})"
        after = "-" if one.median_after is None else f"{one.median_after:g} ids"
        rows.append([row.name, f"{row.weights_bytes / 1e6:.2f}", f"{one.same} of {one.texts}", after, margins])
    return Table(
        "Weights, and greedy texts",
        ["", "weights, MB", f"same {new_ids} ids", "part after", "margin there"],
        rows,
        _wrapped(
            "Of the texts that part: the median of how many ids come before, and by how much float32's logit of its "
            "own id is above that of the other, median (largest). Compiled steps use the same matrices, and keep "
            "copies of what is small."
        ),
    )


def left_out(results: Results) -> str:
    return _wrapped(
        f"Left out, because the steps could not be compiled here (they need a C++ compiler such as g++): "
        f"{', '.join(results.left_out)}."
    )


def _percent(change: Measure) -> str:
    if change.value == 0 and not change.standard_error:
        return "0"
    error = "" if change.standard_error is None else f" ± {100 * change.standard_error:.3f}"
    return f"{round(100 * change.value, 3) + 0.0:+.3f}{error}"  # never -0.000


def _small(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH)
