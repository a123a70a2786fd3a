# %% [markdown]
# # 9. Order matters
#
# **Goal.** You can say of two processors whether they may be swapped, and why; you have a laboratory that
# finds out; and you know in which order the systems act that you will meet.
#
# **Time** 60 minutes · **Needs** notebooks [4](04_temperature_and_entropy.ipynb) and
# [6](06_top_k_and_top_p.ipynb); [7](07_beyond_top_p.ipynb) and [8](08_penalties.ipynb) help, and what is needed
# of them is said again in a sentence · **Next** [10. Beam search](10_beam_search.ipynb)
#
# A setting such as "temperature 1.5, top-k 50, top-p 0.8, min-p 0.05, repetition penalty 1.3" looks complete.
# It is not. Each of the five acts on what the one before has left, and there are 120 ways to line them up. The
# systems that take such numbers do not agree on one; a table below says who does what. Here the order is what you
# write, and nothing ever rearranges it: law 4 of this project.

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
from itertools import combinations, permutations

import torch

from checks import order_matters as check
from decoding import (
    Greedy,
    LogitBias,
    MinP,
    Prefix,
    PresencePenalty,
    RepetitionPenalty,
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
    law,
    plots,
    score,
)
from decoding.legible import token_name
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## How far apart are two distributions?
#
# To say that an order "makes a difference" we need a number for it. The *total variation distance* between two
# distributions is
#
# $$\mathrm{TV}(p, q) = \tfrac{1}{2} \sum_i |p_i - q_i|.$$
#
# It is the probability that has to be moved to turn one into the other: 0 if they are equal, 1 if nothing that
# one can draw can be drawn from the other. The half is there because what is moved is counted twice, where it
# leaves and where it arrives.
#
# And it has a meaning for draws. No event, whatever it is, differs in probability by more than the TV; and two
# samplers that share their noise as well as possible still draw different words that often.

# %% [markdown]
# ### Exercise 9.1 · ★☆☆ · 5 min
#
# Write it. Two tensors of probabilities, (V,) each, go in; a Python number comes out. Worked by hand:
#
# | | id 0 | id 1 | id 2 | sum |
# | --- | --- | --- | --- | --- |
# | p | 0.5 | 0.3 | 0.2 | |
# | q | 0.2 | 0.3 | 0.5 | |
# | \|p − q\| | 0.3 | 0 | 0.3 | 0.6 |
#
# The distance is 0.3. Some probabilities may be 0.


# %% tags=["exercise"]
def total_variation(p: torch.Tensor, q: torch.Tensor) -> float:
    """Probabilities (V,) and (V,) -> half the sum of their differences."""
    ### BEGIN SOLUTION
    return ((p - q).abs().sum() / 2).item()
    ### END SOLUTION


# %% tags=["check"]
check.total_variation(total_variation)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 9.1</summary>
#
# One line: the difference, `.abs()`, `.sum()`, half of it; `.item()` makes a Python number of a tensor.
#
# </details>

# %% [markdown]
# ## A laboratory
#
# Eight processors on our nine words. Temperature, top-k and top-p you know. The others, in a sentence each:
#
# - *Min-p* keeps each id that is at least m times as likely as the best one.
# - *Top-nσ* keeps the logits that are at most n standard deviations below the best.
# - *Typical sampling* sorts the ids by how close their surprisal is to the entropy, and sums up like top-p.
# - A *repetition penalty* divides the logits of words that have occurred, where they are positive, and
#   multiplies them where they are negative.
# - A *bias* adds to the logit of a word.
#
# So far the text is the one word *mat*. So the penalty acts on *mat*, and the bias is put there, too.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
lab = {
    "temperature": Temperature(2),
    "top-k": TopK(2),
    "top-p": TopP(0.72),
    "min-p": MinP(0.3),
    "top-nσ": TopNSigma(1),
    "typical": TypicalP(0.65),
    "penalty": RepetitionPenalty(2),
    "bias": LogitBias({0: 1.0}),
}


def after(chain, logits):
    """The probabilities (R, V) that these processors leave, in this order."""
    prefix = Prefix.of([[0]] * len(logits))  # every row's text so far: mat
    for processor in chain:
        logits = processor(logits, prefix)
    return logits.softmax(dim=-1)


def distances(f, g, logits):
    """The total variation distance of each row, (R,), between f before g and g before f."""
    gap = after([f, g], logits) - after([g, f], logits)  # (R, V)
    return torch.linalg.vector_norm(gap, ord=1, dim=-1) / 2


one_row = torch.tensor([[3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0]])  # (1, V)
for chain in permutations([Temperature(2), TopP(0.72)]):
    kept = zip(words, after(chain, one_row)[0].tolist(), strict=True)
    shown = ", ".join(f"{word} {share:.0%}" for word, share in kept if share > 0)
    print(f"{chain[0]!r:15} then {chain[1]!r:15} {shown}")

# %% [markdown] tags=["predict"]
# **Predict.** Of the seven others, which can be swapped with a temperature without any change? Take a guess
# for each before you run the laboratory.
#
# <details><summary>Answer</summary>
#
# Three: top-k, top-nσ and the repetition penalty. Not top-p and typical sampling, which count probability; not
# min-p, which compares probabilities; not the bias, since adding 1 before the division by 2 is adding ½ after
# it. (That min-p cares surprises many: "relative to the best" sounds as if a temperature did not matter. But
# a ratio of probabilities is a *difference* of logits, and a temperature shrinks those.)
#
# </details>

# %% [markdown]
# For every pair: both orders, on 300 random rows of logits, and the largest distance that turns up.

# %%
generator = torch.Generator().manual_seed(9)
rows = 2 * torch.randn(300, 9, generator=generator, dtype=torch.float64)  # (R, V)
found = torch.stack(
    [torch.stack([distances(f, g, rows) for g in lab.values()]) for f in lab.values()]
)  # (8, 8, R)
largest = found.amax(dim=-1)  # (8, 8)
pairs = list(combinations(range(len(lab)), 2))
names = list(lab)
never = [(names[a], names[b]) for a, b in pairs if largest[a, b] < 1e-12]
print(
    f"{len(pairs)} pairs; no difference in any row:",
    *(" & ".join(p) for p in never),
    sep="\n  ",
)
plots.heatmap(
    largest,
    rows=names,
    columns=names,
    title="Largest distance between both orders, in 300 rows",
    scale="total variation",
    alt=f"Heat map of eight by eight processors. Of 28 pairs, {len(never)} never differ: "
    + ", ".join(" and ".join(pair) for pair in never)
    + f". The largest distance is {float(largest.max()):.2f}.",
)

# %% [markdown]
# Four pairs of 28 *commute*: they may be swapped. The others differ by 0.12 to 1.00. A distance of 1, as of the
# penalty and min-p, means that in some row the two orders have not one word in common. Min-p first left *mat*
# alone, and the penalty could no longer help any other word; after the penalty it was *mat* that went.
#
# (In exact arithmetic the four are 0. In floating point a temperature that is no power of two changes last
# digits, and a division can even make equals of two logits that differ in the last bit only.)

# %% [markdown]
# ### Exercise 9.2 · ★★☆ · 10 min
#
# Write the laboratory's measurement. `f` and `g` are functions from logits (R, V) to logits (R, V), such as
# `TopK(3)` or `Temperature(2)`; `rows` are logits (R, V). Return, as a Python number, the **largest** total
# variation distance over the rows between what f-then-g and g-then-f leave.
#
# Worked by hand, for `f = TopK(2)`, `g = TopP(0.7)`, and one row with the probabilities 5/8, 2/8, 1/8:
#
# | order | | |
# | --- | --- | --- |
# | top-k, then top-p | 5/7, 2/7 are left; 5/7 is at least 0.7 | [1, 0, 0] |
# | top-p, then top-k | 5/8 is not enough, 7/8 is; two are left | [5/7, 2/7, 0] |
#
# The distance is 2/7 = 0.286. Logits can be `-inf`, and $-\infty - (-\infty)$ is not a number; so compare
# probabilities.


# %% tags=["exercise"]
def order_gap(f, g, rows: torch.Tensor) -> float:
    """Two processors and logits (R, V) -> the largest distance between both orders."""
    ### BEGIN SOLUTION
    f_first = g(f(rows)).softmax(dim=-1)  # (R, V): the inner one acts first
    g_first = f(g(rows)).softmax(dim=-1)
    of_rows = (f_first - g_first).abs().sum(dim=-1) / 2  # (R,)
    return of_rows.max().item()
    ### END SOLUTION


# %% tags=["check"]
check.order_gap(order_gap)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 9.2</summary>
#
# In `g(f(rows))` it is f that acts first. Softmax both results over the words (`dim=-1`), sum the absolute
# differences over the words only, so that one number a row is left, halve, and take the largest.
#
# </details>

# %% [markdown]
# ## Equal by accident
#
# The laboratory looked for the *worst* row. What of the others? Here is the share of the 300 rows in which both
# orders come to the same.

# %% [markdown] tags=["predict"]
# **Predict.** You swap top-p and top-k in a program, run it on your favourite prompt, and the output is the
# same as before. How much do you know now?
#
# <details><summary>Answer</summary>
#
# Hardly anything. In three of four rows below these two agree by accident: one of them is the stricter here,
# whichever comes first. An order that differs is found by looking for rows that tell, or by a reason; not by a
# glance at one output.
#
# </details>

# %%
agree = (found < 1e-12).double().mean(dim=-1)  # (8, 8)
plots.heatmap(
    agree,
    rows=names,
    columns=names,
    title="Share of the rows in which both orders agree",
    scale="share of 300 rows",
    alt="Heat map of eight by eight processors: how often both orders agree. "
    f"Top-p and top-k: {float(agree[1, 2]):.0%}, top-p and typical: {float(agree[2, 5]):.0%}, "
    f"temperature and top-p: {float(agree[0, 2]):.0%}.",
)

# %% [markdown]
# Three kinds of pairs, then.
#
# - **Always equal**: the four from before, 1.00 here.
# - **Equal by accident only, but often**: top-p and typical sampling agree in 81% of the rows, top-k and the
#   penalty in 92%. Where *mat* is far down, for instance, a penalty on it changes nothing that the filter sees.
# - **Hardly ever equal**: the temperature with top-p, 2%; the bias with the temperature or the penalty, not once.

# %% [markdown]
# ## How one knows
#
# 300 rows without a difference are no proof. The reason is. Ask of each rule two things: what does it *look
# at*, and what does it *change*? Two may be swapped if neither changes what the other looks at (and their two
# changes can be swapped).
#
# | rule | looks at | changes |
# | --- | --- | --- |
# | temperature | nothing | the scale: not the ranking, not the sign, not the gaps in units of σ |
# | top-k | the ranking | removes all behind the k-th |
# | min-p | the gaps to the best | removes all behind a line |
# | top-nσ | the gaps, in units of σ of *what is left* | removes all behind a line |
# | top-p | shares of *what is left* | removes all behind a line |
# | typical | shares and entropy of *what is left* | removes; even the best may go |
# | penalty | the sign, and the text | single logits |
# | bias | nothing | single logits |

# %% [markdown]
# So the four, each in a line:
#
# - **Temperature and top-k.** Dividing by T > 0 keeps the ranking, and the ranking is all that top-k sees.
# - **Temperature and top-nσ.** The gaps and σ are both divided by T: the same ids pass.
# - **Temperature and repetition penalty.** Both multiply a logit by a positive number, which one depends on its
#   sign only, and that stays.
# - **Top-k and min-p.** Each keeps a front part of the ranking. What the other removes lies at the end; it changes
#   neither the ranking in front nor the best. Either way the shorter front is left.
#
# Top-p fails this last argument in one direction only. After it, top-k or min-p still find the shorter front.
# But if they act first, what they removed is shared out, the sums grow, and top-p stops earlier.
#
# There are more pairs of the first kind. Additions can be swapped: a bias and a *presence penalty*, which
# subtracts from what has occurred. And so can bans among themselves.

# %%
on_mat, on_cat = LogitBias({0: 1.0}), LogitBias({5: 1.0})
presence = PresencePenalty(1.5, include_prompt=True)
for f, g in ((on_mat, presence), (on_mat, lab["penalty"]), (on_cat, lab["penalty"])):
    print(f"{f!r:18} & {g!r:42} {float(distances(f, g, rows).max()):.2f}")

# %% [markdown]
# The text is still *mat*, id 0. The last two lines are a warning: a bias and a repetition penalty can be swapped as
# long as they touch different words. Whether *they* commute depends on the text.

# %% [markdown]
# ## The smallest counterexamples
#
# For "not always" one row is enough, and three words are enough for every one of the 24 pairs. The cell tries
# rows with probabilities in the proportion of three different whole numbers, the smallest sums first, until both
# orders differ: 1 : 2 : 5 is 12.5%, 25%, 62.5%. The settings are those of the laboratory. (It is 0.72 and not 0.7 so
# that no sum of such small shares equals it, and rounding decides nothing.)

# %%
proportions = sorted(permutations(range(1, 10), 3), key=lambda three: (sum(three), three))
small = torch.tensor(proportions, dtype=torch.float64).log()  # (504, 3)


def in_words(probabilities):
    return " ".join(
        f"{share:4.0%}" if share > 0 else "   -" for share in probabilities.tolist()
    )


print(f"{'pair':24} {'row':10} {'in this order':16} {'the other way round'}")
for a, b in pairs:
    f, g = lab[names[a]], lab[names[b]]
    telling = (distances(f, g, small) > 0.01).nonzero()[:, 0]
    if not len(telling):
        continue
    row = small[telling[:1]]  # (1, 3)
    proportion = " : ".join(map(str, proportions[int(telling[0])]))
    both = in_words(after([f, g], row)[0]), in_words(after([g, f], row)[0])
    print(f"{names[a] + ', ' + names[b]:24} {proportion:10} {both[0]:16} {both[1]}")

# %% [markdown]
# Four of them by hand:
#
# - **Top-k, top-p**, 1 : 2 : 6. Top-2 leaves 2 : 6, and 6/8 = 0.75 reaches 0.72 alone: one word. Top-p first: 6/9
#   = 0.67 is not enough, 8/9 is: two words.
# - **Temperature, min-p**, 1 : 2 : 4. A temperature of 2 takes square roots, 1 : 1.41 : 2, and even the least likely
#   word has half of the best: three words. Before it, 1/4 is below 0.3: two.
# - **Top-k, top-nσ**, 1 : 2 : 3. Of three logits σ is 0.45, and the second is 0.41 below the best: it stays. Of the
#   two that top-k leaves σ is half their gap, 0.20: it goes.
# - **Penalty, bias**, 1 : 2 : 3. The logit of *mat* is 0. The penalty leaves 0, the bias makes it 1. The other way
#   round it is 1 first, then ½.

# %% [markdown]
# ### Exercise 9.3 · ★★★ · 15 min
#
# Find such rows yourself. Given a temperature T (above 0, not 1) and a p (above 1/3, below 1), return **three
# finite logits**, a tensor of shape (3,), for which temperature-then-top-p keeps another set of words than
# top-p-then-temperature. Any such row is right: the check does not compare it with ours, it tries both orders.
#
# A search will do. But a formula is shorter: try rows of the form $[x, 0, 0]$ with $x > 0$. At temperature T the
# share of the first word is
#
# $$\frac{e^{x/T}}{e^{x/T} + 2}, \quad\text{which is at least p where}\quad \frac{x}{T} \ge \ln\frac{2p}{1 - p}.$$
#
# At T = 1 it is the same with x alone. So one of x and x / T has to be above that number, the other below.
#
# The check asks for temperatures from 0.4 to 4, below 1 and above.


# %% tags=["exercise"]
def parting_row(temperature: float, p: float) -> torch.Tensor:
    """Three logits for which the order of the temperature and top-p counts."""
    ### BEGIN SOLUTION
    line = math.log(2 * p / (1 - p))
    x = line * math.sqrt(temperature)  # and x / T is the line divided by that root
    return torch.tensor([x, 0.0, 0.0])
    ### END SOLUTION


# %% tags=["check"]
check.parting_row(parting_row)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 9.3</summary>
#
# Call the number L. For T above 1 you need x / T < L < x, for T below 1 the other way round, x < L < x / T. The
# geometric mean of L and L·T lies between the two in either case.
#
# </details>

# %% [markdown]
# And for a p of at most 1/3? On three words, there is no such row: the likeliest word has at least a third at any
# temperature, so top-p keeps that one word and no other, before and after.

# %% [markdown]
# ## From one step to whole texts
#
# Every step of a text is another occasion to differ. On a table model the exact distribution of whole texts can be
# listed: `law` runs a strategy once along every path. Take four ids, texts of three ids, and one chain of three
# processors in all its orders. (In "T k p" the temperature acts first, then top-k, then top-p.)

# %% [markdown] tags=["predict"]
# **Predict.** Temperature, top-k and top-p can be written in six orders. How many different distributions can come
# out, at most?
#
# <details><summary>Answer</summary>
#
# Four. Temperature and top-k may be swapped where they stand side by side. That makes one of T k p and k T p, and
# one of p T k and p k T; in T p k and k p T top-p stands between them. Below all four are different.
#
# </details>

# %%
toy = TableModel.random(4, n_positions=8, seed=1)
chain = {"T": Temperature(2), "k": TopK(3), "p": TopP(0.8)}
orders = {" ".join(order): Sample(*map(chain.get, order)) for order in permutations(chain)}


def laws_apart(n):
    """The total variation distances, (6, 6), between the laws of all texts with n ids."""
    laws = [law(strategy, toy, [0], max_new_tokens=n) for strategy in orders.values()]
    texts = sorted({text for one in laws for text in one})
    rows = [[one.get(text, 0.0) for text in texts] for one in laws]
    table = torch.tensor(rows, dtype=torch.float64)
    return torch.cdist(table, table, p=1) / 2


apart = laws_apart(3)
plots.heatmap(
    apart,
    rows=list(orders),
    columns=list(orders),
    title="Distance between the distributions of texts of three ids",
    scale="total variation",
    alt="Heat map of the six orders of temperature, top-k and top-p: T k p equals k T p, p T k "
    f"equals p k T, all others differ, by up to {float(apart.max()):.2f}.",
)

# %%
for n in (1, 2, 3):
    print(f"ids in a text: {n}   largest distance: {float(laws_apart(n).max()):.3f}")

text = [2, 0, 2]
print(f"\nprobability of the text {text} after the id 0:")
for name, strategy in orders.items():
    print(f"  {name}   {math.exp(score(toy, [0], text, strategy).logprob):.4f}")

# %% [markdown]
# The distance grows with the text; it can never shrink, since longer texts begin with the shorter ones. What it means
# shows `score`, the exact probability of a single text under a strategy: two distributions of the four never write
# this one. In all three orders with top-p before the
# temperature, one of its ids is removed before the heat could have saved it.

# %% [markdown]
# ## In what order the systems act
#
# Read from their source code; the versions are below. They were not run for this table. In bold are the four that
# we compare further down; of the others most are in notebooks 7 and 8.
#
# | system | order |
# | --- | --- |
# | transformers | guidance, bias, repetition penalty, n-grams, bad words, minimum length, ..., **T**, top-h, **k**, **p**, **min-p**, typical, ε, η |
# | vLLM | bias, penalties, bad words, **T**, **min-p**, **k**, **p** (renormalised after k) |
# | SGLang | penalties, bias, **T**, **k and p** from one distribution, **min-p**; but see below |
# | llama.cpp | bias, penalties, DRY, top-nσ, **k**, typical, **p**, **min-p**, XTC, **T** last |
# | ExLlamaV2 | penalties, bias, DRY, **T**, **k**, **p**, top-a, **min-p**, tail-free, typical, Mirostat, XTC |
# | CTranslate2 | penalties, bans, **k**, **T**, **p**; no min-p |
#
# transformers 5.23.0, vLLM 0.33.0, SGLang 0.5.23, llama.cpp in llama-cpp-python 0.3.36, ExLlamaV2 at da07fac,
# CTranslate2 at 0d8bcd3. These move: look again before you rely on it. And these are defaults: llama.cpp takes
# another order (`--samplers`), and ExLlamaV2 has a switch `temperature_last`.

# %% [markdown]
# SGLang's line needs an explanation. It finds both cuts in one and the same distribution: a word stays if it is among
# the k likeliest *and* in the nucleus of the whole. Nothing is shared out between the two.
#
# So it is on its PyTorch backend. On FlashInfer, the default where that is installed, it is so only as long as no
# min-p is asked for. With one, it takes **k**, **p** and **min-p** in turn, each on what is left, as transformers
# does. One number more, and two others mean something else.

# %% [markdown]
# ### Exercise 9.4 · ★★☆ · 10 min
#
# Write it for one row of logits (V,): keep the ids that are among the k likeliest and in the nucleus of p, both
# found on the distribution that was passed in. Return logits (V,): the survivors as they were, all others `-inf`.
#
# Worked by hand, k = 2 and p = 0.7, for the logits `[-0.47, -1.39, -2.08]`, probabilities 5/8, 2/8, 1/8: the two
# likeliest are ids 0 and 1. The nucleus is ids 0 and 1, too, since 5/8 is below 0.7. So both stay. (In 9.2, one
# after the other, top-k and top-p left id 0 only.)
#
# - As everywhere here: the id that crosses p stays, a sum of exactly p is enough, of equal logits the lower ids come
#   first, p = 1 and k ≥ V remove nothing. (At equality SGLang's PyTorch code keeps one more; we do not.)
# - k is at least 1, p above 0 and at most 1. Some logits may be `-inf` already. The caller's tensor is not changed.
#
# Use `TopK` and `TopP`, or functions of your own.


# %% tags=["exercise"]
def joint_top_k_top_p(logits: torch.Tensor, k: int, p: float) -> torch.Tensor:
    """Logits (V,) -> logits (V,): what is left by top-k and by top-p, each asked on its own."""
    ### BEGIN SOLUTION
    in_head = TopK(k)(logits) > -torch.inf  # (V,)
    in_nucleus = TopP(p)(logits) > -torch.inf  # (V,): of the same logits
    return logits.where(in_head & in_nucleus, -torch.inf)
    ### END SOLUTION


# %% tags=["check"]
check.joint_top_k_top_p(joint_top_k_top_p)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 9.4</summary>
#
# Ask both filters about the *original* logits, look at which ids each of them leaves (`> -torch.inf`), and keep an
# id where both say yes (`&`).
#
# </details>

# %% [markdown] tags=["predict"]
# **Predict.** This joint rule is neither "top-k, then top-p" nor a new processor that we have to write. It equals a
# chain of two that you know. Which one, and why?
#
# <details><summary>Answer</summary>
#
# Top-p first, then top-k. Top-p sees the whole distribution; top-k then looks at the ranking only, and does not
# care what has been removed behind. The check of exercise 9.4 compares your function with just this chain.
#
# </details>

# %% [markdown]
# ## The same settings, one step
#
# Now five settings on `storybook`: repetition penalty 1.3, temperature 1.5, top-k 50, top-p 0.8, min-p 0.05. The
# penalty comes first in all systems. Which words it counts differs (prompt and text in transformers and vLLM, the
# text only in SGLang, the last 64 in llama.cpp); here it is prompt and text for all, so that only the order is
# compared.

# %% [markdown] tags=["predict"]
# **Predict.** One system will leave far fewer words to choose from than the others. Which?
#
# <details><summary>Answer</summary>
#
# llama.cpp: its temperature acts last. Its filters see the model's own, sharper distribution, where few words
# hold 80% of the probability. In all others they see the heated one.
#
# </details>

# %%
model, tokenizer = GPT2.from_pretrained("storybook"), Tokenizer()
prompt = (
    "Once there was a little fox who lived in the forest. One day the little fox found a"
)

R, T, k, p, m = RepetitionPenalty(1.3), Temperature(1.5), TopK(50), TopP(0.8), MinP(0.05)
systems = {
    "transformers, ExLlamaV2": [R, T, k, p, m],
    "vLLM": [R, T, m, k, p],
    "SGLang, on PyTorch": [R, T, p, k, m],  # k and p jointly, as in exercise 9.4
    "llama.cpp": [R, k, p, m, T],
    "CTranslate2, without min-p": [R, k, T, p],
}


def one_step(model, prompt):
    """A line about what each system's order leaves behind the prompt."""
    ids = tokenizer.encode(prompt)
    with torch.no_grad():
        logits = model(torch.tensor([ids]))[:, -1]  # (1, V)
    print(f"{'':28} ids kept   entropy   favourite")
    for name, chain in systems.items():
        row = logits
        for processor in chain:
            row = processor(row, Prefix.of([ids]))
        share = row[0].double().softmax(dim=-1)  # (V,)
        entropy, best = float(torch.special.entr(share).sum()), int(share.argmax())
        kept, token = int((share > 0).sum()), tokenizer.decode([best])
        print(f"{name:28} {kept:8} {entropy:9.2f}   {token!r} {share[best]:.1%}")


one_step(model, prompt)

# %% [markdown]
# The favourite is *big* everywhere, with 20% to 43%; and there are 7 to 42 words to choose from. With the order of
# transformers min-p 0.05 does nothing at all here: CTranslate2, which has none, comes to the same 30 words. Top-p was
# the stricter of the two. With that of vLLM, min-p acts first, what it removes is shared out among the others, and
# top-p gets along with 25.
#
# Follow one word through, *tree*. `generate(..., trace=True)` remembers what each processor did: how many ids each
# stage has left, and with `trace.why(step, token)`, in a sentence, what became of a word.

# %%
steps = {}
for name in list(systems)[:4]:
    strategy = Sample(*systems[name])
    result = generate(
        model, tokenizer, prompt, strategy, max_new_tokens=1, seed=0, trace=True
    )
    steps[name] = result.trace[0]
    stages = [f"{stage.name} {stage.kept:,}" for stage in steps[name].stages[2:]]
    print(f"{name}: {', '.join(stages)}\n  {result.trace.why(0, ' tree')}\n")

# %% [markdown]
# All were asked for "top-p 0.8". In three of them that is 30 words, 25, or 16; in SGLang, on PyTorch, it is thousands,
# and top-k and min-p decide alone. (On FlashInfer, as there is a min-p, it would be the 30 of transformers.)
#
# And this is why llama.cpp keeps so few. Its stages, from left to right:

# %%
plots.next_token_bars(
    steps["llama.cpp"].stages[2:], lambda id: token_name(tokenizer, id), top=10
)

# %% [markdown]
# The filters meet the distribution before it is heated: of the 50 words that top-k leaves, *big* has 41%. The heat
# comes when seven words are left. It evens these out, and no other can profit.

# %% [markdown]
# ## The same settings, whole texts
#
# `compare` writes with several strategies and the same noise: with equal noise two texts differ only from where the
# strategies want different words on. And here all four leave the survivors the same logits, as the penalty and the
# temperature act on each of them in every order. So two texts part just where one order has removed the word that
# the other draws. `parts_at` tells how many ids are the same before, compared with the first strategy.

# %%
named = {name.split(",")[0]: Sample(*chain) for name, chain in list(systems.items())[:4]}
comparison = compare(
    model, tokenizer, prompt, named, max_new_tokens=12, num_samples=8, seed=5
)
for name, result in comparison.results.items():
    places = " ".join(f"{'=' if n is None else n:>3}" for n in result.parts_at)
    print(f"{name:13} parts after {places}   ids")
print()
for name, result in comparison.results.items():
    print(f"{name:13} ...found a{result.samples[0].text!r}")

# %% [markdown]
# (= means that all 12 ids are the same.) With vLLM's order three of the eight texts stay what they were; with that
# of llama.cpp five differ from the very first word. Of the first text, which is printed, vLLM keeps eight ids,
# llama.cpp two, and SGLang, where a word is drawn that all others have removed, none.
#
# Is one of them better? The numbers do not say. But they say that these are not the same settings:

# %%
for name, result in comparison.results.items():
    measure = result.measures["log-probability"]
    print(
        f"{name:13} {measure.value:.2f} ± {measure.standard_error:.2f} nats a token, by the model"
    )

# %% [markdown]
# From the order of llama.cpp to that of SGLang a token loses more than one nat on average: it is about three times
# less likely. And nobody has touched a number.

# %% [markdown]
# ## Even greedy decoding
#
# Greedy decoding takes the favourite, and neither a temperature nor top-k, top-p or min-p ever changes which word
# that is.

# %% [markdown] tags=["predict"]
# **Predict.** So with greedy decoding the order of top-p and a repetition penalty cannot matter. Or can it?
#
# <details><summary>Answer</summary>
#
# It can. The penalty does change the favourite, and it needs somebody else to take the place. What a filter in
# front of it has removed is not there any more. Behind the penalty the filter is harmless.
#
# </details>

# %%
strong, nucleus = RepetitionPenalty(1.5), TopP(0.5)
for chain in ([], [strong], [Temperature(2), strong], [strong, nucleus], [nucleus, strong]):
    written = generate(
        model, tokenizer, "Once upon a time", Greedy(*chain), max_new_tokens=20, trace=True
    )
    print(f"{chain!s:42} {written.text}")
print("\nin the last:", written.trace.why(3, " an"))

# %% [markdown]
# The penalty alone leads to an old man with three sons: there is an *a* in the prompt, so *an* wins over *a*. With a
# temperature before it or a filter behind it, he is still there. With the filter before it Lily is back: *a* holds 94.7%
# of the probability, and *an* is gone before the penalty could help it.

# %% [markdown]
# ## Order is not all
#
# Even in one order, two systems may mean different things by one number. Five examples, each on a small row: first
# what it comes to here, then elsewhere.

# %% [markdown] tags=["predict"]
# **Predict.** The repetition penalty divides positive logits and multiplies negative ones. Logits and
# log-probabilities differ by one constant, and a softmax does not see it. Does the penalty?
#
# <details><summary>Answer</summary>
#
# Yes. A log-probability is never positive, so it is always multiplied, and that of a likely word is near 0, where a
# factor moves little: ln 0.52 = −0.65 becomes −0.85, while the logit 3.1 becomes 2.4. The penalty is the only rule
# here that depends on where zero is.
#
# </details>


# %%
def count(logits):
    return int((logits > -torch.inf).sum())


tied = torch.tensor([2.0, 1.0, 1.0, 0.0])  # (V,)
every = int((tied >= tied.topk(2).values[-1]).sum())
print(f"1. k = 2 with a tie: {count(TopK(2)(tied))} words, or {every}")

alike = torch.full((4,), 0.25)  # (V,)
before = alike.cumsum(dim=-1) - alike  # (V,): what lies before each word
at_most = int((before <= 0.5).sum())
print(f"2. p = 0.5 with four equals: {count(TopP(0.5)(alike.log()))} words, or {at_most}")

uneven = torch.tensor([5.0, 2.0, 1.0]).log()  # (V,)
one, other = TopP(0.7)(TopK(2)(uneven)), TopK(2)(TopP(0.7)(uneven))
print(f"3. k = 2 and p = 0.7: {count(one)} word, or, not renormalised, {count(other)}")

masked = TopK(3)(torch.tensor([6.0, 5.0, 4.0, 3.0, 2.0]))  # (V,)
left_only = masked[:3].std(correction=0)
zeros = masked.masked_fill(masked == -torch.inf, 0.0).std()  # divides by V - 1
within = int((masked >= masked.max() - zeros).sum())
print(
    f"4. n = 1 after a filter: {count(TopNSigma(1)(masked))} word, σ = {left_only:.2f}, "
    f"or {within}, σ = {zeros:.2f}"
)

mat = [
    float(after(chain, row)[0, 0])
    for row in (one_row, one_row.log_softmax(dim=-1))
    for chain in ([], [RepetitionPenalty(1.3)])
]
print(f"5. penalty 1.3: mat falls from {mat[0]:.1%} to {mat[1]:.1%}, or to {mat[3]:.1%}")

# %% [markdown]
# 1. **Ties.** llama.cpp, ExLlamaV2 and CTranslate2 keep exactly k, as we do; transformers and a path of vLLM all
#    that equal the k-th.
# 2. **Equality.** Of four equal words, two hold exactly p = 0.5. SGLang's PyTorch code keeps one more.
# 3. **Renormalising.** Between top-k and top-p: all but SGLang's joint cut.
# 4. **σ.** llama.cpp takes the logits that are left; text-generation-webui (1dcde41) writes 0 for the removed ones
#    and measures σ of all.
# 5. **Zero.** transformers applies the penalty to logits when sampling and to log-probabilities in beam search: one
#    number, two strengths.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# The documentation of transformers prints a greedy text of distilgpt2 with a repetition penalty of 1.1. The cell
# writes it in four ways. The first three have to give the published text, as neither a temperature before the
# penalty nor a filter behind it changes the favourite. The last need not.

# %% tags=["needs-weights"]
# transformers 4.57.1, docstring of RepetitionPenaltyLogitsProcessor
published = "I'm not going to be able to do that. I'll just have to go out and play"
print("published:", published)
penalty = RepetitionPenalty(1.1)
chains = [
    [penalty],
    [Temperature(2), penalty],
    [penalty, TopP(0.3)],
    [TopP(0.3), penalty],
]
distil = official("distilgpt2")
if distil is not None:
    start = "I'm not going to"
    for chain in chains:
        written = generate(distil, tokenizer, start, Greedy(*chain), max_new_tokens=15)
        same = "equal" if start + written.text == published else "not equal"
        print(f"{chain!s:42} {same:9} {written.text!r}")

# %% [markdown]
# In the last, the favourite is alone wherever it holds 30% by itself. Look whether the text repeats more.
#
# And the five settings from before, on GPT-2. Look for the same pattern: the temperature at the end leaves by
# far the fewest words, SGLang's joint cut the most.

# %% tags=["needs-weights"]
gpt2 = official("gpt2")
if gpt2 is not None:
    one_step(gpt2, "The scientist opened the door of the laboratory and saw a")

# %% [markdown]
# ## What to remember
#
# - Numbers without their order are half a setting. Write down both.
# - Two rules may be swapped if neither changes what the other looks at: the ranking, the gaps, the sign, or the
#   shares of what is left.
# - **May be swapped**: temperature with top-k, top-nσ and the repetition penalty; top-k with min-p; additions.
# - **May not**: temperature with top-p, min-p, typical sampling, bias; top-p with any of the others here.
# - One output that stays the same proves nothing: most rows agree by accident.
# - With the temperature last (llama.cpp) filters see the model's own distribution; with the temperature first, the
#   heated one.
# - A filter in front of a penalty can disarm it, even for greedy decoding.
# - Top-k and top-p on one distribution (SGLang without min-p) are top-p, then top-k.

# %% [markdown]
# ## Papers and further reading
#
# - Holtzman et al. 2019, *The Curious Case of Neural Text Degeneration*, arXiv:1904.09751: top-p.
# - Keskar et al. 2019, *CTRL*, arXiv:1909.05858: the repetition penalty.
# - Meister et al. 2022, *Locally Typical Sampling*, arXiv:2202.00666.
# - Nguyen et al. 2024, *Turning Up the Heat: Min-p Sampling*, arXiv:2407.01082: with high temperatures in mind.
# - Tang et al. 2024, *Top-nσ: Not All Logits Are You Need*, arXiv:2411.07641: a filter that a temperature cannot
#   move.
# - Issues in which people found out: huggingface/transformers PR 8686 (a refactoring moved the temperature),
#   ggml-org/llama.cpp 4091 (where it should stand).

# %% [markdown]
# ## To go further
#
# - `DynamicTemperature` looks at the entropy. With which of the eight does it commute?
# - Top-p and min-p agree in many rows. Write a function like that of exercise 9.3 that finds a row in which they
#   do not, for any p and m for which there is one.
# - Of the 120 orders of the five settings, how many different laws are there? Count with `law` on a table model,
#   then by hand, with the three swaps that are allowed among these five.
