# %% [markdown]
# # 5. Drawing a token
#
# **Goal.** You know three ways of drawing a token from its probabilities, have written two of them, and can tell a
# right sampler from a wrong one.
#
# **Time** 60 minutes · **Needs** [4. Temperature and entropy](04_temperature_and_entropy.ipynb) · **Next**
# [6. Top-k and top-p](06_top_k_and_top_p.ipynb)
#
# Sampling is one line of the blog post *Logits to Text*: `torch.multinomial(probabilities, num_samples=1).squeeze()`.
# What happens inside this line? Where does chance come from, on a machine that only calculates? And if the line were
# wrong, how would you notice? After all, any text that comes out *might* have been drawn.

# %% tags=["setup"]
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents]
roots = [folder for folder in folders if (folder / "notebooks" / "checks").is_dir()]
if not roots:
    raise SystemExit("Open this notebook in the project's folder; see notebooks/README.md")
sys.path[:0] = [str(roots[0]), str(roots[0] / "notebooks")]

# %%
import math
from collections import Counter

import torch
from matplotlib.figure import Figure

from checks import drawing_a_token as check
from decoding import Gumbel, InverseCDF, Prefix, Purpose, Temperature, TopP, plots
from decoding.chance import noise, row_keys
from decoding.significance import g_test

# %% [markdown]
# ## The tutorial's line
#
# Our nine words again, with their logits after "The cat sat on the", and the probabilities that follow.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
logits = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])  # (V,)
probabilities = logits.softmax(dim=-1)  # (V,)
plots.next_token_bars([("after “The cat sat on the”", logits)], words.__getitem__, top=9)

# %% [markdown] tags=["predict"]
# **Predict.** A model returns logits of shape (B, T, V): a row of V logits for every position of every text. The post
# turns them into probabilities and hands all of them to `torch.multinomial`. What will come back, and in which shape?
#
# <details><summary>Answer</summary>
#
# Nothing: it raises a RuntimeError. `torch.multinomial` takes one row of probabilities, or several rows; it does not
# take three dimensions.
#
# </details>

# %%
three_dimensions = probabilities.expand(1, 10, 9)  # (B, T, V), as a model would return them
try:
    torch.multinomial(three_dimensions, num_samples=1).squeeze()
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# Two things need mending. Only the **last position** says what comes after the text, so take that first. And
# `squeeze()` removes *every* dimension of size 1: what it returns depends on how many texts there are.

# %%
for B in (1, 3):
    last = probabilities.expand(B, 10, 9)[:, -1]  # (B, V)
    drawn = torch.multinomial(last, num_samples=1)  # (B, 1)
    squeezed, column = drawn.squeeze(), drawn[:, 0]
    print(f"B = {B}: {tuple(drawn.shape)}, squeezed {tuple(squeezed.shape)}, ", end="")
    print(f"[:, 0] {tuple(column.shape)}")

# %% [markdown]
# With one text, `squeeze()` leaves a tensor without any dimension, and the loop that expects one id a row breaks.
# `drawn[:, 0]` is (B,) for every B: say which dimension should go.
#
# ## What a draw is
#
# A draw is one word, and the next draw may be another. Let us draw a hundred times. Bars are what came up, diamonds are
# what is expected, $100 \cdot p_i$, and the whiskers reach two standard deviations to both sides: about 95 of 100 counts
# end within.

# %% [markdown] tags=["predict"]
# **Predict.** "sat" has a probability of half a percent. Will it come up in a hundred draws?
#
# <details><summary>Answer</summary>
#
# Probably not: it stays away with probability $0.9948^{100} \approx 0.59$. A hundred draws say nearly nothing about the
# words that are rare.
#
# </details>

# %% tags=["varies"]
generator = torch.Generator().manual_seed(0)
drawn = torch.multinomial(probabilities, 100, replacement=True, generator=generator)
counts = drawn.bincount(minlength=9)  # (V,): how often each word came up
plots.frequencies(counts, probabilities, words.__getitem__, title="100 draws")

# %% tags=["varies"]
drawn = torch.multinomial(probabilities, 10_000, replacement=True, generator=generator)
counts = drawn.bincount(minlength=9)
plots.frequencies(counts, probabilities, words.__getitem__, title="10,000 draws")

# %% [markdown]
# A sample is not the distribution. The error of a share shrinks as $1 / \sqrt{n}$: a hundred times as many draws for one
# more digit. (Your two pictures may differ from the stored ones: PyTorch does not promise that `torch.multinomial` draws
# the same from one version to the next. We shall come back to this.)
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
# - The sums of real probabilities end at 0.9999998 or so, because of rounding. Where no sum exceeds u, return the last id
#   whose probability is not 0.


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
# This is the simplest sampler there is, one number a draw, and it works for any distribution. `decoding.InverseCDF` is
# the same, for many rows at once. It has one odd property: the *order* of the ids matters. Make "mat" a little less
# likely, and all blocks above it slide down; the same u may now hit another word, though nothing happened to that word.
#
# ## Noise for every word: Gumbel-max
#
# There is a second way, and it needs no probabilities. Every word gets a random number $g_i$ of its own, added to its
# logit, and the largest sum wins:
#
# $$\text{choice} = \arg\max_i \; (z_i + g_i), \qquad g_i = -\log(-\log u_i)$$
#
# This is an exact draw from the softmax of the logits, provided that the noise has just this form, named after Emil
# Gumbel. Greedy decoding with noise, so to say.

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
keys = row_keys(36, Purpose.TOKEN, Prefix.of([[7]] * 3, range(3)))  # (3,): three samples
u = noise(keys, torch.arange(9))  # (3, V) uniform numbers; "Seeds" below says how
noisy = logits - (-u.log()).log()  # (3, V)
winners = noisy.argmax(dim=-1).tolist()
figure = Figure(figsize=(8, 3.6), layout="constrained")
for axes, row, best in zip(figure.subplots(1, 3, sharey=True), noisy, winners, strict=True):
    axes.vlines(range(9), logits, row, color="#707070")
    axes.plot(words, logits, "ok", ms=4, label="logit")
    axes.plot(words, row, "_", color="#0072b2", ms=10, mew=2, label="with noise")
    axes.plot(best, row[best], "*", color="#c8761a", ms=14, label="the largest")
    axes.set_title(f"drawn: {words[best]}")
    axes.tick_params("x", rotation=90)
axes.legend(loc="upper right")
alt = f"Nine logits with noise, three times; the largest: {[words[i] for i in winners]}."
plots.Picture(figure, alt=alt, text=alt)

# %% [markdown]
# **Why it is exact.** Turn the sum $z_i + g_i$ into a time: $t_i = e^{-(z_i + g_i)}$. The largest sum is the earliest time.
# With the noise put in, $t_i = -\log(u_i) / e^{z_i}$, which is the time at which an alarm clock rings that rings $e^{z_i}$
# times a minute on average (an exponential distribution). Of several such clocks, clock $i$ is the first to ring with
# probability
#
# $$\frac{e^{z_i}}{\sum_j e^{z_j}}$$
#
# since each ringing belongs to it with just this share. That is the softmax.


# %%
def draws(chance, logits, n):
    """n draws from softmax(logits), (V,) -> (n,), as n samples of one prompt make them."""
    samples = Prefix.of([[7]] * n, range(n))
    return chance.choose(logits.expand(n, -1), Purpose.TOKEN, samples)


counts = draws(Gumbel(seed=2), logits, 10_000).bincount(minlength=9)  # (V,)
plots.frequencies(counts, probabilities, words.__getitem__, title="10,000 draws, Gumbel")

# %% [markdown]
# ## Why this project prefers it
#
# Suppose that you try a text with two settings and the same seed. What you want to see is the difference that the
# *setting* makes, not other luck. With Gumbel noise each word keeps its own noise. Top-p removes a few words, and the
# others still compare as before.

# %% [markdown] tags=["predict"]
# **Predict.** 200 draws, then the same 200 with the same seed after top-p 0.9, which keeps four of the nine words. How
# many draws change with Gumbel noise, and how many with the inverse CDF?
#
# <details><summary>Answer</summary>
#
# With Gumbel noise only those whose word was removed: it is 9 of 200. With the inverse CDF 34, since all blocks grow and
# slide, and a u near an edge falls into another block.
#
# </details>

# %%
changed = {}
for processor in (TopP(0.9), Temperature(0.9), Temperature(0.7)):
    for chance in (Gumbel(seed=3), InverseCDF(seed=3)):
        before, after = draws(chance, logits, 200), draws(chance, processor(logits), 200)
        name = f"{processor}, {type(chance).__name__}"
        changed[name] = int((before != after).sum())
alt = f"Bar chart of how many of 200 draws change with the setting: {changed}."
plots.bars(list(changed), list(changed.values()), xlabel="of 200 draws changed", alt=alt)

# %% [markdown]
# Comparing two things with the same luck is called using **common random numbers**. You meet them again wherever two
# distributions have to be compared or coupled, as in speculative decoding.
#
# ## How is a sampler tested?
#
# Somebody has written a sampler with noise from the normal distribution: “Noise is noise, and mine has the same spread as
# Gumbel's.” Here are 100 draws of it.


# %%
def bell_draws(n):
    """n draws with normal noise instead of Gumbel's, of the same standard deviation."""
    generator = torch.Generator().manual_seed(0)
    bell = math.pi / math.sqrt(6) * torch.randn(n, 9, generator=generator)  # (n, V)
    return (logits + bell).argmax(dim=-1)  # (n,)


counts = bell_draws(100).bincount(minlength=9)  # (V,)
plots.frequencies(counts, probabilities, words.__getitem__, title="100 draws, normal noise")

# %% [markdown] tags=["predict"]
# **Predict.** Look at the picture as a tester. Would you let this sampler pass?
#
# <details><summary>Answer</summary>
#
# By the eye, yes: every bar is within its whiskers. It is wrong all the same, as more draws will show: the rare words come up
# too rarely, since normal noise hardly ever makes a large jump. The eye sees what is badly wrong, and no more.
#
# </details>

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
# Make a mask of the words that came up, `counts > 0`, and sum over these only. Division by an expectation of 0 then gives
# `inf` by itself.
#
# </details>

# %% [markdown]
# `decoding.significance.g_test` returns the p-value. (It also pools the rarest words until ten are expected of them, for
# the chi-squared distribution is an approximation.) Here it judges both samplers after more and more draws.


# %%
def p_value(drawn):
    return g_test(drawn.bincount(minlength=9).tolist(), probabilities.tolist())


numbers = [100, 200, 500, 1000, 2000]
p_values = {
    "Gumbel noise": [p_value(draws(Gumbel(seed=2), logits, n)) for n in numbers],
    "normal noise": [p_value(bell_draws(n)) for n in numbers],
}
ends = {name: f"{values[-1]:.0e}" for name, values in p_values.items()}
alt = f"Line chart of p-values from 100 to 2,000 draws; at the end: {ends}."
axes_are = {"xlabel": "draws", "ylabel": "p-value", "logx": True, "logy": True}
plots.lines(numbers, p_values, alt=alt, **axes_are)

# %% [markdown]
# The right sampler's p-value wanders anywhere between 0 and 1, however many draws there are. The wrong one's falls and falls:
# given enough draws, a test finds any error. This project's tests ask for a p-value above 0.000001 with fixed seeds, so
# a test that has passed once will always pass.
#
# Better than any statistics is **adding up**. On a model with nine words, all texts of two words can be listed, with the
# exact probability of each. `decoding.law` does that for any strategy.

# %%
from decoding import Sample, TableModel, TopK, generate_ids, law

generator = torch.Generator().manual_seed(0)
table = 2 * torch.randn(9, 9, generator=generator)  # (V, V): the logits after each word
the = words.index("the")
table[the] = logits
toy = TableModel.bigram(table, n_positions=8)
exact = law(Sample(TopK(3)), toy, [the], max_new_tokens=2)  # ids -> probability
for ids, probability in exact.items():
    print(f"the {words[ids[0]]:4} {words[ids[1]]:4} {probability:.4f}")

# %%
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
# they were drawn. All chance comes from `torch.rand`; do not set a seed, and leave `torch.multinomial` aside. For
# [0.5, 0.3, 0.2], the list [0, 1] must come up with probability 0.5 · 0.3 / 0.5 = 0.3, and [1, 0] with
# 0.3 · 0.5 / 0.7 = 0.214.
#
# The check calls your function some thousand times and makes a G-test of the pairs, like the one above.


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
# are $k$. The inverse CDF has nothing like it.
#
# ## Seeds
#
# A computer's random numbers are calculated from a *seed*. Same seed, same numbers. But PyTorch has one generator for
# everybody, and it counts on with each number that anybody takes. Watch what a single number more does.

# %% tags=["varies"]
for extra in (0, 1):
    torch.manual_seed(1)
    torch.rand(extra)  # somebody else draws before us
    drawn = torch.multinomial(probabilities, 8, replacement=True)
    print(f"taken before: {extra}; ours:", " ".join(words[i] for i in drawn))

# %% [markdown]
# So the seed alone does not fix the text: it also depends on who drew before, and in a batch on how many neighbours there
# are. And since `torch.multinomial` may draw differently in the next version, the text may change with an update
# ([pytorch#154031](https://github.com/pytorch/pytorch/issues/154031)).
#
# This project *calculates* the noise for each choice instead: a hash turns (seed, sample number, step, purpose, id) into a
# number between 0 and 1. Nothing is counted on, so nobody can disturb anybody.


# %%
def five(seed, sample):
    key = row_keys(seed, Purpose.TOKEN, Prefix.of([[the]], [sample]))  # (1,)
    return " ".join(f"{u:.4f}" for u in noise(key, torch.arange(5))[0].tolist())


for seed, sample in ((7, 0), (7, 1), (8, 0), (7, 0)):
    print(f"seed {seed}, sample {sample}, ids 0 to 4: {five(seed, sample)}")

# %% [markdown]
# Neighbouring seeds have nothing in common, and asking twice gives the same. The hash is integer arithmetic (the last
# step of SplitMix64), equal on every machine, and the project's tests hold some of these numbers fixed bit for bit: if a
# change would alter everybody's texts, a test fails first.
#
# ## The storybook model
#
# Now a real vocabulary. The same prompt with the seeds 1 to 4, and the first seed once more:

# %%
from decoding import Multinomial, Tokenizer, generate
from gpt2 import GPT2

model, tokenizer = GPT2.from_pretrained("storybook"), Tokenizer()
prompt = "Once upon a time, there was a little"
for seed in (1, 2, 3, 4, 1):
    result = generate(model, tokenizer, prompt, Sample(), max_new_tokens=20, seed=seed)
    print(f"seed {seed}:{result.text}".replace("\n", " "))

# %% [markdown]
# Without a seed one is drawn, and `result.seed` tells which. So you can repeat any text that you liked.

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
# And common random numbers in a text: six samples of 20 tokens, drawn freely and then with top-p 0.95, with the same seed.
# How many tokens do the two have in common before they part?


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
# ## Noise has an end
#
# `torch.rand` gives float32: multiples of $2^{-24} \approx 6 \cdot 10^{-8}$. A block between two such multiples is never hit.
# For nine words this is nothing. Here is how
# many of the 50,257 ids the inverse CDF can never draw with such a number.

# %%
with torch.inference_mode():
    last = model(torch.tensor([tokenizer.encode(prompt)]))[0, -1].double()  # (V,)
for T in (1.0, 0.8, 0.6):
    tops = (last / T).softmax(dim=-1).cumsum(dim=-1)  # (V,)
    grid = (tops * 2**24).ceil()  # how many multiples lie below the top of each block
    never = (grid.diff(prepend=torch.zeros(1)) == 0).double().mean()
    print(f"T = {T}: {never:.0%} of all ids can never be drawn")

# %% [markdown]
# Each of these ids is rare, but there are many of them, and other ids get their share. Gumbel noise made of float32 ends as
# well: how far can it lift a word that is far below the best? (`torch.rand` can also return exactly 0. Then the noise is
# −inf, and the word is out, however likely it is.)

# %%
for dtype, bits in ((torch.float32, 24), (torch.float64, 53)):
    u = torch.tensor([2.0**-bits, 1 - 2.0**-bits], dtype=dtype)  # both ends
    low, high = (-(-u.log()).log()).tolist()
    print(f"{dtype}: Gumbel noise from {low:.1f} to {high:.1f}")

# %% [markdown]
# In float32 a word that is more than 19.4 below the best has no chance; in float64 it is 40.3, a probability of $3 \cdot 10^{-18}$. So
# this project makes its noise in float64. Real servers have stumbled here: in
# [vllm#43150](https://github.com/vllm-project/vllm/issues/43150) 33 draws from the tail were expected, and none came.
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
# `Multinomial` is there for such outputs. Whether the text comes out again depends on the version of PyTorch and on the device it
# was made on, which the source does not state for sure. So do not expect it, and do not be alarmed.

# %% tags=["needs-weights"]
from weights import official

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
# - With noise tied to the id, removing words changes a choice only if it removes the choice itself: common random numbers.
# - A sample is not the distribution. Test counts, not impressions; where you can, add up instead of sampling.
# - A seed fixes a text only if nothing else can use up its numbers: make the noise a function of what it is for.
#
# ## To go further
#
# - `torch.multinomial(p, 1)` divides p by exponential noise and takes the largest. Show that this is Gumbel-max.
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
