"""How often every token was drawn, against how often it was to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from ..legible import bar, padded, visible
from .inputs import as_many, numbers
from .picture import Picture
from .style import INK, PALE, SMALL, amount, house, label, new_figure, quoted, wrapped

_MOST = 16  # tokens with a bar of their own


def frequencies(
    counts: Sequence[int] | Tensor,
    probabilities: Sequence[float] | Tensor,
    names: Callable[[int], str],
    *,
    title: str = "",
) -> Picture:
    """How often each id was drawn, over what was to be expected.

        expected count of id i in n draws = n p_i,     standard deviation = sqrt(n p_i (1 - p_i))

    counts          (V,) whole numbers, how often each id was drawn
    probabilities   (V,) with which each was drawn; they sum to 1
    names           id -> text

    Bars are counts; diamonds are expected counts with whiskers of two standard deviations, within which about 95 of 100
    counts fall. The 16 likeliest ids have a bar, the rest share one. Raises ValueError for different lengths, no draws,
    negative counts, and probabilities that do not sum to 1.
    """
    drawn, shares = numbers(counts, "counts"), numbers(probabilities, "probabilities")
    as_many("counts", drawn, "probabilities", shares)
    if any(count < 0 or not count.is_integer() for count in drawn) or not sum(drawn):
        raise ValueError(f"counts are whole numbers, not negative and not all 0; got {drawn[:9]}")
    if any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-3:
        raise ValueError(f"probabilities lie between 0 and 1 and sum to 1; these sum to {sum(shares):.6g}")
    n = int(sum(drawn))
    ids = sorted(range(len(shares)), key=lambda id: -shares[id])
    ids = ids if len(ids) <= _MOST + 1 else ids[:_MOST]
    labels, observed, chances = (
        [visible(str(names(id))) for id in ids],
        [int(drawn[id]) for id in ids],
        [shares[id] for id in ids],
    )
    if len(ids) < len(shares):
        labels.append(f"{len(shares) - len(ids):,} other tokens")
        observed.append(n - sum(observed))
        chances.append(max(0.0, 1 - sum(chances)))
    expected = [n * share for share in chances]
    sigma = [math.sqrt(n * share * (1 - share)) for share in chances]
    within = sum(abs(o - e) <= 2 * s + 1e-9 for o, e, s in zip(observed, expected, sigma, strict=True))

    with house():
        figure = new_figure(0.29 * len(labels) + 1.35)
        axes = figure.subplots()
        places = range(len(labels))
        axes.barh(places, observed, height=0.72, color=PALE, label="drawn")
        axes.errorbar(
            expected,
            places,
            xerr=[
                [min(2 * s, e) for s, e in zip(sigma, expected, strict=True)],
                [2 * s for s in sigma],
            ],  # no count is negative
            fmt="D",
            color=INK,
            markersize=4,
            capsize=3,
            linewidth=1.2,
            label="expected, ±2 standard deviations",
        )
        reach = max(max(o, e + 2 * s) for o, e, s in zip(observed, expected, sigma, strict=True))
        for place in places:
            edge = max(observed[place], expected[place] + 2 * sigma[place])
            axes.annotate(
                f"{observed[place]:,}",
                (edge, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL,
            )
        axes.set_yticks(places, [label(name) for name in labels])
        axes.invert_yaxis()
        axes.set_xlim(0, reach * 1.12)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"times drawn in {n:,} draws")
        axes.xaxis.set_major_formatter(amount)
        axes.set_title(wrapped(title), loc="left")
        figure.legend(loc="outside lower right", ncols=2)
    far = max(places, key=lambda place: abs(observed[place] - expected[place]) / (sigma[place] or 1.0))
    alt = (
        f"{title + ': ' if title else ''}Bar chart of how often each of {len(shares):,} tokens was drawn "
        f"in {n:,} draws, with expected counts: {within} of {len(labels)} bars within two standard deviations. "
        f"Furthest off: {quoted(labels[far])}, drawn {observed[far]:,}×, expected {expected[far]:.1f}."
    )
    longest = max(observed)
    text = [f"{padded(title or 'token', 24)} {'':30} {'drawn':>8} {'expected':>9} ±2 sd"]
    for place in places:
        text.append(
            f"{padded(labels[place], 24)} {bar(observed[place] / longest, 30)} {observed[place]:>8,} "
            f"{expected[place]:>9.1f} {2 * sigma[place]:5.1f}"
        )
    return Picture(figure, alt, "\n".join(text))
