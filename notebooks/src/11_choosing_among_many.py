# %% [markdown]
# # 11. Choosing among many
#
# **Goal.** You can draw several texts that differ, estimate a mean over all texts from them, and choose
# one of them by a reward, by likeness or by a vote; and you can say what each choice favours.
#
# **Time** 75 minutes · **Needs** notebooks [5](05_drawing_a_token.ipynb) and
# [10](10_beam_search.ipynb) · **Next** [12. Two models](12_two_models.ipynb)
#
# Until now a prompt got one text. But nothing forbids making twenty and keeping the best. That
# leaves two questions: how to make twenty texts that are worth having, and what "the best" is. The
# answer of notebook 10, the most probable, will turn out to be a poor one.

# %% tags=["setup"]
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents]
roots = [folder for folder in folders if (folder / "notebooks" / "checks").is_dir()]
if not roots:
    raise SystemExit("Open this notebook in the project's folder; its README says how.")
sys.path[:0] = [str(roots[0]), str(roots[0] / "notebooks")]

# %%
import json
import math
from collections import Counter

import torch
from matplotlib.figure import Figure

from checks import choosing_among_many as check
from decoding import (
    ArithmeticSampling,
    BeamSearch,
    BestOfN,
    DiverseBeamSearch,
    ExactSearch,
    Greedy,
    Hypothesis,
    MajorityVote,
    MinimumBayesRisk,
    Sample,
    StochasticBeamSearch,
    TableModel,
    Temperature,
    Tokenizer,
    TopP,
    generate,
    generate_ids,
    law,
    plots,
)
from decoding.strategies.best_of_n import sum_model_logprob
from decoding.strategies.minimum_bayes_risk import ngram_f
from decoding.strategies.stochastic_beam import conditioned, gumbel
from decoding.without_replacement import estimate, inclusion_law
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## Eleven texts
#
# Our nine words and a full stop, which ends a text. The table says what may follow the last two
# words. After "the", just eleven texts are possible, and `law` lists them with their probabilities.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on", "."]
after = {
    "the": {"cat": 0.5, "dog": 0.3, "moon": 0.2},
    "the cat": {"sat": 0.8, ".": 0.2},
    "the dog": {"sat": 0.7, ".": 0.3},
    "the moon": {".": 1.0},
    "cat sat": {"on": 0.7, ".": 0.3},
    "dog sat": {"on": 0.5, ".": 0.5},
    "sat on": {"the": 1.0},
    "on the": {"mat": 0.5, "sofa": 0.3, "roof": 0.2},
    **{f"the {place}": {".": 1.0} for place in ("mat", "sofa", "roof")},
}


def logits_after(ids):
    """The logarithms of the shares after the last two words -> (V,)."""
    shares = after[" ".join(words[id] for id in ids[-2:])]
    row = [shares.get(word, 0.0) for word in words]
    return torch.tensor(row, dtype=torch.float64).log()


def text_of(ids):
    return " ".join(words[id] for id in ids)


toy = TableModel(len(words), 8, logits_after)
start, stop = words.index("the"), words.index(".")
exact = law(Sample(), toy, [start], max_new_tokens=7, eos_id=stop)  # ids -> probability
for ids, p in exact.items():
    print(f"{p:.3f}  the {text_of(ids)}")

# %% [markdown] tags=["predict"]
# **Predict.** You draw 20 texts from these eleven, each independently of the others. How many
# different ones will you have?
#
# <details><summary>Answer</summary>
#
# Not eleven: 8.5 on average. A text of probability p stays away in all 20 draws with probability
# $(1-p)^{20}$, which for "dog sat on the roof ." is 65%. So more than half of the 20 are repeats.
#
# </details>


# %%
def run(strategy, **settings):
    """Texts of the toy after "the"."""
    limits = {"max_new_tokens": 7, "eos_id": stop}
    return generate_ids(toy, [[start]], strategy, **limits, **settings)


draws = run(Sample(), num_samples=20, seed=1)
expected = sum(1 - (1 - p) ** 20 for p in exact.values())
print(f"different among these 20: {len({tuple(draw.ids) for draw in draws})}")
print(f"on average:               {expected:.1f}")
for ids, times in Counter(tuple(draw.ids) for draw in draws).most_common(3):
    print(f"{times} times: the {text_of(ids)}")

# %% [markdown]
# Each repeat costs as much as a new text. (A real model has countless texts, but the surer it is, the more
# it repeats itself, too.) There are three ways around it: draw *without
# replacement*, spread the draws *evenly*, or *search* for texts that differ.
#
# ## Without replacement: Gumbel-top-k
#
# In notebook 5 every word got Gumbel noise $g_i = -\log(-\log u_i)$ on its logit, and the largest sum
# was an exact draw. The two largest were two draws without replacement. What holds for a list of words
# holds for a list of whole texts: add noise to each one's log-probability, and take the k largest.
#
# ### Exercise 11.1 · ★☆☆ · 8 min
#
# Write it: log-probabilities of N texts, (N,), one uniform number for each, (N,), and k. Return two
# things: the numbers of the k best, a list, the best first; and $\kappa$ ("kappa"), the largest sum of
# a text that is **left out**, a Python float. We need it soon. For example, with k = 2:
#
# | text | $p$ | $\log p$ | $u$ | $g$ | $\log p + g$ |
# | --- | --- | --- | --- | --- | --- |
# | 0 | 0.4 | −0.916 | 0.3 | −0.186 | −1.102 |
# | 1 | 0.3 | −1.204 | 0.8 | 1.500 | **0.296** |
# | 2 | 0.2 | −1.609 | 0.1 | −0.834 | −2.443 |
# | 3 | 0.1 | −2.303 | 0.9 | 2.250 | **−0.052** |
#
# gives `([1, 3], -1.102)`. Where k is N or more, all texts come, and $\kappa$ is `-math.inf`.


# %% tags=["exercise"]
def gumbel_top_k(
    logprobs: torch.Tensor, u: torch.Tensor, k: int
) -> tuple[list[int], float]:
    """Log-probabilities (N,), uniform numbers (N,), k -> the k best texts, and kappa."""
    ### BEGIN SOLUTION
    sums = logprobs - torch.log(-torch.log(u))  # (N,)
    best = sums.argsort(descending=True)  # (N,)
    kappa = sums[best[k]].item() if k < len(sums) else -math.inf
    return best[:k].tolist(), kappa
    ### END SOLUTION


# %% tags=["check"]
check.gumbel_top_k(gumbel_top_k)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 11.1</summary>
#
# `argsort(descending=True)` of the sums lists the texts, the best first. The first k of the list are
# drawn; the next one in it, at place k, is the best of those left out, if there is any.
#
# </details>

# %% [markdown]
# ### Top-down: stochastic beam search
#
# A real model's texts cannot be listed. But the noise can be handed down. The largest sum of all texts
# that begin with "cat" is itself distributed like $\log p(\text{cat}) + g$: noise on the beginning's
# own log-probability. So draw the number of a beginning *first*, and give its children (the beginnings
# that are one word longer) noise afterwards, moved so that the largest child has just that number.
#
# In the first step the parent is the prompt, with log-probability 0. Say its number is 0.7:

# %%
children = ["cat", "dog", "moon"]
shares = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)  # (1, 3)
u = torch.tensor([[0.35, 0.8, 0.2]], dtype=torch.float64)
free = shares.log() + gumbel(u)  # (1, 3) each with noise of its own
moved = conditioned(free, best=torch.tensor([[0.7]], dtype=torch.float64))  # (1, 3)
for word, a, b in zip(children, free[0].tolist(), moved[0].tolist(), strict=True):
    print(f"{word:5} free {a:5.2f}   moved {b:5.2f}")

# %% [markdown]
# The order stays, and the best child takes over the number of its parent. So no text below "moon" can
# have more than its number; and each beginning with a better number has a text with that number. Once k
# beginnings are better, the others need not be followed. A beam of width k finds the k texts with the
# largest numbers: k draws without replacement, and no list of all texts was needed.

# %%
one = run(StochasticBeamSearch(k=3), seed=5, trace=True)[0]
for candidate in one.candidates:
    p = exact[tuple(candidate.ids)]
    print(f"{candidate.score:5.2f}  p = {p:.3f}  the {text_of(candidate.ids)}")
print(f"{one.search.kappa:5.2f}  kappa, the best of what was left out")
plots.search_tree(one.trace.tree, words.__getitem__)

# %% [markdown]
# The number beside each beginning is the one that it competes with. It never rises along a branch, and
# one child of each parent keeps it. The search keeps one beginning more than k, here "dog .": its number
# is $\kappa$.

# %% [markdown] tags=["predict"]
# **Predict.** "the moon ." has probability 0.2. Four draws *with* replacement contain it 0.8 times on
# average. Is the chance that it is among four draws *without* replacement 0.8, more, or less?
#
# <details><summary>Answer</summary>
#
# Less: 0.66. No text can be in it twice, so what the likely ones have too much goes to the others. Those
# chances, the *inclusion probabilities*, sum to 4 over all texts.
#
# </details>

# %%
stochastic = run(StochasticBeamSearch(k=4), num_samples=100, seed=1)
often = Counter(tuple(one.ids) for result in stochastic for one in result.candidates)
included = inclusion_law(exact, 4)  # by enumeration of all draws of four texts
print("    p    4 p   included   of 100 beams")
for ids, p in exact.items():
    numbers = f"{p:.3f}  {4 * p:.2f}   {included[ids]:.2f}       {often[ids]:3}"
    print(f"{numbers}            the {text_of(ids)}")
print(f"sum of all: {sum(included.values()):.2f} and {sum(often.values())}")

# %% [markdown]
# ## Spread evenly: arithmetic sampling
#
# Or one number for a whole text. Cut the line from 0 to 1 into the parts of the first word, each
# part in the same way into those of the second, and so on. Each text owns a piece as long as it is
# probable, and a number $u$ names the text that owns its place: notebook 5's inverse CDF, for texts.
# Now take $n$ numbers at even distances, a *comb*, all moved by the same random $u$:
#
# $$\text{code}_i = (u + i/n) \bmod 1, \qquad i = 0, \dots, n - 1$$

# %%
edges, pieces = 0.0, {}  # beginning -> where its part of [0, 1) begins and ends
for ids in sorted(exact):  # in the order of the ids
    for depth in range(1, len(ids) + 1):
        left, _ = pieces.get(ids[:depth], (edges, None))
        pieces[ids[:depth]] = (left, edges + exact[ids])
    edges += exact[ids]

codes = [(0.13 + i / 5) % 1 for i in range(5)]
figure = Figure(figsize=(9, 3.6), layout="constrained")
axes = figure.subplots()
for ids, (left, right) in pieces.items():
    colour = "#d9d9d9" if ids[-1] == stop else "#a9cfe8"
    axes.barh(
        len(ids), right - left, 0.9, left, color=colour, edgecolor="black", linewidth=0.6
    )
    look = {"fontsize": 9, "rotation": 90 if right - left < 0.045 else 0}
    place = (left + right) / 2, len(ids)
    axes.text(*place, words[ids[-1]], ha="center", va="center", **look)
for code in codes:
    axes.axvline(code, color="#882255", linestyle="--")
axes.set(xlim=(0, 1), ylim=(6.6, 0.4), xlabel="code", ylabel="word number")
named = [next(ids for ids in exact if pieces[ids][0] <= c < pieces[ids][1]) for c in codes]
told = "; ".join(f"{c:.2f} {text_of(ids)}" for c, ids in zip(codes, named, strict=True))
alt = f"The line from 0 to 1, cut by six words in a row; codes and their texts: {told}"
plots.Picture(figure, alt=alt, text="\n".join(told.split("; ")))

# %% [markdown]
# Read down a dashed line: those are the words of its text; below a full stop there are none. A single code
# with a random $u$ is an ordinary draw. But those of a comb cannot crowd together: "cat" has half of the
# line, so two or three of five texts are about the cat, whatever $u$ is. In general it is $n p$, give or
# take less than one, for whole texts and for beginnings.
#
# ### Exercise 11.2 · ★★☆ · 12 min
#
# One step down: a code, $0 \le c < 1$, and the probabilities of the next id, (V,). Return the id whose
# part has the code, and the code *within* this part, stretched to the whole line, for the next step:
#
# $$i = \min\{\,i : P_i + p_i > c\,\}, \qquad c' = \frac{c - P_i}{p_i}, \qquad
# P_i = p_0 + \dots + p_{i-1}$$
#
# With `[0.5, 0.3, 0.2]` and c = 0.62: id 1, whose part begins at 0.5; $c' = 0.12 / 0.3 = 0.4$. An id of
# probability 0 has no part and is never taken. Return an int and a float.
#
# (In the checks a code never comes so near to an edge that rounding decides, but where sums are exact.)


# %% tags=["exercise"]
def follow_code(code: float, probabilities: torch.Tensor) -> tuple[int, float]:
    """A code, 0 <= code < 1, and probabilities (V,) -> the id, and the code within its part."""
    ### BEGIN SOLUTION
    ends = probabilities.cumsum(dim=-1)  # (V,)
    id = int((ends <= code).sum())  # the first part that ends above the code
    share = probabilities[id].item()
    begin = ends[id].item() - share
    return id, (code - begin) / share
    ### END SOLUTION


# %% tags=["check"]
check.follow_code(follow_code)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 11.2</summary>
#
# The sums `cumsum` are where the parts *end*. As in exercise 5.1, the number of ends that are not above
# the code is the id. Its part begins one probability before its end. Subtract the beginning, divide by
# the length.
#
# </details>

# %% [markdown]
# Each $c'$ uses up digits: after a text of probability $2^{-53}$ nothing of a float64 is left, which is
# why `ArithmeticSampling` counts with whole numbers as long as they need to be.
#
# ## A mean over all texts
#
# What is the mean of some $f$ over all texts that the model may write, such as the number of words, full
# stop included? Over independent draws or those of a comb a plain mean will do. Without replacement it
# would be wrong: unlikely texts are drawn too often. Each needs a weight, its probability divided by the
# chance $q$ that its sum exceeds $\kappa$, which is what $\kappa$ is for:
#
# $$\sum_{\text{drawn } y} \frac{p(y)}{q(y)} f(y), \qquad
# q(y) = P(\log p(y) + g > \kappa) = 1 - e^{-e^{\log p(y) - \kappa}}$$
#
# That is *unbiased*, right on average over all draws. The weights need not sum to 1, only on average they
# do. Dividing by their sum as well (`normalised=True`) is not quite unbiased, and often nearer. First the
# drawn texts of exercise 11.1, where $\kappa = -1.102$; then 100 estimates of each kind, from four texts
# each, and how far they are from the exact mean (the square root of the mean square):


# %%
def length(text):
    return len(text.ids)


for p in (0.3, 0.1):
    q = 1 - math.exp(-math.exp(math.log(p) + 1.102))
    print(f"p = {p}: q = {q:.3f}, weight p / q = {p / q:.3f}")

drawn = [length(one) for one in run(Sample(), num_samples=400, seed=1)]
combs = run(ArithmeticSampling(n=4), num_samples=100, seed=1)
estimates = {
    "independent": [sum(drawn[i : i + 4]) / 4 for i in range(0, 400, 4)],
    "without replacement": [estimate(one, length) for one in stochastic],
    "the same, normalised": [estimate(one, length, normalised=True) for one in stochastic],
    "a comb": [sum(map(length, one.candidates)) / 4 for one in combs],
}
truth = sum(p * len(ids) for ids, p in exact.items())
print(f"\nexact mean: {truth:.3f}")
for name, values in estimates.items():
    off = math.sqrt(sum((value - truth) ** 2 for value in values) / 100)
    print(f"{name:22} off by {off:.2f}, from {min(values):.1f} to {max(values):4.1f}")
weights = [estimate(one, lambda text: 1.0) for one in stochastic]
print(f"sum of the weights     from {min(weights):.1f} to {max(weights):.1f}")

# %% [markdown]
# The comb comes nearest, 0.65 off. Independent draws, 0.89 off, would need almost twice as many texts for
# that, since $(0.89 / 0.65)^2 \approx 1.9$.
#
# Without replacement the unbiased estimate is the *worst* here. The sum of its weights is 1 on average, but
# wavers from 0.4 to 4.6, and what is multiplied by the weights wavers with it: one estimate is 13.8 words,
# where no text has more than six. Divided by their sum it is good. So "without replacement" by itself does
# not mean "better estimates".

# %% [markdown]
# ## Searching for texts that differ
#
# *Diverse beam search* does not draw at all. It runs several groups of beams beside each other, and an id
# that an earlier group has chosen in this step costs the later groups a *penalty*. Three groups of one
# beam each, on the toy: greedy searches that keep out of each other's way.

# %%
for penalty in (0.0, 0.5, 1.0):
    found = run(DiverseBeamSearch(groups=3, beams=3, penalty=penalty))[0].candidates
    print(f"penalty {penalty}: " + "; ".join(f"the {text_of(one.ids)}" for one in found))

# %% [markdown]
# Without a penalty all three find the same text; with 0.5 one of them goes elsewhere; with 1.0 all differ.
#
# Now all ways on `storybook`, four texts of up to six tokens each, with their log-probabilities. Beside
# each way the mean *likeness* of two of its texts, from 0, nothing in common, to 1. (How it is measured
# follows with minimum Bayes risk.)


# %%
def likeness(texts):
    """The mean over all pairs."""
    pairs = [ngram_f(a, b) for i, a in enumerate(texts) for b in texts[:i]]
    return sum(pairs) / len(pairs)


model, tokenizer = GPT2.from_pretrained("storybook"), Tokenizer()
meal = "Tom was very hungry. He wanted to eat a"
cool = Temperature(0.5)
ways = {
    "independent": Sample(cool),
    "without replacement": StochasticBeamSearch(cool, k=4),
    "a comb": ArithmeticSampling(cool, n=4),
    "beam search": BeamSearch(beams=4),
    "diverse beam search": DiverseBeamSearch(groups=4, beams=4, penalty=2.0),
}
settings = {"max_new_tokens": 6, "seed": 3, "stop": ["."]}
for name, strategy in ways.items():
    if isinstance(strategy, Sample):
        found = generate(model, tokenizer, meal, strategy, **settings, num_samples=4)
    else:
        found = generate(model, tokenizer, meal, strategy, **settings).candidates
    print(f"{name}, mean likeness {likeness(found):.2f}")
    for one in found:
        print(f"    {sum(one.model_logprobs):6.2f} {tokenizer.decode(one.ids)}")

# %% [markdown]
# The independent draws say "cake" twice. None of the others repeats a text. (A comb may, where a text has
# a large part of the line.) Beam search finds likely texts, and the most alike. They are not the four
# likeliest: "food." of the comb is likelier than "big cake."
#
# The four diverse beams begin with "cake", "drink", "big" and "snack". Then the first takes the full stop,
# which from now on costs the others in this step, and the second goes on to "drink from the kitchen."
# where beam search has "drink." One seed and short texts prove little; run it again with others.

# %% [markdown]
# ## Best of n: a reward
#
# Now to the choice. The simplest: draw n texts, give each a *reward*, keep the one with the highest. The
# reward may be anything: a judge that was trained, a test that a program has to pass, or a
# log-probability. `BestOfN` takes the mean log-probability of a text's ids by default; `sum_model_logprob`
# is their sum.

# %% [markdown] tags=["predict"]
# **Predict.** Best of very many, by the *sum* of the log-probabilities: which of the eleven texts is it?
# And by the *mean*: "the moon ." has two ids; "the cat sat on the mat ." has six, of which two are
# certain.
#
# <details><summary>Answer</summary>
#
# By the sum it is the most probable text, "the moon .": each further id can only lower a sum, so it wants
# short texts. By the mean it is the cat on the mat: ids that cost nothing make a mean better. Predictable
# words are rewarded, and a text that repeats itself is predictable.
#
# </details>

# %% [markdown]
# The law of best of n has a formula. All n draws have at most the reward r with probability $F(r)^n$,
# where $F(r)$ is that of one draw; the best has just the reward r where that holds for r and not for the
# next lower one. Among texts of equal reward the model decides. Beside the two rewards
# one that somebody chose carelessly, "the longer the better":


# %%
def best_of(n, worth):
    """The law of best of n, given the reward of each text: ids -> probability."""
    result, below = {}, 0.0
    for reward in sorted(set(worth.values())):
        equals = [ids for ids in exact if worth[ids] == reward]
        own = sum(exact[ids] for ids in equals)
        wins = (below + own) ** n - below**n
        result |= {ids: wins * exact[ids] / own for ids in equals}
        below += own
    return result


rewards = {
    "sum": {ids: math.log(p) for ids, p in exact.items()},
    "mean": {ids: math.log(p) / len(ids) for ids, p in exact.items()},
    "words": {ids: len(ids) for ids in exact},
}
pairs = law(BestOfN(n=2), toy, [start], 7, stop)  # from all 121 pairs of draws
off = max(abs(p - pairs[ids]) for ids, p in best_of(2, rewards["mean"]).items())
print("the formula gives what `law` gives:", off < 1e-9)
print("reward    n   words   log p   most often")
for name, worth in rewards.items():
    for n in (1, 2, 8, 32):
        texts = best_of(n, worth)
        long = sum(p * len(ids) for ids, p in texts.items())
        log_p = sum(p * math.log(exact[ids]) for ids, p in texts.items())
        first = max(texts, key=texts.get)
        told = f"{texts[first]:.2f}  the {text_of(first)}"
        print(f"{name:6}   {n:2}   {long:.1f}    {log_p:6.2f}   {told}")

# %% [markdown]
# The more you draw, the more you get of what the reward asks for. The sum ends at two words, the mean at
# "the cat sat on the mat ." The third reward climbs to six words, the most there are, and the
# log-probability, which it does not see, falls from −2.25 to −2.57. Here that is harmless. A model that may
# write on and on would be driven to its longest texts, good or bad.

# %% [markdown]
# ## Minimum Bayes risk: most like the others
#
# The most probable text here, the *mode*, is "the moon ." Yet in most texts somebody sits:

# %%
sits = [(ids, p) for ids, p in exact.items() if words.index("sat") in ids]
print(f"{len(sits)} texts with “sat”, together {sum(p for _, p in sits):.2f}")

# %% [markdown]
# Eight texts share 61% of the probability, so none of them wins; and yet nobody who has read twenty draws
# of this model would say that it writes about the moon. **The most probable text need not be typical.**
#
# *Minimum Bayes risk* asks another question: if one of the draws is the right text, and I do not know
# which, what should I answer in order to be nearly right on average? It needs a *utility* $u(y, s)$: how
# much is $y$ worth, if $s$ is right?
#
# $$\arg\max_i \; \frac{1}{n} \sum_j u(y_i, y_j)$$
#
# The built-in utility `ngram_f`, the likeness from above, counts what two texts share, single words and
# pairs. "cat sat ." and "dog sat ." have three words each and share two: $F_1 = 2 \cdot 2 / (3 + 3) =
# 0.67$. They have two pairs each and share one: $F_2 = 2 \cdot 1 / (2 + 2) = 0.5$. The utility is the
# mean, 0.58. By hand for four draws:


# %%
def as_text(written):
    return Hypothesis(tuple(map(words.index, written.split())), (), (), "eos", 0.0)


drawn = ["moon .", "cat sat .", "cat sat on the mat .", "dog sat ."]
utilities = torch.tensor([[ngram_f(as_text(a), as_text(b)) for b in drawn] for a in drawn])
for written, row in zip(drawn, utilities.tolist(), strict=True):
    print(f"{sum(row) / 4:.3f}  the {written}")
best = drawn[int(utilities.mean(dim=1).argmax())]
alt = f"Four by four utilities; the row with the highest mean is “{best}”."
told = {"title": "Utility of the row, if the column is right", "scale": "utility"}
plots.heatmap(utilities, rows=drawn, columns=drawn, alt=alt, **told)

# %% [markdown]
# The rows' means decide: "cat sat ." has most in common with the others, the moon a full stop.
#
# ### Exercise 11.3 · ★★☆ · 10 min
#
# Write the choice. There are N different texts, and a matrix (N, N): `utilities[y, s]` is what text y is
# worth if text s is right. `draws` lists the drawn texts by number, in the order in which they were drawn;
# a text may have been drawn several times, or never. Return the number of the drawn text with the highest
# **sum of utilities over all draws**.
#
# - Each draw counts: a text drawn three times is the right one three times. (Do not take a *set*.)
# - Only texts that were drawn can be chosen. Of equal ones the one drawn **first**.
# - The matrix need not be symmetric: row y, column s.
#
# With `[[1, 0, 0], [0, 1, 0.5], [0, 0.5, 1]]` the draws `[0, 1, 2]` give 1 (1.5 for 1 and for 2; 1 came
# first), and the draws `[0, 0, 1, 2]` give 0 (2 against 1.5).


# %% tags=["exercise"]
def mbr_choice(utilities: torch.Tensor, draws: list[int]) -> int:
    """Utilities (N, N) of text and reference, draws -> the number of the chosen text."""
    ### BEGIN SOLUTION
    references = utilities[:, draws]  # (N, n): a column for each draw
    sums = references.sum(dim=1).tolist()  # (N,)
    return max(draws, key=lambda text: sums[text])  # max() keeps the first of equals
    ### END SOLUTION


# %% tags=["check"]
check.mbr_choice(mbr_choice)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 11.3</summary>
#
# `utilities[:, draws]` picks one column for each draw, with repeats, so the sum of a row is what you
# want. Then go through `draws` in their order and keep a text only if it is *better* than the best so
# far: `max` does that.
#
# </details>

# %% [markdown]
# On the toy the expected utility can be summed over all eleven texts. Beside it, which text minimum Bayes
# risk keeps of 16 draws, in 30 runs:

# %%
kept = run(MinimumBayesRisk(n=16), num_samples=30, seed=1)
times = Counter(tuple(one.ids) for one in kept)
texts = [as_text(text_of(ids)) for ids in exact]
print("    p   expected utility   kept of 30")
for text, p in zip(texts, exact.values(), strict=True):
    others = zip(texts, exact.values(), strict=True)
    useful = sum(q * ngram_f(text, other) for other, q in others)
    numbers = f"{p:.3f}   {useful:.3f}              {times[text.ids]:2}"
    print(f"{numbers}           the {text_of(text.ids)}")

# %% [markdown]
# "the cat sat on the mat ." has the most in common with the others, 0.453. The mode is ninth of eleven. Of
# 30 runs 10 keep the best one, and 4 the moon: 16 draws estimate the utility only roughly, and a text that
# happens to be drawn often is like itself each time.
#
# What is typical depends on the utility. With one that is 1 for equal texts and 0 for all others, the choice
# would be the text that was drawn most often: the mode again, if there are enough draws.

# %% [markdown]
# ## Voting on an answer
#
# Sometimes only the end of a text counts. A toy that calculates 3 + 4 · 2, in three tokens: a first
# step, a second, the answer. It may begin at the wrong end, and it sometimes slips.

# %%
steps = ["3+4=7", "4·2=8", "2·4=8", "7·2=14", "3+8=11", "8+3=11", "14", "11", "12", "?"]
then = {
    "?": {"3+4=7": 0.36, "4·2=8": 0.34, "2·4=8": 0.30},
    "3+4=7": {"7·2=14": 1.0},
    "4·2=8": {"3+8=11": 0.5, "8+3=11": 0.5},
    "2·4=8": {"3+8=11": 0.5, "8+3=11": 0.5},
    "7·2=14": {"14": 0.9, "12": 0.1},
    "3+8=11": {"11": 0.9, "12": 0.1},
    "8+3=11": {"11": 0.9, "12": 0.1},
}
table = torch.tensor([[then.get(a, {}).get(b, 0.0) for b in steps] for a in steps]).double()
sums_up = TableModel.bigram(table.log(), n_positions=8)
question = steps.index("?")
worked = law(Sample(), sums_up, [question], max_new_tokens=3)
for ids, p in list(worked.items())[:6]:
    print(f"{p:.3f}  " + " ".join(steps[id] for id in ids))

# %% [markdown] tags=["predict"]
# **Predict.** What do greedy decoding and the exact search answer? And what does the majority of many
# draws answer?
#
# <details><summary>Answer</summary>
#
# Both say 14: "3+4=7" is the likeliest first step, and the whole text is twice as likely as any other.
# The majority says 11. There are four ways to get there, each less likely than the wrong one, but
# together they have 58%.
#
# </details>

# %%
limits = {"max_new_tokens": 3, "eos_id": None}
for strategy in (Greedy(), ExactSearch()):
    text = generate_ids(sums_up, [[question]], strategy, **limits)[0]
    print(f"{type(strategy).__name__:12} {' '.join(steps[id] for id in text.ids)}")


def answer(text):
    """The last token."""
    return steps[text.ids[-1]]


for T in (1.0, 0.1):
    single = Counter()
    cooled = law(Sample(Temperature(T)), sums_up, [question], max_new_tokens=3)
    for ids, p in cooled.items():
        single[steps[ids[-1]]] += p
    vote = MajorityVote(Temperature(T), n=15, answer=answer)
    many = generate_ids(sums_up, [[question]], vote, **limits, num_samples=100, seed=1)
    won = Counter(map(answer, many))
    print(f"T = {T}:   one draw   of 100 votes of 15")
    for name in ("11", "12", "14"):
        print(f"      {name}   {single[name]:.2f}       {won[name]:2}")

# %% [markdown]
# One draw is right in 58 of 100 cases, a vote of 15 in 83. But a vote lives on draws that differ. At T = 0.1
# the favourite first step, "3+4=7", is taken more often: 58% of the draws say 14, and 75 of 100 votes.
# More votes make the *most frequent* answer certain, not the right one.
#
# ### Exercise 11.4 · ★☆☆ · 8 min
#
# Count the votes. `answers` has the answer of each draw, in their order: a text, or None where a draw
# gives no answer. Return the number (from 0) of the draw that is kept: the **first** one that gives the
# most frequent answer.
#
# - None has no vote, however often it occurs. If all are None, keep draw 0.
# - Of equally frequent answers the one that was drawn first wins.
#
# For example, `["12", "11", None, "14", "11", None, None]` gives 1, and `["14", "11", "11", "14"]` gives 0.


# %% tags=["exercise"]
def majority(answers: list[str | None]) -> int:
    """The answer of each draw, None for none -> the number of the draw that is kept."""
    ### BEGIN SOLUTION
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return 0
    winner, _ = votes.most_common(1)[0]  # of equals the one that was counted first
    return answers.index(winner)
    ### END SOLUTION


# %% tags=["check"]
check.majority(majority)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 11.4</summary>
#
# Leave the None out before you count. `Counter(...).most_common(1)` puts of equally frequent answers
# the one first that it met first. `answers.index(winner)` is its first place. `max(set(...))` knows no
# order.
#
# </details>

# %% [markdown]
# ## Four choices from the same eight texts
#
# "Tom was very hungry. He wanted to eat a": eight continuations by `storybook`, up to the full stop, in the
# order in which they were drawn, and the score that each rule gives them. With the same seed all rules see
# the same eight draws. The vote is on what Tom wants; a text that names none of four things has no vote.


# %%
def meal_of(text):
    """The first of these words that is in the text."""
    written = tokenizer.decode(text.ids)
    named = [food for food in ("cake", "snack", "juice", "meal") if food in written]
    return named[0] if named else None


rules = {
    "mean": BestOfN(TopP(0.9), n=8),
    "sum": BestOfN(TopP(0.9), n=8, reward=sum_model_logprob),
    "MBR": MinimumBayesRisk(TopP(0.9), n=8),
    "vote": MajorityVote(TopP(0.9), n=8, answer=meal_of),
}
settings = {"max_new_tokens": 20, "seed": 1, "stop": ["."]}
eight = generate(model, tokenizer, meal, Sample(TopP(0.9)), num_samples=8, **settings)
kept = [generate(model, tokenizer, meal, rule, **settings) for rule in rules.values()]
print("".join(f"{name:>8}" for name in rules))
for draw in eight:
    cells = ""
    for result in kept:
        own = next(one.score for one in result.candidates if list(one.ids) == draw.ids)
        cells += f"{own:7.2f}" + ("*" if draw.ids == result.ids else " ")
    print(f"{cells}  a{tokenizer.decode(draw.ids)}")

# %% [markdown]
# Four rules, four texts, each the best by its own measure (marked with a star):
#
# - The **sum** takes "a snack.", two tokens long.
# - The **mean** takes the one that goes on with "he wanted to eat it", which the prompt has nearly said
#   already.
# - **Minimum Bayes risk** takes "a cake to eat it.": several others have its words, too.
# - The **vote** finds that half of the texts want cake, and keeps the first of these. It chooses an answer,
#   not a text: all four have the same score.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# *How to generate*, the blog post that notebook 14 follows, prints the five best texts of one beam search
# of GPT-2, and remarks that they are "only marginally different". How like each other are they, in
# numbers?

# %% tags=["needs-weights"]
# P. von Platen, How to generate text (2020), Hugging Face: 5 beams, no 2-gram twice
listed = json.loads((roots[0] / "facts" / "published.json").read_text(encoding="utf-8"))
fact = next(one for one in listed["facts"] if one["id"] == "A-blog20-beam5-return5")
printed = [tuple(one["new_ids"]) for one in fact["expected"]["sequences"]]
beams = [Hypothesis(ids, (), (), "length", 0.0) for ids in printed]
for one in beams:
    print("..." + tokenizer.decode(one.ids[10:]).replace("\n", " "))
print(f"mean likeness of two: {likeness(beams):.2f}")

# %% [markdown]
# Where the weights are at hand, the next cell makes five texts in other ways, and lets two rules choose from
# eight draws. Look for two things: whether the likeness falls, and whether the rules keep the same text.

# %% tags=["needs-weights"]
gpt2 = official("gpt2")
if gpt2 is not None:
    settings = {"max_new_tokens": 25, "seed": 1}
    for strategy in (
        DiverseBeamSearch(groups=5, beams=5, penalty=1.0),
        StochasticBeamSearch(TopP(0.9), k=5),
        ArithmeticSampling(TopP(0.9), n=5),
    ):
        found = generate(gpt2, tokenizer, fact["prompt"], strategy, **settings).candidates
        print(f"{type(strategy).__name__}, mean likeness {likeness(found):.2f}")
        for one in found:
            print("    " + tokenizer.decode(one.ids).replace("\n", " "))
    for rule in (MinimumBayesRisk(TopP(0.9), n=8), BestOfN(TopP(0.9), n=8)):
        best = generate(gpt2, tokenizer, fact["prompt"], rule, **settings)
        print(f"{type(rule).__name__}: {best.text}".replace("\n", " "))

# %% [markdown]
# ## What to remember
#
# - Independent draws repeat themselves, the more the sharper the model is.
# - **Gumbel-top-k**: the k largest of $\log p + g$ are k draws without replacement. A *stochastic beam*
#   finds them top-down, without a list of all texts.
# - Texts without replacement need weights $p / q$ before they are averaged; those of a comb do not.
# - **Arithmetic sampling**: n evenly spaced codes, each an exact draw; $n p$ of them, give or take less than
#   one, fall where p is.
# - *Diverse beams* differ because what others chose costs something: no probabilities come out of it.
# - **Best of n** gives what the reward wants, faults included. Sums want short texts, means predictable
#   ones.
# - The most probable text need not be typical. **Minimum Bayes risk** chooses what is most like the other
#   draws; a **vote** adds up all ways to the same answer.

# %% [markdown]
# ## Papers and further reading
#
# - Kool, van Hoof & Welling 2019, *Stochastic Beams and Where to Find Them*,
#   [arXiv:1903.06059](https://arxiv.org/abs/1903.06059).
# - Vilnis et al. 2022, *Arithmetic Sampling: Parallel Diverse Decoding for Large Language Models*,
#   [arXiv:2210.15458](https://arxiv.org/abs/2210.15458).
# - Vijayakumar et al. 2016, *Diverse Beam Search*,
#   [arXiv:1610.02424](https://arxiv.org/abs/1610.02424).
# - Stiennon et al. 2020, *Learning to Summarize from Human Feedback*,
#   [arXiv:2009.01325](https://arxiv.org/abs/2009.01325): best of n, and what too much of it does.
# - Eikema & Aziz 2020, *Is MAP Decoding All You Need?*,
#   [arXiv:2005.10283](https://arxiv.org/abs/2005.10283): why the mode is inadequate.
# - Wang et al. 2022, *Self-Consistency Improves Chain of Thought Reasoning in Language Models*,
#   [arXiv:2203.11171](https://arxiv.org/abs/2203.11171): the vote.

# ## To go further
#
# - How far does best of n move away from the model? The Kullback-Leibler divergence is at most
#   $\log n - (n - 1)/n$. Compute it on the toy, from `best_of`.
# - Write a utility with which minimum Bayes risk is a vote on the answer.
# - Follow exercise 11.2 down to whole texts, and compare with the picture.
