# %% [markdown]
# # 5. Drawing a token
#
# **Goal.** You know three ways of drawing a token from its probabilities, have written two of them, and can tell a
# right sampler from a wrong one.
#
# **Time** 75 minutes · **Needs** [4. Temperature and entropy](04_temperature_and_entropy.ipynb) · **Next**
# [6. Top-k and top-p](06_top_k_and_top_p.ipynb)
#
# Sampling is one line of the blog post
# [*Logits to Text*](https://github.com/kapilsh/kapilsh.github.io/blob/f1c84578b30c/_posts/2024-07-19-logits-to-text.md):
# `torch.multinomial(probabilities, num_samples=1).squeeze()`. What happens inside this line? Where does chance come from,
# on a machine that only calculates? And if the line were wrong, how would you notice? After all, any text that comes
# out *might* have been drawn.

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
from collections import Counter

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from checks import drawing_a_token as check
from decoding import (
    Gumbel,
    InverseCDF,
    Multinomial,
    Prefix,
    Purpose,
    Sample,
    TableModel,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    generate,
    generate_ids,
    law,
    plots,
)
from decoding.chance import noise, row_keys
from decoding.significance import chi_squared_survival, g_test
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## The tutorial's line
#
# Our nine words again, with their logits after "The cat sat on the", and the probabilities that follow.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
logits = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])  # (V,)
probabilities = logits.softmax(dim=-1)  # (V,)
plots.next_token_bars([("after “The cat sat on the”", logits)], words.__getitem__, top=9)

# %% [markdown]
# `torch.multinomial` wants one position only, as notebook 1 showed: (B, V) goes in, (B, 1) comes out. Then the post calls
# `squeeze()`, which removes *every* dimension of size 1.

# %%
for B in (1, 3):
    drawn = torch.multinomial(probabilities.expand(B, 9), num_samples=1)  # (B, 1)
    squeezed, column = drawn.squeeze(), drawn[:, 0]
    print(f"B = {B}: {tuple(drawn.shape)}, squeezed {tuple(squeezed.shape)}, ", end="")
    print(f"[:, 0] {tuple(column.shape)}")

# %% [markdown]
# With one text, `squeeze()` leaves a tensor without any dimension, and the loop that expects one id a row breaks.
# `drawn[:, 0]` is (B,) for every B: say which dimension should go.
#
# ## What a draw is
#
# Let us draw a hundred words. Bars are what came up, diamonds what is expected, $100 \cdot p_i$; the whiskers reach two
# standard deviations to both sides. A large count ends within them about 19 times out of 20.

# %% [markdown] tags=["predict"]
# **Predict.** "sat" has a probability of half a percent. Will it come up in a hundred draws?
#
# <details><summary>Answer</summary>
#
# Probably not: it stays away with probability $0.9948^{100} \approx 0.59$. A hundred draws say little about rare words.
#
# </details>

# %% tags=["varies"]
generator = torch.Generator().manual_seed(0)
drawn = torch.multinomial(probabilities, 100, replacement=True, generator=generator)
counts = drawn.bincount(minlength=9)  # (V,): how often each word came up
plots.frequencies(counts, probabilities, words.__getitem__, title="100 draws")

# %% tags=["varies"]
drawn = torch.multinomial(probabilities, 10**6, replacement=True, generator=generator)
numbers = [10**k for k in range(2, 7)]
shares = torch.stack([drawn[:n].bincount(minlength=9) / n for n in numbers])  # (5, V)
curves = {
    "largest of the nine errors": (shares - probabilities).abs().amax(dim=-1),
    "1 / (2 √n)": [0.5 / math.sqrt(n) for n in numbers],
}
alt = "Line chart of the error of the shares: it falls about as 1 / (2 √n)."
axes_are = {"xlabel": "draws, n", "ylabel": "error", "logx": True, "logy": True}
plots.lines(numbers, curves, alt=alt, **axes_are)

# %% [markdown]
# A sample is not the distribution. In a hundred draws "the", expected 0.3 times, came up twice. (Yours may differ: PyTorch
# does not promise that `torch.multinomial` draws the same from one version to the next.) The error of a share shrinks
# about as $1 / \sqrt{n}$: a hundred times as many draws for one more digit.
#
# ## One number decides: the inverse CDF
#
# A computer gives us uniform numbers $u$, anywhere between 0 and 1 alike. To make a draw of one, put the probabilities on
# top of each other, from 0 up to 1. Then see which block $u$ hits.

# %%
sums = probabilities.cumsum(dim=0)  # (V,): the top of each block
figure = Figure(figsize=(8, 3.6), layout="constrained")
axes = figure.subplots()
blocks = {"width": 1, "color": "#a9cfe8", "edgecolor": "black"}
axes.bar(words, probabilities, bottom=sums - probabilities, **blocks)
for u in (0.30, 0.66, 0.92):
    axes.axhline(u, color="black", linestyle="--")
    axes.text(8.6, u, f"u = {u:.2f}", va="center")
axes.set(xlim=(-0.5, 8.5), ylim=(0, 1), ylabel="summed probability")
alt = "Nine blocks that climb like stairs from 0 to 1; dashed lines at 0.30, 0.66 and 0.92."
tops = [f"{word} {top:.3f}" for word, top in zip(words, sums.tolist(), strict=True)]
plots.Picture(figure, alt=alt, text="Tops of the blocks: " + ", ".join(tops))

# %% [markdown] tags=["predict"]
# **Predict.** Which words do u = 0.30, 0.66 and 0.92 draw?
#
# <details><summary>Answer</summary>
#
# mat, sofa and dog: the blocks that the three lines cut. A block is hit as often as it is high, so each word is drawn
# with its own probability.
#
# </details>

# %% [markdown]
# ### Exercise 5.1 · ★★☆ · 10 min
#
# Write this rule. The id that a number $u$ with $0 \le u < 1$ draws is
#
# $$\min \{\, i : p_0 + \dots + p_i > u \,\}$$
#
# `probabilities` is a tensor of shape (V,), `u` a Python float; return a Python int. For example, with
# [0.5, 0.3, 0.2] and u = 0.62 the sums are 0.5, 0.8 and 1.0, and the first above 0.62 belongs to id 1.
#
# - The sign is >, not ≥: u = 0.5 draws id 1, too. An id of probability 0 must never be drawn, not even by u = 0.
# - The sums of real probabilities may end at 0.9999998, because of rounding. Where no sum exceeds u, return the last id
#   whose probability is not 0: with [0.5, 0.499, 0] and u = 0.9995 that is id 1, not 2.


# %% tags=["exercise"]
def inverse_cdf(probabilities: torch.Tensor, u: float) -> int:
    """Probabilities (V,) and a number u, 0 <= u < 1 -> the id that u draws."""
    ### BEGIN SOLUTION
    cdf = probabilities.cumsum(dim=-1)  # (V,)
    not_above = int((cdf <= u).sum())  # ids before the first sum above u
    return min(not_above, int(probabilities.nonzero()[-1]))
    ### END SOLUTION


# %% tags=["check"]
check.inverse_cdf(inverse_cdf)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 5.1</summary>
#
# The sums never fall. So the number of sums that are *not* above u is the id you look for. Then make sure that you do not
# run over the end: `probabilities.nonzero()` lists the ids that are possible.
#
# </details>

# %% [markdown]
# This is the simplest sampler there is; `decoding.InverseCDF` is the same, for many rows at once. It has one odd property:
# the *order* of the ids matters. Make "mat" a little less likely, and all blocks above it slide down. A u that hit "roof"
# may now hit "dog", though neither logit has changed.
#
# ## Noise for every word: Gumbel-max
#
# There is a second way, and it needs no probabilities. Every word gets a random number $g_i$ of its own, added to its
# logit, and the largest sum wins:
#
# $$\text{choice} = \arg\max_i \; (z_i + g_i), \qquad g_i = -\log(-\log u_i)$$
#
# With noise of just this form, named after Emil Gumbel, it is an exact draw from the softmax of the logits. Greedy
# decoding with noise, so to say.

# %% [markdown]
# ### Exercise 5.2 · ★★☆ · 10 min
#
# Write it: logits (V,), one uniform number for each id, $0 < u_i < 1$, also (V,); return the chosen id as a Python int.
#
# | id | $z_i$ | $u_i$ | $g_i$ | $z_i + g_i$ |
# |---|---|---|---|---|
# | 0 | 2 | 0.3 | −0.186 | 1.814 |
# | 1 | 1 | 0.8 | 1.500 | **2.500** |
# | 2 | 0 | 0.1 | −0.834 | −0.834 |
#
# Id 1 is chosen. A removed id has the logit −inf and must never be chosen. Use the logits as they are: no softmax.


# %% tags=["exercise"]
def gumbel_max(logits: torch.Tensor, u: torch.Tensor) -> int:
    """Logits (V,) and uniform numbers (V,), 0 < u < 1 -> the id that is chosen."""
    ### BEGIN SOLUTION
    gumbels = -torch.log(-torch.log(u))  # (V,)
    return int((logits + gumbels).argmax())
    ### END SOLUTION


# %% tags=["check"]
check.gumbel_max(gumbel_max)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 5.2</summary>
#
# Two lines: the noise, with a minus sign before each of the two logarithms, and the `argmax` of the sum. −inf plus a
# number is −inf, so removed ids need no special care.
#
# </details>

# %% [markdown]
# Here are three draws. A dot is a word's logit, the same in all three; a line leads to the logit with its noise, and the
# highest end wins. Noise upwards can be large, noise downwards rarely is: the Gumbel distribution is lopsided.

# %%
generator = torch.Generator().manual_seed(16)
u = torch.rand(3, 9, generator=generator, dtype=torch.float64)  # (3, V)
noisy = logits - (-u.log()).log()  # (3, V)
winners = noisy.argmax(dim=-1).tolist()
figure = Figure(figsize=(8, 3.6), layout="constrained")
ring = {"mfc": "none", "mec": "#c8761a", "mew": 2, "ms": 16}
for axes, row, best in zip(figure.subplots(1, 3, sharey=True), noisy, winners, strict=True):
    axes.vlines(range(9), logits, row, color="#707070")
    axes.plot(words, logits, "ok", ms=4, label="logit")
    axes.plot(words, row, "_", color="#0072b2", ms=10, mew=2, label="with noise")
    axes.plot(best, row[best], "o", label="the largest", **ring)
    axes.set_title(f"drawn: {words[best]}")
    axes.tick_params("x", rotation=90)
axes.legend(loc="upper right")
alt = f"Nine logits with noise, three times; the largest: {[words[i] for i in winners]}."
plots.Picture(figure, alt=alt, text=alt)

# %% [markdown]
# **Why it is exact.** Turn the sum into a time: $t_i = e^{-(z_i + g_i)} = -\log(u_i) / e^{z_i}$. The largest sum is the
# earliest time. $t_i$ exceeds $t$ with the probability $e^{-t e^{z_i}}$, like the time at which an alarm clock rings that
# rings $e^{z_i}$ times a minute on average.
#
# Such a clock **has no memory**: however long it has been silent, it rings in the next instant $dt$ with the probability
# $e^{z_i} dt$. So when the first of all clocks rings, it is clock $i$ with the
# probability $e^{z_i} / \sum_j e^{z_j}$: the softmax.
#
# This race is the third way, and what happens inside the tutorial's line: `torch.multinomial` makes exponential noise and
# lets the clocks run. (Only for many draws with replacement does it walk along the sums.)

# %% tags=["varies"]
same = 0
for seed in range(1000):
    torch.manual_seed(seed)
    drawn = torch.multinomial(probabilities, num_samples=1)
    torch.manual_seed(seed)
    rings = torch.empty(9).exponential_() / probabilities  # (V,): when each clock rings
    same += int(rings.argmin() == drawn)
print(f"{same} of 1000 draws the same")

# %% [markdown]
# ## Why this project prefers Gumbel-max
#
# Suppose that you try a text with two settings and the same seed. What you want to see is the difference that the
# *setting* makes, not other luck. Our model is a table: for each word, the logits of the next. After "the" they are the
# ones from above.

# %%
generator = torch.Generator().manual_seed(0)
table = 2 * torch.randn(9, 9, generator=generator)  # (V, V): the logits after each word
the = words.index("the")
table[the] = logits
toy = TableModel.bigram(table, n_positions=8)


def next_words(draw, *processors):
    """200 draws of the word after "the" -> 200 ids."""
    settings = {"max_new_tokens": 1, "num_samples": 200, "seed": 3, "draw": draw}
    results = generate_ids(toy, [[the]], Sample(*processors), **settings)
    return torch.tensor([result.ids[0] for result in results])


# %% [markdown] tags=["predict"]
# **Predict.** 200 draws, then the same 200 with the same seed after top-p 0.9, which keeps the four likeliest words. How
# many draws change with Gumbel noise, and how many with the inverse CDF?
#
# <details><summary>Answer</summary>
#
# With Gumbel noise each word keeps its own noise, so that only those draws change whose word was removed: 9 of 200. With the
# inverse CDF it is 34: all blocks grow and slide, and a u near an edge falls into another block.
#
# </details>

# %%
changed = {}
for processor in (TopP(0.9), Temperature(0.9), Temperature(0.7)):
    for draw in (Gumbel, InverseCDF):
        before, after = next_words(draw), next_words(draw, processor)
        changed[f"{processor}, {draw.__name__}"] = int((before != after).sum())
alt = f"Bar chart of how many of 200 draws change with the setting: {changed}."
plots.bars(list(changed), list(changed.values()), xlabel="of 200 draws changed", alt=alt)

# %% [markdown]
# A temperature removes no word, but stretches the gaps between the logits while the noise stays: where the winner was only
# just ahead, another word may overtake it. Still fewer draws change than with the inverse CDF.
#
# Comparing two things with the same luck is called using **common random numbers**.
#
# ## How is a sampler tested?
#
# Somebody has written a sampler with noise from the normal distribution: “Noise is noise, and mine has the same spread as
# Gumbel's.” Here are 100 draws of it.


# %%
def gumbel_noise(*shape, generator):
    u = torch.rand(*shape, generator=generator, dtype=torch.float64)
    return -(-u.log()).log()


def normal_noise(*shape, generator):
    """Of the same standard deviation."""
    return math.pi / math.sqrt(6) * torch.randn(*shape, generator=generator)


samplers = {"Gumbel noise": gumbel_noise, "normal noise": normal_noise}


def counts_of(name, runs, n):
    """How often each word comes up in n draws, in each run -> (runs, V)."""
    generator = torch.Generator().manual_seed(0)
    sums = logits + samplers[name](runs, n, 9, generator=generator)  # (runs, n, V)
    return F.one_hot(sums.argmax(dim=-1), 9).sum(dim=1)


counts = counts_of("normal noise", 1, 100)[0]  # (V,)
plots.frequencies(counts, probabilities, words.__getitem__, title="100 draws, normal noise")

# %% [markdown] tags=["predict"]
# **Predict.** All nine bars are within their whiskers. Does this happen more often to a right sampler, or to this one?
#
# <details><summary>Answer</summary>
#
# To this one! Normal noise hardly ever makes a large jump. So the rare words come up too rarely, and hardly ever too often.
# With a right sampler they sometimes do, as "the" did above. Looking at the bars favours the wrong sampler.
#
# </details>

# %%
sd = (100 * probabilities * (1 - probabilities)).sqrt()  # (V,)
for name in samplers:
    off = (counts_of(name, 2000, 100) - 100 * probabilities).abs()  # (2000, V)
    within = (off <= 2 * sd).all(dim=-1).double().mean()
    print(f"{name}: all nine bars within their whiskers in {within:.0%} of 2000 runs")

# %% [markdown]
# A test needs one number for "how far off are these counts?". One such number is
#
# $$G = 2 \sum_i O_i \log \frac{O_i}{E_i}, \qquad E_i = n \, p_i$$
#
# with $O_i$ the count of word $i$ in $n$ draws and $E_i$ its expectation. If the sampler is right, then G is about the
# number of words minus 1, and the *p-value*, the probability that a right sampler is at least this far off, can be
# looked up in the chi-squared distribution.

# %% [markdown]
# ### Exercise 5.3 · ★★☆ · 10 min
#
# Write G, with the natural logarithm. `counts` is (V,), whole numbers; `probabilities` is (V,); $n$ is the sum of the
# counts. Return a Python float. For example, counts [6, 2, 2] and probabilities [0.5, 0.25, 0.25]: expected are
# 5, 2.5, 2.5, and
#
# $$G = 2 \,(6 \log 1.2 + 2 \log 0.8 + 2 \log 0.8) = 0.403$$
#
# - A word with $O_i = 0$ contributes 0, whatever its probability.
# - If a word of probability 0 has come up, G is `math.inf`: the impossible has happened.


# %% tags=["exercise"]
def g_statistic(counts: torch.Tensor, probabilities: torch.Tensor) -> float:
    """Counts (V,) and probabilities (V,) -> how far the counts are from what was expected."""
    ### BEGIN SOLUTION
    expected = counts.sum() * probabilities  # (V,)
    seen = counts > 0  # (V,)
    ratios = counts[seen] / expected[seen]
    return float(2 * (counts[seen] * ratios.log()).sum())
    ### END SOLUTION


# %% tags=["check"]
check.g_statistic(g_statistic)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 5.3</summary>
#
# Make a mask of the words that came up, `counts > 0`, and sum over these only. A tensor divided by an expectation of 0 then
# gives `inf` by itself; in a loop over Python numbers you have to look for it first.
#
# </details>

# %% [markdown]
# `g_test` goes from counts to the p-value. (It also pools the rarest words until ten are expected of them, for the
# chi-squared distribution is an approximation.) Here it judges both samplers, each in 20 runs, after more and more draws.


# %%
def p_values(name, n):
    """Of 20 runs of n draws -> (20,)."""
    counts = counts_of(name, 20, n).tolist()
    return torch.tensor([g_test(row, probabilities.tolist()) for row in counts])


print(f"worked example, G = 0.403: p-value {chi_squared_survival(0.403, 3 - 1):.2f}")
numbers, curves = [100, 200, 500, 1000, 2000], {}
for name in samplers:
    p = torch.stack([p_values(name, n) for n in numbers])  # (5, 20)
    curves[f"{name}, highest of 20"] = p.amax(dim=1)
    curves[f"{name}, lowest of 20"] = p.amin(dim=1)
    found = (p < 1e-6).sum(dim=1).tolist()
    print(f"{name}: in 100 to 2000 draws, p < 0.000001 in {found} of 20 runs")
alt = "Line chart of p-values: those of normal noise fall, those of Gumbel noise do not."
plots.lines(numbers, curves, alt=alt, **axes_are | {"xlabel": "draws", "ylabel": "p-value"})

# %% [markdown]
# The p-values of a right sampler lie anywhere between 0 and 1, and more draws do not change that. Those of the wrong one fall
# and fall. This project's tests ask for more than 0.000001: with 1,000 draws, 6 of 20 runs of the wrong sampler would pass;
# with 2,000, none. And a test sees only what is counted: if each draw depended on the one before, these counts could be
# just right.
#
# Better than any statistics is **adding up**. `law` takes every path of choices that a strategy can take, and lists the
# texts with their exact probabilities: of the 81 texts of two words, top-k 3 leaves nine. Then 5,000 draws are tested
# against the list.

# %%
exact = law(Sample(TopK(3)), toy, [the], max_new_tokens=2)  # ids -> probability
for ids, probability in exact.items():
    print(f"the {words[ids[0]]:4} {words[ids[1]]:4} {probability:.4f}")

settings = {"max_new_tokens": 2, "num_samples": 5000, "seed": 0}
results = generate_ids(toy, [[the]], Sample(TopK(3)), **settings)
seen = Counter(tuple(result.ids) for result in results)
print("texts that should not occur:", len(set(seen) - set(exact)))
print(f"p-value: {g_test([seen[ids] for ids in exact], list(exact.values())):.2f}")

# %% [markdown]
# ### Exercise 5.4 · ★★★ · 10 min
#
# Draw two *different* ids: the first from the probabilities, the second from what is left, renormalised:
#
# $$P(i, j) = p_i \cdot \frac{p_j}{1 - p_i} \qquad (i \ne j)$$
#
# `probabilities` is (V,), sums to 1, and at least two are not 0. Return a list of two Python ints, in the order in which
# they were drawn. For [0.5, 0.3, 0.2], the list [0, 1] must come up with probability 0.5 · 0.3 / 0.5 = 0.3, and [1, 0]
# with 0.3 · 0.5 / 0.7 = 0.214.
#
# Take your random numbers from `torch.rand`, and set no seed. You may call what you wrote in 5.1 or 5.2.
# (`torch.multinomial(probabilities, 2)` does all of this in one call. Try it in the check afterwards.)
#
# The check makes a G-test, like the one above, of the pairs from 2,000 calls.


# %% tags=["exercise"]
def draw_two(probabilities: torch.Tensor) -> list[int]:
    """Probabilities (V,) -> two different ids, in the order in which they were drawn."""
    ### BEGIN SOLUTION
    u = torch.rand(len(probabilities), dtype=torch.float64)  # (V,)
    times = -torch.log(u) / probabilities  # (V,): when each alarm clock rings
    return times.argsort()[:2].tolist()
    ### END SOLUTION


# %% tags=["check"]
check.draw_two(draw_two)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 5.4</summary>
#
# One way: draw the first id, put 0 in its place in a *copy*, divide by the sum, draw again with a new number.
#
# A shorter way: when the first alarm clock has rung, the others go on as if nothing had happened. So which one is second?
#
# </details>

# %% [markdown]
# Did you use the clocks? In terms of logits: the two largest of $z_i + g_i$ are two draws without replacement, the $k$ largest
# are $k$. The inverse CDF has to sum anew, and needs a new number, for each.
#
# ## Seeds
#
# A computer's random numbers are calculated from a *seed*. Same seed, same numbers. But unless you make one of your own,
# as above, PyTorch has a single generator for everybody, and it counts on with each number that anybody takes.

# %% tags=["varies"]
for extra in (0, 1):
    torch.manual_seed(3)
    torch.rand(extra)  # somebody else draws before us
    drawn = torch.multinomial(probabilities, 12, replacement=True)
    print(f"taken before: {extra}; ours:", " ".join(words[i] for i in drawn))

# %% [markdown]
# So the seed alone does not fix the text: it also depends on who drew before. A generator of your own keeps strangers out,
# but the rows of a batch still take their numbers from it in turn. And an update of PyTorch may change the text
# ([pytorch#154031](https://github.com/pytorch/pytorch/issues/154031)).
#
# This project *calculates* the noise for each choice instead: a hash turns (seed, sample number, step, purpose, id) into a
# number between 0 and 1. Nothing is counted on, so nobody can disturb anybody. Below, `Prefix` is the text so far with its
# sample number, and `Purpose` what the noise is for: here, a token.


# %%
def five(seed, sample):
    key = row_keys(seed, Purpose.TOKEN, Prefix.of([[the]], [sample]))  # (1,)
    return " ".join(f"{u:.4f}" for u in noise(key, torch.arange(5))[0].tolist())


for seed, sample in ((7, 0), (7, 1), (8, 0), (7, 0)):
    print(f"seed {seed}, sample {sample}, ids 0 to 4: {five(seed, sample)}")

# %% [markdown]
# Neighbouring seeds have nothing in common, and asking twice gives the same. The hash is integer arithmetic (the last
# step of SplitMix64), equal on every machine; the project's tests hold some of these numbers fixed bit for bit.
#
# ## The storybook model
#
# Now a real vocabulary. The same prompt with the seeds 1 to 4, and the first seed once more:

# %%
model, tokenizer = GPT2.from_pretrained("storybook"), Tokenizer()
prompt = "Once upon a time, there was a little"
for seed in (1, 2, 3, 4, 1):
    result = generate(model, tokenizer, prompt, Sample(), max_new_tokens=20, seed=seed)
    print(f"seed {result.seed}:{result.text}".replace("\n", " "))

# %% [markdown]
# If you give no seed, one is drawn. `result.seed` tells which, so that you can repeat any text that you liked.

# %% [markdown] tags=["predict"]
# **Predict.** "Tom had a red" is continued alone, and then in a batch with two other prompts, with the same seed. Does its
# text stay the same with Gumbel, with the inverse CDF, with `torch.multinomial`?
#
# <details><summary>Answer</summary>
#
# With the first two, yes: the noise of a row does not know its neighbours. With `torch.multinomial`, no: the rows of a batch
# take their numbers from one generator, and every neighbour takes some.
#
# </details>

# %%
batch = ["Tom had a red", "One day, a dog", "Lily was sad"]
for draw in (Gumbel, InverseCDF, Multinomial):
    settings = {"max_new_tokens": 12, "seed": 5, "draw": draw}
    alone = generate(model, tokenizer, batch[0], Sample(), **settings)
    together = generate(model, tokenizer, batch, Sample(), **settings)
    print(f"{draw.__name__:12} the same text: {alone.text == together[0].text}")

# %% [markdown]
# And common random numbers in a text: six samples of 20 tokens, drawn freely, and with top-p 0.95 and the same seed. When
# do the two part?


# %%
def common(a, b):
    """How many ids two texts share before they part."""
    pairs = zip(a.ids, b.ids, strict=False)
    return next((t for t, (x, y) in enumerate(pairs) if x != y), len(a.ids))


for draw in (Gumbel, InverseCDF):
    settings = {"max_new_tokens": 20, "seed": 3, "num_samples": 6, "draw": draw}
    free = generate(model, tokenizer, batch[0], Sample(), **settings)
    cut = generate(model, tokenizer, batch[0], Sample(TopP(0.95)), **settings)
    mean = sum(map(common, free, cut)) / len(free)
    print(f"{draw.__name__:10} the same for {mean:.1f} of 20 tokens")

# %% [markdown]
# With Gumbel noise a text parts from the free one only where the free one took a token that top-p removes. With the inverse
# CDF nearly all 50,257 blocks slide, and it parts in one of the first steps.
#
# ## Noise has an end
#
# `torch.rand` gives float32: multiples of $2^{-24} \approx 6 \cdot 10^{-8}$. A block between two such multiples is never hit.
# For nine words this is nothing. For 50,257 ids:

# %%
with torch.inference_mode():
    last = model(torch.tensor([tokenizer.encode(prompt)]))[0, -1].double()  # (V,)
for T in (1.0, 0.8, 0.6):
    p = (last / T).softmax(dim=-1)  # (V,)
    grid = (p.cumsum(dim=-1) * 2**24).ceil()  # multiples below the top of each block
    never = grid.diff(prepend=torch.zeros(1)) == 0  # (V,)
    print(f"T = {T}: {never.double().mean():.0%} of the ids can never be drawn; ", end="")
    print(f"together they have {p[never].sum():.4%} of the probability")

# %% [markdown]
# No reader would notice; a test of rare words would. Gumbel noise made of float32 ends as well. How far can it lift a word
# that is below the best?

# %%
for dtype, bits in ((torch.float32, 24), (torch.float64, 53)):
    u = torch.tensor([2.0**-bits, 1 - 2.0**-bits], dtype=dtype)  # both ends
    low, high = (-(-u.log()).log()).tolist()
    print(f"{dtype}: noise from {low:.1f} to {high:.1f}, a lift of {high - low:.1f}")
gap = float(last.max() - last.min())
print(f"the worst id is {gap:.1f} below the best; at T = 0.6, {gap / 0.6:.1f}")

# %% [markdown]
# In float32 a word more than 19.4 below the best cannot win: at T = 1 that excludes no id here, at T = 0.6 it does. (One
# accident aside: `torch.rand` can return exactly 0. If the best word gets it, its noise is −inf, and any other may win.) In
# float64, which this project uses, the limit is 40.3, a probability of $3 \cdot 10^{-18}$.
#
# Servers have stumbled here. In a test for [vllm#43150](https://github.com/vllm-project/vllm/pull/43150), 262,144 words were
# 20.5 below one likely word: 33 of 100,000 draws should have been among them. With float32 noise none was.
#
# ## Now with OpenAI's GPT-2
#
# A published sample that names its seed: Sebastian Raschka, *LLMs-from-scratch*, chapter 5 (2024), top-k 50, then T = 1.5,
# `torch.multinomial` after `torch.manual_seed(123)`.

# %% tags=["needs-weights"]
published = (  # rasbt/LLMs-from-scratch, ch05/01_main-chapter-code/ch05.ipynb
    "Every effort moves you toward finding an ideal new way to practice something!\n\n"
    "What makes us want to be on top of that?\n\n"
)
print(published.rstrip())

# %% [markdown]
# `Multinomial` is there for such outputs. Whether the text comes out again depends on the version of PyTorch and on the
# device it was made on, which the source does not state for sure. So do not expect it.

# %% tags=["needs-weights"]
settings = {"max_new_tokens": 25, "seed": 123, "draw": Multinomial}
gpt2 = official("gpt2")
if gpt2 is not None:
    recipe = Sample(TopK(50), Temperature(1.5))
    ours = generate(gpt2, tokenizer, "Every effort moves you", recipe, **settings)
    print(ours.prompt + ours.text)
    print("the published text:", ours.prompt + ours.text == published)

# %% [markdown]
# ## What to remember
#
# - Sampling needs the last position only: (B, V) in, one id a row out. Name the dimension you remove.
# - Inverse CDF: the first id at which the summed probability *exceeds* one uniform number.
# - Gumbel-max: the argmax of the logits, each with Gumbel noise of its own, is an exact draw from the softmax.
# - `torch.multinomial` runs the same race with exponential noise.
# - With noise tied to the id, removing words changes a choice only if it removes the choice itself: common random numbers.
# - A sample is not the distribution. Test counts, not impressions; where you can, add up instead of sampling.
# - A seed fixes a text only if nothing else can use up its numbers: make the noise a function of what it is for.
#
# ## To go further
#
# - No pair of samplers changes fewer choices on average than half the sum of $|p_i - q_i|$. How near does Gumbel-max come?
# - How many draws does the G-test need to notice that a sampler's u has only two decimals?
#
# ## Papers and further reading
#
# - Gumbel 1954, *Statistical Theory of Extreme Values and Some Practical Applications*: where the noise comes from.
# - Maddison, Tarlow & Minka 2014, *A\* Sampling*, [arXiv:1411.0030](https://arxiv.org/abs/1411.0030): Gumbel-max, and beyond.
# - Kool, van Hoof & Welling 2019, *Stochastic Beams and Where to Find Them*,
#   [arXiv:1903.06059](https://arxiv.org/abs/1903.06059): exercise 5.4 for whole texts.
# - Steele, Lea & Flood 2014, *Fast Splittable Pseudorandom Number Generators*,
#   [doi:10.1145/2660193.2660195](https://doi.org/10.1145/2660193.2660195): the hash.
# - Salmon et al. 2011, *Parallel Random Numbers: As Easy as 1, 2, 3*,
#   [doi:10.1145/2063384.2063405](https://doi.org/10.1145/2063384.2063405): random numbers as a function.
