# %% [markdown]
# # 6. Top-k and top-p
#
# **Goal.** You can remove the unlikely words in two ways, say what each does at its edges, and
# know where programs that share the names do different things.
#
# **Time** 60 minutes · **Needs** notebooks [1](01_logits_to_text.ipynb),
# [4](04_temperature_and_entropy.ipynb) and [5](05_drawing_a_token.ipynb) · **Next**
# [7. Beyond top-p](07_beyond_top_p.ipynb)
#
# A draw from the model's own distribution can pick any of 50,257 tokens. Nearly all of them are
# nonsense, each with a tiny probability; but there are very many. The
# [blog post](https://github.com/kapilsh/kapilsh.github.io/blob/f1c84578b30c/_posts/2024-07-19-logits-to-text.md)
# mentions the remedy in one line: "limiting the sampling pool to the top-k or top-p tokens". Here
# you write both, and find out how much that line leaves open.

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
import textwrap

import torch
from IPython.display import display

from checks import top_k_and_top_p as check
from decoding import (
    Multinomial,
    Processor,
    Sample,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    generate,
    plots,
)
from decoding.legible import token_name
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## The tail
#
# Sort all ids by probability. The likeliest are the *head*, all others the *tail*. How much lies
# in the tail, if the head has 1, 40, 400 or 4,000 ids? We ask the bundled model `storybook`:

# %%
model = GPT2.from_pretrained("storybook")
tokenizer = Tokenizer()

prompt = "The little girl opened the door and saw a"
with torch.no_grad():
    next_logits = model(torch.tensor([tokenizer.encode(prompt)]))[0, -1]  # (V,)
sorted_shares = next_logits.double().softmax(dim=-1).sort(descending=True).values  # (V,)
for head in (1, 40, 400, 4000):
    print(f"head of {head:5,}: {sorted_shares[head:].sum():5.1%} in the tail")

# %% [markdown]
# More than one draw in ten falls outside of the likeliest 400. What is out there? Let us draw from
# that tail only. A *processor* is a class whose `process` changes the logits before the draw
# (`prefix`, the text so far, is not needed here); one that removes ids is a *filter*.


# %%
class Tail(Processor):
    """Remove the likeliest 400 ids and keep all others."""

    def process(self, logits, prefix):
        least = logits.topk(400).values[..., -1:]  # the 400th largest, as (..., 1)
        return logits.masked_fill(logits >= least, -torch.inf)


draws = generate(
    model, tokenizer, prompt, Sample(Tail()), max_new_tokens=1, num_samples=8, seed=6
)
for draw in draws:
    print(f"{draw.text!r:15} probability {math.exp(draw.model_logprobs[0]):.1g}")

# %% [markdown]
# Some would do ("stove", "sky"), some are endings of other words. None was likely; but together
# they are drawn often. And the model cannot take a word back. It goes on from that word, here in
# capitals, as from any other:

# %%
for draw in (draws[0], draws[4], draws[7]):
    start = prompt + draw.text
    cool = Sample(Temperature(0.5))
    rest = generate(model, tokenizer, start, cool, max_new_tokens=20, seed=1)
    print(f"...saw a{draw.text.upper()}{rest.text.splitlines()[0]}")

# %% [markdown] tags=["predict"]
# **Predict.** Say each draw falls into the tail with only 1%. Two sentences are 37 draws. Is the
# chance that all of them stay in the head more or less than one half?
#
# <details><summary>Answer</summary>
#
# More: $0.99^{37} \approx 0.69$. Still, nearly one text in three contains such a token. What is rare
# per token is common per text.
#
# </details>

# %%
text = (
    "Once upon a time there was a king who had three sons. The youngest of them loved nothing "
    "so much as his old grey horse, and one morning he rode away to see the world."
)
ids = tokenizer.encode(text)
with torch.no_grad():
    text_logits = model(torch.tensor([ids]))[0, :-1]  # (T - 1, V): before each next token
shares = text_logits.double().softmax(dim=-1).sort(descending=True).values  # (T - 1, V)
safe = {
    f"top {head:,}": shares[:, :head].sum(dim=-1).cumprod(dim=-1)
    for head in (40, 400, 4000)
}
print(f"if the tail had 1% everywhere: {0.99 ** (len(ids) - 1):.2f}")
plots.lines(
    range(1, len(ids)),
    safe,
    xlabel="draws",
    ylabel="chance that all stay in the head",
    title="One draw at each place of this text",
    alt="Falling curves of the chance that all draws so far stay in the head: after 37 draws "
    + ", ".join(f"{curve[-1]:.2%} for {name}" for name, curve in safe.items())
    + ".",
)

# %% [markdown]
# The real tails are larger. Draw once at each place of this text, and all 37 stay among the likeliest
# 4,000 with a chance of 62%, among 400 with 8%, among 40 with 0.06%. So sampling needs a filter, and
# two are famous. *Top-k* keeps a fixed **number** of ids, *top-p* a fixed **share** of the probability.

# %% [markdown]
# ## Top-k: a fixed number
#
# Our nine words again. Top-k keeps the k likeliest and sets every other logit to $-\infty$,
# whose probability is $e^{-\infty} = 0$. The softmax then shares the whole among those left.

# %% [markdown] tags=["predict"]
# **Predict.** *mat* has 52.1%, *sofa* 25.9%, *roof* 11.6%, together 89.6%. Top-3 keeps these three.
# Will *mat* still be twice as likely as *sofa*? And what does its 52.1% grow to?
#
# <details><summary>Answer</summary>
#
# Still twice: the survivors' logits are what they were, so the ratios among them stay. Each
# probability is divided by the same 0.896, and *mat* grows to 0.521 / 0.896 = 58.1%. This is called
# *renormalising*, and the softmax does it without being asked.
#
# </details>

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
logits = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])  # (V,)

before, after = logits.softmax(dim=-1), TopK(3)(logits).softmax(dim=-1)  # (V,) each
print(f"mat / sofa: {before[0] / before[1]:.2f} before, {after[0] / after[1]:.2f} after")
print(f"mat: {before[0]:.3f} / {before[:3].sum():.3f} = {after[0]:.3f}")
stages = [("the model", logits), ("TopK(3)", TopK(3)(logits))]
plots.next_token_bars(stages, words.__getitem__, top=9)

# %% [markdown]
# ### Exercise 6.1 · ★☆☆ · 8 min
#
# Write top-k for one row of logits, (V,), without `TopK`. Return logits (V,): the k largest as they
# were, all others `-inf`. For example, k = 2 makes `[1, 5, 3, 4]` into `[-inf, 5, -inf, 4]`.
#
# - **Ties.** Exactly k stay. Where equal logits compete for the last places, the lower ids stay:
#   k = 2 makes `[1, 3, 1, 1]` into `[1, 3, -inf, -inf]`.
# - **k above V** keeps everything. k is at least 1.
# - A logit that is `-inf` already stays so, whatever k is.
# - The caller's tensor is not changed.


# %% tags=["exercise"]
def top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Logits (V,) -> logits (V,), of which the k likeliest are left."""
    ### BEGIN SOLUTION
    order = logits.argsort(descending=True, stable=True)  # (V,) ids, the likeliest first
    survivors = order[:k]  # a slice stops at the end by itself
    result = torch.full_like(logits, -torch.inf)
    result[survivors] = logits[survivors]
    return result
    ### END SOLUTION


# %% tags=["check"]
check.top_k(top_k)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 6.1</summary>
#
# Sort *ids*, not values: `argsort` with `descending=True` and `stable=True` puts the lower of
# equal ids first. (`torch.topk` promises no order among equals, nor does a sort without `stable`:
# where it comes out right, that is luck.) The first k of them survive. Begin with a tensor full of
# `-inf` (`torch.full_like`) and copy the survivors into it.
#
# </details>

# %% [markdown]
# ### Which k?
#
# After "Once upon a", one word is nearly certain. After "and saw a", hundreds are possible. So one
# k is too large here and too small there. On nine words, a peaked and a flat distribution:

# %%
peaked = 6 * logits
flat = 0.3 * logits
plots.next_token_bars(
    [
        ("peaked", peaked),
        ("peaked, TopK(3)", TopK(3)(peaked)),
        ("flat", flat),
        ("flat, TopK(3)", TopK(3)(flat)),
    ],
    words.__getitem__,
    top=9,
)

# %% [markdown]
# In the peaked one top-3 keeps *sofa* and *roof*, with 1.5% between them. In the flat one it
# removes *dog*, nearly as likely as *roof* (11.2% and 14.7%), and 43% of the probability in all.
# How many words are good depends on the text, and top-k does not look.

# %% [markdown]
# ## Top-p: a fixed share
#
# Nucleus sampling, or *top-p*, fixes the probability instead of the number. Sort the ids, the
# likeliest first, and sum up. The **nucleus** is the smallest set that holds at least p:
#
# $$m = \min\,\{\,n : p_{(1)} + p_{(2)} + \dots + p_{(n)} \ge p\,\}$$
#
# where $p_{(1)} \ge p_{(2)} \ge \dots$ are the sorted probabilities. The first m ids stay.

# %% [markdown] tags=["predict"]
# **Predict.** The sums for our words are 0.521, 0.780, 0.896, 0.944, 0.975, ... How many words
# does p = 0.9 keep? And p = 0.3?
#
# <details><summary>Answer</summary>
#
# Four: three words hold 0.896, which is not yet 0.9, so *dog*, which crosses the line, stays,
# too. p = 0.3 keeps one: *mat* alone holds more than that. A nucleus is never empty.
#
# </details>

# %%
for p in (0.3, 0.9):
    kept = TopP(p)(logits) > -torch.inf  # (V,)
    print(f"p = {p}:", *[word for word, stays in zip(words, kept, strict=True) if stays])
plots.nucleus_curve(logits, 0.9, words.__getitem__)

# %% [markdown]
# The step of *roof* seems to touch the dashed line: it ends at 89.6%, just below.

# %% [markdown]
# ### Exercise 6.2 · ★★☆ · 15 min
#
# Write top-p for one row of logits, (V,), and a p above 0 and at most 1, without `TopP`. Return
# logits (V,): those of the nucleus as they were, all others `-inf`. Worked by hand, the logits
# `[-1.61, -0.69, -1.20]`, whose probabilities are `[0.2, 0.5, 0.3]`, and p = 0.7:
#
# | id, sorted | 1 | 2 | 0 |
# | --- | --- | --- | --- |
# | probability | 0.5 | 0.3 | 0.2 |
# | sum so far | 0.5 | 0.8 | 1.0 |
# | | stays | crosses 0.7, stays | goes |
#
# Back in the order of the ids: `[-inf, -0.69, -1.20]`.
#
# - The id that crosses p **stays**; so at least one id always does.
# - **Equality.** A sum of exactly p is enough: of four words with 25% each, p = 0.5 keeps two.
# - **Ties.** Of equal logits the lower ids come first: it keeps the two with the lowest ids.
# - **p = 1** keeps every id. (A rounded sum can reach 1 early, and lose those behind.)
# - Some logits may be `-inf` already. The caller's tensor is not changed.
#
# In the checks a sum is either exact or clearly off p: rounding never decides.


# %% tags=["exercise"]
def top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Logits (V,) -> logits (V,), of which the nucleus is left."""
    ### BEGIN SOLUTION
    if p == 1:
        return logits
    ranked, order = logits.sort(descending=True, stable=True)  # (V,) each
    summed = ranked.softmax(dim=-1).cumsum(dim=-1)  # (V,)
    crossing = int((summed < p).sum())  # how many sums fall short: the next one reaches p
    nucleus = order[: crossing + 1]
    result = torch.full_like(logits, -torch.inf)
    result[nucleus] = logits[nucleus]
    return result
    ### END SOLUTION


# %% tags=["check"]
check.top_p(top_p)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 6.2</summary>
#
# `logits.sort(descending=True, stable=True)` returns the sorted logits *and their ids*. Softmax
# and `.cumsum(dim=-1)` of the sorted ones give the sums. Count the sums that are still below p: if
# there are n, the first n + 1 ids of the order stay. Treat p = 1 first.
#
# </details>

# %% [markdown]
# Now the distributions from before. Top-k fixes the number, whatever share that is; top-p asks for
# a share of at least 90%, and the number adapts:

# %%
print(f"{'':12} TopK(3) keeps      TopP(0.9) keeps")
for name, row in (("peaked", peaked), ("as it was", logits), ("flat", flat)):
    share = row.softmax(dim=-1)
    cells = []
    for processor in (TopK(3), TopP(0.9)):
        kept = processor(row) > -torch.inf  # (V,)
        cells.append(f"{int(kept.sum())} of 9, {share[kept].sum():4.0%}")
    print(f"{name:12} {cells[0]:18} {cells[1]}")

# %% [markdown]
# ## Order matters
#
# Processors act one after another, and each sees what the one before has left.

# %% [markdown] tags=["predict"]
# **Predict.** Heat first and filter then, or filter first and heat then: do you get the same logits,
# if the filter is top-k? And if it is top-p?
#
# <details><summary>Answer</summary>
#
# With top-k, yes: a temperature keeps the order of the words, so the k likeliest are the same before
# and after. With top-p, no: a temperature moves probability about, and top-p counts probability.
# Heated first, the nucleus grows.
#
# </details>

# %%
hot = Temperature(2)
for keep in (TopK(4), TopP(0.9)):
    first, last = keep(hot(logits)), hot(keep(logits))
    sizes = [int((row > -torch.inf).sum()) for row in (first, last)]
    answer = "the same logits" if torch.equal(first, last) else "not the same"
    print(f"{keep!r:9} after heating: {sizes[0]} words, before: {sizes[1]}; {answer}")

# %% [markdown]
# The order of top-k and top-p counts, too. After top-3, *mat* and *sofa* have 58.1% + 28.9% = 87.0%
# of what is left: enough for p = 0.85. Among all words they have 52.1% + 25.9% = 78.0%, and top-p
# needs *roof* as well:

# %%
for order in ([TopK(3), TopP(0.85)], [TopP(0.85), TopK(3)]):
    row = order[1](order[0](logits))
    kept = [word for word, logit in zip(words, row, strict=True) if logit > -torch.inf]
    print(f"{order!s:22} keeps {' '.join(kept)}")

# %% [markdown]
# ### Exercise 6.3 · ★☆☆ · 5 min
#
# Libraries put the three together. Write the function in the order of transformers: first divide
# by the temperature (above 0), then top-k, then top-p, each on what the one before has left.
# Return logits (V,); the survivors' are divided by the temperature.
#
# Use `Temperature`, `TopK` and `TopP` from this project, or functions of your own. With our nine
# words, temperature 2, k = 5 and p = 0.75, top-k leaves five words and top-p three of them. Their
# logits are 1.55, 1.2 and 0.8.


# %% tags=["exercise"]
def filtered(logits: torch.Tensor, temperature: float, k: int, p: float) -> torch.Tensor:
    """Logits (V,) -> logits (V,) after temperature, top-k and top-p, in this order."""
    ### BEGIN SOLUTION
    for act in (Temperature(temperature), TopK(k), TopP(p)):
        logits = act(logits)
    return logits
    ### END SOLUTION


# %% tags=["check"]
check.filtered(filtered)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 6.3</summary>
#
# A processor is made first, `Temperature(2)`, and called then: `Temperature(2)(logits)` is a tensor
# of logits again. Hand it to the next. In nested calls `f(g(x))` it is g that acts first.
#
# </details>

# %% [markdown]
# ## Where systems disagree
#
# Top-k and top-p fit into a sentence each, and yet programs that say "top-p 0.9" do different
# things. To see it without rounding, take the probabilities 1/2, 1/4, ... down to 1/256, and 1/256
# once more for the ninth word. The sums 0.5, 0.75, 0.875, ... are exact.

# %% [markdown] tags=["predict"]
# **Predict.** How many words are the smallest set with at least 0.75? With at least 0.8? Which other
# numbers do you get with a `<=` for a `<`, or by dropping the id that crosses p?
#
# <details><summary>Answer</summary>
#
# Two and three. With `<=` it is three at p = 0.75: one more where a sum equals p. Without the id that
# crosses it is two at p = 0.8. Both are in use.
#
# </details>

# %%
halves = torch.tensor([1 / 2**n for n in range(1, 9)] + [1 / 256], dtype=torch.float64)
mass = halves.cumsum(dim=-1)  # (V,): 0.5, 0.75, 0.875, ..., 1

rules = {  # p -> how many of the likeliest stay
    "smallest set with at least p": lambda p: int((mass[:-1] < p).sum()) + 1,
    "one more where a sum equals p": lambda p: int((mass[:-1] <= p).sum()) + 1,
    "stop before p is crossed": lambda p: max(int((mass <= p).sum()), 1),
}
print(f"{'':30}" + "".join(f"p = {p:<7}" for p in (0.3, 0.75, 0.8, 1)))
for name, rule in rules.items():
    print(f"{name:30}" + "".join(f"{rule(p):<11}" for p in (0.3, 0.75, 0.8, 1)))

# %% [markdown]
# The third leaves 75% at p = 0.8, where at least 80% was asked for.
#
# Top-k has a question of its own, ties. Equal logits look like a curiosity, until a model computes in
# bfloat16, which keeps eight binary digits of each. At how many positions of our text about the king
# does another id tie with the k-th, so that more than k would stay?

# %%
tied = torch.tensor([1.0, 3.0, 1.0, 1.0, 0.0, -1.0, -1.0, -2.0, -3.0])  # (V,)
every_tie = tied >= tied.topk(2).values[-1]
print("k = 2, exactly k:", int((TopK(2)(tied) > -torch.inf).sum()), "words")
print("k = 2, all ties: ", int(every_tie.sum()), "words")

for name, rows in (("float32", text_logits), ("bfloat16", text_logits.bfloat16())):
    kept = (rows >= rows.topk(40).values[:, -1:]).sum(dim=-1)  # (T - 1,)
    more, most = int((kept > 40).sum()), int(kept.max())
    print(f"k = 40, {name:8}: ties at {more} of {len(kept)} positions, up to {most} ids")

# %% [markdown]
# Nobody is simply wrong. But a text can be repeated only by somebody who knows the answers, so a
# project has to choose and say so. The docstrings of `TopK` and `TopP` say what ours chose.
#
# <details><summary>Who does what: a table to look things up</summary>
#
# | Question | Here | Elsewhere |
# | --- | --- | --- |
# | A sum equals p exactly | enough: also transformers, AllenNLP | one more: TransformerLens, x-transformers |
# | The id that crosses p | stays | dropped: OpenAI's first GPT-2 code |
# | Ties at the k-th place | exactly k, lower ids | all stay: minGPT, nanoGPT, transformers |
# | k above V | keeps everything | an error: CTranslate2 |
# | p = 0 | an error, in words | one id: transformers |
# | Temperature and filters | in the order you write | first: transformers; last: llama.cpp, labml |
# | Neither k nor p given | no filter | top-k of 50, when sampling: transformers |
#
# </details>

# %% [markdown] tags=["predict"]
# **Predict.** After "opened the door and saw a", `TopP(0.95)` keeps more than 1,800 ids. You run
# `top_p=0.95` in a library that quietly applies a top-k of 50 first. How many can be left?
#
# <details><summary>Answer</summary>
#
# At most 50, and rather fewer, because top-p then drops up to 5% of what top-k has left. A default
# that nobody wrote down does nearly all of the work.
#
# </details>

# %%
for chain in ([TopP(0.95)], [TopK(50), TopP(0.95)]):
    row = next_logits
    for processor in chain:
        row = processor(row)
    kept = row > -torch.inf  # (V,)
    share = next_logits.softmax(dim=-1)[kept].sum()
    print(f"{chain!s:22} keeps {int(kept.sum()):5,} ids, {share:.0%} of the probability")

# %% [markdown]
# ## No number at all: p-less
#
# Top-k needs a k, top-p a p. A proposal of 2025, *p-less*, takes the threshold from the
# distribution itself: keep an id if its probability is at least
#
# $$\sum_j p_j^2,$$
#
# the chance that two independent draws agree. With `[0.9, 0.1]` both draws are the first word with
# 0.81, both the second with 0.01: they agree with 0.82, and only the first word stays. With
# `[0.5, 0.5]` they agree with 0.5, and both stay. At least one id always does, since
# $\sum_j p_j \cdot p_j \le \max_i p_i$.

# %% [markdown]
# ### Exercise 6.4 · ★☆☆ · 8 min
#
# Write it for a **batch**: logits (R, V) to logits (R, V). Each row is a distribution of its own,
# with its own threshold, and comes out as it would alone. An id that equals the threshold stays;
# removed ids are `-inf`; the caller's tensor is not changed. (The checks contain no row in which
# rounding decides.)
#
# Worked by hand, a batch of two rows:
#
# | logits | probabilities | threshold | stay |
# | --- | --- | --- | --- |
# | `[-1.61, -0.69, -1.20]` | `[0.2, 0.5, 0.3]` | 0.04 + 0.25 + 0.09 = 0.38 | id 1 |
# | `[-0.92, -1.61, -0.92]` | `[0.4, 0.2, 0.4]` | 0.16 + 0.04 + 0.16 = 0.36 | ids 0 and 2 |


# %% tags=["exercise"]
def p_less(logits: torch.Tensor) -> torch.Tensor:
    """Logits (R, V) -> logits (R, V): in each row the ids with p_i at least the sum of p_j²."""
    ### BEGIN SOLUTION
    probabilities = logits.softmax(dim=-1)  # (R, V)
    agreement = probabilities.square().sum(dim=-1, keepdim=True)  # (R, 1): one number a row
    return logits.masked_fill(probabilities < agreement, -torch.inf)
    ### END SOLUTION


# %% tags=["check"]
check.p_less(p_less)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 6.4</summary>
#
# Everything runs along `dim=-1`. The thresholds need the shape (R, 1), so that each meets its own
# row: `keepdim=True`. Then one `masked_fill` does it.
#
# </details>

# %% [markdown]
# What is right on paper can still fail in floating point. Give n words the same probability 1/n: the
# threshold is 1/n, too, and all should stay. Unless the sum of the squares is rounded up:

# %%
for n in range(2, 8):
    share = 1 / n
    agree = sum(share * share for _ in range(n))
    print(f"n = {n}: keeps {n if share >= agree else 0}")

# %% [markdown]
# Five or six equal words, and nothing is left to draw from. This is why "every filter keeps at least
# one id" has to be a law of its own, and not a consequence that one hopes for.

# %% [markdown]
# ## On a real text
#
# Back to `storybook` and the two sentences about the king. How many ids does each filter keep before
# each token? (The first token is missing, since nothing stands before it. The scale is logarithmic.)

# %%
sizes = (TopP(0.9)(text_logits) > -torch.inf).sum(dim=-1)  # (T - 1,)
logprobs = text_logits.log_softmax(dim=-1)  # (T - 1, V)
agree = (2 * logprobs).logsumexp(dim=-1)  # (T - 1,): log of the chance that two agree
tokens = [tokenizer.decode([id]) for id in ids[1:]]
plots.along_text(
    tokens,
    {
        "TopP(0.9)": sizes,
        "TopK(40)": [40] * len(tokens),
        "p-less": (logprobs >= agree[:, None]).sum(dim=-1),
    },
    ylabel="ids kept before this token",
    logy=True,
)

# %% [markdown]
# "Once upon a time there was a" leaves top-p one or two ids; then, at *king*, the story is open and
# hundreds stay. A k of 40 is too large at the beginning and too small for most of the rest. And p-less
# is by far the strictest: it never keeps more than nine ids here, where top-p keeps up to 2,569.

# %% [markdown] tags=["predict"]
# **Predict.** In `generate` the noise of a draw depends only on seed, step and id (notebook 5). So
# with one seed, a filter changes a choice only where it removes what would have been chosen. Same
# prompt, same seed, p = 1 and p = 0.9: will the two texts differ from the first token on?
#
# <details><summary>Answer</summary>
#
# Probably not. They agree until p = 1 draws an id outside of the nucleus, which happens at most once
# in ten steps on average; below at the ninth. From there on they are different texts, since each
# goes on from its own words.
#
# </details>

# %%
settings = {
    "p = 1.0": [],
    "p = 0.9": [TopP(0.9)],
    "p = 0.5": [TopP(0.5)],
    "k = 40": [TopK(40)],
    "k = 5": [TopK(5)],
}
texts = {
    name: generate(model, tokenizer, prompt, Sample(*chain), max_new_tokens=45, seed=0)
    for name, chain in settings.items()
}
for name, result in texts.items():
    lines = textwrap.wrap(" ".join(result.text.split()), 76)
    print(f"{name:9}...{lines[0]}", *lines[1:], sep="\n         ", end="\n\n")

# %% [markdown]
# "theTurkey Proud" is where p = 1 goes astray. p = 0.5 and k = 5 say twice that the little girl was
# very happy. p = 0.9 and k = 40 do neither here. (One seed proves little: try others.) The *rank* of a
# token, its place among all 50,257 at its step, tells more:


# %%
def ranks(result):
    """The rank of each drawn token; 0 for those of the prompt, which were given."""
    all_ids, given = result.prompt_ids + result.ids, len(result.prompt_ids)
    with torch.no_grad():
        logits = model(torch.tensor([all_ids]))[0, :-1]  # (T - 1, V)
    own = logits.gather(-1, torch.tensor(all_ids[1:])[:, None])  # (T - 1, 1)
    places = (logits > own).sum(dim=-1) + 1  # (T - 1,)
    return [0] * given + places[given - 1 :].tolist()


for name, result in texts.items():
    own = ranks(result)
    print(
        f"{name:8} {own.count(1)} of {len(result.ids)} have rank 1, the largest: {max(own):,}"
    )

# %%
for name in ("p = 1.0", "p = 0.5"):
    result = texts[name]
    tokens = [tokenizer.decode([id]) for id in result.prompt_ids + result.ids]
    display(plots.text_by_rank(tokens, ranks(result)))

# %% [markdown]
# Above p = 1, below p = 0.5. That is the trade: a smaller nucleus makes fewer mistakes and fewer surprises. Holtzman et al.
# compared both with texts by people, and used p = 0.95.

# %% [markdown]
# ### One step, stage by stage
#
# `generate(..., trace=True)` keeps what every processor did. Here is one step with a temperature and
# both filters, in the order in which they were written:

# %%
chain = Sample(Temperature(0.7), TopK(6), TopP(0.8))
result = generate(model, tokenizer, prompt, chain, max_new_tokens=1, seed=3, trace=True)
step = result.trace[0]
plots.next_token_bars(
    step.stages, lambda id: token_name(tokenizer, id), top=7, chosen=step.chosen
)

# %% [markdown]
# The temperature sharpens and removes nothing. Top-k leaves six ids and shares out what the others had
# (the last bar: dotted while they are there, hatched once removed). Top-p sums up over those six only.

# %% [markdown] tags=["predict"]
# **Predict.** After this prompt, TopP(0.9) alone keeps 1.25% of the vocabulary, about 630 ids. If a
# temperature of 2 acts before it, does it keep twice as much, ten times as much, or more?
#
# <details><summary>Answer</summary>
#
# 69%, more than fifty times as much: some 35,000 ids. The temperature has lifted the whole tail, and
# without it there is no 90%.
#
# </details>

# %%
print("share of the vocabulary that is left")
print(f"{'':6} temperature, then TopP(0.9)   TopP(0.9), then temperature")
for T in (0.5, 1, 1.5, 2):
    first = TopP(0.9)(Temperature(T)(next_logits)) > -torch.inf
    last = Temperature(T)(TopP(0.9)(next_logits)) > -torch.inf
    print(f"T = {T:<4} {first.double().mean():20.2%} {last.double().mean():27.2%}")

# %% [markdown]
# At T = 2, "top-p 0.9" after the temperature keeps most of the vocabulary: the tail is back. With the
# temperature last the nucleus stays what it was. So "T = 2, p = 0.9" means nothing without the order.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# ARENA, a course on interpretability, prints GPT-2's likeliest words after "John and Mary went to
# the", and checks its readers' `top_p` with them. That works without the model: two numbers are
# enough to find the nucleus of p = 0.1.

# %% tags=["needs-weights"]
# C. McDougall et al., ARENA 3.0 (2024), chapter 1.1: GPT-2 small, no <|endoftext|> in front
john = "John and Mary went to the"
published = {" church": 0.0648, " house": 0.0367, " bathroom": 0.0145, " same": 0.0104}
print("published:  ", ", ".join(f"{word!r} {share}" for word, share in published.items()))
first, second, *_ = published.values()
print(f"p = 0.1 keeps two of them: {first} < 0.1 <= {first + second:.4f}")

gpt2 = official("gpt2")
if gpt2 is not None:
    for start in ([], [tokenizer.eos_id]):
        john_ids = torch.tensor([start + tokenizer.encode(john)])
        with torch.no_grad():
            row = gpt2(john_ids)[0, -1]  # (V,)
        best, size = row.softmax(dim=-1).topk(4), int((TopP(0.1)(row) > -torch.inf).sum())
        found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        line = ", ".join(f"{tokenizer.decode([id])!r} {share:.4f}" for id, share in found)
        print("with BOS:  " if start else "here:      ", f"{line}; p = 0.1 keeps {size}")

# %% [markdown]
# Where the weights are at hand, the cell compares twice: some libraries (TransformerLens, which ARENA
# uses) put `<|endoftext|>`, also called BOS, in front of every prompt unless told otherwise, and that
# changes the numbers. The published ones were made without.
#
# The second published output is a *sampled* text, with top-k of 50 and temperature 1.5. It depends on
# the random numbers of one machine and one version of PyTorch. Such a fact is *soft*: another text
# would not mean that anybody is wrong.

# %% tags=["needs-weights"]
# S. Raschka, LLMs-from-scratch, chapter 5 (2024): torch.manual_seed(123), then top-k, then T
published = (
    "Every effort moves you toward finding an ideal new way to practice something!\n\n"
    "What makes us want to be on top of that?\n\n"
)
print("published:", published.strip())
if gpt2 is not None:
    # the same generator: Multinomial draws with torch.multinomial
    hot = Sample(TopK(50), Temperature(1.5))
    start = "Every effort moves you"
    same = generate(
        gpt2, tokenizer, start, hot, max_new_tokens=25, seed=123, draw=Multinomial
    )
    print("here:     ", (start + same.text).strip())
    print("equal" if start + same.text == published else "not equal: a soft fact")

# %% [markdown]
# ## What to remember
#
# - A tail of a few per cent per token spoils most texts: sampling needs a filter.
# - A removed id is `-inf`. The softmax renormalises; ratios among the survivors stay.
# - **Top-k** keeps exactly k ids, whatever the distribution looks like.
# - **Top-p** keeps the smallest set with at least p. The id that crosses p stays, and the number
#   of ids adapts to the text.
# - Top-k and temperature may be swapped; top-p and temperature may not, nor top-p and top-k.
# - Ties, equality, p = 0, k above V, defaults: systems differ. Write down what you ran.

# %% [markdown]
# ## Papers and further reading
#
# - Fan, Lewis & Dauphin 2018, *Hierarchical Neural Story Generation*, arXiv:1805.04833: top-k.
# - Radford et al. 2019, *Language Models are Unsupervised Multitask Learners*: GPT-2, whose
#   samples were drawn with top-k of 40.
# - Holtzman et al. 2019, *The Curious Case of Neural Text Degeneration*, arXiv:1904.09751: top-p,
#   and why the likeliest text is a bad one.
# - Hewitt et al. 2022, *Truncation Sampling as Language Model Desmoothing*, arXiv:2210.15191: the
#   tail as smoothing that a filter undoes; ε and η cutoffs.
# - Nguyen et al. 2024, *Turning Up the Heat: Min-p Sampling*, arXiv:2407.01082: a threshold
#   relative to the best id, for high temperatures.
# - Tan et al. 2025, *p-less Sampling*, arXiv:2509.23234: the threshold of exercise 6.4.

# %% [markdown]
# ## To go further
#
# - Write top-p for a batch (R, V) without a loop. Each row has its own m: look up
#   `torch.gather` and `torch.scatter`.
# - *Min-p* keeps every id with at least a tenth, say, of the best one's probability. Write it, and
#   find out whether it may be swapped with a temperature.
# - Sorting 50,257 logits is slow. When are the 1,024 likeliest enough to find a nucleus?
