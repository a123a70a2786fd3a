"""The exercises of notebook 12, and the mistakes that are known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .checking import Case, Check, Mistake
from .words import WORDS

_EXPERT = [0.40, 0.30, 0.16, 0.08, 0.04, 0.010, 0.0040, 0.0030, 0.0030]
_AMATEUR = [0.50, 0.20, 0.04, 0.10, 0.08, 0.040, 0.0200, 0.0199, 0.0001]


def _below(bound: int, generator: torch.Generator) -> int:
    """A whole number from 0 to bound - 1."""
    return int(torch.randint(bound, (1,), generator=generator))


def _logits(probabilities: list[float], shift: float = 0.0) -> Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log() + shift


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _share(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=-1, keepdim=True)


# -- 12.1 -------------------------------------------------------------------------------------------------------------


def _powers(c: Tensor, u: Tensor, scale: float) -> Tensor:
    """As powers of probabilities, row by row."""
    rows = [_share(p**scale * q ** (1 - scale)) for p, q in zip(_rows(c), _rows(u), strict=True)]
    return torch.stack(rows).reshape(c.shape)


def _rows(logits: Tensor) -> Tensor:
    return _share((logits - logits.amax(dim=-1, keepdim=True)).exp()).reshape(-1, logits.shape[-1])


def _guided_case(generator: torch.Generator) -> Case:
    V = 2 + _below(6, generator)
    rows = [(), (1 + _below(3, generator),)][_below(2, generator)]
    c, u = 2 * _normal(generator, *rows, V), 2 * _normal(generator, *rows, V)
    scale = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0][_below(6, generator)]
    return {"c": c + 3 * float(_normal(generator, 1)), "u": u, "scale": scale}


def _other_way(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (c + scale * (u - c)).softmax(dim=-1)


def _beyond_the_prompt(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (c + scale * (c - u)).softmax(dim=-1)


def _difference_alone(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (scale * (c - u)).softmax(dim=-1)


def _plain_difference(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (c - u).softmax(dim=-1)


def _of_probabilities(c: Tensor, u: Tensor, scale: float) -> Tensor:
    p, q = c.softmax(dim=-1), u.softmax(dim=-1)
    return q + scale * (p - q)


def _of_probabilities_cut(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return _share(_of_probabilities(c, u, scale).clamp(min=0))


def _softmax_of_probabilities(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return _of_probabilities(c, u, scale).softmax(dim=-1)


def _still_logits(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return u + scale * (c - u)


def _still_logprobs(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (u + scale * (c - u)).log_softmax(dim=-1)


def _added(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (u + scale * c).softmax(dim=-1)


def _prompt_times_scale(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (scale * c - u).softmax(dim=-1)


def _divided(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (scale * c / u).softmax(dim=-1)


def _over_rows(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (u + scale * (c - u)).softmax(dim=0)


def _over_everything(c: Tensor, u: Tensor, scale: float) -> Tensor:
    x = (u + scale * (c - u)).exp()
    return x / x.sum()


def _without_scale(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return c.softmax(dim=-1)


def _never_below_one(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (u + max(scale, 1.0) * (c - u)).softmax(dim=-1)


def _no_sum(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return c.softmax(dim=-1) ** scale * u.softmax(dim=-1) ** (1 - scale)


def _exponentials(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (u + scale * (c - u)).exp()


def _scale_on_u(c: Tensor, u: Tensor, scale: float) -> Tensor:
    return (scale * u + (c - u)).softmax(dim=-1)


guided = Check(
    exercise="12.1",
    name="guided",
    reference=_powers,
    cases=[
        {"c": _logits(_EXPERT), "u": _logits(_AMATEUR), "scale": 2.0},  # worked in the text
        {"c": _logits([0.5, 0.3, 0.2]), "u": _logits([0.2, 0.2, 0.6], 1.0), "scale": 0.0},
        {
            "c": torch.stack([_logits([0.5, 0.25, 0.25], 2.0), _logits([0.1, 0.1, 0.8])]),
            "u": torch.stack([_logits([0.25, 0.5, 0.25]), _logits([0.3, 0.4, 0.3], -1.0)]),
            "scale": 1.5,
        },
    ],
    random=_guided_case,
    words=WORDS,
    mistakes=[
        Mistake(_other_way, "You go from c to u. Begin at u, what would be said without the prompt, and go towards c."),
        Mistake(
            _beyond_the_prompt,
            "You begin at c, so your scale is one too large: at scale 1 the result is c itself. Begin at u.",
        ),
        Mistake(
            _difference_alone,
            "The difference alone is not guidance: at scale 0 nothing would be left of any model. It is added to u.",
        ),
        Mistake(_plain_difference, "That is the contrast of contrastive decoding. Where are the scale, and u?"),
        Mistake(
            _of_probabilities,
            "You go from q to p in probabilities: beyond p some become negative. Go from u to c, in logits, and take "
            "the softmax at the end.",
        ),
        Mistake(
            _of_probabilities_cut,
            "You go from q to p in probabilities and cut off what becomes negative. Guidance goes in logits.",
        ),
        Mistake(
            _softmax_of_probabilities,
            "You take the softmax twice: first of each, then of the result. Logits go in; one softmax at the end.",
        ),
        Mistake(_still_logits, "These are logits, and the right ones. Probabilities are asked for: softmax."),
        Mistake(_still_logprobs, "These are log-probabilities, and the right ones: softmax instead of log_softmax."),
        Mistake(_no_sum, "Your rows do not add up to 1. Powers have to be divided by their sum; softmax does that."),
        Mistake(_exponentials, "Your rows do not add up to 1: exp alone does not divide by the sum, softmax does."),
        Mistake(_scale_on_u, "Your scale stands at u. It says how far to go from there: scale * (c - u)."),
        Mistake(_added, "You add scale times c to u. It is scale times the difference, c - u."),
        Mistake(_prompt_times_scale, "You subtract u once. It is u + scale * (c - u), so u counts 1 - scale times."),
        Mistake(_divided, "Logits are logarithms already, of which differences are taken, no quotients."),
        Mistake(_over_rows, "Your softmax goes over dimension 0, the rows. Each row is a distribution: dim=-1."),
        Mistake(_over_everything, "You divide by the sum of all rows. Each row is a distribution: dim=-1."),
        Mistake(_without_scale, "You return the distribution behind the prompt, whatever the scale."),
        Mistake(
            _never_below_one,
            "Scales below 1 are allowed: they lie between u and c.",
        ),
    ],
)


# -- 12.2 -------------------------------------------------------------------------------------------------------------


def _logprobs(logits: Tensor) -> Tensor:
    return logits - logits.logsumexp(dim=-1, keepdim=True)


def _plausible(logits: Tensor, alpha: float) -> Tensor:
    best = logits.amax(dim=-1, keepdim=True)
    return (logits - best).exp() >= alpha * (1 - 1e-12)


def _if_plausible(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    difference = _logprobs(expert) - _logprobs(amateur)
    return difference.masked_fill(~_plausible(expert, alpha), -math.inf)


def _contrast_case(generator: torch.Generator) -> Case:
    while True:
        V = 3 + _below(6, generator)
        rows = [(), (2 + _below(2, generator),)][_below(2, generator)]
        expert = 2 * _normal(generator, *rows, V) + 2
        amateur = 2 * _normal(generator, *rows, V) - 1
        alpha = [0.05, 0.1, 0.2, 0.3, 0.5][_below(5, generator)]
        ratios = _share(expert.exp()) / _share(expert.exp()).amax(dim=-1, keepdim=True)
        if bool(((ratios / alpha - 1).abs() > 1e-3).all()):
            return {"expert": expert, "amateur": amateur, "alpha": alpha}


def _no_threshold(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _logprobs(expert) - _logprobs(amateur)


def _by_the_amateur(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _no_threshold(expert, amateur, alpha).masked_fill(~_plausible(amateur, alpha), -math.inf)


def _by_both(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _if_plausible(expert, amateur, alpha).masked_fill(~_plausible(amateur, alpha), -math.inf)


def _turned_round(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return -_no_threshold(expert, amateur, alpha) + torch.where(_plausible(expert, alpha), 0.0, -math.inf)


def _roles_swapped(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _if_plausible(amateur, expert, alpha)


def _of_logits(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return torch.where(_plausible(expert, alpha), expert - amateur, -math.inf)


def _fixed_bar(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    bar = _share(expert.exp()) >= alpha
    return _no_threshold(expert, amateur, alpha).masked_fill(~bar, -math.inf)


def _share_of_a_logit(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    bar = expert >= alpha * expert.amax(dim=-1, keepdim=True)
    return _no_threshold(expert, amateur, alpha).masked_fill(~bar, -math.inf)


def _minus_alpha(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    bar = expert >= expert.amax(dim=-1, keepdim=True) - alpha
    return _no_threshold(expert, amateur, alpha).masked_fill(~bar, -math.inf)


def _one_maximum_for_all(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    mine = _logprobs(expert)
    return _no_threshold(expert, amateur, alpha).masked_fill(mine < mine.max() + math.log(alpha), -math.inf)


def _no_dimension_kept(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    mine = _logprobs(expert)
    return _no_threshold(expert, amateur, alpha).masked_fill(mine < mine.amax(dim=-1) + math.log(alpha), -math.inf)


def _strictly_more(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    best = expert.amax(dim=-1, keepdim=True)
    bar = (expert - best).exp() > alpha * (1 + 1e-12)
    return _no_threshold(expert, amateur, alpha).masked_fill(~bar, -math.inf)


def _below_the_bar(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _no_threshold(expert, amateur, alpha).masked_fill(_plausible(expert, alpha), -math.inf)


def _zeros_for_the_rest(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _no_threshold(expert, amateur, alpha) * _plausible(expert, alpha)


def _infinity_times_nothing(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _no_threshold(expert, amateur, alpha) + (~_plausible(expert, alpha)).double() * -math.inf


def _of_shares(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    difference = _share(expert.exp()) - _share(amateur.exp())
    return difference.masked_fill(~_plausible(expert, alpha), -math.inf)


def _ratio(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _if_plausible(expert, amateur, alpha).exp()


def _contrast_softmax(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _share(_ratio(expert, amateur, alpha))


def _renormalised_first(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    kept = expert.masked_fill(~_plausible(expert, alpha), -math.inf)
    return _logprobs(kept) - _logprobs(amateur)


def _threshold_on_the_difference(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    difference = _no_threshold(expert, amateur, alpha)
    return difference.masked_fill(~_plausible(difference, alpha), -math.inf)


def _difference_normalised(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _logprobs(expert - amateur).masked_fill(~_plausible(expert, alpha), -math.inf)


def _both_renormalised(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    removed = ~_plausible(expert, alpha)
    kept = [_logprobs(logits.masked_fill(removed, -math.inf)) for logits in (expert, amateur)]
    return (kept[0] - kept[1]).masked_fill(removed, -math.inf)


def _maxima_of_columns(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    mine = _logprobs(expert)
    return _no_threshold(expert, amateur, alpha).masked_fill(mine < mine.amax(dim=0) + math.log(alpha), -math.inf)


def _expert_alone(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return _logprobs(expert).masked_fill(~_plausible(expert, alpha), -math.inf)


def _bar_too_high(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    return torch.full_like(expert, -math.inf)


contrast = Check(
    exercise="12.2",
    name="contrast",
    reference=_if_plausible,
    cases=[
        {"expert": _logits(_EXPERT, 1.0), "amateur": _logits(_AMATEUR), "alpha": 0.05},
        {  # exactly the share that is needed
            "expert": torch.tensor([0.0, math.log(0.25), -3.0], dtype=torch.float64),
            "amateur": torch.tensor([0.0, 0.0, -6.0], dtype=torch.float64),
            "alpha": 0.25,
        },
        {
            "expert": torch.stack([_logits([0.9, 0.05, 0.05]), _logits([0.3, 0.4, 0.3])]),
            "amateur": torch.stack([_logits([0.4, 0.3, 0.3], 2.0), _logits([0.6, 0.3, 0.1])]),
            "alpha": 0.5,
        },
    ],
    random=_contrast_case,
    words=WORDS,
    mistakes=[
        Mistake(_no_threshold, "There is no threshold in yours: what is not plausible has to become -inf."),
        Mistake(_by_the_amateur, "You ask the amateur what is plausible. The expert decides that, and it alone."),
        Mistake(_by_both, "You ask both models what is plausible. The expert decides that, and it alone."),
        Mistake(_turned_round, "Your difference has the wrong sign: expert minus amateur."),
        Mistake(_roles_swapped, "The roles are swapped: expert minus amateur, and the expert says what is plausible."),
        Mistake(
            _of_logits,
            "You subtract logits. That is off by a constant in each row; log_softmax of both makes log p - log q.",
        ),
        Mistake(
            _fixed_bar,
            "Your bar is alpha itself. It is a share of the *best* probability: alpha times the maximum of the row.",
        ),
        Mistake(
            _share_of_a_logit,
            "You multiply a logit by alpha. A share of a probability is an addition in logarithms: + log(alpha).",
        ),
        Mistake(
            _bar_too_high,
            "Nothing is plausible in yours, not even the best: your bar lies above it. A share of a probability is "
            "an addition in logarithms: maximum + log(alpha), and log(alpha) is below 0.",
        ),
        Mistake(_minus_alpha, "You subtract alpha from the maximum. In logarithms a share is + log(alpha)."),
        Mistake(_one_maximum_for_all, "Your maximum is that of all rows together. Each row has its own: dim=-1."),
        Mistake(
            _no_dimension_kept,
            "The maxima of the rows do not meet their own rows: keep the dimension, keepdim=True.",
        ),
        Mistake(_strictly_more, "An id with exactly alpha of the best stays: >=."),
        Mistake(_below_the_bar, "You removed what is plausible and kept the rest."),
        Mistake(_zeros_for_the_rest, "What is not plausible gets a 0 in yours, which can win. It has to be -inf."),
        Mistake(_infinity_times_nothing, "0 * inf is NaN. Use torch.where or masked_fill to write -inf."),
        Mistake(_of_shares, "You subtract probabilities. The contrast is a difference of their logarithms."),
        Mistake(_ratio, "You return the ratio p / q. Its logarithm is asked for, -inf where nothing is left."),
        Mistake(
            _difference_normalised,
            "You take log_softmax of the difference. Take it of both models' logits, then subtract.",
        ),
        Mistake(
            _both_renormalised,
            "You normalise both once more after the threshold. They stay those of the whole distributions.",
        ),
        Mistake(_maxima_of_columns, "Your maxima are those of columns, dim=0. Each row has its own: dim=-1."),
        Mistake(_expert_alone, "That is the expert alone, cut off. Where is the amateur?"),
        Mistake(_contrast_softmax, "You normalised the result. The difference itself is asked for."),
        Mistake(
            _renormalised_first,
            "You normalise p once more after the threshold. log p is that of the whole distribution.",
        ),
        Mistake(
            _threshold_on_the_difference,
            "Your threshold looks at the difference, which is what must not be trusted. It looks at p.",
        ),
    ],
)


# -- 12.3 -------------------------------------------------------------------------------------------------------------


def _kl(x: list[float], a: list[float]) -> float:
    return math.fsum(s * math.log(s / t) for s, t in zip(x, a, strict=True) if s > 0)


def _mean_of(p: list[float], q: list[float]) -> list[float]:
    return [(s + t) / 2 for s, t in zip(p, q, strict=True)]


def _jsd(p: list[float], q: list[float]) -> float:
    a = _mean_of(p, q)
    return _kl(p, a) / 2 + _kl(q, a) / 2


def _greatest(values: list[float]) -> tuple[int, float]:
    return values.index(max(values)), max(values)


def _each(last: Tensor, early: Tensor) -> list[tuple[list[float], list[float]]]:
    return [(last.tolist(), row) for row in early.tolist()]


def _by_lists(last: Tensor, early: Tensor) -> tuple[int, float]:
    return _greatest([round(_jsd(p, q), 12) for p, q in _each(last, early)])


def _unlike_case(generator: torch.Generator) -> Case:
    while True:
        V, L = 2 + _below(6, generator), 1 + _below(5, generator)
        last, early = (1.5 * _normal(generator, V)).exp(), (1.5 * _normal(generator, L, V)).exp()
        last[torch.rand(V, generator=generator) < 0.2] = 0.0
        early[torch.rand(L, V, generator=generator) < 0.2] = 0.0
        if float(last.sum()) == 0 or bool((early.sum(dim=-1) == 0).any()):
            continue
        last, early = _share(last), _share(early)
        ranked = sorted((_jsd(p, q) for p, q in _each(last, early)), reverse=True)
        if L == 1 or ranked[0] - ranked[1] > 1e-3:
            return {"last": last, "early": early}


def _least_unlike(last: Tensor, early: Tensor) -> tuple[int, float]:
    values = [_jsd(p, q) for p, q in _each(last, early)]
    return values.index(min(values)), min(values)


def _not_halved(last: Tensor, early: Tensor) -> tuple[int, float]:
    return _greatest([2 * _jsd(p, q) for p, q in _each(last, early)])


def _sum_for_the_mean(last: Tensor, early: Tensor) -> tuple[int, float]:
    values = []
    for p, q in _each(last, early):
        a = [s + t for s, t in zip(p, q, strict=True)]
        values.append(_kl(p, a) / 2 + _kl(q, a) / 2)
    return _greatest(values)


def _one_half_only(last: Tensor, early: Tensor) -> tuple[int, float]:
    return _greatest([_kl(p, _mean_of(p, q)) for p, q in _each(last, early)])


def _other_half_only(last: Tensor, early: Tensor) -> tuple[int, float]:
    return _greatest([_kl(q, _mean_of(p, q)) for p, q in _each(last, early)])


def _first_term_halved(last: Tensor, early: Tensor) -> tuple[int, float]:
    return _greatest([_kl(p, _mean_of(p, q)) / 2 for p, q in _each(last, early)])


def _direct(last: Tensor, early: Tensor) -> tuple[int, float]:
    values = (last * (last / early).log()).nansum(dim=-1)
    return int(values.argmax()), float(values.max())


def _direct_back(last: Tensor, early: Tensor) -> tuple[int, float]:
    values = (early * (early / last).log()).nansum(dim=-1)
    return int(values.argmax()), float(values.max())


def _backwards(last: Tensor, early: Tensor) -> tuple[int, float]:
    a = (last + early) / 2
    values = ((a * (a / last).log()).nansum(dim=-1) + (a * (a / early).log()).nansum(dim=-1)) / 2
    return int(values.argmax()), float(values.max())


def _in_bits(last: Tensor, early: Tensor) -> tuple[int, float]:
    place, value = _by_lists(last, early)
    return place, value / math.log(2)


def _root(last: Tensor, early: Tensor) -> tuple[int, float]:
    place, value = _by_lists(last, early)
    return place, math.sqrt(max(value, 0.0))


def _averaged_over_ids(last: Tensor, early: Tensor) -> tuple[int, float]:
    place, value = _by_lists(last, early)
    return place, value / len(last)


def _zeros_not_treated(last: Tensor, early: Tensor) -> tuple[int, float]:
    a = (last + early) / 2
    values = ((last * (last / a).log()).sum(dim=-1) + (early * (early / a).log()).sum(dim=-1)) / 2
    return int(values.argmax()), float(values.max())


def _nan_takes_all(last: Tensor, early: Tensor) -> tuple[int, float]:
    a = (last + early) / 2
    values = (last * (last / a).log() + early * (early / a).log()).nansum(dim=-1) / 2
    return int(values.argmax()), float(values.max())


def _softmax_before(last: Tensor, early: Tensor) -> tuple[int, float]:
    return _by_lists(last.softmax(dim=-1), early.softmax(dim=-1))


def _of_log_probabilities(last: Tensor, early: Tensor) -> tuple[int, float]:
    p, q = last.log(), early.log()
    a = (p + q) / 2
    values = ((p.exp() * (p - a)).nansum(dim=-1) + (q.exp() * (q - a)).nansum(dim=-1)) / 2
    return int(values.argmax()), float(values.max())


def _total_variation(last: Tensor, early: Tensor) -> tuple[int, float]:
    values = (last - early).abs().sum(dim=-1) / 2
    return int(values.argmax()), float(values.max())


def _from_one(last: Tensor, early: Tensor) -> tuple[int, float]:
    place, value = _by_lists(last, early)
    return place + 1, value


def _last_of_equals(last: Tensor, early: Tensor) -> tuple[int, float]:
    values = [round(_jsd(p, q), 12) for p, q in _each(last, early)]
    return max(range(len(values)), key=lambda n: (values[n], n)), max(values)


def _value_first(last: Tensor, early: Tensor) -> tuple[float, int]:
    place, value = _by_lists(last, early)
    return value, place


def _place_alone(last: Tensor, early: Tensor) -> int:
    return _by_lists(last, early)[0]


def _tensors(last: Tensor, early: Tensor) -> tuple[Tensor, Tensor]:
    place, value = _by_lists(last, early)
    return torch.tensor(place), torch.tensor(value)


def _differences_of_logarithms(last: Tensor, early: Tensor) -> tuple[int, float]:
    log_a = ((last + early) / 2).log()
    values = sum((torch.xlogy(x, x) - x * log_a).sum(dim=-1) / 2 for x in (last.expand_as(early), early))
    return int(values.argmax()), float(values.max())  # type: ignore[union-attr]


def _second_sum_halved(last: Tensor, early: Tensor) -> tuple[int, float]:
    return _greatest([_kl(p, _mean_of(p, q)) + _kl(q, _mean_of(p, q)) / 2 for p, q in _each(last, early)])


def _both_directions(last: Tensor, early: Tensor) -> tuple[int, float]:
    values = ((last * (last / early).log()).nansum(dim=-1) + (early * (early / last).log()).nansum(dim=-1)) / 2
    return int(values.argmax()), float(values.max())


def _upside_down(last: Tensor, early: Tensor) -> tuple[int, float]:
    return _greatest([-_jsd(p, q) for p, q in _each(last, early)])


def _unweighted(last: Tensor, early: Tensor) -> tuple[int, float]:
    a = (last + early) / 2
    values = ((last / a).log().nansum(dim=-1) + (early / a).log().nansum(dim=-1)) / 2
    return int(values.argmax()), float(values.max())


most_unlike = Check(
    exercise="12.3",
    name="most_unlike",
    reference=_by_lists,
    cases=[
        {  # worked in the text
            "last": torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64),
            "early": torch.tensor([[0.0, 0.5, 0.5]], dtype=torch.float64),
        },
        {
            "last": torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64),
            "early": torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.6, 0.1, 0.3]], dtype=torch.float64),
        },
        {  # two equals, and an id that nobody thinks possible
            "last": torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64),
            "early": torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0], [0.75, 0.25, 0.0, 0.0]]).double(),
        },
    ],
    random=_unlike_case,
    mistakes=[
        Mistake(_least_unlike, "You take the layer that is most *like* the last. The greatest divergence is wanted."),
        Mistake(_not_halved, "Your divergence is twice too large: half of the one sum and half of the other."),
        Mistake(_sum_for_the_mean, "Your a is the sum of p and q; it is their mean, (p + q) / 2."),
        Mistake(
            _one_half_only, "You compare only the last layer with the mean. The earlier one's sum is the other half."
        ),
        Mistake(
            _other_half_only, "You compare only the earlier layers with the mean. The last one's sum is a half, too."
        ),
        Mistake(_first_term_halved, "The second sum is missing: that of the earlier layer against the mean."),
        Mistake(_second_sum_halved, "You halve only the second sum. Half of both: put them in brackets."),
        Mistake(
            _both_directions,
            "You compare p with q, and q with p. Both are compared with their mean, so that nothing becomes infinite.",
        ),
        Mistake(_upside_down, "Your divergences are negative: the quotient is upside down. It is log(p / a)."),
        Mistake(_unweighted, "You add the logarithms alone. Each is weighted by its probability: p log(p / a)."),
        Mistake(
            _direct,
            "You compare p with q directly. Both are compared with their mean, so that nothing becomes infinite.",
        ),
        Mistake(
            _direct_back,
            "You compare q with p directly. Both are compared with their mean, so that nothing becomes infinite.",
        ),
        Mistake(
            _backwards,
            "Your sums are weighted by the mean, a log(a / p): the reverse direction, as transformers has it. It is "
            "p log(p / a).",
        ),
        Mistake(_in_bits, "These are bits, logarithms to base 2. Take natural ones."),
        Mistake(_root, "You took the square root, which is a distance of the same name. The divergence is wanted."),
        Mistake(_averaged_over_ids, "You average over the ids. The divergence is a sum over them."),
        Mistake(
            _zeros_not_treated,
            "A probability of 0 makes 0 * log 0, which is NaN. Such terms count as 0: nansum leaves them out.",
        ),
        Mistake(
            _differences_of_logarithms,
            "Where p and q are both 0, so is a, and 0 * log a is NaN. (F.kl_div does not catch that.) Such terms count "
            "as 0.",
        ),
        Mistake(
            _nan_takes_all,
            "You add the terms before the nansum. Where one is NaN, the other is lost with it: sum each apart.",
        ),
        Mistake(_softmax_before, "Probabilities go in already; you take the softmax of them once more."),
        Mistake(
            _of_log_probabilities,
            "Your mean is that of the logarithms. It is the mean of the probabilities, (p + q) / 2.",
        ),
        Mistake(
            _total_variation, "That is the total variation distance. The Jensen-Shannon divergence has logarithms."
        ),
        Mistake(_from_one, "Your places begin with 1; rows are numbered from 0."),
        Mistake(_last_of_equals, "Of equals the first is taken."),
        Mistake(_value_first, "The place comes first, then the divergence."),
        Mistake(_place_alone, "Return two things, `place, divergence`."),
        Mistake(_tensors, "The values are right, but they are tensors: int(...) and .item() make numbers of them."),
    ],
)


# -- 12.4 -------------------------------------------------------------------------------------------------------------


def _cosine(x: list[float], y: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))


def _likeness(candidates: Tensor, before: Tensor) -> Tensor:
    """All cosines, (k, T)."""
    return torch.tensor([[_cosine(x, y) for y in before.tolist()] for x in candidates.tolist()], dtype=torch.float64)


def _weighed(p: Tensor, penalty: Tensor, alpha: float) -> Tensor:
    return torch.lerp(p, -penalty.expand_as(p), alpha)


def _scored(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, _likeness(candidates, before).amax(dim=-1), alpha)


def _search_case(generator: torch.Generator) -> Case:
    k, T, C = 1 + _below(4, generator), 1 + _below(5, generator), 2 + _below(4, generator)
    p = _share(_normal(generator, k + 2).exp())[:k]
    candidates = 3 * _normal(generator, k, C) + 0.5
    before = 2 * _normal(generator, T, C) + 0.5
    return {"p": p, "candidates": candidates, "before": before, "alpha": [0.3, 0.6, 0.9][_below(3, generator)]}


def _dot_products(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, (candidates @ before.T).amax(dim=-1), alpha)


def _one_side_normed(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, (candidates @ before.T / candidates.norm(dim=-1, keepdim=True)).amax(dim=-1), alpha)


def _other_side_normed(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, (candidates @ before.T / before.norm(dim=-1)).amax(dim=-1), alpha)


def _one_length_for_all(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, (candidates / candidates.norm() @ (before / before.norm()).T).amax(dim=-1), alpha)


def _squared_lengths(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    new = candidates / (candidates**2).sum(dim=-1, keepdim=True)
    return _weighed(p, (new @ (before / (before**2).sum(dim=-1, keepdim=True)).T).amax(dim=-1), alpha)


def _normed_columns(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    new, old = candidates / candidates.norm(dim=0), before / before.norm(dim=0)
    return _weighed(p, (new @ old.T).amax(dim=-1), alpha)


def _mean_likeness(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, _likeness(candidates, before).mean(dim=-1), alpha)


def _summed_likeness(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, _likeness(candidates, before).sum(dim=-1), alpha)


def _least_likeness(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, _likeness(candidates, before).amin(dim=-1), alpha)


def _likeness_to_the_last(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, _likeness(candidates, before)[:, -1], alpha)


def _over_candidates(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, _likeness(candidates, before).amax(), alpha)


def _absolute(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, _likeness(candidates, before).abs().amax(dim=-1), alpha)


def _never_negative(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, _likeness(candidates, before).amax(dim=-1).clamp(min=0), alpha)


def _distance(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, 1 - _likeness(candidates, before).amax(dim=-1), alpha)


def _with_itself(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, torch.ones_like(p), alpha)


def _rewarded(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _weighed(p, -_likeness(candidates, before).amax(dim=-1), alpha)


def _alpha_on_p(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _scored(p, candidates, before, 1 - alpha)


def _all_of_p(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return p - alpha * _likeness(candidates, before).amax(dim=-1)


def _of_log_p(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _scored(p.log(), candidates, before, alpha)


def _renormalised(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _scored(p / p.sum(), candidates, before, alpha)


def _penalty_alone(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return _likeness(candidates, before).amax(dim=-1)


def _winner(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> int:
    return int(_scored(p, candidates, before, alpha).argmax())


def _maximum_with_places(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    return (1 - alpha) * p - alpha * _likeness(candidates, before).max(dim=-1)  # type: ignore[operator]


search_scores = Check(
    exercise="12.4",
    name="search_scores",
    reference=_scored,
    cases=[
        {  # worked in the text
            "p": torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
            "candidates": torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.0, -1.0]], dtype=torch.float64),
            "before": torch.tensor([[1.0, 0.0], [3.0, 4.0]], dtype=torch.float64),
            "alpha": 0.6,
        },
        {  # it points away from all that was there: a negative cosine
            "p": torch.tensor([0.7, 0.2], dtype=torch.float64),
            "candidates": torch.tensor([[3.0, 4.0], [-4.0, -3.0]], dtype=torch.float64),
            "before": torch.tensor([[0.0, 5.0], [1.0, 0.0], [4.0, 3.0]], dtype=torch.float64),
            "alpha": 0.5,
        },
    ],
    random=_search_case,
    mistakes=[
        Mistake(_dot_products, "These are dot products. A cosine divides by both lengths."),
        Mistake(_one_side_normed, "You divide by the lengths of the candidates only. Those before have lengths, too."),
        Mistake(
            _other_side_normed, "You divide by the lengths of those before only. The candidates have lengths, too."
        ),
        Mistake(_one_length_for_all, "You divide by the length of the whole matrix. Each row has its own: dim=-1."),
        Mistake(_squared_lengths, "You divide by squared lengths. The root of the sum of squares is the length: norm."),
        Mistake(_normed_columns, "Your lengths are those of columns, dim=0. A hidden state is a row: dim=-1."),
        Mistake(
            _mean_likeness, "You take the mean over those before. One that is nearly the same is enough: the maximum."
        ),
        Mistake(_summed_likeness, "You take the sum over those before. The maximum is wanted."),
        Mistake(_least_likeness, "You take the smallest cosine. The penalty is the largest: the most alike."),
        Mistake(_likeness_to_the_last, "You compare with the last id only. The maximum goes over all that were there."),
        Mistake(
            _over_candidates, "All candidates get one penalty in yours. Each has its own: the maximum over dim=-1."
        ),
        Mistake(_absolute, "You take absolute values. Pointing the opposite way is unlike, and is rewarded."),
        Mistake(_never_negative, "A negative cosine stays negative: the score becomes better by it."),
        Mistake(_distance, "1 - cosine is a distance, large where two are unlike. The penalty is the cosine itself."),
        Mistake(_with_itself, "A candidate is compared with those before, not with itself: that would always be 1."),
        Mistake(_rewarded, "You add the likeness. It is a penalty: minus."),
        Mistake(_alpha_on_p, "The weights are swapped: 1 - alpha on the probability, alpha on the penalty."),
        Mistake(_all_of_p, "The probability has a weight, too: 1 - alpha."),
        Mistake(_of_log_p, "You take logarithms of the probabilities. Here they count as they are."),
        Mistake(
            _renormalised,
            "You divide the probabilities by their sum. They come from the whole distribution: leave them.",
        ),
        Mistake(_penalty_alone, "That is the penalty alone. The score weighs it against the probability."),
        Mistake(_winner, "You return the winner. All k scores are asked for."),
        Mistake(_maximum_with_places, "max(dim=-1) gives values and places; take .values."),
    ],
)
