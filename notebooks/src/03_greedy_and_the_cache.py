# %% [markdown]
# # 3. Greedy decoding and the cache
#
# **Goal.** You can write the loop that makes a language model write, know what each of its steps costs with and
# without a cache, and know why it often runs in circles.
#
# **Time** 60 minutes · **Needs** [1. From logits to text](01_logits_to_text.ipynb); for section 3 also attention, from
# [2. GPT-2 from scratch](02_gpt2_from_scratch.ipynb) · **Next**
# [4. Temperature and entropy](04_temperature_and_entropy.ipynb)
#
# *Greedy* decoding takes the likeliest word, appends it, and asks again. Three things about it are surprising: the best
# words do not make the best sentence, the obvious loop does the same work over and over, and its text tends to say the
# same again, and again, and again.

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
# The nine words of notebook 1, and a full stop that ends a text. This time we write down a whole model, as a table: for
# every word, how likely each word is to come next. A model that looks at the last word only is called a *bigram* model.
#
# In the picture a frame marks the likeliest next word of every row, the one that greedy decoding takes. (In the row "sat"
# two are equally likely, and the first is framed: more on that below.)

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
    "words: after the, cat (0.4); after cat, sat (0.4); after dog, sat (0.9); after sat, "
    "on (0.5, as likely as the full stop); after on, the (1).",
)
axes = picture.figure.axes[0]
for row, column in enumerate(table.argmax(dim=1).tolist()):
    frame = (column - 0.46, row - 0.46)
    axes.add_patch(Rectangle(frame, 0.92, 0.92, fill=False, linewidth=2.5))
picture

# %% [markdown] tags=["predict"]
# **Predict.** Put a finger on the row "the", go to its frame, read the word below, go to that word's row, and so on.
# What does greedy decoding write in eight steps? And if it went on for a thousand?
#
# <details><summary>Answer</summary>
#
# "cat sat on the cat sat on the", and so on for ever. The next word depends on the last one only, so once a word comes
# back, all that followed it comes back, too. A model with a longer memory does not *have* to go round in circles. It often
# does all the same, as section 4 shows.
#
# </details>

# %%
# `generate_ids` takes ids and returns ids; `generate`, further down, takes and returns text
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
# the first. It could not know that a dog nearly always sits: the table says so one row later.
#
# </details>

# %%
# `law` lists every text that can come out, with its probability, the likeliest first
texts = law(Sample(), toy, [the], max_new_tokens=3, eos_id=stop)
best = dict(list(texts.items())[:8])
labels = [" ".join(words[id] for id in ids) for ids in best]
plots.bars(
    [f"greedy:  {label}" if label == "cat sat on" else label for label in labels],
    list(best.values()),
    xlabel="probability of the text after “the”",
    title=f"The likeliest 8 of {len(texts)} texts of at most three words",
    alt="Bar chart of the likeliest texts after the: dog sat on and dog sat full stop "
    "0.1575 each, cat full stop and cat on the 0.12, mat full stop 0.10, cat sat on "
    "(the greedy text) and cat sat full stop 0.08, sofa full stop 0.05.",
)

# %% [markdown] tags=["predict"]
# "cat sat on", the text of the best words, shares sixth place. A search that keeps several beginnings alive, *beam
# search*, would have found "dog sat on", which looks worse after one word and better after two. A later notebook builds
# it.
#
# ### Ties
#
# After "sat", "on" and "." are equally likely. Somebody has to decide, and always in the same way, or the same
# program writes different texts. Here the lowest id wins, as `argmax` does it: of equals, PyTorch promises the first.
#
# **Predict.** What would greedy write after "the" if the highest of equal ids won?
#
# <details><summary>Answer</summary>
#
# "cat sat .", and nothing more: one tie decides between a text that ends and one that never does. With 50,257 real
# logits exact ties are rare. *Near* ties are not: section 3 comes back to them.
#
# </details>

# %%
# a hair on top of every logit, the more the higher the id, decides a tie and nothing else
other_ties = TableModel.bigram(table.log() + 1e-9 * torch.arange(10), n_positions=40)
ids = generate_ids(other_ties, [[the]], Greedy(), max_new_tokens=8, eos_id=stop)[0].ids
" ".join(words[id] for id in ids)

# %% [markdown]
# ### Exercise 3.1 · ★★☆ · 10 min
#
# Write the loop. `model` is a function that takes a list of T ids and returns logits of shape (T, V): one text, without
# the batch axis of notebook 1. Row t, counted from 0, is about the id that follows ids[0], …, ids[t].
#
# - At every step, append the id with the highest logit behind the *whole* text so far; of equal ones the lowest.
# - Stop behind `eos_id`, or when there are `max_new_tokens` new ids (at least 1), whichever comes first.
# - Return the new ids as a list of whole numbers, without the prompt. If `eos_id` was chosen, it is the last of them.
# - An `eos_id` within the prompt ends nothing. Leave the caller's `prompt` as it is.
#
# Example: a model whose next id is the sum of all ids so far, modulo 10. Then
# `greedy(model, [1, 2], max_new_tokens=4, eos_id=0)` is `[3, 6, 2, 4]`, and with `eos_id=6` it is `[3, 6]`.


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
# its argmax into an `int` (`topk(1)` promises nothing about ties). Compare what you have just appended with `eos_id`. A
# slice leaves the prompt out at the end.
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
# could be kept, the n positions of the prompt and one for each new id would do. The last new id needs none, since nobody
# asks what follows it: n + m − 1.

# %% [markdown] tags=["predict"]
# **Predict.** The prompt of the
# [blog post](https://github.com/kapilsh/kapilsh.github.io/blob/f1c84578b30c/_posts/2024-07-19-logits-to-text.md), "Hello,
# I'm a language model,", has 8 ids. How many positions does the naive loop compute for 22 new ones? How many would do?
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
# The times differ from machine to machine. They do not grow quite as the positions do: many positions at once keep a
# processor busier than one alone, and every step has a fixed price.

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
# ## 3. The cache
#
# What may be kept? In GPT-2 a position looks at other positions in one place only: attention, where its query meets
# their *keys* and gathers their *values*. The causal mask lets it look back, never ahead. Take the keys and values of all
# positions of a text, in each of the six blocks. Then replace one id, " time", and see which of them move.

# %%
text = "Once upon a time there was a little"
ids = tokenizer.encode(text)
other = ids[:3] + tokenizer.encode(" hill") + ids[4:]


def keys_and_values(ids):
    """Keys and values, side by side, of all positions: (blocks, T, 2 C)."""
    found = []

    def keep(module, inputs, output):
        found.append(output[0, :, model.config.n_embd :])  # without the queries

    hooks = [block.attn.c_attn.register_forward_hook(keep) for block in model.h]
    with torch.no_grad():
        model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return torch.stack(found)


before, after = keys_and_values(ids), keys_and_values(other)
moved = (after - before).norm(dim=-1) / before.norm(dim=-1)  # (blocks, T)
moved.shape

# %% [markdown] tags=["predict"]
# **Predict.** Block 5 computes its keys from what block 4 made of the text, which came from block 3, and so on down to
# block 0. The id at position 3 is another one now. At which positions do keys and values change, and in which blocks?
#
# <details><summary>Answer</summary>
#
# At positions 0 to 2 in none: in *every* block a position sees itself and those before it, so nothing behind it ever
# reaches it. Position 3 changes in all blocks. Those behind it change from block 1 on; in block 0 nothing has been
# looked at yet. In a model without a causal mask, such as BERT, a new word changes all positions, and there is nothing
# to keep.
#
# </details>

# %%
columns = [names(id) for id in ids]
columns[3] = "time→hill"
plots.heatmap(
    moved.round(decimals=2),
    rows=[f"block {number}" for number in range(len(moved))],
    columns=columns,
    scale="change, as a share",
    title="What changes in keys and values when “ time” becomes “ hill”",
    alt="Heat map of the relative change of keys and values, six blocks by eight "
    "positions, when the id at position 3 is replaced. Positions 0 to 2 do not change in "
    "any block. Position 3 changes in all; those behind it in every block but block 0.",
)

# %% [markdown]
# So the past is settled. For a new id the model needs that id's own query, key and value in each block, and all older
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
# Example with D = 4: q = [2, 0, 0, 0], k = [0, 1, 0, 0], v = [30, 0, 0, 0], keys [[1, 0, 0, 0], [0, 0, 1, 0]], values
# [[10, 0, 0, 0], [20, 0, 0, 0]]. The three keys times q give 2, 0 and 0, the scores are 1, 0 and 0, the weights 0.576,
# 0.212 and 0.212, and the output is [16.36, 0, 0, 0]. S may be 0: the first id of a text sees itself alone. Change none
# of the arguments.


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
# is a vector (S + 1,): a score for each id. The same goes for weights (S + 1,) times a matrix (S + 1, D). The newest id may
# see everything that is there: no mask.
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
    new = torch.tensor([tokenizer.encode(piece)])  # (1, T)
    logits = running.extend(new)  # (1, 1, V)
    best = names(int(logits.argmax()))
    print(f"{new.shape[1]} new: logits {tuple(logits.shape)}, the likeliest next id {best}")


# %% [markdown]
# ### Exercise 3.3 · ★★☆ · 10 min
#
# The loop of Exercise 3.1 with a session: the same ids, each position computed once. Of `model` only `open` is there
# (that is what the type `LanguageModel` asks for): `model.open()` gives a session, and `extend` of that takes a tensor of
# new ids, (1, T), and returns logits (1, 1, V).
#
# - Open one session. Feed the prompt in one call, then each new id in a call of its own, but only where the logits behind
#   it are wanted: m new ids take exactly m calls, with n + m − 1 ids altogether.
# - Choose, stop and return as in 3.1: of equals the lowest, and `eos_id` is returned, too.
#
# Example: the sums modulo 10 again. From [1, 2] with `max_new_tokens=3` the result is `[3, 6, 2]`, and the calls feed
# [1, 2], then [3], then [6], but not the 2. The check also looks at what you feed, and at how many sessions you open.


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
# Time is bought with memory. Each id leaves a key and a value of C numbers in every block, at 4 bytes a number in
# float32: 2 · blocks · C · 4 bytes an id.
#
# **Predict.** `gpt2` has 12 blocks and C = 768. How many bytes does one id take? How many megabytes a full text of 1,024
# ids, next to the 498 MB of the weights? And a batch of 16 such texts?
#
# <details><summary>Answer</summary>
#
# 2 · 12 · 768 · 4 = 73,728 bytes an id, 75.5 MB a full text, 1,208 MB for sixteen: a batch of caches soon outweighs the
# model. (The file of 548 MB in notebook 1 also holds the causal masks of the 12 blocks, 1,024 × 1,024 numbers each: 50 MB
# that are no weights.)
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

# %% [markdown]
# ### The same text, with and without
#
# A cache must change nothing but the time. That is a test, and here it is, on 60 new ids. The last line says how close
# the best two logits came to each other on the way.

# %%
prompt = tokenizer.encode("Lily and Tom went to the park.")
cached = generate_ids(model, [prompt], Greedy(), max_new_tokens=60)[0]
naive = generate_ids(Uncached(model), [prompt], Greedy(), max_new_tokens=60)[0]
pairs = zip(cached.model_logprobs, naive.model_logprobs, strict=True)
print("the same ids:", cached.ids == naive.ids)
print("log-probabilities within 0.0001:", max(abs(a - b) for a, b in pairs) < 1e-4)
with torch.no_grad():
    logits = model(torch.tensor([prompt + cached.ids]))[0, len(prompt) - 1 : -1]  # (60, V)
best, second = logits.topk(2).values.unbind(dim=1)
print(f"the closest race: {(best - second).min():.3f} between two logits")

# %% [markdown]
# The last digits may differ: one position alone and many at once are added up in different orders, and a sum of rounded
# numbers depends on the order. In float32 that is far less than the closest race. In half precision it need not be, and
# at such a *near tie* two right programs can write different texts ([transformers issue
# 25420](https://github.com/huggingface/transformers/issues/25420) is a well-known case).
#
# ### The edge
#
# GPT-2 has a learned vector for each of 1,024 positions, storybook for 512. This project counts prompt and new ids
# together, and calls the end "context". (As the last id is never fed, one more would be possible.) Dropping the oldest
# ids to make room has a price: every position moves, so all keys and values have to be computed again.

# %%
story = tokenizer.encode("Once upon a time there was a little bird. ") * 60
long = generate_ids(model, [story[:505]], Greedy(), max_new_tokens=100)[0]
print(len(long.prompt_ids), "+", len(long.ids), "ids, finish reason:", long.finish_reason)

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
# "I will help you", ten times. Then something happens that a bigram model could not do: the king finds a way out. GPT-2
# sees the whole text, and that is another one in every round. (He is in the next circle soon after.) How probable were
# " will", " help", and the word that won in round 11, " be"?

# %%
king = written[0]
king_text = king.prompt_ids + king.ids
with torch.no_grad():
    follows = model(torch.tensor([king_text]))[0].softmax(dim=-1)  # (T, V)
will, help_, be = (tokenizer.encode(word)[0] for word in (" will", " help", " be"))
first = king_text.index(will) - 1  # the " I" of round 1; the others follow five ids apart
starts = [first + 5 * turn for turn in range(11)]
curves = {
    "“ will” after “ I”": [follows[start, will] for start in starts],
    "“ help” after “ I will”": [follows[start + 1, help_] for start in starts],
    "“ be” after “ I will”": [follows[start + 1, be] for start in starts],
}
for name, curve in curves.items():
    print(f"{name:24} round 1: {curve[0]:.3f}   10: {curve[9]:.3f}   11: {curve[10]:.3f}")
ends = [f"{name} from {curve[0]:.0%} to {curve[10]:.0%}" for name, curve in curves.items()]
plots.lines(
    list(range(1, 12)),
    curves,
    xlabel="round",
    ylabel="probability (logarithmic axis)",
    logy=True,
    title="“I will help you.”, ten times in a row, and what came then",
    alt=f"Line chart of three probabilities in eleven rounds: {'; '.join(ends)}.",
)

# %% [markdown]
# " will" climbs and climbs. " help" gains little. Its rival " be" gains more, and is ahead in round 11 by a hair: that
# opens the circle.
#
# How much do the texts repeat? A plain measure is the share of four-id pieces that stood in the text before (Welleck et
# al. 2019). Compare with texts whose ids are *drawn* from the model's distribution, notebook 5's subject.


# %%
def repeated_share(ids):
    pieces = [tuple(ids[i : i + 4]) for i in range(len(ids) - 3)]
    return 1 - len(set(pieces)) / len(pieces)


drawn = generate(model, tokenizer, prompts, Sample(), max_new_tokens=200, seed=3)
for prompt, best, other in zip(prompts, written, drawn, strict=True):
    shares = repeated_share(best.ids), repeated_share(other.ids)
    print(f"{prompt:32} greedy {shares[0]:4.0%} of {len(best.ids):3} ids", end="   ")
    print(f"drawn {shares[1]:4.0%}")

# %% [markdown]
# ### Exercise 3.4 · ★★☆ · 10 min
#
# Who repeats pieces may still get out. A text *ends in a circle* if its last p ids are equal, one by one, to the p ids
# right before them. Write `loop_length(ids)`: the smallest such p of at least 1, or 0 where there is none.
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

# %% [markdown] tags=["predict"]
# Which of the four texts in `written` end in a circle? Try it on their `.ids`, and on `king.ids` without the last three.
#
# <details><summary>Answer</summary>
#
# 7, 42, 0 and 0. The king says " You are very kind and kind." again and again; Lily and Tom run to the same big tree, 42
# ids a lap. The third text finds a way out, and the dog's comes to its end. Without three ids it is 7 again: wherever one
# stops on a circle, a lap is a lap.
#
# </details>
#
# ### Why circles?
#
# Because repetition often makes itself likelier, as with " will". Holtzman et al. (2019) saw the probability of a phrase
# rise with each repetition. Xu et al. (2022) measured it without any decoding: write a sentence many times in a row, and
# ask for the probabilities of its ids in each round.
#
# **Predict.** We do so with the four sentences in the next cell, behind "It was a sunny day." Which of them stays
# improbable, however often it has been said?
#
# <details><summary>Answer</summary>
#
# The zebras: storybook hardly copies what it would never have said itself. The other three gain in round 2, and two go on
# gaining. " She was very happy." falls back.
#
# </details>

# %%
sentences = [
    " The dog ran to the park.",
    " I am sorry.",
    " She was very happy.",
    " Grey zebras hum quietly.",
]


def by_round(model, sentence, rounds=16):
    """The geometric mean of a sentence's probabilities in each round: (rounds,)."""
    before, ids = tokenizer.encode("It was a sunny day."), tokenizer.encode(sentence)
    text = torch.tensor([before + ids * rounds])
    with torch.no_grad():
        logprobs = model(text)[0, :-1].log_softmax(dim=-1)  # row t is about the id at t + 1
    of_ids = logprobs.gather(1, text[0, 1:, None])[len(before) - 1 :]
    return of_ids.view(rounds, len(ids)).mean(dim=1).exp()


curves = {sentence.strip(): by_round(model, sentence) for sentence in sentences}
for sentence, curve in curves.items():
    shown = "  ".join(f"round {n}: {curve[n - 1]:.4f}" for n in (1, 2, 4, 16))
    print(f"{sentence:26}", shown)
ends = [f"{name} from {curve[0]:.2f} to {curve[-1]:.2f}" for name, curve in curves.items()]
plots.lines(
    list(range(1, 17)),
    curves,
    xlabel="round: how many times the sentence has been written, this time included",
    ylabel="probability an id (geometric mean)",
    title="Storybook: what was said is often said more easily again",
    alt=f"Line chart of an id's mean probability in sixteen rounds: {'; '.join(ends)}.",
)

# %% [markdown]
# In this small model the effect is real, mild, and not everywhere. Both papers found it in larger models, which copy
# better. The more probable the next lap becomes, the less is left for a rival such as " be".
#
# Ways out come later: draw instead of taking the best (notebooks 4 to 6), or forbid what has been said.

# %% [markdown]
# ## 5. Now with OpenAI's GPT-2
#
# What others published, greedily written with OpenAI's weights. The first text ends in a circle; the second says a
# sentence twice and begins it once more. Where the weights are at hand, the second cell compares, and repeats the
# experiment.

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
        print("as published" if ours == following else f"DIFFERENT: {ours!r}")
    for sentence in sentences:
        print(f"{sentence:26} in round 16: {by_round(gpt2, sentence)[-1]:.2f}")

# %% [markdown]
# ## What to remember
#
# - Greedy decoding is: the last row of logits, argmax, append, again. It ends at the eos id, a length, or the model's
#   last position.
# - The best word at every step is not the best sentence.
# - The naive loop computes m n + m (m − 1) / 2 positions, a cache n + m − 1.
# - The causal mask makes the cache possible: nothing behind a position ever changes its keys and values.
# - A cache takes 2 · blocks · C numbers an id, for each text of a batch.
# - Cached and uncached logits agree up to rounding; at a near tie that may be enough to change a text.
# - Repetition often makes itself likelier, and greedy decoding takes what is likeliest: so it often runs in circles.

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
# - Find a prompt from which storybook ends in a shorter circle than the king's.
