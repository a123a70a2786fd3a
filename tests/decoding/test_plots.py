"""Pictures: what is drawn is the data, and everybody can read it."""

from __future__ import annotations

import base64
import math
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from decoding import (
    BeamSearch,
    Processor,
    Rounds,
    SearchTree,
    Speculative,
    TableModel,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    generate_ids,
)
from decoding.legible import columns, token_name
from gpt2 import GPT2

if TYPE_CHECKING:
    from decoding.plots import Picture

pytestmark = pytest.mark.notebooks

ROOT = Path(__file__).parents[2]
WORDS = ["the", "cat", "dog", "sat", "on", "mat", "ran", "fish", "."]
HOSTILE = ['" $x_1$ \\alpha"', "日本語の", "\n\n", '"😀"', "🦜🦜", "_under_ $", "a" * 60, "\u202eabc", "\x00"]
LOGITS = torch.tensor([2.0, 0.5, 0.1, 1.5, -0.5, 0.5, -2.0, 1.0, -1.0])
NAN = math.nan


@pytest.fixture(scope="module")
def plots() -> Any:
    """The module under test, imported late: it needs matplotlib."""
    from decoding import plots

    return plots


def stages(logits: Tensor, *processors: Processor) -> list[tuple[str, Tensor]]:
    found = [("the model", logits)]
    for processor in processors:
        found.append((str(processor), processor(found[-1][1])))
    return found


def causal(n: int) -> Tensor:
    future = torch.ones(n, n).triu(1).bool()
    return torch.randn(n, n).masked_fill(future, -torch.inf).softmax(-1).masked_fill(future, NAN)


def everything(plots: Any, words: list[str]) -> dict[str, Picture]:
    """A picture from each function, with these nine names."""
    text = [(words * 8)[i] for i in range(60)]
    return {
        "next_token_bars": plots.next_token_bars(stages(LOGITS, TopK(4)), words.__getitem__, top=5, chosen=2),
        "text_by_probability": plots.text_by_probability(text, [NAN, *torch.rand(59).tolist()]),
        "text_by_rank": plots.text_by_rank(text, [0, *(5 ** (i % 7) for i in range(59))]),
        "nucleus_curve": plots.nucleus_curve(LOGITS, 0.8, words.__getitem__),
        "along_text": plots.along_text(text, {words[0]: range(60), "b": [NAN, *range(59)]}, ylabel=words[1]),
        "frequencies": plots.frequencies([9, 8, 7, 6, 5, 4, 3, 2, 1], [1 / 9] * 9, words.__getitem__, title=words[5]),
        "heatmap": plots.heatmap(causal(9), rows=words, columns=words, title=words[5], alt="a", scale=words[0]),
        "lines": plots.lines([1, 2], {words[5]: [1, 2], "b": [2, 1]}, xlabel=words[0], ylabel=words[0], alt="a"),
        "bars": plots.bars(words, range(9), xlabel=words[5], title=words[0], alt="a"),
        "search_tree": plots.search_tree(a_tree(), words.__getitem__),
        "draft_rounds": plots.draft_rounds(some_rounds(), words.__getitem__),
        "draft_rounds, longer": plots.draft_rounds(some_rounds(40, length=6), words.__getitem__),
        "search_tree, larger": plots.search_tree(a_tree(beams=5, steps=12), words.__getitem__, steps=5),
    }


def a_tree(beams: int = 2, steps: int = 3, eos_id: int | None = None) -> SearchTree:
    """What beam search considered on a toy of nine ids."""
    model = TableModel.random(9, 16, seed=4)
    result = generate_ids(model, [[1]], BeamSearch(beams=beams), max_new_tokens=steps, eos_id=eos_id, trace=True)[0]
    tree = result.trace.tree
    assert tree is not None
    return tree


def some_rounds(ids: int = 9, length: int = 3) -> Rounds:
    """What became of the drafts of one toy of nine ids for another."""
    model, draft = TableModel.random(9, 64, seed=4), TableModel.random(9, 64, seed=5)
    strategy = Speculative(draft=draft, length=length)
    return generate_ids(model, [[1]], strategy, max_new_tokens=ids, eos_id=None, seed=1)[0].rounds


# What is drawn is the data.


def widths(axes: Any) -> list[float]:
    """The lengths of the bars of the first set that was drawn."""
    return [float(patch.get_width()) for patch in axes.containers[0]]


@pytest.mark.parametrize("top", [1, 3, 5, 8, 20])
def test_bars_are_the_probabilities_of_all_ids(plots: Any, top: int) -> None:
    picture = plots.next_token_bars(stages(LOGITS, Temperature(0.5), TopK(4)), WORDS.__getitem__, top=top)
    order = LOGITS.sort(descending=True, stable=True).indices[: 9 if top >= 8 else top]
    assert len(picture.figure.axes) == 3
    for axes, (name, logits) in zip(picture.figure.axes, stages(LOGITS, Temperature(0.5), TopK(4)), strict=True):
        share = logits.double().softmax(-1)[order]
        assert sum(widths(axes)) == pytest.approx(1.0)
        assert widths(axes)[: len(order)] == pytest.approx(share.tolist())
        assert axes.get_title(loc="left").startswith(name)
        if top < 8:
            assert widths(axes)[-1] == pytest.approx(1 - float(share.sum()))
    shown = [tick.get_text() for tick in picture.figure.axes[0].get_yticklabels()]
    assert shown == [WORDS[id] for id in order] + ([f"{9 - top} other tokens"] if top < 8 else [])


def test_a_removed_id_is_marked_and_keeps_the_outline_it_had(plots: Any) -> None:
    axes = plots.next_token_bars(stages(LOGITS, TopK(2), TopK(1)), WORDS.__getitem__, top=4).figure.axes
    before, middle, last = ([text.get_text() for text in panel.texts] for panel in axes)
    assert before.count("removed") == 0 and middle[2:] == ["removed"] * 3 and last[1:] == ["removed"] * 4
    outlines = [patch for bars in axes[2].containers[1:] for patch in bars]
    assert all(patch.get_hatch() for patch in outlines) and len(outlines) == 4
    model, top2 = LOGITS.double().softmax(-1), TopK(2)(LOGITS).double().softmax(-1)
    assert outlines[0].get_width() == pytest.approx(float(top2[3]))  # removed by TopK(1)
    assert outlines[1].get_width() == pytest.approx(float(model[7]))  # removed by TopK(2)
    assert "2 of 9 ids" in axes[1].get_title(loc="left") and "all 9 ids" in axes[0].get_title(loc="left")


def test_the_chosen_id_has_a_bar_and_more_than_a_colour(plots: Any) -> None:
    picture = plots.next_token_bars(stages(LOGITS, TopK(3)), WORDS.__getitem__, top=2, chosen=6)
    first = picture.figure.axes[0]
    chosen = first.get_yticklabels()[2]
    assert chosen.get_text() == "▶ ran" and chosen.get_fontweight() == "bold"
    assert first.containers[0][2].get_linewidth() == 2
    assert '"ran": removed after TopK(3)' in picture.alt
    assert re.findall(r"^> ran +.*$", str(picture), re.M)[1].endswith("removed")
    single = plots.next_token_bars(stages(LOGITS), WORDS.__getitem__, top=7, chosen=6)
    assert [tick.get_text() for tick in single.figure.axes[0].get_yticklabels()][-2:] == [".", "▶ ran"]


@pytest.mark.parametrize("p", [0.05, 0.35, 0.5, 0.8, 0.999, 1.0])
@pytest.mark.parametrize("logits", [LOGITS, torch.zeros(9), TopK(4)(LOGITS)], ids=["some", "equal", "removed"])
def test_the_nucleus_keeps_what_top_p_keeps(plots: Any, p: float, logits: Tensor) -> None:
    picture = plots.nucleus_curve(logits, p, WORDS.__getitem__)
    axes = picture.figure.axes[0]
    kept = int(TopP(p)(logits).isfinite().sum())
    left = int(logits.isfinite().sum())
    area, curve = (patch.get_data() for patch in axes.patches)
    total = logits.double().softmax(-1).sort(descending=True).values.cumsum(-1)
    assert list(curve.values) == pytest.approx(total[:left].tolist())
    assert list(area.values) == pytest.approx(total[:kept].tolist())
    level, cut = axes.lines
    assert level.get_ydata()[0] == p and cut.get_xdata()[0] == kept + 0.5
    assert f"{kept} of {left} ids kept" in axes.get_title(loc="left")
    assert f"keeps {kept} of {left} ids" in picture.alt
    assert str(picture).count("  kept") == kept


def test_a_cut_beyond_the_picture_is_told_in_words(plots: Any) -> None:
    picture = plots.nucleus_curve(torch.zeros(300), 0.5, str, most=100)
    axes = picture.figure.axes[0]
    assert "150 of 300 ids kept" in axes.get_title(loc="left") and "first 100" in axes.get_title(loc="left")
    assert len(axes.lines) == 1 and "keeps 150 of 300" in picture.alt


def test_counts_are_drawn_over_what_was_expected(plots: Any) -> None:
    counts, chances = [50, 30, 15, 5], [0.4, 0.4, 0.1, 0.1]
    picture = plots.frequencies(counts, torch.tensor(chances), WORDS.__getitem__, title="A hundred draws")
    axes = picture.figure.axes[0]
    whiskers, bars = sorted(axes.containers, key=lambda container: type(container).__name__, reverse=True)
    assert [bar.get_width() for bar in bars] == counts
    assert list(whiskers.lines[0].get_xdata()) == pytest.approx([100 * chance for chance in chances])
    for segment, chance in zip(whiskers.lines[2][0].get_segments(), chances, strict=True):
        reach = 2 * math.sqrt(100 * chance * (1 - chance))
        assert list(segment[:, 0]) == pytest.approx([100 * chance - reach, 100 * chance + reach], rel=1e-5)
    assert "2 of 4 bars within two standard deviations" in picture.alt  # 50 - 40 > 2 x 4.9, and 30 likewise
    assert "A hundred draws" in picture.alt and "100 draws" in picture.alt


def test_many_ids_share_the_last_bar(plots: Any) -> None:
    counts = [1] * 40
    axes = plots.frequencies(counts, [1 / 40] * 40, str).figure.axes[0]
    bars = next(container for container in axes.containers if len(container) == 17)
    assert [bar.get_width() for bar in bars] == [1] * 16 + [24]
    assert axes.get_yticklabels()[-1].get_text() == "24 other tokens"


def boxes(picture: Picture) -> list[Any]:
    """The backgrounds of the text, without those of the key."""
    return [patch for patch in picture.figure.axes[0].patches if patch.get_edgecolor()[:3] == (1, 1, 1)]


def test_a_text_is_darker_the_less_probable(plots: Any) -> None:
    from decoding.plots.style import lightness

    shares = [1.0, 0.5, 0.1, 0.01, 0.0001]
    picture = plots.text_by_probability([" the", " cat", " sat", " on", " me"], shares)
    shades = [lightness(box.get_facecolor()[:3]) for box in boxes(picture)]
    assert shades == sorted(shades, reverse=True) and shades[0] > 90 and shades[-1] < 25
    assert "2 of 5" in picture.alt and "' me'" in picture.alt and "0.01%" in picture.alt
    assert str(picture).count("%") == 5 and '" cat"' in str(picture)
    without = plots.text_by_probability(["the", " cat"], [NAN, 0.5])
    assert len(boxes(without)) == 1


def test_a_rank_has_a_letter_beside_its_colour(plots: Any) -> None:
    ranks = [0, 1, 2, 10, 11, 100, 101, 1000, 1001, 50257]
    picture = plots.text_by_rank([" w"] * 10, ranks)
    letters = [text.get_text() for text in picture.figure.axes[0].texts if re.fullmatch("[A-E]", text.get_text())]
    assert letters == list("ABBCCDDEE") and len(boxes(picture)) == 9
    assert "1 1st, 2 2nd-10th, 2 11th-100th, 2 101st-1000th, 2 beyond" in picture.alt
    assert "rank 50,257" in picture.alt and "50,257 E" in str(picture)


def test_the_text_stands_as_it_was_written(plots: Any) -> None:
    tokens = ["One", " day", ",\n", "\n", "x" * 100, " end"]
    picture = plots.text_by_rank(tokens, [1] * 6)
    drawn = [t for t in picture.figure.axes[0].texts if t.get_fontsize() == 11]
    rows: dict[float, str] = {}
    for text in drawn:
        rows[text.get_position()[1]] = rows.get(text.get_position()[1], "") + text.get_text()
    assert list(rows.values()) == ["One day,↵", "↵", "x" * 80, "x" * 20 + " end"]


def test_a_background_is_as_wide_as_its_text(plots: Any) -> None:
    picture = plots.text_by_probability([" abcdefghij" * 6, " mmmm"], [0.1, 0.2])
    picture.png()
    with_text = [t for t in picture.figure.axes[0].texts if t.get_fontsize() == 11]
    for box, text in zip(boxes(picture), with_text, strict=True):
        assert text.get_window_extent().width == pytest.approx(box.get_window_extent().width, abs=8)


def test_curves_go_through_their_values_also_over_several_lines(plots: Any) -> None:
    tokens = [f" {n}" for n in range(100)]
    entropy, surprisal = [NAN, *torch.rand(99).tolist()], torch.rand(100)
    picture = plots.along_text(tokens, {"entropy": entropy, "surprisal": surprisal}, ylabel="bits")
    lines = [axes.lines for axes in picture.figure.axes]
    for number, values in enumerate((entropy, surprisal.tolist())):
        assert [x for pair in lines for x in pair[number].get_xdata()] == list(range(100))
        assert [y for pair in lines for y in pair[number].get_ydata()] == pytest.approx(values, nan_ok=True)
    shown = [tick.get_text() for axes in picture.figure.axes for tick in axes.get_xticklabels()]
    assert shown == tokens
    assert len(str(picture).split("\n")) == 101


def test_every_hypothesis_is_drawn_at_its_step_with_its_score(plots: Any) -> None:
    tree = a_tree(steps=4, eos_id=8)
    axes = plots.search_tree(tree, WORDS.__getitem__).figure.axes[0]
    drawn = {(text.xy[0], *text.get_text().split("\n")): text for text in axes.texts}
    assert len(drawn) == len(tree) - 1
    for number, node in enumerate(tree):
        if node.id is None:
            continue
        mark = {"won": " ✓", "finished": " ▪"}.get(node.fate, "")
        text = drawn[node.step, WORDS[node.id] + mark, f"{node.score:.2f}"]
        leads = number in tree.way_to_the_winner()
        assert (text.get_fontweight() == "bold") == leads
        assert (text.get_color() != "#000000") == (node.fate == "pruned")
    for one, other in pairwise(sorted(text.xy for text in axes.texts)):  # none covers another one
        assert one[0] != other[0] or other[1] - one[1] >= 1


def test_a_large_tree_is_drawn_without_what_was_pruned_and_a_larger_one_is_refused(plots: Any) -> None:
    tree = a_tree(beams=5, steps=12)
    picture = plots.search_tree(tree, WORDS.__getitem__, steps=8)
    expected = sum(node.fate != "pruned" and 1 <= node.step <= 8 for node in tree)
    assert len(picture.figure.axes[0].texts) == expected < sum(1 <= node.step <= 8 for node in tree)
    assert "what was pruned is left out" in picture.figure._supxlabel.get_text() and "and on, score" in picture.alt
    with pytest.raises(ValueError, match="hypotheses in 12 steps are too many for a picture; ask for fewer steps"):
        plots.search_tree(a_tree(beams=9, steps=12), WORDS.__getitem__, steps=12)
    with pytest.raises(ValueError, match="steps is a number of columns, at least 1; got 0"):
        plots.search_tree(tree, WORDS.__getitem__, steps=0)


def test_every_drafted_id_is_a_cell_at_its_place_and_its_look_tells_its_fate(plots: Any) -> None:
    from decoding.plots.drafts import _LOOKS

    rounds = some_rounds(40, length=6)
    assert 0 < rounds.accepted < rounds.drafted
    picture = plots.draft_rounds(rounds, WORDS.__getitem__)
    (axes,) = picture.figure.axes
    looks = {
        fate: (look.get("hatch"), look.get("linestyle", "solid"), look["facecolor"])
        for fate, (_, look) in _LOOKS.items()
    }
    assert len({(hatch, line) for hatch, line, _ in looks.values()}) == 3  # kept and own are filled, dark and light
    drawn = {
        (round(cell.get_y()), round(cell.get_x() + 0.46), cell.get_hatch(), cell.get_linestyle())
        for cell in axes.patches
    }
    expected = set()
    begin = 0
    for number, one in enumerate(rounds):
        for place in range(len(one.drafted)):
            look = looks["kept" if place < one.accepted else "rejected" if place == one.accepted else "behind"]
            expected.add((number, begin + place, look[0], look[1]))
        if one.added is not None:
            expected.add((number, begin + one.accepted, *looks["own"][:2]))
        begin += len(one.ids)
    assert begin == 40 and drawn == expected
    assert axes.get_title(loc="left").startswith(f"{rounds.accepted} of {rounds.drafted} drafted ids accepted (")
    assert f"({rounds.acceptance_rate:.1%})" in axes.get_title(loc="left")


def test_rounds_without_drafts_can_be_drawn_and_too_many_cannot(plots: Any) -> None:
    nothing = Rounds(one for one in some_rounds(40) if not one.drafted)
    assert "nothing was drafted, 1.00 calls an id" in plots.draft_rounds(nothing, str).alt
    with pytest.raises(ValueError, match=r"rounds along 90 ids are too many .* such as rounds\[:20\]"):
        plots.draft_rounds(some_rounds(60)[:1] * 90, str)
    assert plots.draft_rounds(some_rounds(60)[:20], str).figure.axes


def test_what_is_unknown_in_a_heat_map_stays_blank(plots: Any) -> None:
    from decoding.plots.style import lightness

    pattern = causal(4)
    picture = plots.heatmap(pattern, rows=WORDS[:4], columns=WORDS[:4], title="t", alt="a")
    axes = picture.figure.axes[0]
    drawn = axes.images[0].get_array()
    shades = [lightness(axes.images[0].get_cmap()(i / 20)[:3]) for i in range(21)]
    assert shades == sorted(shades, reverse=True)  # grey tells the same
    assert drawn.mask.tolist() == pattern.isnan().tolist()
    assert len(axes.texts) == 10  # one number a cell that is known
    assert torch.equal(torch.tensor(drawn.filled(0.0)), pattern.double().nan_to_num(0.0))


def test_lines_and_bars_are_their_values(plots: Any) -> None:
    chart = plots.lines([1, 10, 100], {"a": [1.0, NAN, 3.0]}, xlabel="x", ylabel="y", alt="a", logx=True)
    (line,) = chart.figure.axes[0].lines
    assert list(line.get_ydata()) == pytest.approx([1.0, NAN, 3.0], nan_ok=True)
    assert widths(plots.bars(["a", "b"], [3, 0], xlabel="x", alt="a").figure.axes[0]) == [3, 0]


# Everybody can read it.


def all_text(figure: Any) -> list[Any]:
    """Every text that is drawn: matplotlib keeps labels of ticks out of view too, and draws none of them."""
    from matplotlib.text import Text

    outside = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if not axes.get_visible() or not low <= tick.get_loc() <= high:
                    outside |= {tick.label1, tick.label2}
    texts = figure.findobj(lambda artist: isinstance(artist, Text) and artist not in outside)
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("words", [WORDS, HOSTILE], ids=["words", "hostile"])
def test_no_label_is_clipped_or_lacks_its_glyphs(plots: Any, words: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, picture in everything(plots, words).items():
            picture.png()
            box = picture.figure.bbox
            for text in all_text(picture.figure):
                extent = text.get_window_extent()
                inside = extent.x0 >= -1 and extent.y0 >= -1 and extent.x1 <= box.x1 + 1 and extent.y1 <= box.y1 + 1
                assert inside, f"{name}: {text.get_text()!r} is clipped"
                assert text.get_fontsize() >= 9, f"{name}: {text.get_text()!r} is small"
                assert not text.get_parse_math()


@pytest.mark.parametrize("words", [WORDS, HOSTILE], ids=["words", "hostile"])
def test_the_twin_fits_a_terminal(plots: Any, words: list[str]) -> None:
    for name, picture in everything(plots, words).items():
        lines = str(picture).split("\n")
        assert len(lines) > 1 and max(map(columns, lines)) <= 80, name
        assert all(line.isprintable() for line in lines), name


def test_colours_differ_in_grey(plots: Any) -> None:
    from decoding.plots.style import COLOURS, FILL, PALE, SEQUENTIAL, lightness
    from decoding.plots.texts import BANDS

    assert lightness("#000000") == 0 and lightness("#ffffff") == pytest.approx(100, abs=0.01)
    assert lightness("#777777") == pytest.approx(50.03, abs=0.1)
    lines = sorted(map(lightness, COLOURS))
    assert min(b - a for a, b in pairwise(lines)) >= 12 and lines[-1] <= 62  # 3:1 on white
    bands = [lightness(colour) for *_, colour in BANDS]
    assert all(a - b >= 14 for a, b in pairwise(bands))
    shades = [lightness(SEQUENTIAL(i / 20)[:3]) for i in range(21)]
    assert all(a - b >= 2 for a, b in pairwise(shades)) and shades[0] < 98
    assert lightness(PALE) - lightness(FILL) >= 30


def test_neighbouring_curves_differ_in_marker_and_dash(plots: Any) -> None:
    picture = plots.lines([1, 2], {str(n): [n, n] for n in range(8)}, xlabel="x", ylabel="y", alt="a")
    looks = [(line.get_marker(), line.get_color(), str(line.get_linestyle())) for line in picture.figure.axes[0].lines]
    assert len(set(looks)) == 8 and len({marker for marker, *_ in looks}) == 8
    assert all(a[1] != b[1] and a[2] != b[2] for a, b in pairwise(looks))


# As notebooks keep it.


def test_the_same_data_gives_the_same_small_white_png(plots: Any) -> None:
    from PIL import Image

    torch.manual_seed(1)
    first = everything(plots, WORDS)
    torch.manual_seed(1)
    for name, picture in everything(plots, WORDS).items():
        png = picture.png()
        assert png == first[name].png() == picture.png(), name
        assert len(png) < 80_000, name
        assert b"Software" not in png and b"tEXt" not in png, name
        image = Image.open(BytesIO(png)).convert("RGB")
        assert 800 <= image.width <= 880 and image.getpixel((0, 0)) == (255, 255, 255), name


def test_a_figure_may_be_changed(plots: Any) -> None:
    picture = plots.bars(["a"], [1], xlabel="x", alt="a")
    before = picture.png()
    picture.figure.axes[0].set_title("seen")
    assert picture.png() != before


def test_jupyter_gets_a_png_with_alt_text(plots: Any, tmp_path: Path) -> None:
    from IPython.core.formatters import DisplayFormatter

    picture = plots.nucleus_curve(LOGITS, 0.8, WORDS.__getitem__)
    data, metadata = DisplayFormatter().format(picture)
    assert metadata["image/png"] == {"alt": picture.alt}
    assert data["text/plain"] == str(picture)
    picture.save(tmp_path / "picture.png")
    assert base64.b64decode(data["image/png"]) == (tmp_path / "picture.png").read_bytes()


def test_alt_texts_are_a_few_sentences(plots: Any) -> None:
    for name, picture in everything(plots, WORDS).items():
        if picture.alt != "a":
            assert 1 <= len(re.findall(r"[.](?: |$)", picture.alt)) <= 3, f"{name}: {picture.alt}"
            assert re.search(r"\d", picture.alt) and picture.alt.isprintable(), name


def test_the_readers_own_settings_stay(plots: Any) -> None:
    import matplotlib

    with matplotlib.rc_context({"figure.facecolor": "black", "font.size": 30.0, "text.color": "white"}):
        before = dict(matplotlib.rcParams)
        dark = plots.nucleus_curve(LOGITS, 0.8, WORDS.__getitem__).png()
        assert dict(matplotlib.rcParams) == before
    assert dark == plots.nucleus_curve(LOGITS, 0.8, WORDS.__getitem__).png()
    program = "import sys; from decoding import plots; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.strip() == "False", done.stderr


def test_without_matplotlib_the_import_says_what_to_do() -> None:
    program = "import sys; sys.modules['matplotlib'] = None\nfrom decoding import plots"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert "ModuleNotFoundError: pictures need matplotlib" in done.stderr
    assert "--extra notebooks" in done.stderr and '".[notebooks]"' in done.stderr


def test_a_real_step_can_be_drawn(plots: Any, storybook: GPT2, tokenizer: Tokenizer) -> None:
    logits = storybook(torch.tensor([tokenizer.encode("Once upon a time, there was a little")]))[0, -1]
    picture = plots.next_token_bars(
        stages(logits, Temperature(0.8), TopK(40)), lambda id: token_name(tokenizer, id), chosen=50256
    )
    assert [sum(widths(axes)) for axes in picture.figure.axes] == pytest.approx([1.0, 1.0, 1.0])
    assert "40 of 50,257 ids" in picture.alt and "50,248 other tokens" in str(picture)
    assert len(picture.png()) < 80_000


# What cannot be drawn is said.


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda plots: plots.next_token_bars([], str), "no stages"),
        (lambda plots: plots.next_token_bars([("m", torch.zeros(2, 9))], str), "one an id"),
        (lambda plots: plots.next_token_bars([("m", torch.zeros(9).long())], str), "floating-point"),
        (lambda plots: plots.next_token_bars([("m", [1.0])], str), "floating-point"),
        (lambda plots: plots.next_token_bars([("m", torch.full((9,), -torch.inf))], str), "every id is removed"),
        (lambda plots: plots.next_token_bars([("m", torch.full((9,), NAN))], str), "NaN"),
        (lambda plots: plots.next_token_bars([("m", LOGITS), ("n", LOGITS[:5])], str), "same ids"),
        (lambda plots: plots.next_token_bars([("m", LOGITS)], str, top=0), "at least 1"),
        (lambda plots: plots.next_token_bars([("m", LOGITS)], str, chosen=9), "between 0 and 8"),
        (lambda plots: plots.text_by_probability(["a"], [0.5, 0.5]), "as many"),
        (lambda plots: plots.text_by_probability([], []), "nothing to draw"),
        (lambda plots: plots.text_by_probability(["a"], [1.5]), "between 0 and 1"),
        (lambda plots: plots.text_by_probability(["a"], [NAN]), "nothing to draw"),
        (lambda plots: plots.text_by_rank(["a"], [1, 2]), "as many"),
        (lambda plots: plots.text_by_rank(["a"], [0.5]), "whole numbers"),
        (lambda plots: plots.text_by_rank(["a"], [-1]), "whole numbers"),
        (lambda plots: plots.text_by_rank(["a"], [NAN]), "whole numbers"),
        (lambda plots: plots.nucleus_curve(LOGITS, 0.0, str), "above 0 and at most 1"),
        (lambda plots: plots.nucleus_curve(LOGITS, 1.5, str), "above 0 and at most 1"),
        (lambda plots: plots.nucleus_curve(LOGITS[None], 0.5, str), "one an id"),
        (lambda plots: plots.nucleus_curve(LOGITS, 0.5, str, most=0), "at least 1"),
        (lambda plots: plots.along_text(["a"], {}, ylabel="y"), "no curves"),
        (lambda plots: plots.along_text(["a"], {"c": [1, 2]}, ylabel="y"), "as many"),
        (lambda plots: plots.along_text([], {"c": []}, ylabel="y"), "nothing to draw"),
        (lambda plots: plots.frequencies([1], [0.5, 0.5], str), "as many"),
        (lambda plots: plots.frequencies([1, 1], [0.5, 0.6], str), "sum to 1"),
        (lambda plots: plots.frequencies([0, 0], [0.5, 0.5], str), "not all 0"),
        (lambda plots: plots.frequencies([0.5, 1], [0.5, 0.5], str), "whole numbers"),
        (lambda plots: plots.frequencies([NAN, 1], [0.5, 0.5], str), "whole numbers"),
        (lambda plots: plots.heatmap(LOGITS, rows=[], columns=[], title="", alt=""), "rows"),
        (lambda plots: plots.heatmap(LOGITS[None] * NAN, rows=["a"], columns=WORDS, title="", alt=""), "nothing"),
        (lambda plots: plots.draft_rounds((), str), "nothing to draw: no rounds"),
        (lambda plots: plots.lines([0, 1], {"c": [1, 2]}, xlabel="", ylabel="", alt="", logx=True), "positive"),
        (lambda plots: plots.lines([1, 2], {"c": [0, 2]}, xlabel="", ylabel="", alt="", logy=True), "positive"),
        (lambda plots: plots.lines([1], {str(n): [1] for n in range(9)}, xlabel="", ylabel="", alt=""), "up to 8"),
        (lambda plots: plots.bars(["a"], [-1], xlabel="", alt=""), "not negative"),
        (lambda plots: plots.bars(["a"], [1, 2], xlabel="", alt=""), "as many"),
    ],
)
def test_errors_are_sentences(plots: Any, draw: Callable[[Any], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        draw(plots)


def test_values_along_a_text_may_stand_on_a_logarithmic_axis(plots: Any) -> None:
    picture = plots.along_text(["a", "b", "c"], {"ids kept": [1, 1000, 30]}, ylabel="ids", logy=True)
    (axes,) = picture.figure.axes
    assert axes.get_yscale() == "log"
    assert "$" not in "".join(label.get_text() for label in axes.get_yticklabels())
    with pytest.raises(ValueError, match="a logarithmic axis shows positive values only; a curve goes down to 0"):
        plots.along_text(["a", "b"], {"ids kept": [0, 3]}, ylabel="ids", logy=True)
