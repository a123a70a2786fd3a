# %% [markdown]
# # 7. Beyond top-p
#
# **Goal.** You know five other places from which a filter can take its threshold, have written four of them, and can
# say for each what it does where the model is sure, where it is not, and when the temperature rises.
#
# **Time** 75 minutes · **Needs** [4. Temperature and entropy](04_temperature_and_entropy.ipynb) and
# [6. Top-k and top-p](06_top_k_and_top_p.ipynb) · **Next** [8. Penalties](08_penalties.ipynb)
#
# Top-p fixes a share of the probability: keep the likeliest ids until they have 90%, say. So it assumes that a tail of
# 10% is rubbish, always. Most filters that came after it began with a doubt about this. They ask other questions: how
# far is an id behind the best one? Is it likely at all? Does it surprise as much as it should? Has the text been dull?

# %% tags=["setup"]
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents]
roots = [folder for folder in folders if (folder / "notebooks" / "checks").is_dir()]
if not roots:
    raise SystemExit("Open this notebook in the project's folder; its README says how.")
sys.path[:0] = [str(roots[0]), str(roots[0] / "notebooks")]

# %%
import math

import torch

from checks import beyond_top_p as check
from decoding import (
    XTC,
    EpsilonCutoff,
    EtaCutoff,
    MinP,
    Mirostat,
    Sample,
    TableModel,
    Temperature,
    Tokenizer,
    TopK,
    TopNSigma,
    TopP,
    TypicalP,
    compare,
    generate,
    generate_ids,
    law,
    plots,
)
from decoding.legible import token_name
from decoding.wording import counted
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## One p for every word?
#
# Nine words again, and two rows. In the first, one word is right and eight are equally wrong. In the second all nine are
# equally good.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
sure = torch.tensor([0.82] + [0.0225] * 8).log()  # (V,)
unsure = torch.full((9,), 1 / 9).log()  # (V,)

# %% [markdown] tags=["predict"]
# **Predict.** Find a p for which top-p keeps *mat* alone in the first row and all nine words in the second.
#
# <details><summary>Answer</summary>
#
# There is none. For *mat* alone, p must be at most 0.82. To keep the ninth of nine equal words, it must be above
# 8/9 = 0.889. In between it fails twice: it keeps some of eight equal words and drops the others, only because their
# ids are higher.
#
# </details>

# %%
for p in (0.7, 0.8, 0.85, 0.9):
    sizes = [int((TopP(p)(row) > -torch.inf).sum()) for row in (sure, unsure)]
    print(f"p = {p:<4}  sure: {sizes[0]} of 9   unsure: {sizes[1]} of 9")

# %% [markdown]
# A real model has both kinds of rows. What does `storybook` expect after "They lived happily ever", and after "opened
# the door and saw a"?

# %%
model = GPT2.from_pretrained("storybook")
tokenizer = Tokenizer()
prompts = {
    "ever": "They lived happily ever",
    "saw a": "The little girl opened the door and saw a",
}


def next_logits(prompt):
    with torch.no_grad():
        return model(torch.tensor([tokenizer.encode(prompt)]))[0, -1]  # (V,)


rows = {name: next_logits(prompt) for name, prompt in prompts.items()}
for name, row in rows.items():
    best = int(row.argmax())
    nucleus = TopP(0.9)(row)  # (V,)
    ids = nucleus.sort(descending=True).indices[: int((nucleus > -torch.inf).sum())]
    print(f"{name!r}: the best is {tokenizer.decode([best])!r}", end=" ")
    print(f"with {row.softmax(dim=-1)[best]:.0%}; TopP(0.9) keeps {len(ids)}, at last")
    print("   ", [tokenizer.decode([id]) for id in ids[-9:].tolist()])


# %% [markdown]
# And why is an id *not* there? `generate(..., trace=True)` remembers what each processor did, and
# `trace.why(step, token)` puts it into a sentence. A little helper asks it for the first new id:


# %%
def why(processor, name, token):
    """What became of a token in the first step behind one of the two prompts."""
    settings = {"max_new_tokens": 1, "seed": 0, "trace": True}
    result = generate(model, tokenizer, prompts[name], Sample(processor), **settings)
    print(result.trace.why(0, token))


why(TopP(0.9), "saw a", " dinosaur")
why(TopP(0.9), "ever", " year")

# %% [markdown]
# "Happily ever year" may be drawn, and behind the door there may be no dinosaur. The same share is too much here and too
# little there.

# %% [markdown]
# ## Min-p: how far behind the best?
#
# Keep an id if its probability is at least a share p of the best one's:
#
# $$p_i \ge p \cdot \max_j p_j$$
#
# Where the model is sure, the best probability is high, and so is the bar. Where it is unsure, both are low.

# %% [markdown] tags=["predict"]
# **Predict.** Which words does min-p 0.1 keep in our two rows?
#
# <details><summary>Answer</summary>
#
# In the first the bar is 0.1 · 0.82 = 0.082, and eight words have 0.0225: *mat* stays alone. In the second the bar is a
# tenth of 1/9, and all nine have 1/9. What no p of top-p could do, min-p does with one number.
#
# </details>

# %%
stages = [("sure", sure), ("MinP(0.1)", MinP(0.1)(sure))]
stages += [("unsure", unsure), ("MinP(0.1)", MinP(0.1)(unsure))]
plots.next_token_bars(stages, words.__getitem__, top=9)

# %% [markdown]
# No softmax is needed for that. Two probabilities of one row have the same denominator, which cancels:
# $p_i / p_j = e^{z_i - z_j}$. So in logits the rule is
#
# $$z_i \ge \max_j z_j + \ln p$$
#
# and as p is below 1, $\ln p$ is negative. Nothing can underflow, and it takes one maximum and one comparison.

# %% [markdown]
# ### Exercise 7.1 · ★☆☆ · 8 min
#
# Write min-p for a **batch**, logits (R, V) to logits (R, V), without `MinP`. Worked by hand with p = 0.4, a batch of
# two rows (as logits, the logarithms of these probabilities):
#
# | probabilities | best | bar | stay |
# | --- | --- | --- | --- |
# | 0.6, 0.3, 0.1 | 0.6 | 0.24 | ids 0 and 1 |
# | 0.4, 0.3, 0.3 | 0.4 | 0.16 | all |
#
# - Each row has its own best. An id that just reaches the bar stays.
# - p lies between 0 and 1, both included. **p = 0** keeps everything; **p = 1** keeps the best and its equals.
# - Removed ids are `-inf`, and some may be so already. The caller's tensor is not changed.


# %% tags=["exercise"]
def min_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Logits (R, V) -> logits (R, V): in each row the ids at least p times as likely as the best."""
    ### BEGIN SOLUTION
    if p == 0:
        return logits
    bar = logits.max(dim=-1, keepdim=True).values + math.log(p)  # (R, 1): one number a row
    return logits.masked_fill(logits < bar, -torch.inf)
    ### END SOLUTION


# %% tags=["check"]
check.min_p(min_p)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 7.1</summary>
#
# `logits.amax(dim=-1, keepdim=True)` has the shape (R, 1), so each maximum meets its own row. Add `math.log(p)`, and
# fill with `-inf` what is below. `math.log(0)` is an error: treat p = 0 first.
#
# </details>

# %% [markdown]
# On the two places of `storybook`:


# %%
def report(*processors):
    """How many ids each processor keeps at the two places, and their share."""
    print(f"{'':21} {'after ever':>18} {'after saw a':>18}")
    for processor in processors:
        cells = []
        for row in rows.values():
            kept = processor(row) > -torch.inf  # (V,)
            share = row.double().softmax(dim=-1)[kept].sum()
            cells.append(f"{counted(int(kept.sum()), 'id')}, {share:.0%}")
        print(f"{processor!r:21} {cells[0]:>18} {cells[1]:>18}")


report(TopP(0.9), MinP(0.1), MinP(0.02))
why(MinP(0.1), "ever", " year")
why(MinP(0.1), "saw a", " dinosaur")

# %% [markdown]
# *Year* is gone. So is the dinosaur, and much else: one likely word, *big*, is enough to raise the bar for all. Min-p
# 0.1 is much stricter than top-p 0.9, so comparing the two compares two things at once: the rule, and how much it
# removes.

# %% [markdown] tags=["predict"]
# **Predict.** Min-p is recommended for high temperatures. A temperature of 1.5 acts first and min-p 0.1 then. Which p
# would keep the same ids without any temperature?
#
# <details><summary>Answer</summary>
#
# The distance to the best logit shrinks to $(z_i - z_{max}) / T$, and this must be at least $\ln p$. So the distance
# itself must be at least $T \ln p = \ln p^T$: it is min-p with $p^T$, here 0.1^1.5 = 0.0316. So the temperature moves
# the bar of min-p, too; below we see by how much less than that of top-p.
#
# </details>

# %%
logits = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])  # (V,)
for chain in ([MinP(0.1)], [Temperature(1.5), MinP(0.1)], [MinP(round(0.1**1.5, 4))]):
    row = logits
    for processor in chain:
        row = processor(row)
    kept = [word for word, logit in zip(words, row, strict=True) if logit > -torch.inf]
    print(f"{chain!s:40} keeps {' '.join(kept)}")

# %% [markdown]
# ## Top-nσ: a distance in logits
#
# *Top-n-sigma* measures the distance to the best in another unit: the standard deviation σ of the row's logits.
#
# $$z_i \ge \max_j z_j - n \cdot \sigma$$
#
# A temperature divides all logits by T, so it divides the distance by T, and σ as well. Both sides keep pace: the same
# ids stay **at every temperature**.

# %%
temperatures = [0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0]
hot_rows = [Temperature(T)(rows["saw a"]) for T in temperatures]
curves = {
    repr(keep): [int((keep(row) > -torch.inf).sum()) for row in hot_rows]
    for keep in (TopP(0.9), MinP(0.1), TopNSigma(1.5))
}
print("temperature   ", *[f"{T:>7}" for T in temperatures])
for name, curve in curves.items():
    print(f"{name:14}", *[f"{size:7,}" for size in curve])
plots.lines(
    temperatures,
    curves,
    xlabel="temperature, which acts first",
    ylabel="ids kept",
    title="After “opened the door and saw a”",
    logy=True,
    alt="Ids kept against the temperature, on a logarithmic axis: top-p climbs to most of the "
    "vocabulary, min-p to some hundreds, top-n-sigma stays where it is.",
)

# %% [markdown]
# At T = 3, min-p 0.1 lets in 331 ids instead of 5, and top-p 0.9 four fifths of the vocabulary. Top-nσ keeps the same
# five everywhere; the temperature decides about the odds among them, and about nothing else.

# %% [markdown]
# ### Exercise 7.2 · ★★☆ · 10 min
#
# Write top-nσ for one row of logits, (V,), and n at least 0, without `TopNSigma`. Worked by hand, with n = 1.5:
#
# ```text
# logits   [4, 2, 0, 4, 0, -inf]      left are 4, 2, 0, 4, 0
# mean     (4 + 2 + 0 + 4 + 0) / 5 = 2
# σ²       (4 + 0 + 4 + 4 + 4) / 5 = 3.2,   σ = 1.79
# bar      4 - 1.5 · 1.79 = 1.32
# result   [4, 2, -inf, 4, -inf, -inf]
# ```
#
# - σ is taken over the ids that are **left**: a filter before this one may have removed some.
# - It is the standard deviation of *all* numbers there are, so it divides by their number, not by one less.
# - An id that just reaches the bar stays. So does a single one, whose σ is 0; n = 0 keeps the best and its equals.
# - The caller's tensor is not changed. (In the checks rounding never decides.)


# %% tags=["exercise"]
def top_n_sigma(logits: torch.Tensor, n: float) -> torch.Tensor:
    """Logits (V,) -> logits (V,): those at most n standard deviations below the best."""
    ### BEGIN SOLUTION
    remaining = logits[logits != -torch.inf]  # (however many are left,)
    sigma = remaining.std(correction=0)  # of the population
    return logits.masked_fill(logits < remaining.max() - n * sigma, -torch.inf)
    ### END SOLUTION


# %% tags=["check"]
check.top_n_sigma(top_n_sigma)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 7.2</summary>
#
# `logits[logits > -torch.inf]` is a shorter tensor of those that are left. Its `.std()` divides by one less than their
# number, which of a single one makes 0 / 0; `.std(correction=0)` does what is wanted. The mask goes over *all* logits.
#
# </details>

# %% [markdown]
# The first two points are there because one program (text-generation-webui, when this was written) puts 0 where a logit
# was removed, and takes the deviation of everything, divided by one less. Then σ depends on how many ids are *gone*:

# %%
report(TopNSigma(1.5), TopNSigma(2))
head = TopK(50)(rows["saw a"])  # (V,)
after = TopNSigma(1.5)(head) > -torch.inf
filled = head.masked_fill(head == -torch.inf, 0.0)
wrong = head >= head.max() - 1.5 * filled.std()
print(
    f"behind TopK(50): {int(after.sum())} ids; with zeros for the removed: {int(wrong.sum())}"
)
why(TopNSigma(1.5), "saw a", " dinosaur")

# %% [markdown]
# Done right, it still matters what came before: the 50 likeliest logits are closer to each other than all 50,257, so σ
# is smaller behind a top-k, and fewer stay.

# %% [markdown]
# ## Epsilon and eta: likely at all?
#
# Hewitt and others argue like this: training smooths a model, so that every word gets a little, deserved or not. To undo
# that, remove what is below a fixed probability ε, however the others are doing. That is the *epsilon cutoff*.
#
# It has a weakness where very many words are good, each with less than ε. So the *eta cutoff* lowers the bar where the
# entropy H (in nats) is high:
#
# $$p_i \ge \min\left(\varepsilon,\; \sqrt{\varepsilon}\; e^{-H}\right)$$
#
# $e^H$ was the number of effective choices (notebook 4), so $e^{-H}$ is the probability of each of them. At
# $H = \tfrac12 \ln \tfrac1\varepsilon$ the two bars cross.

# %%
for name, row in rows.items():
    share = row.double().softmax(dim=-1)  # (V,)
    H = float(torch.special.entr(share).sum())
    bar = math.sqrt(0.001) * math.exp(-H)
    print(f"after {name!r}: H = {H:.2f} nats, √ε exp(-H) = {bar:.5f} at ε = 0.001")
report(EpsilonCutoff(0.001), EtaCutoff(0.001))
why(EpsilonCutoff(0.001), "saw a", " ghost")
why(EtaCutoff(0.001), "saw a", " ghost")
why(EtaCutoff(0.001), "saw a", " dinosaur")

# %% [markdown]
# After *ever* both do the same, since there the fixed bar is the lower one. After *saw a* eta keeps three times as many,
# and the ghost with them. On a row in which no id reaches ε, the best one has to be kept by a rule of its own.

# %% [markdown]
# ## Locally typical: as surprising as it should be
#
# People do not write the likeliest word each time. Meister and others looked at how much the words of people's texts
# surprise a model: about as much as the model expects on average. That average is the entropy. So keep the words whose
# surprise $-\ln p_i$ (*surprisal*, in notebook 4) is **near the entropy H**, and remove both kinds of others: those too
# rare, and those too likely.

# %% [markdown] tags=["predict"]
# **Predict.** Four words have the probabilities ½, ¼, ⅛, ⅛, so surprises of 1, 2, 3 and 3 bits. The entropy is
# ½ · 1 + ¼ · 2 + ⅛ · 3 + ⅛ · 3 = 1.75 bits. Which word is the most typical, and when does the likeliest one go?
#
# <details><summary>Answer</summary>
#
# The second: its 2 bits are 0.25 away from 1.75. The likeliest is 0.75 away, the last two 1.25. So with a mass of up to
# ¼ the second word stays alone, and the *likeliest one is removed*. No filter so far did that.
#
# </details>

# %%
four = ["the", "a", "this", "that"]
halves = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()  # (4,)
stages = [("the model", halves)]
stages += [
    (repr(keep), keep(halves)) for keep in (TypicalP(0.2), TypicalP(0.7), TypicalP(0.8))
]
plots.next_token_bars(stages, four.__getitem__, top=4)

# %% [markdown]
# ### Exercise 7.3 · ★★★ · 15 min
#
# Write it for one row of logits, (V,), without `TypicalP`. Sort the ids by the distance $|-\ln p_i - H|$, the nearest
# first, and keep the smallest number of them whose probabilities sum to at least `mass`, above 0 and at most 1. Worked
# by hand, the logits `[-0.69, -1.39, -2.08, -2.08]` of the four words above, with mass = 0.7:
#
# | id, sorted | 1 | 0 | 2 | 3 |
# | --- | --- | --- | --- | --- |
# | distance, in bits | 0.25 | 0.75 | 1.25 | 1.25 |
# | probability | 0.25 | 0.5 | 0.125 | 0.125 |
# | sum so far | 0.25 | 0.75 | 0.875 | 1 |
# | | stays | reaches 0.7, stays | goes | goes |
#
# - Of ids that are equally far, the lower come first. A sum of exactly the mass is enough.
# - **mass = 1** keeps every id.
# - Some logits may be `-inf`: such an id adds nothing to the entropy (0 · log 0 counts as 0) and stays removed.
# - The caller's tensor is not changed. In the checks rounding never decides.


# %% tags=["exercise"]
def typical_p(logits: torch.Tensor, mass: float) -> torch.Tensor:
    """Logits (V,) -> logits (V,): the ids whose surprise is nearest to the entropy."""
    ### BEGIN SOLUTION
    if mass == 1:
        return logits
    logprobs = logits.log_softmax(dim=-1)  # (V,)
    probabilities = logprobs.exp()
    expected = torch.special.entr(probabilities).sum()  # the entropy; entr(0) is 0
    order = (
        (-logprobs - expected).abs().argsort(stable=True)
    )  # (V,) ids, most typical first
    summed = probabilities[order].cumsum(dim=-1)
    typical = order[: int((summed < mass).sum()) + 1]
    result = torch.full_like(logits, -torch.inf)
    result[typical] = logits[typical]
    return result
    ### END SOLUTION


# %% tags=["check"]
check.typical_p(typical_p)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 7.3</summary>
#
# It is top-p with another order. `log_softmax` gives the log-probabilities; `torch.special.entr(p)` is $-p \ln p$, and
# 0 where p is 0. `argsort(stable=True)` of the distances gives ids. Sum their probabilities, count the sums below the
# mass: if there are n, the first n + 1 ids stay.
#
# </details>

# %%
report(TypicalP(0.9), TypicalP(0.5), TypicalP(0.2))
alike = [torch.equal(TypicalP(0.9)(row), TopP(0.9)(row)) for row in rows.values()]
print("TypicalP(0.9) is TopP(0.9):", *alike)
why(TypicalP(0.5), "saw a", " big")
why(TypicalP(0.5), "ever", " year")

# %% [markdown]
# At 0.9 typical keeps just what top-p keeps, at both places: to hold 90%, it needs the likeliest words, too. It becomes
# a filter of its own with small masses; the paper's own experiments go down to 0.2. Then *big*, with 20% the best word
# by far, is **removed for being too likely**.

# %% [markdown]
# ## And more of them
#
# | filter | what it does, in a sentence |
# | --- | --- |
# | `TopA(a)` | keeps $p_i \ge a \cdot (\max p)^2$: like min-p, and more lenient the less sure the model is |
# | `TopH(alpha)` | keeps as many of the likeliest as have at most a share alpha of the entropy |
# | `PLess()` | keeps $p_i \ge \sum_j p_j^2$, and has no parameter at all (exercise 6.4) |
# | `TailFree(z)` | cuts where the curve of the sorted probabilities has stopped bending |
# | `XTC(t, c)` | "exclude top choices": with chance c, of all ids with at least t only the least likely stays |
#
# The last one is of another kind. It tosses a coin in every step, so what it draws from is no filtered distribution. A
# filter multiplies every survivor by the same number, because the softmax renormalises. `law` tells the exact
# distribution of what a strategy writes on a toy:

# %%
nine = TableModel.bigram(logits.double().expand(9, 9), n_positions=500)
by_model = law(Sample(), nine, prompt=[0], max_new_tokens=1)
strategies = {
    "TopP(0.9)": Sample(TopP(0.9)),
    "XTC, always": Sample(XTC(0.1, 1.0)),
    "XTC, every 2nd time": Sample(XTC(0.1, 0.5)),
}
print(f"{'':20}" + "".join(f"{word:>6}" for word in words))
print(f"{'the model':20}" + "".join(f"{by_model[id,]:6.2f}" for id in range(9)))
print("divided by these:")
for name, strategy in strategies.items():
    shares = law(strategy, nine, prompt=[0], max_new_tokens=1)
    ratios = [shares.get((id,), 0.0) / by_model[id,] for id in range(9)]
    print(f"{name:20}" + "".join(f"{ratio:6.2f}" for ratio in ratios))

# %% [markdown]
# *mat*, *sofa* and *roof* reach 10%, so XTC removes the first two. Every second time: they keep half of their
# probability, and the others gain. Two different factors, and none is 0: a **mixture** of two distributions, which no
# mask can make.

# %% [markdown]
# ## Mirostat: a thermostat
#
# All of these look at one step only. *Mirostat* looks back. You say how much the text should surprise on average, τ, in
# **bits**. A bound μ says how much a word may surprise now; after each word it is corrected by the error:
#
# $$\text{keep } i \text{ where } s_i = -\log_2 p_i \le \mu, \qquad
# \text{then, for the chosen } x: \quad \mu \leftarrow \mu - \eta\,(s_x - \tau)$$
#
# A word that surprised more than τ lowers the bound, a dull one raises it. That is a thermostat: the text is the room,
# its surprise the heat, μ the valve, and η says how far one turns it. It begins at μ = 2τ.

# %% [markdown]
# Two things go wrong easily. **The unit**: τ = 3 means three bits, a perplexity of $2^3 = 8$; who computes with
# `math.log` gets nats, and a τ of 3 nats is 4.3 bits. **The surprise**: of the chosen word *before* the truncation,
# under all words, or *after* it, renormalised among those that were kept? The paper's code takes it before, and so does
# `Mirostat`. In llama.cpp, ExLlamaV2 and text-generation-webui it is the one after, which is smaller.

# %% [markdown]
# ### Exercise 7.4 · ★★☆ · 10 min
#
# Write one step (of version 2, which these formulas are). Given logits (V,), the bound μ, the id that was `chosen`, τ
# and η, return two things: the list of the ids that are kept, ascending, and the new μ, a number. (In a real step the
# draw lies between the two; here you are told how it ended.) Worked by hand, with surprises of 1, 2, 3 and 3 bits, μ =
# 2.5, chosen = 1, τ = 1.5 and η = 0.1:
#
# ```text
# kept     1 and 2 bits are at most 2.5:    [0, 1]
# new μ    2.5 - 0.1 · (2 - 1.5)          = 2.45
# ```
#
# - If no word is within the bound, the likeliest one stays, of equals the lowest id.
# - The surprise is the one before the truncation. μ may become negative.
# - Some logits may be `-inf`. In the checks rounding never decides.


# %% tags=["exercise"]
def mirostat_step(
    logits: torch.Tensor, mu: float, chosen: int, tau: float, eta: float
) -> tuple[list[int], float]:
    """Logits (V,) -> the ids that are kept, and the bound for the next step."""
    ### BEGIN SOLUTION
    surprise = -logits.log_softmax(dim=-1) / math.log(2)  # (V,), in bits
    within = (surprise <= mu).nonzero()[:, 0].tolist()
    error = surprise[chosen].item() - tau
    return within or [int(logits.argmax())], mu - eta * error
    ### END SOLUTION


# %% tags=["check"]
check.mirostat_step(mirostat_step)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 7.4</summary>
#
# `log_softmax` is in nats; divided by `math.log(2)` it is in bits. `(mask).nonzero()[:, 0].tolist()` lists the ids
# where a mask is true; `argmax` gives the first of equals. The set comes from the *old* μ, and `.item()` makes a number
# of a tensor.
#
# </details>

# %% [markdown]
# Does it settle? Add up the corrections of n steps: μ has moved by $-\eta \sum (s - \tau)$ in all. So, exactly,
#
# $$\text{mean surprise} = \tau + \frac{\mu_0 - \mu_n}{\eta\, n}$$
#
# If μ stays within bounds, the fraction goes to 0 like 1/n, whatever the model does. Let us see on the nine words, with
# the same row in each step. Its entropy is 1.89 bits.

# %% [markdown] tags=["predict"]
# **Predict.** With τ = 1 bit, the mean should settle at 1. And with τ = 3, more than the entropy? Where does μ go?
#
# <details><summary>Answer</summary>
#
# Up, for ever. Even with all words kept, a draw surprises 1.89 bits on average, so μ rises by about
# 0.1 · (3 - 1.89) = 0.11 a step. A valve that is fully open cannot heat more: Mirostat removes the most surprising words,
# and without them a draw surprises less, never more.
#
# </details>


# %%
def bits(logprobs):
    """Surprises in bits."""
    return [-logprob / math.log(2) for logprob in logprobs]


def bounds(surprises, tau, eta):
    """mu before each step, and after the last one."""
    mu = [2 * tau]
    for surprise in surprises:
        mu.append(mu[-1] - eta * (surprise - tau))
    return mu


class AfterTruncation(Mirostat):
    """Learns from the surprise among the ids that are kept, as llama.cpp does."""

    def step(self, logits, prefix, state, chance):
        kept, (mu, _) = super().step(logits, prefix, state, chance)  # (R, V), (R,)
        return kept, (mu, -kept.log_softmax(dim=-1) / math.log(2))


H = float(torch.special.entr(logits.softmax(dim=-1)).sum())
print(f"entropy of the row: {H / math.log(2):.2f} bits")
steps = {"max_new_tokens": 200, "eos_id": None, "seed": 1}
for keep in (Mirostat(1.0, 0.1), AfterTruncation(1.0, 0.1), Mirostat(3.0, 0.1)):
    (text,) = generate_ids(nine, [[0]], Sample(keep), **steps)
    before, after = bits(text.model_logprobs), bits(text.processed_logprobs)
    means = f"{sum(before) / 200:.2f} before, {sum(after) / 200:.2f} after"
    print(f"{keep!r:26} mean surprise {means} the truncation")
print(f"in the last one μ ends at {bounds(before, 3.0, 0.1)[-1]:.0f} bits")

# %% [markdown]
# With τ = 1, each holds the surprise that it looks at near 1. But the program that looks *after* the truncation writes
# 1.24 bits by the model's own measure. A τ from one program means something else in another.
#
# Now `storybook`, with one seed: once with all its words, and once with τ = 2.

# %%
start = "Once upon a time"
settings = {"max_new_tokens": 100, "seed": 0}
free = generate(model, tokenizer, start, Sample(), **settings)
held = generate(model, tokenizer, start, Sample(Mirostat(2.0, 0.1)), trace=True, **settings)
for name, text in (("all words", free), ("Mirostat(2.0, 0.1)", held)):
    print(f"{name}: {sum(bits(text.model_logprobs)) / len(text.ids):.2f} bits a token")
    print("   ", " ".join((start + text.text).split())[:150], "...")

# %%
surprise = bits(held.model_logprobs)
mu = bounds(surprise, 2.0, 0.1)
plots.lines(
    range(1, len(surprise) + 1),
    {"surprise s": surprise, "bound μ": mu[:-1], "aim τ": [2.0] * len(surprise)},
    xlabel="new token",
    ylabel="bits",
    title="Mirostat(2.0, 0.1): what came, and what was allowed",
    alt="The surprise of each token as a jagged line that never crosses the bound mu; mu starts at "
    f"{mu[0]:.0f} bits, rises while the text is dull and falls after surprises; it ends at {mu[-1]:.1f}.",
)

# %% [markdown]
# The bound rises for some thirty tokens, because most of them bring less than two bits; behind the many surprises near
# the end it falls. How many ids does it leave? Does the formula hold? And in step 20, counted from 0, what became of the
# likeliest id that was not allowed?

# %%
sizes_held = [step.stages[1].kept for step in held.trace]
print(f"ids kept in a step: from {min(sizes_held)} to {max(sizes_held):,}")
print(f"mean: {sum(surprise) / 100:.3f} = 2 + ({mu[0]:.3f} - {mu[-1]:.3f}) / (0.1 · 100)")
rival = held.trace[20].rivals(1)[0]
print(held.trace.why(20, rival))

# %% [markdown]
# A steady mean is all that is promised. Dull words and wild ones in turns have it, too; and which mean a good text has,
# nobody has told the thermostat.

# %% [markdown]
# ## Side by side
#
# `compare` continues one prompt with several strategies, several times, with the same noise (notebook 5), and measures
# the texts. *Surprise* is the mean over the tokens that came, *entropy* the mean of what the model expected before
# each, in bits and with their standard errors. *Distinct-2* is the share of different ones among all pairs of
# neighbouring tokens. The last column says how many tokens each text has in common with the same text of "all words",
# before they part (None: they never do).

# %%
comparison = compare(
    model,
    tokenizer,
    "The little girl opened the door and saw a",
    {
        "all words": Sample(),
        "top-p 0.9": Sample(TopP(0.9)),
        "eta 0.001": Sample(EtaCutoff(0.001)),
        "typical 0.5": Sample(TypicalP(0.5)),
        "min-p 0.1": Sample(MinP(0.1)),
        "Mirostat 3": Sample(Mirostat(3.0, 0.1)),
    },
    max_new_tokens=16,
    num_samples=4,
    seed=0,
)
print(f"{'':12} {'surprise':>13} {'entropy':>13}  distinct-2  parts after")
for name, result in comparison.results.items():
    cells = []
    for key in ("log-probability", "entropy"):
        measure = result.measures[key]  # a mean and its standard error, in nats
        value, error = (abs(number) / math.log(2) for number in measure)
        cells.append(f"{value:.2f} ± {error:.2f}")
    cells.append(f"{result.measures['distinct-2'].value:.2f}")
    print(f"{name:12} {cells[0]:>13} {cells[1]:>13}  {cells[2]:>10}  {result.parts_at}")
print()
for name, result in comparison.results.items():
    print(f"{name:12} a {' '.join(result.samples[0].text.split())[:72]}")

# %% [markdown]
# One text of "eta" never parts from that of "all words": nothing that was drawn had been removed. Drawn from all words,
# a text should surprise as much as expected, and 5.13 and 4.55 bits agree within chance. The filters bring surprise below
# entropy, eta hardly, min-p and Mirostat by most. So the table mostly tells **how much** each removes at this setting;
# the two that remove most vary least.
#
# It tells little else. With four texts of at most 16 tokens, top-p's 0.98 above the 0.97 of all words is chance. And
# Mirostat is not near its 3 bits yet: with n = 16 the fraction above is still large.
#
# **None of these numbers says which text is better.** Little surprise and much variety pull against each other, and
# every filter moves along that line with its parameter. A greedy text surprises least, and runs in circles; noise is
# perfectly diverse.

# %% [markdown]
# So do they write better texts? For min-p, its paper of 2024 says yes, from benchmarks and from ratings by people. A
# re-analysis of 2025 (arXiv:2506.13681) says that this evidence does not hold: the ratings, tested again, show no lead in
# quality, in diversity, or in the trade between them, nor do the benchmarks once every method may try equally many
# settings. So it is **disputed**. A rule that convinces on nine words is not yet a better text.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# The documentation of transformers shows what its filters do with distilgpt2 and the prompt "A sequence: 1, 2". With
# top-p, min-p and the epsilon cutoff, each at 0.1, it prints the same text. Are the three so alike? Or do all of them
# leave a single id in nearly every step, so that the draw hardly matters? The cell counts. (A top-k of 50 stands in
# front, because that version of transformers added one by itself.)

# %% tags=["needs-weights"]
# transformers 4.57.1, docstrings of generation/logits_process.py; a soft fact: the draw is random
start = "A sequence: 1, 2"
published = "A sequence: 1, 2, 3, 4, 5, 6, 7, 8, 9"
print("published:          ", published)
small = official("distilgpt2")
if small is not None:
    for keep in (TopP(0.1), MinP(0.1), EpsilonCutoff(0.1)):
        chain = Sample(TopK(50), keep)
        counting = generate(
            small, tokenizer, start, chain, max_new_tokens=14, seed=1, trace=True
        )
        most = max(step.stages[-1].kept for step in counting.trace)
        found = start + counting.text
        print(
            f"{keep!r:20}", found, "(equal)" if found == published else "(not equal: soft)"
        )
        print(f"{'':20} at most {most} ids were left in a step")

# %% [markdown]
# Where the weights are at hand, look at the last line of each: where at most one id was left in a step, the filter has
# become greedy decoding, and any seed writes the same. "Min-p 0.1" and "epsilon 0.1" sound alike and are not: a tenth of
# the best probability, and a tenth of all.
#
# Then the sizes at one place, with a model that has read more than children's stories. Look whether top-nσ keeps as many
# ids at T = 2 as at T = 1, by how much the others grow, and whether typical has removed the likeliest one.

# %% tags=["needs-weights"]
gpt2 = official("gpt2")
if gpt2 is not None:
    with torch.no_grad():
        row = gpt2(torch.tensor([tokenizer.encode(prompts["saw a"])]))[0, -1]  # (V,)
    best = int(row.argmax())
    print("the likeliest:", token_name(tokenizer, best))
    for keep in (TopP(0.9), MinP(0.1), TopNSigma(1.5), EtaCutoff(0.001), TypicalP(0.2)):
        kept, hot = keep(row) > -torch.inf, keep(Temperature(2)(row)) > -torch.inf  # (V,)
        counts = f"{int(kept.sum()):6,} ids at T = 1, {int(hot.sum()):6,} at T = 2"
        print(f"{keep!r:17} {counts}; the likeliest {'stays' if kept[best] else 'goes'}")

# %% [markdown]
# ## What to remember
#
# - One share for every row is too much where the model is sure and too little where it is not.
# - **Min-p**: a share of the best probability, in logits $\max z + \ln p$. Behind a temperature it is min-p with $p^T$.
# - **Top-nσ**: a distance in standard deviations of the logits that are left. The same
#   ids stay at every temperature.
# - **Epsilon** is a fixed bar; **eta** lowers it where the entropy is high.
# - **Typical** keeps what surprises about as much as expected. It may remove the likeliest id.
# - **Mirostat** steers the mean surprise by feedback, in bits. It can only hold back. Before or after the truncation:
#   programs differ.
# - **XTC** draws from a mixture. No filter does.
# - Measures describe texts and do not judge them. Whether min-p writes better ones is disputed.

# %% [markdown]
# ## Papers and further reading
#
# - Nguyen et al. 2024, *Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs*, arXiv:2407.01082.
# - Schaeffer et al. 2025, *Turning Down the Heat: A Critical Analysis of Min-p Sampling in Language Models*,
#   arXiv:2506.13681.
# - Tang et al. 2024, *Top-nσ: Not All Logits Are You Need*, arXiv:2411.07641.
# - Hewitt, Manning & Liang 2022, *Truncation Sampling as Language Model Desmoothing*, arXiv:2210.15191: ε and η.
# - Meister et al. 2022, *Locally Typical Sampling*, arXiv:2202.00666.
# - Basu et al. 2020, *Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity*, arXiv:2007.14966.
# - Potraghloo et al. 2025, *Top-H Decoding*, arXiv:2509.02510; Tan et al. 2025, *p-less Sampling*, arXiv:2509.23234.
# - Without a paper: top-a (BlinkDL), tail-free sampling (Bricken 2019), XTC (p-e-w 2024).

# %% [markdown]
# ## To go further
#
# - Find for each filter the parameter with which it keeps 60% of the probability at *saw a* (bisect, as in exercise
#   4.4), and run `compare` again. How much of the difference is left?
# - Mirostat with η = 1 or η = 0.01: how fast does the mean settle, and how restless is μ?
# - Show with `law` that `Sample(Temperature(2), TopNSigma(1))` and `Sample(TopNSigma(1), Temperature(2))` are the same,
#   and that with `MinP(0.1)` they are not.
