# %% [markdown]
# # 3. Greedy decoding and the cache
#
# **Goal.** You can write the loop that makes a language model write, know what each of its steps costs with and
# without a cache, and know why this loop runs in circles.
#
# **Time** 60 minutes · **Needs** [1. From logits to text](01_logits_to_text.ipynb); for section 3 also attention, from
# [2. GPT-2 from scratch](02_gpt2_from_scratch.ipynb) · **Next**
# [4. Temperature and entropy](04_temperature_and_entropy.ipynb)
#
# *Greedy* decoding takes the likeliest word, appends it, and asks again. Nothing could be simpler, and three things
# about it are surprising: the best words do not make the best sentence, the obvious loop does the same work over and
# over, and the text that it writes tends to say the same again, and again, and again.

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
import textwrap
import time
from collections.abc import Callable

import torch
from matplotlib.patches import Rectangle

from checks import greedy_and_the_cache as check
from decoding import (
    Greedy,
    LanguageModel,
    Sample,
    TableModel,
    Tokenizer,
    Uncached,
    generate,
    generate_ids,
    law,
    plots,
)
from decoding.legible import token_name
from gpt2 import GPT2
from gpt2.config import PUBLISHED

# %% [markdown]
# ## 1. The loop, on ten words
#
# The nine words of notebook 1, and a full stop that ends a text. This time we write down a whole model: for every
# word, how likely each word is to come next. Such a model looks at the last word only. It is called a *bigram* model,
# and all of it fits into a table.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on", "."]
mat, sofa, roof, dog, moon, cat, sat, the, on, stop = range(10)

# (V, V): a row for each last word, a column for each next one
table = torch.zeros(10, 10, dtype=torch.float64)
after_the = torch.tensor([0.10, 0.05, 0.05, 0.35, 0.05, 0.40], dtype=torch.float64)
table[the, [mat, sofa, roof, dog, moon, cat]] = after_the
table[cat, [sat, on, stop]] = torch.tensor([0.4, 0.3, 0.3], dtype=torch.float64)
table[dog, [sat, stop]] = torch.tensor([0.9, 0.1], dtype=torch.float64)
table[sat, [on, stop]] = 0.5
table[[on, stop], the] = 1.0
table[[mat, sofa, roof, moon], stop] = 1.0
toy = TableModel.bigram(table.log(), n_positions=40)  # log(p) will do as a logit

# %% [markdown]
# Here it is as a picture, without its zeros. In each row a frame marks the likeliest next word: the one that greedy
# decoding takes. Put a finger on a row, go to its frame, read the word above, go to that word's row.

# %%
picture = plots.heatmap(
    torch.where(table > 0, table, torch.nan),
    rows=words,
    columns=words,
    xlabel="next word",
    ylabel="last word",
    scale="probability",
    title="A model in a table: the likeliest next word of every row is framed",
    alt="Table of next-word probabilities, a row for each last word. The likeliest next "
    "words: after the, cat (0.4); after cat, sat (0.4); after dog, sat (0.9); after sat, on "
    "(0.5, as likely as the full stop); after on, the (1).",
)
axes = picture.figure.axes[0]
for row, column in enumerate(table.argmax(dim=1).tolist()):
    frame = (column - 0.46, row - 0.46)
    axes.add_patch(Rectangle(frame, 0.92, 0.92, fill=False, linewidth=2.5))
picture

# %% [markdown] tags=["predict"]
# **Predict.** Follow the frames with a finger, from "the". What does greedy decoding write in eight steps? And if it
# went on for a thousand?
#
# <details><summary>Answer</summary>
#
# "cat sat on the cat sat on the", and so on for ever. The next word depends on the last one only, so once a word comes
# back, all that followed it comes back, too. With ten words that has to happen within ten steps, unless a full stop
# ends the text first. Among 50,257 words and with a longer memory it does not *have* to happen. It does all the same,
# as section 4 shows.
#
# </details>

# %%
greedy_ids = generate_ids(toy, [[the]], Greedy(), max_new_tokens=8, eos_id=stop)[0].ids
" ".join(words[id] for id in greedy_ids)

# %% [markdown] tags=["predict"]
# ### Best words, and the best sentence
#
# A text is as probable as its words multiplied, each one's probability being the one behind the words before it:
#
# $$p(x_1, \dots, x_m) = \prod_{t=1}^{m} p(x_t \mid x_1, \dots, x_{t-1})$$
#
# Greedy takes the largest factor at every step.
#
# **Predict.** After "the", compare "cat sat on" with "dog sat on". Find their factors in the table. Which of the two is
# more probable, and which does greedy write?
#
# <details><summary>Answer</summary>
#
# "cat sat on": 0.40 · 0.40 · 0.50 = 0.08. "dog sat on": 0.35 · 0.90 · 0.50 = 0.1575, nearly twice as much. Greedy writes
# the first. It could not know that a dog nearly always sits and a cat may do otherwise: the table says so one row later.
#
# </details>

# %%
# every text of up to three words, the likeliest first
texts = law(Sample(), toy, [the], max_new_tokens=3, eos_id=stop)
best = dict(list(texts.items())[:8])
plots.bars(
    [" ".join(words[id] for id in ids) for ids in best],
    list(best.values()),
    xlabel="probability of the text after “the”",
    title=f"The likeliest 8 of {len(texts)} texts of at most three words",
    alt="Bar chart of the likeliest texts after the: dog sat on and dog sat full stop 0.1575 "
    "each, cat full stop and cat on the 0.12, mat full stop 0.10, cat sat on and cat sat "
    "full stop 0.08, sofa full stop 0.05.",
)

# %% [markdown]
# "cat sat on", the text of the best words, shares sixth place. A search that keeps several beginnings
# alive, *beam search*, would have found "dog sat on", which looks worse after one word and better after two. A later
# notebook builds it. (That the likeliest text is also the one people like best is another question, and the answer is
# often no.)

# %% [markdown] tags=["predict"]
# ### Ties
#
# After "sat", "on" and "." are equally likely. Somebody has to decide, and always in the same way, or the same
# program writes different texts. Here the lowest id wins, as `argmax` does it: of equals, PyTorch promises the first.
#
# **Predict.** What would greedy write after "the" if the highest of equal ids won?
#
# <details><summary>Answer</summary>
#
# "cat sat .", and nothing more. One tie decides between a text that ends and one that never does. With 50,257 real
# logits exact ties are rare. *Near* ties are not: section 3 comes back to them.
#
# </details>

# %%
first = int(table[sat].argmax())
# the same search, from the other end
last = len(words) - 1 - int(table[sat].flip(0).argmax())
print("the lowest of the best ids:", words[first], "   the highest:", words[last])

# %% [markdown]
# ### Exercise 3.1 · ★★☆ · 10 min
#
# Write the loop. `model` is a function that takes a list of T ids and returns logits of shape (T, V), as GPT-2 does
# for one row: row t belongs to the id that follows ids[0], …, ids[t].
#
# - At every step, append the id with the highest logit behind the *whole* text so far; of equal ones the lowest.
# - Stop behind `eos_id`, or when there are `max_new_tokens` new ids (at least 1), whichever comes first.
# - Return the new ids as a list of whole numbers, without the prompt. If `eos_id` was chosen, it is the last of them.
# - An `eos_id` within the prompt ends nothing. Leave the caller's `prompt` as it is.
#
# Example: a model that counts up, so that i + 1 always has the highest logit after i. Then
# `greedy(model, [2, 3], max_new_tokens=4, eos_id=0)` is `[4, 5, 6, 7]`, and with `eos_id=5` it is `[4, 5]`.


# %% tags=["exercise"]
def greedy(
    model: Callable[[list[int]], torch.Tensor],
    prompt: list[int],
    max_new_tokens: int,
    eos_id: int,
) -> list[int]:
    """Greedy decoding: the new ids behind the prompt."""
    ### BEGIN SOLUTION
    ids = list(prompt)
    while len(ids) < len(prompt) + max_new_tokens:
        logits = model(ids)  # (T, V)
        ids.append(int(logits[-1].argmax()))
        if ids[-1] == eos_id:
            break
    return ids[len(prompt) :]
    ### END SOLUTION


# %% tags=["check"]
check.greedy(greedy)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 3.1</summary>
#
# Make a copy of the prompt and let that grow. In each round call the model with all of it, take the last row, and turn
# its argmax into an `int`. Look for `eos_id` right after appending. A slice leaves the prompt out at the end.
#
# </details>

# %% [markdown]
# ## 2. What the naive loop costs
#
# This loop hands the model the whole text at every step, one id longer each time, and the model computes every position
# of it anew. With n ids in the prompt and m new ones that makes
#
# $$n + (n+1) + \dots + (n+m-1) = m\,n + \frac{m(m-1)}{2}$$
#
# positions: it grows with the *square* of m. Yet a step adds but one id. If everything that was computed for the others
# could be kept, the prompt's n positions and one for each new id would do, except for the last: n + m − 1.

# %% [markdown] tags=["predict"]
# **Predict.** The tutorial's prompt, "Hello, I'm a language model,", has 8 ids. How many positions does the naive loop
# compute for 22 new ones? How many different ones are there?
#
# <details><summary>Answer</summary>
#
# 8 + 9 + … + 29 = 22 · 8 + 22 · 21 / 2 = 407 against 8 + 21 = 29: fourteen times as many.
#
# </details>


# %%
def naive_positions(n, m):
    return sum(n + step for step in range(m))  # step: how many new ids there are already


def cached_positions(n, m):
    return n + m - 1


naive, cached = naive_positions(8, 22), cached_positions(8, 22)
print(f"22 new ids behind 8: {naive} positions, or {cached}")
m = list(range(1, 201))
plots.lines(
    m,
    {
        "naive: all positions, at every step": [naive_positions(8, count) for count in m],
        "with a cache: each position once": [cached_positions(8, count) for count in m],
    },
    xlabel="new ids",
    ylabel="positions computed",
    title="Behind a prompt of 8 ids",
    alt="Line chart of positions computed against new ids, after a prompt of 8. The naive "
    f"loop's curve is a parabola and reaches {naive_positions(8, 200):,} at 200 new ids; "
    f"with a cache the line stays near the axis, at {cached_positions(8, 200)}.",
)

# %% [markdown]
# Now with a real model, the small one that comes with this project, and a clock. `Uncached(model)` is the naive loop.
# The times are those of the machine that ran the cell, and differ on yours.

# %%
model = GPT2.from_pretrained("storybook")
tokenizer = Tokenizer()


def names(id):
    """The token in quotes, so that one sees the space that most of them begin with."""
    return token_name(tokenizer, id)


# %% tags=["varies"]
prompt = tokenizer.encode("Once upon a time")
for count in (20, 60, 120):
    seconds = []
    for candidate in (Uncached(model), model):
        start = time.perf_counter()
        generate_ids(candidate, [prompt], Greedy(), max_new_tokens=count)
        seconds.append(time.perf_counter() - start)
    print(f"{count:4} new ids   naive {seconds[0]:.2f} s   with a cache {seconds[1]:.2f} s")

# %% [markdown]
# The seconds do not grow quite as the positions do: many positions at once keep a processor busier than one alone, and
# every step has a fixed price. The longer the text, the more the square shows.

# %% [markdown]
# ## 3. The cache
#
# What may be kept? In GPT-2 a position looks at other positions in one place only: attention, where its query meets
# their *keys* and gathers their *values*. The causal mask lets it look back, never ahead. Take these keys and values
# of a text, in every layer, first for its first 5 ids, then for 8.

# %%
text = "Once upon a time there was a little"
ids = tokenizer.encode(text)


def keys_and_values(ids):
    """Keys and values, side by side, of all positions: (layers, T, 2 C)."""
    found = []

    def keep(module, inputs, output):
        found.append(output[0, :, model.config.n_embd :])  # without the queries

    hooks = [block.attn.c_attn.register_forward_hook(keep) for block in model.h]
    with torch.no_grad():
        model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return torch.stack(found)


five, eight = keys_and_values(ids[:5]), keys_and_values(ids)
five.shape, eight.shape

# %% [markdown] tags=["predict"]
# **Predict.** Layer 6 computes its keys from what layer 5 made of the text, which came from layer 4, and so on. Three
# more ids stand behind the text now. Have the keys and values of the first five positions changed? In which layers?
#
# <details><summary>Answer</summary>
#
# In none. Position 5 sees positions 1 to 5 in *every* layer, so nothing behind it ever reaches it. In a model without
# a causal mask, such as BERT, every new word changes all positions, and there is nothing to keep.
#
# </details>

# %%
torch.allclose(five, eight[:, :5], atol=1e-4)

# %% [markdown]
# To see the mask at work, replace one id, the fourth, and look at how far keys and values move, at every position and in
# every layer.

# %%
other = ids[:3] + tokenizer.encode(" hill") + ids[4:]
moved = (keys_and_values(other) - eight).norm(dim=-1) / eight.norm(dim=-1)  # (layers, T)
plots.heatmap(
    moved.round(decimals=2),
    rows=[f"layer {number + 1}" for number in range(len(moved))],
    columns=[names(id) for id in ids],
    scale="change, as a share",
    title="What changes in keys and values when “ time” becomes “ hill”",
    alt="Heat map of the relative change of keys and values, six layers by eight positions, "
    "when the fourth id is replaced. Positions one to three do not change in any layer. "
    "Position four changes in all layers; those behind it in every layer but the first.",
)

# %% [markdown]
# Nothing moves to the left of the change. In the first layer only position 4 itself moves, since nothing has been looked
# at yet; from the second layer on, everything behind it.
#
# So the past is settled. For a new id the model needs that id's own query, key and value in each layer, and all older
# keys and values, which it has computed before: the *key/value cache*. Old queries are never asked for again.

# %% [markdown]
# ### Exercise 3.2 · ★★☆ · 10 min
#
# One attention head, one new id. `q`, `k`, `v` of shape (D,) are its query, key and value; `keys` and `values` of shape
# (S, D) are the cache, one row for each id before it, oldest first. Write one step:
#
# 1. Append `k` to the keys and `v` to the values, so that both have the shape (S + 1, D).
# 2. The score of each id is its key times `q`, divided by √D. A softmax over all S + 1 scores gives the weights: the
#    new id sees all before it, and itself.
# 3. The output of shape (D,) is the sum of the values, each times its weight. Return the output, the new keys and the
#    new values, in this order.
#
# Example with D = 1: q = [0], k = [5], v = [30], keys [[1], [2]], values [[10], [20]]. All three scores are 0, each
# weight is 1/3, and the output is [20]; the new keys are [[1], [2], [5]]. S may be 0: the first id of a text sees itself
# alone. Change none of the arguments.


# %% tags=["exercise"]
def attend_with_cache(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One new id; -> output (D,), keys (S + 1, D), values (S + 1, D)."""
    ### BEGIN SOLUTION
    keys = torch.cat([keys, k[None]])  # (S + 1, D)
    values = torch.cat([values, v[None]])  # (S + 1, D)
    weights = torch.softmax(keys @ q / math.sqrt(len(q)), dim=0)  # (S + 1,)
    return weights @ values, keys, values
    ### END SOLUTION


# %% tags=["check"]
check.attend_with_cache(attend_with_cache)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 3.2</summary>
#
# `k[None]` has the shape (1, D), and `torch.cat` puts matrices below one another. A matrix (S + 1, D) times a vector (D,)
# is a vector (S + 1,): a score for each id. The same goes for weights (S + 1,) times a matrix (S + 1, D). A mask is not
# needed: the newest id may see everything that is there.
#
# </details>

# %% [markdown]
# ### A session
#
# In this project a running text with its cache is a *session*. `extend` takes the ids that are new, of shape
# (rows, T), computes those positions only, and returns the logits behind the last of them, of shape (rows, 1, V). The
# first call, with all of the prompt, is often called the *prefill*; the calls with one id each are *decode* steps.

# %%
running = model.open()
for piece in (text, " bird"):  # the whole prompt in one call, then one id of our choice
    logits = running.extend(torch.tensor([tokenizer.encode(piece)]))
    best = names(int(logits.argmax()))
    print(f"{int(running.lengths)} ids, logits {tuple(logits.shape)}, likeliest: {best}")


# %% [markdown]
# ### Exercise 3.3 · ★★☆ · 10 min
#
# The loop of Exercise 3.1 with a session: the same ids, each position computed once. `model.open()` gives a session,
# `session.extend(ids)` takes a tensor of new ids of shape (1, T) and returns logits of shape (1, 1, V).
#
# - Open one session. Feed the prompt in one call, then each new id in a call of its own, but only where the logits behind
#   it are wanted: m new ids take exactly m calls, with n + m − 1 ids altogether.
# - Choose, stop and return as in 3.1: of equals the lowest id, stop behind `eos_id` or at `max_new_tokens` (at least 1),
#   return the new ids, `eos_id` included.
#
# Example: a model whose next id is the sum of all ids so far, modulo 10. From [1, 2] with `max_new_tokens=3` the result
# is `[3, 6, 2]`, and the calls feed [1, 2], then [3], then [6]. The 2 is not fed: nobody asks what follows it. The check
# looks at the ids that you return, at what you feed, and at how many sessions you open.


# %% tags=["exercise"]
def greedy_with_cache(
    model: LanguageModel, prompt: list[int], max_new_tokens: int, eos_id: int
) -> list[int]:
    """Greedy decoding with a session: the new ids behind the prompt."""
    ### BEGIN SOLUTION
    session = model.open()
    logits = session.extend(torch.tensor([prompt]))  # (1, 1, V)
    new_ids = []
    while True:
        best = int(logits[0, -1].argmax())
        new_ids.append(best)
        if best == eos_id or len(new_ids) == max_new_tokens:
            return new_ids
        logits = session.extend(torch.tensor([[best]]))  # (1, 1, V)
    ### END SOLUTION


# %% tags=["check"]
check.greedy_with_cache(greedy_with_cache)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 3.3</summary>
#
# Extend by the prompt before the loop. In the loop the order matters: choose, append, ask whether this was the last one,
# and only then extend by the chosen id. `torch.tensor([[id]])` has the shape (1, 1).
#
# </details>

# %% [markdown] tags=["predict"]
# ### What the cache weighs
#
# Time is bought with memory. Each id leaves a key and a value of C numbers in every layer, at 4 bytes a number in
# float32: 2 · layers · C · 4 bytes an id.
#
# **Predict.** `gpt2` has 12 layers and C = 768. How many bytes does one id take? How many megabytes a full text of 1,024
# ids, next to the 498 MB of the weights? And a batch of 16 such texts?
#
# <details><summary>Answer</summary>
#
# 2 · 12 · 768 · 4 = 73,728 bytes an id, 75.5 MB a full text, 1,208 MB for sixteen. Each text has a cache of its own, so a
# batch of caches soon outweighs the model.
#
# </details>

# %%
configs = {name: published.config for name, published in PUBLISHED.items()}
configs = {"storybook": model.config} | configs
per_id = {name: 2 * config.n_layer * config.n_embd * 4 for name, config in configs.items()}
print("             bytes an id   MB a full text   MB of weights")
for name, config in configs.items():
    full, weights = per_id[name] * config.n_positions / 1e6, config.n_parameters * 4 / 1e6
    print(f"{name:12} {per_id[name]:11,} {full:16.1f} {weights:15,.1f}")
plots.bars(
    list(per_id),
    [size / 1000 for size in per_id.values()],
    xlabel="kilobytes of cache an id, in float32",
    form=".1f",
    alt="Bar chart of the cache's size an id: "
    + ", ".join(f"{name} {size / 1000:.1f} kB" for name, size in per_id.items())
    + ".",
)

# %% [markdown]
# ### The same text, with and without
#
# A cache must change nothing but the time. That is a test, and here it is, on 60 new ids. The last line says how close
# the best two logits came to each other on the way.

# %%
prompt = "Lily and Tom went to the park."
cached = generate(model, tokenizer, prompt, Greedy(), max_new_tokens=60, trace=True)
naive = generate(Uncached(model), tokenizer, prompt, Greedy(), max_new_tokens=60)
pairs = zip(cached.model_logprobs, naive.model_logprobs, strict=True)
gap = max(abs(a - b) for a, b in pairs)
margins = [float(-step.stages[0].logits.topk(2).values.diff()) for step in cached.trace]
at = margins.index(min(margins))
print("the same ids:", cached.ids == naive.ids)
print("their log-probabilities differ by less than 0.0001:", gap < 1e-4)
print(f"the closest race: new id {at + 1}, {names(cached.ids[at])}, by {margins[at]:.3f}")

# %% [markdown]
# The numbers are not equal to the last digit: one position alone and sixty at once are added up in different orders, and
# a sum of rounded numbers depends on the order. In float32 that is far less than the closest race above. In
# half precision it need not be, and at such a *near tie* two right programs can write different texts
# ([transformers issue 25420](https://github.com/huggingface/transformers/issues/25420) is a well-known case).
#
# ### The edge
#
# GPT-2 has one learned vector for each position, 1,024 of them; storybook has 512. There is no vector for a position
# behind the last one, so a text ends there, whatever the limit on new ids says. Here the reason is called "context".

# %%
story = tokenizer.encode("Once upon a time there was a little bird. ") * 60
long = generate_ids(model, [story[:505]], Greedy(), max_new_tokens=100)[0]
print(len(long.prompt_ids), "+", len(long.ids), "ids, finish reason:", long.finish_reason)
try:
    model.open().extend(torch.tensor([story[:513]]))
except ValueError as error:
    print(error)

# %% [markdown]
# Dropping the oldest ids to make room is no way out: every position would move by one, so every key and value in the
# cache would be wrong, and all of it would have to be computed again.

# %% [markdown]
# ## 4. Running in circles
#
# Let storybook write greedily, 200 ids behind each of four prompts. Here is the first text.

# %%
prompts = [
    "The old king looked at the",
    "Lily and Tom went to the park.",
    '"Who are you?" said',
    "The dog",
]
written = generate(model, tokenizer, prompts, Greedy(), max_new_tokens=200)
print(textwrap.fill(prompts[0] + written[0].text.replace("\n\n", " ¶ "), 96))

# %% [markdown]
# A finger could follow this as it did in the table: "I will help you. I will help you." Then something happens that a
# bigram model could not do. After ten rounds the king finds a way out: GPT-2 sees the whole text, and the text is
# another one in every round. He is in the next circle soon after. The same text, each id on a background that says how
# likely it was:

# %%
king = written[0]
plots.text_by_probability(
    [tokenizer.decode([id]) for id in king.ids], [math.exp(x) for x in king.model_logprobs]
)

# %% [markdown]
# No dark spot: every id had at least 6%. Now take the ten rounds of "I will help you.", and put the same word of all
# rounds on one line.

# %%
will = tokenizer.encode(" will")[0]
start = king.ids.index(will) - 1  # where " I will help you." begins for the first time
in_rounds = torch.tensor(king.model_logprobs[start : start + 50]).exp().view(10, 5)
until_will = king.prompt_ids + king.ids[: start + 52]  # to the " I will" of round 11
after = model(torch.tensor([until_will]))[0, -1].softmax(dim=-1)
for id in after.topk(2).indices.tolist():
    print(f"round 11, after “I will”: {names(id)} {after[id]:.1%}")
plots.lines(
    list(range(1, 11)),
    {
        names(id): in_rounds[:, place]
        for place, id in enumerate(king.ids[start : start + 5])
    },
    xlabel="round",
    ylabel="probability",
    title="“I will help you.”, ten times in a row",
    alt="Line chart of the probability of each token of I will help you in ten rounds. Will "
    f"rises from {in_rounds[0, 1]:.0%} to {in_rounds[9, 1]:.0%}, you stays near "
    f"{in_rounds[9, 3]:.0%}, I and the full stop near 26 and 30%; help goes from "
    f"{in_rounds[0, 2]:.0%} to {in_rounds[9, 2]:.0%}.",
)

# %% [markdown]
# " will" climbs and climbs, as if the text had made up its mind. " help" stays below 20%, and in round 11 a rival
# gets past it by a hair: that opens the circle.
#
# How common are circles? A plain measure of repetition is the share of four-id pieces that stood in the text before
# (Welleck et al. 2019). Compare with texts whose ids are *drawn* from the model's distribution, notebook 5's subject.


# %%
def repeated_share(ids):
    pieces = [tuple(ids[i : i + 4]) for i in range(len(ids) - 3)]
    return 1 - len(set(pieces)) / len(pieces)


drawn = generate(model, tokenizer, prompts, Sample(), max_new_tokens=200, seed=3)
for prompt, best, other in zip(prompts, written, drawn, strict=True):
    shares = repeated_share(best.ids), repeated_share(other.ids)
    print(f"{prompt:32} greedy {shares[0]:4.0%}   drawn {shares[1]:4.0%}")
print(
    "“The dog” ended by itself, after",
    len(written[3].ids),
    "ids:",
    written[3].finish_reason,
)


# %% [markdown]
# ### Exercise 3.4 · ★☆☆ · 5 min
#
# Find the circle. Write `loop_length(ids)`: the smallest p of at least 1 for which the last p ids are equal, one by one,
# to the p ids right before them. Return 0 where there is no such p.
#
# - `loop_length([4, 1, 2, 3, 1, 2, 3])` is 3: the list ends with 1, 2, 3 twice.
# - `loop_length([5, 7, 7, 7, 7])` is 1: 2 would do, too, but 1 is smaller.
# - `loop_length([6, 2, 6, 2])` is 2: nothing needs to stand before the loop.
# - `loop_length([1, 1, 2])` is 0: the loop has to reach the end. For a list of no id or one it is 0, too.


# %% tags=["exercise"]
def loop_length(ids: list[int]) -> int:
    """How long the loop is that a list of ids ends in; 0 where it ends in none."""
    ### BEGIN SOLUTION
    for p in range(1, len(ids) // 2 + 1):
        if ids[-p:] == ids[-2 * p : -p]:
            return p
    return 0
    ### END SOLUTION


# %% tags=["check"]
check.loop_length(loop_length)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 3.4</summary>
#
# Try p = 1, 2, 3, … and return the first that fits. Which p is the largest that can fit at all? Negative indices count
# from the end: one slice takes the last p ids, another the p before them.
#
# </details>

# %% [markdown]
# If you like, try it on `king.ids`, and on `king.ids` without their last three ids: why is the length the same?
#
# ### Why circles?
#
# Because repetition makes itself likelier. A text that has said something twice is, for the model, a text of the kind
# that says things several times. Holtzman et al. (2019) saw the probability of a phrase rise with each repetition;
# Xu et al. (2022) called it *self-reinforcement* and measured it: write a sentence n times in a row, and ask for the
# probabilities of its ids in the n-th round. No decoding is involved, so nothing has to loop.


# %%
def by_round(model, sentence, rounds):
    """The mean probability of the sentence's ids in each round: (rounds,)."""
    ids = tokenizer.encode(sentence)
    text = torch.tensor([[tokenizer.eos_id] + ids * rounds])
    with torch.no_grad():
        logits = model(text)[0, :-1]  # (T - 1, V): each row predicts the id behind it
    probabilities = logits.softmax(dim=-1).gather(1, text[0, 1:, None])  # (T - 1, 1)
    return probabilities.view(rounds, len(ids)).mean(dim=1)


# %% [markdown] tags=["predict"]
# **Predict.** Which of these sentences gains most: " The dog ran to the park.", " I am sorry.", or
# " Grey zebras hum quietly."? How high does the mean probability of an id climb in sixteen rounds?
#
# <details><summary>Answer</summary>
#
# The second gains most, from 0.07 to 0.52, and the first ends a little higher, at 0.54. The jump from the first round to
# the second is the largest, the rest flattens out. The zebras gain nothing after the second round: storybook hardly
# copies what it would never have said itself.
#
# </details>

# %%
sentences = [" The dog ran to the park.", " I am sorry.", " Grey zebras hum quietly."]
curves = {sentence.strip(): by_round(model, sentence, 16) for sentence in sentences}
for sentence, curve in curves.items():
    shown = "  ".join(f"round {n}: {curve[n - 1]:.2f}" for n in (1, 2, 4, 8, 16))
    print(f"{sentence:26}", shown)
plots.lines(
    list(range(1, 17)),
    curves,
    xlabel="round: how many times the sentence has been written, this time included",
    ylabel="mean probability of its ids",
    title="Storybook: what was said is said more easily again",
    alt="Line chart of the mean probability of a sentence's ids over sixteen repetitions. The "
    "dog ran to the park rises from 0.21 to about 0.54, I am sorry from 0.07 to about 0.52, "
    "Grey zebras hum quietly from 0.07 to 0.13 and no further.",
)

# %% [markdown]
# The effect is real here, and it is mild: it levels off near one half, where a rival can still win, as " be" did. Both
# papers found it in larger models, which copy better, and Xu et al. found it the stronger, the likelier the sentence was
# to begin with. The nearer the probabilities come to 1, the less is left for a rival, and greedy decoding, which takes
# the likeliest id each time, stays where it is.
#
# Ways out are the subject of later notebooks: draw instead of taking the best (4 to 6), forbid or penalise what has been
# said, compare with a weaker model.

# %% [markdown]
# ## 5. Now with OpenAI's GPT-2
#
# What others published, greedily written with OpenAI's weights. Two of the three go round in circles before they
# are forty ids long. Where the weights are on this machine, the next cells compare, and repeat the experiment.

# %% tags=["needs-weights"]
published = [  # prompt, what follows, how many new ids, source
    (
        "Hello, I'm a language model,",
        " not a programming language. I'm a language model. I'm a language model."
        " I'm a language model",
        22,
        "transformers with max_length=30; also mikeleppane/llm.mojo's greedy transcript",
    ),
    (
        "The dog",
        " was found in a field near the intersection of West and West Streets.\n\nThe dog",
        18,
        "transformers' own tests, test_modeling_gpt2.py at 031e0ac81793",
    ),
    (
        "I enjoy walking with my cute dog",
        ", but I'm not sure if I'll ever be able to walk with my dog. I'm not sure if I'll"
        " ever be able to walk with my dog.\n\nI'm not sure",
        40,
        "Hugging Face's blog post “How to generate”, 2023",
    ),
]
for start, following, count, source in published:
    print(
        textwrap.fill(f"{start}[{following}]".replace("\n\n", " ¶ "), 96),
        f"\n    {count} new ids. {source}\n",
    )

# %% tags=["needs-weights"]
from weights import official

gpt2 = official("gpt2")
if gpt2 is not None:
    for start, following, count, _ in published:
        ours = generate(gpt2, tokenizer, start, Greedy(), max_new_tokens=count).text
        print(
            "as published" if ours == following else f"DIFFERENT: {ours!r}",
            "  after",
            repr(start),
        )
    for sentence in sentences:
        print(
            sentence,
            "  mean probability in round 16:",
            f"{by_round(gpt2, sentence, 16)[-1]:.2f}",
        )

# %% [markdown]
# ## What to remember
#
# - Greedy decoding is: the last row of logits, argmax, append, again. It ends at the eos id, a length, or the model's
#   last position.
# - The best word at every step is not the best sentence.
# - The naive loop computes m n + m (m − 1) / 2 positions, a cache n + m − 1.
# - The causal mask makes the cache possible: nothing behind a position ever changes its keys and values.
# - A cache takes 2 · layers · C numbers an id, for each text of a batch.
# - Cached and uncached logits agree up to rounding; at a near tie that may be enough to change a text.
# - Repetition makes itself likelier, and greedy decoding always takes what is likelier: so it runs in circles.

# %% [markdown]
# ## Papers and further reading
#
# - Radford et al. 2019, *Language Models are Unsupervised Multitask Learners*: GPT-2. OpenAI's own code has the cache
#   already, under the name `past`.
# - Vaswani et al. 2017, *Attention Is All You Need*, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762).
# - Holtzman et al. 2019, *The Curious Case of Neural Text Degeneration*,
#   [arXiv:1904.09751](https://arxiv.org/abs/1904.09751): what is likeliest is not what people write.
# - Welleck et al. 2019, *Neural Text Generation with Unlikelihood Training*,
#   [arXiv:1908.04319](https://arxiv.org/abs/1908.04319): measures of repetition, and training against it.
# - Xu et al. 2022, *Learning to Break the Loop: Analyzing and Mitigating Repetitions for Neural Text Generation*,
#   [arXiv:2206.02369](https://arxiv.org/abs/2206.02369).
# - In this project: `decoding/strategies/greedy.py`, `decoding/strategies/one_path.py` (the loop, for many texts at
#   once), `gpt2/session.py` (the cache), `decoding/uncached.py` (the naive loop).
#
# ## To go further
#
# - At every position attention looks at all positions before it. Count these pairs instead of positions, for both
#   loops: with which power of m do they grow?
# - Change the table so that greedy decoding finds the likeliest sentence. Which property of the table makes sure of it?
# - Find a prompt from which storybook ends in a loop of fewer than ten ids.
