"""Reports of search errors, against the list of all texts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from decoding import (
    ArithmeticSampling,
    BeamSearch,
    Greedy,
    LanguageModel,
    Sample,
    StochasticBeamSearch,
    TableModel,
    TopK,
    TransformersBeamSearch,
    law,
)
from decoding.search_error import Miss, Optimum, SearchErrors, search_errors
from decoding.strategies.exact import ExactSearch
from tests.decoding.models import memoised

MODEL = memoised(TableModel.random(3, 16, 4, scale=1.0))
PROMPTS = [[prompt, other] for prompt in range(3) for other in range(3)]
STEPS = 4
STRATEGIES = {"greedy": Greedy(), "2": BeamSearch(beams=2), "all": BeamSearch(beams=3**STEPS)}


def report(model: LanguageModel = MODEL, strategies: Any = STRATEGIES, **options: Any) -> SearchErrors:
    return search_errors(model, PROMPTS, strategies, **{"max_new_tokens": STEPS, "eos_id": 0} | options)


def test_errors_are_those_against_all_texts() -> None:
    """Scores within 1e-12 of the logarithms of the law."""
    found = report()
    missed = 0
    for number, prompt in enumerate(PROMPTS):
        texts = law(Sample(), MODEL, prompt, STEPS, 0)
        best = next(iter(texts))
        optimum = found.optima[number]
        assert optimum.certain and optimum.best == best
        assert optimum.score == optimum.logprob == pytest.approx(math.log(texts[best]), abs=1e-12)
        for misses in found.misses.values():
            miss = misses[number]
            assert miss.score == pytest.approx(math.log(texts[miss.ids]), abs=1e-12)
            assert miss.lost == miss.lost_at_most == pytest.approx(math.log(texts[best] / texts[miss.ids]), abs=1e-12)
            assert miss.ratio == pytest.approx(texts[miss.ids] / texts[best], rel=1e-12)
            assert miss.same == (miss.ids == best) and miss.error == (not miss.same)
            missed += not miss.same
    assert missed > 3
    assert found.error_share("all") == (0.0, 0.0) and found.mean_lost("all") == (0.0, 0.0)
    greedy = found.misses["greedy"]
    share = sum(not miss.same for miss in greedy) / len(PROMPTS)
    assert found.error_share("greedy") == (share, share)
    assert found.mean_lost("greedy")[0] == pytest.approx(sum(miss.lost for miss in greedy) / len(PROMPTS), abs=1e-12)
    assert [miss.evaluations for miss in greedy] == [len(miss.ids) for miss in greedy]


def test_where_the_budget_ends_it_tells_what_is_certain() -> None:
    """Whatever is said with a small budget holds once everything is known."""
    known = report()
    unknown = better = 0
    for budget in (1, 4, 5, 6, 8, 11):
        found = report(exact=ExactSearch(budget=budget))
        for name, misses in found.misses.items():
            for n, miss in enumerate(misses):
                final = known.misses[name][n]
                assert miss.lost <= final.lost + 1e-12 and final.lost <= miss.lost_at_most + 1e-12
                assert miss.error is None or miss.error == final.error
                unknown += miss.error is None
            least, most = found.error_share(name)
            assert least <= known.error_share(name)[0] <= most
            lost, at_most = found.mean_lost(name)
            assert lost - 1e-12 <= known.mean_lost(name)[0] <= at_most + 1e-12
        for n, optimum in enumerate(found.optima):
            assert optimum.score <= known.optima[n].score <= optimum.bound
    assert unknown
    begun = ExactSearch(budget=1)
    alone, among = report(strategies=[Greedy()], exact=begun), report(exact=begun)
    for one, other in zip(alone.optima, among.optima, strict=True):
        assert one.score <= other.score
        better += other.score > one.score
    assert better  # a beam of all finds better texts than a search that has just begun


def test_a_text_is_measured_by_the_exact_search_and_not_by_its_own_score() -> None:
    """A beam with a length penalty of its own, against the plain log-probability, and the other way round."""
    penalised = BeamSearch(beams=3**STEPS, length_penalty=1.5)
    found = report(strategies=[penalised], exact=ExactSearch())
    other = report(strategies=[penalised, BeamSearch(beams=3**STEPS)], exact=ExactSearch(length_penalty=1.5))
    assert found.error_share(repr(penalised))[0] > 0.2 and other.error_share(repr(penalised)) == (0.0, 0.0)
    assert other.error_share(repr(BeamSearch(beams=3**STEPS)))[0] > 0.2
    for optimum, miss in zip(other.optima, other.misses[repr(BeamSearch(beams=3**STEPS))], strict=True):
        assert optimum.score == optimum.logprob / len(optimum.best) ** 1.5
        assert miss.ratio >= 1.0  # it finds the likeliest text, which is not the best one


def test_it_prints_a_table() -> None:
    """a has 0.6 and then nothing likely; b has 0.4 and then one certain id."""
    table = torch.tensor([[0.6, 0.4, 0.0], [0.0, 0.0, 1.0], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)

    def after(ids: Any) -> torch.Tensor:
        row = 0 if len(ids) == 1 else 1 if ids[-1] == 1 else 2
        return table[row].log()

    found = search_errors(
        TableModel(3, 8, after), [[0]], {"greedy": Greedy(), "two": BeamSearch(beams=2)}, max_new_tokens=2
    )
    assert str(found).splitlines() == [
        "ExactSearch(): the optimum is certain after 1 of 1 prompt, with 3 evaluations",
        "",
        "         errors  nats lost, mean  at most  least ratio  evaluations",
        "greedy  100.0 %            0.693    0.693          0.5            2",
        "two         0 %            0.000    0.000            1            3",
    ]
    assert found.optima == [Optimum((1, 2), math.log(0.4), math.log(0.4), math.log(0.4), 3)]
    assert "0 % to 100.0 %" in str(
        SearchErrors(ExactSearch(budget=1), found.optima, {"?": [Miss((0,), -1.0, 1, True, 0.0, 0.5, 1.0)]})
    )


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match=r"BeamSearch\(TopK\(2\)\) and ExactSearch\(\) have different processors"):
        report(strategies=[BeamSearch(TopK(2))], exact=ExactSearch())
    assert report(strategies=[BeamSearch(TopK(2))]).exact == ExactSearch(TopK(2))
    for drawing in (Sample(), StochasticBeamSearch(), ArithmeticSampling()):
        with pytest.raises(ValueError, match="draws; search errors are those of Greedy, BeamSearch and others"):
            report(strategies=[drawing])
    with pytest.raises(ValueError, match=r"a strategy is needed, such as Greedy\(\) or BeamSearch\(\); got 3"):
        report(strategies=[Greedy(), 3])
    with pytest.raises(ValueError, match=r"in TransformersBeamSearch.* processors act on log-probabilities"):
        report(strategies=[TransformersBeamSearch(TopK(2))])
    with pytest.raises(ValueError, match=r"exact says what is best: ExactSearch\(...\), .*; got BeamSearch\(\)"):
        report(strategies=[Greedy()], exact=BeamSearch())
    for nothing in ([], {}, Greedy(), None):
        with pytest.raises(ValueError, match="strategies are needed, as"):
            report(strategies=nothing)
    with pytest.raises(ValueError, match="a prompt fills the model's 2 positions; shorten it"):
        report(TableModel(3, 2, MODEL.logits_after))
