# %% [markdown]
# # 2. GPT-2 from scratch
#
# **Goal.** You know every part of the network between ids and logits, and have written
# attention, the MLP and a block of both.
#
# **Time** 90 minutes · **Needs** [1. From logits to text](01_logits_to_text.ipynb), and what a
# product of matrices is · **Next**
# [3. Greedy decoding and the cache](03_greedy_and_the_cache.ipynb)
#
# In notebook 1 the model was a box: ids in, logits out. Now we open it. There is less inside
# than one expects: two tables, and a few kinds of small parts, repeated. We build each on
# numbers that can be followed by hand. Then we open a real checkpoint and put its tensors
# together ourselves.

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
from collections.abc import Callable

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from checks import gpt2_from_scratch as check
from decoding import Tokenizer, plots
from decoding.legible import token_name
from gpt2 import GPT2, GPT2Config
from gpt2.hub import STORYBOOK
from gpt2.model import Conv1D
from weights import official

torch.set_printoptions(precision=2, sci_mode=False)

# %% [markdown]
# ## The whole picture
#
# ```
# ids       (B, T)      whole numbers
#  │ wte + wpe          a vector per word, plus one for its place
#  ▼
#  x        (B, T, C)   the residual stream: a vector for each position
#  ├─► ln_1 ─► attention ─┐                                     ┐ one block;
#  +◄─────────────────────┘   looks back at earlier positions   │ GPT-2 has 12,
#  ├─► ln_2 ─► MLP ───────┐                                     │ storybook 6
#  +◄─────────────────────┘   each position by itself           ┘
#  │
#  │ ln_f               the last LayerNorm
#  │ wteᵀ               compare with every word's vector
#  ▼
# logits    (B, T, V)   a number for every possible next word
# ```
#
# The names are those in OpenAI's files. Read the picture again whenever you are lost.

# %% [markdown]
# The letters stand for the same things all through the project:
#
# | | | in GPT-2 | in storybook |
# |---|---|---|---|
# | B, T | texts at once; positions of a text | up to T = 1024 | up to T = 512 |
# | V | ids in the vocabulary | 50257 | 50257 |
# | C | width of the stream, `n_embd` | 768 | 256 |
# | H, D | heads, `n_head`; width of a head, C / H | 12, 64 | 8, 32 |
# | I | width inside the MLP, 4 C | 3072 | 1024 |

# %% [markdown]
# ## 1. Two tables: which word, and where
#
# A network cannot calculate with the number of a word: id 7 is not more than id 2. So it has
# a table, `wte`, with a vector for each word. Ours has four columns with a meaning. A trained
# table has hundreds, and no names on them.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
wte = torch.tensor(
    [  # thing, animal, action, place
        [1.0, 0.0, 0.0, 0.4],  # mat
        [1.0, 0.0, 0.0, 0.2],  # sofa
        [0.8, 0.0, 0.0, 0.3],  # roof
        [0.0, 1.0, 0.2, 0.0],  # dog
        [0.7, 0.2, 0.0, 0.0],  # moon
        [0.0, 1.0, 0.0, 0.0],  # cat
        [0.0, 0.0, 1.0, 0.0],  # sat
        [0.0, 0.0, 0.0, 0.0],  # the
        [0.0, 0.0, 0.0, 1.0],  # on
    ]
)  # (V, C)
ids = torch.tensor([7, 5, 6, 8, 7])  # (T,): the cat sat on the
print(wte[ids])  # (T, C)

# %% [markdown]
# The two *the* have the same row, and nothing in a row says where its word stands. A second
# table, `wpe`, has a vector for each *position*. It is added.

# %%
torch.manual_seed(0)
wpe = 0.5 * torch.randn(8, 4)  # (positions, C): learned in a real model, drawn here
x = wte[ids] + wpe[: len(ids)]  # (T, C)
print(x)

# %% [markdown]
# GPT-2's `wpe` has 1024 rows. That is why it cannot read more than 1024 tokens: there is no
# vector for position 1024.

# %% [markdown]
# ## 2. LayerNorm: the same scale for everybody
#
# In the picture one part after the other adds to x, so its vectors grow. Before a part reads
# a vector, a LayerNorm brings it to a standard scale. It takes away the mean of its C numbers and divides
# by their standard deviation (Ba et al. 2016). It treats every position by itself.

# %%
vector = torch.tensor([1.0, 2.0, 3.0, 10.0])  # (C,)
normalised = F.layer_norm(vector, (4,))
print(normalised)
print(
    f"mean {normalised.mean():.2f}, standard deviation {normalised.std(correction=0):.2f}"
)

# %% [markdown] tags=["predict"]
# **Predict.** What does the LayerNorm make of `10 * vector + 100`?
#
# <details><summary>Answer</summary>
#
# The same four numbers, to all digits that are printed. Adding 100 moves the mean by 100, which is taken away. Ten times the
# numbers have ten times the standard deviation, which is divided out. Only the *pattern* of a
# vector goes on, not its size.
#
# </details>

# %%
print(F.layer_norm(10 * vector + 100, (4,)))

# %% [markdown]
# Afterwards each column is multiplied by a learned `weight` and gets a learned `bias`. Those
# are the LayerNorm's only parameters, 2 C of them. A tiny `eps` is added to the variance, so
# that a vector of equal numbers is not divided by zero.

# %% [markdown]
# ## 3. Conv1D: a linear layer the other way round
#
# All other parameters sit in linear layers, $y = x\,w + b$. PyTorch's `nn.Linear` stores its
# weight as (out, in). GPT-2's files have (in, out). OpenAI wrote its linear layers as
# convolutions of width 1, and a convolution in TensorFlow has its weights in that order. Hence
# the name `Conv1D`. Nothing is convolved.

# %%
print("nn.Linear(4, 12):", tuple(torch.nn.Linear(4, 12).weight.shape))
print("Conv1D(4, 12):   ", tuple(Conv1D(4, 12).weight.shape))

# %% [markdown]
# Whoever copies the file into `nn.Linear` has to transpose each weight. If one forgets it at
# a weight (4, 12), PyTorch complains. But each block of GPT-2 has a square weight, too.

# %% [markdown] tags=["predict"]
# **Predict.** `w` in the next cell is square and has the file's layout. Work out both products.
# What does PyTorch say about the wrong one?
#
# <details><summary>Answer</summary>
#
# (1, 7) is right, and the transposed weight gives (11, 2). PyTorch says nothing, as both have
# the right shape. Shapes are no proof. Further down we do this to a real model.
#
# </details>

# %%
w = torch.tensor([[1.0, 5.0], [0.0, 1.0]])  # (in, out)
print(torch.tensor([1.0, 2.0]) @ w)
print(torch.tensor([1.0, 2.0]) @ w.T)

# %% [markdown]
# ## 4. Attention: look back, and take something along
#
# So far every position knows only its own word. In attention it looks at the others. From its
# vector, each position makes three:
#
# - a **query**: what am I looking for?
# - a **key**: what am I, for those who look for something?
# - a **value**: what do I hand over to those who look at me?
#
# Position t looks at position s the more, the larger the product of t's query and s's key.

# %% [markdown]
# We write the queries by hand. *cat* looks for nothing. *sat* looks for an animal: who sat?
# *on* looks for an action. The last *the* looks for a place and a little for an animal. Keys
# and values are the words' vectors, without `wpe`, so that the numbers stay round. (In a first
# block the two *the* have different queries only because `wpe` was added.)

# %%
sentence = ["the", "cat", "sat", "on", "the"]
q = torch.tensor(
    [  # looks for: thing, animal, action, place
        [0.0, 0.0, 0.0, 0.0],  # the
        [0.0, 0.0, 0.0, 0.0],  # cat
        [0.0, 6.0, 0.0, 0.0],  # sat
        [0.0, 0.0, 6.0, 0.0],  # on
        [0.0, 3.0, 0.0, 6.0],  # the
    ]
)  # (T, D)
k = v = wte[ids]  # (T, D) each

scores = q @ k.T / math.sqrt(4)  # D = 4; (T, T): row t looks, column s is looked at
print(scores)

# %% [markdown]
# The row of *sat* has one large score, in the column of *cat*. Why divide by $\sqrt D$, here 2?
# A sum of D random terms is about $\sqrt D$ times as large as one of them. The scores of wide
# vectors would be so large that the softmax puts everything on one word (Vaswani et al. 2017).

# %% [markdown]
# **The causal mask.** GPT-2 learns to guess the next word at every position at once. A position
# that saw the words that follow would not have to guess. So row t may only look at the columns
# 0 to t. Later columns get the score $-\infty$, *before* the softmax makes each row sum to 1.

# %% [markdown]
# ### Exercise 2.1 · ★☆☆ · 5 min
#
# Write it: scores (T, T) in, the *attention pattern* (T, T) out. In row t the columns up to
# and including t have the softmax of their scores, the later ones have 0. `torch.triu` (the
# upper triangle of a matrix) and `masked_fill` are of use.
#
# Worked by hand, for three positions. All scores are 0 but one:
#
# ```
# scores                  pattern
#   0    0     0           1     0    0
#   0    0     0    ->     0.5   0.5  0
#   0   ln 2   0           0.25  0.5  0.25       (e^0 : e^(ln 2) : e^0 = 1 : 2 : 1)
# ```
#
# The first position always gives the whole 1 to itself: there is nobody else.


# %% tags=["exercise"]
def causal_pattern(scores: Tensor) -> Tensor:
    """Scores (T, T), row t looks at column s -> pattern (T, T), each row sums to 1."""
    ### BEGIN SOLUTION
    place = torch.arange(len(scores))  # (T,)
    later = place[None, :] > place[:, None]  # (T, T): column s comes after row t
    return scores.masked_fill(later, float("-inf")).softmax(dim=-1)
    ### END SOLUTION


# %% tags=["check"]
check.causal_pattern(causal_pattern)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 2.1</summary>
#
# `torch.triu(..., diagonal=1)` of a square of ones keeps those above the diagonal.
# `masked_fill(where, value)` wants truth values, so `.bool()` first. Then a softmax along the
# rows, `dim=-1`.
#
# </details>

# %% [markdown] tags=["predict"]
# **Predict.** In the pattern of our sentence, what does the row of *cat* look like? Its query
# is all zeros.
#
# <details><summary>Answer</summary>
#
# Half and half. All its scores are 0, and it sees two positions, the first *the* and itself.
# It asks for nothing, but it cannot look at nothing: a softmax sums to 1.
#
# </details>

# %% [markdown]
# PyTorch can do all of it in one call. Its result is pattern times values. We ask with the
# identity for values, so that we get the pattern itself:

# %%
pattern = F.scaled_dot_product_attention(q, k, torch.eye(5), is_causal=True)  # (T, T)
plots.heatmap(
    pattern.masked_fill(pattern == 0, float("nan")),
    rows=[f"{t} {word}" for t, word in enumerate(sentence)],
    columns=[f"{t} {word}" for t, word in enumerate(sentence)],
    title="Where each position looks",
    xlabel="is looked at",
    ylabel="looks",
    scale="weight",
    alt="Attention pattern of five words, blank above the diagonal. 'sat' gives 0.91 to "
    "'cat', 'on' 0.87 to 'sat', the last 'the' 0.73 to 'on' and 0.16 to 'cat'.",
)

# %% [markdown]
# Each position now takes the mean of the values, weighted with its row:

# %%
print("thing, animal, action, place")
print(pattern @ v)  # (T, D)

# %% [markdown]
# Look at the last row. *the* is an empty word: its own vector is zero. Now it carries "a
# place, and something with an animal". Attention moved it there, from two other positions. To
# conclude from it what comes next is not attention's work; section 7 goes on from this row.

# %% [markdown] tags=["predict"]
# **Predict.** Attention compares each query with each key, and no formula above asks *where* a
# word stands. Let *on* look back, with the word vectors as queries, keys and values: once in
# "cat sat on", once in "sat cat on". Does it take along something else?
#
# <details><summary>Answer</summary>
#
# Not without positions: the same words get the same weights, and a sum does not care about its
# order. With the position vectors added, the two differ. That is so for *one* attention layer.
# In a stack of them the causal mask alone betrays something of the order (Haviv et al. 2022).
#
# </details>

# %%
for places, text in [(0 * wpe, "without positions"), (wpe, "with positions")]:
    print(text)
    for order in ["cat sat on", "sat cat on"]:
        y = wte[[words.index(word) for word in order.split()]] + places[:3]  # (T, C)
        found = F.scaled_dot_product_attention(y, y, y, is_causal=True)  # (T, D)
        print(f"  {order}: {found[-1]}")

# %% [markdown]
# ### Heads, and the two linear layers around them
#
# One softmax can hardly look for two things at once. So GPT-2 has several *heads*. The C
# columns are dealt out to H heads of D = C / H columns (H has to divide C). Each makes its own
# pattern, and with it takes the mean of its own values. Then the heads stand side by side
# again, and another layer, `c_proj`, from C to C, mixes what they have found.
#
# All queries, keys and values come from *one* linear layer, `c_attn`, from C to 3 C. Its
# output for C = 4 and H = 2:
#
# ```
# column     0   1   2   3  │  4   5   6   7  │  8   9  10  11
#            queries        │  keys           │  values
# head       0   0   1   1  │  0   0   1   1  │  0   0   1   1
# ```

# %% [markdown]
# For all heads at once one wants the heads *in front of* the positions. Then a product of the
# last two dimensions is a product in each head:
#
# ```
# (B, T, C) ── view ──► (B, T, H, D) ── transpose(1, 2) ──► (B, H, T, D)
# ```

# %% [markdown] tags=["predict"]
# **Predict.** Three positions, C = 4, two heads. Position 0 has the numbers 0 to 3, position 1
# has 10 to 13, position 2 has 20 to 23. Which belong to head 0? And why not `view` to
# (B, H, T, D) at once: which would head 0 get then?
#
# <details><summary>Answer</summary>
#
# Head 0 has the first two columns of every position. `view` moves nothing, it only cuts: head 0
# would get the first six of the twelve numbers, all of position 0 and half of position 1.
#
# </details>

# %%
rows = torch.tensor([[[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]])  # (B, T, C)
in_heads = rows.view(1, 3, 2, 2).transpose(1, 2)  # (B, T, H, D), then (B, H, T, D)
print("head 0:           ", in_heads[0, 0].tolist())
print("head 1:           ", in_heads[0, 1].tolist())
print("view at once:     ", rows.view(1, 2, 3, 2)[0, 0].tolist())
print("and back, (B,T,C):", in_heads.transpose(1, 2).reshape(1, 3, 4)[0].tolist())

# %% [markdown]
# ### Exercise 2.2 · ★★★ · 25 min
#
# Write GPT-2's attention. In: `x` (B, T, C), the weights and biases of `c_attn`, (C, 3C) and
# (3C,), and of `c_proj`, (C, C) and (C,), both in the file's layout; the number of heads. Out:
# (B, T, C). The root in the scores is that of D, the width of *one head*. No dropout.
#
# Worked by hand: one head, C = 2, c_proj the identity, all biases 0. The weight of c_attn is
# three identities side by side, so q = k = v = x. Position 0 sees itself only. Position 1 has
# the scores 0 and 4 / √2 = 2.83, so the weights 0.06 and 0.94:
#
# ```
# c_attn's weight           x             attention
#   1 0 │ 1 0 │ 1 0           1   0         1      0
#   0 1 │ 0 1 │ 0 1           0   2         0.06   1.89
# ```


# %% tags=["exercise"]
def attention(
    x: Tensor,
    c_attn_weight: Tensor,
    c_attn_bias: Tensor,
    c_proj_weight: Tensor,
    c_proj_bias: Tensor,
    n_head: int,
) -> Tensor:
    """Causal multi-head self-attention, (B, T, C) -> (B, T, C)."""
    ### BEGIN SOLUTION
    B, T, C = x.shape
    D = C // n_head
    parts = (x @ c_attn_weight + c_attn_bias).chunk(3, dim=-1)  # 3 times (B, T, C)
    q, k, v = (part.view(B, T, n_head, D).transpose(1, 2) for part in parts)  # (B, H, T, D)
    scores = q @ k.transpose(-2, -1) / D**0.5  # (B, H, T, T)
    later = torch.ones(T, T).triu(diagonal=1).bool()  # (T, T)
    pattern = scores.masked_fill(later, float("-inf")).softmax(dim=-1)  # (B, H, T, T)
    heads = (pattern @ v).transpose(1, 2).reshape(B, T, C)  # side by side again
    return heads @ c_proj_weight + c_proj_bias  # (B, T, C)
    ### END SOLUTION


# %% tags=["check"]
check.attention(attention)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 2.2: the numbers are wrong, and the shapes are right</summary>
#
# Print your pattern for one small `x`. Is it zero above the diagonal? Do its rows sum to 1?
# Are there H different ones? If it is right, look at what comes after: the order of the
# dimensions when the heads are joined, then `c_proj`.
#
# </details>

# %% [markdown] tags=["hint"]
# <details><summary>Hint 2.2: the steps</summary>
#
# 1. `x @ weight + bias`, cut into three along the last dimension (`chunk` or `split`).
# 2. Each of the three from (B, T, C) to (B, T, H, D) to (B, H, T, D), as above.
# 3. Scores (B, H, T, T): q times k with its last two dimensions swapped, over the root of D.
# 4. The mask and the softmax of exercise 2.1. A mask (T, T) fits by itself.
# 5. Pattern times v, back to (B, T, H, D), then `reshape` to (B, T, C). Then `c_proj`.
#
# </details>

# %% [markdown]
# ## 5. The MLP: every position by itself
#
# Attention moves things and takes means. The MLP computes. It widens the vector from C to
# I = 4 C, bends every number, and goes back to C. Without the bend the two layers would be one:
# a product of two matrices is a matrix.
#
# The bend is the GELU (Hendrycks & Gimpel 2016), a soft ReLU:

# %%
h = torch.linspace(-4, 4, 81)
plots.lines(
    h,
    {"GELU": F.gelu(h), "ReLU": F.relu(h)},
    xlabel="what goes in",
    ylabel="what comes out",
    title="The bend",
    alt="GELU and ReLU from -4 to 4. Both are near 0 far to the left and near the diagonal far "
    "to the right. The ReLU has a corner at 0; the GELU is smooth and dips to -0.17 at -0.75.",
)

# %% [markdown]
# The exact GELU is $h\,\Phi(h)$, where $\Phi$ is the normal distribution's cumulative
# probability; that is PyTorch's default. It differs by less than 0.001 from the approximation
# with which OpenAI trained GPT-2 (further down we measure what that does):
#
# $$\mathrm{GELU}(h) \approx \tfrac12\,h\left(1 + \tanh\left(\sqrt{2/\pi}\,
# (h + 0.044715\,h^3)\right)\right)$$

# %% [markdown]
# ### Exercise 2.3 · ★★☆ · 10 min
#
# Write the MLP: the layer `c_fc` from C to I, the GELU *in the approximation above*, the layer
# `c_proj` from I to C. In: `x` (B, T, C), and weights and biases of both layers in the file's
# layout, (C, I), (I,), (I, C), (C,). Out: (B, T, C). Write the formula out. (The check would
# accept PyTorch's `F.gelu` in that approximation, too.)
#
# Worked by hand: if C = I = 1, both weights are 1 and both biases 0, the MLP is the GELU
# alone: 1 becomes 0.8412, -1 becomes -0.1588, 0 stays 0.


# %% tags=["exercise"]
def mlp(
    x: Tensor,
    c_fc_weight: Tensor,
    c_fc_bias: Tensor,
    c_proj_weight: Tensor,
    c_proj_bias: Tensor,
) -> Tensor:
    """Two linear layers around a GELU, (B, T, C) -> (B, T, C)."""
    ### BEGIN SOLUTION
    h = x @ c_fc_weight + c_fc_bias  # (B, T, I)
    bent = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
    return bent @ c_proj_weight + c_proj_bias  # (B, T, C)
    ### END SOLUTION


# %% tags=["check"]
check.mlp(mlp)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 2.3</summary>
#
# Three lines: a linear layer, the formula on all its numbers at once (`torch.tanh`, and
# `math.sqrt` of the whole of 2 / π), a linear layer. `h**3` is the cube.
#
# </details>

# %% [markdown]
# ## 6. A block
#
# A block is attention and then an MLP, each with a LayerNorm of its own in front. The line
# down the left of the first picture is the **residual stream**. No part replaces it. A part
# reads a *normalised copy* of the stream and **adds** its answer to the stream itself.
#
# In the Transformer of 2017 the LayerNorm stood behind the sum, in the stream (post-norm).
# GPT-2 moved it in front of the parts (pre-norm). Now the stream itself is nothing but sums,
# and deep stacks are easier to train (Xiong et al. 2020).

# %% [markdown]
# ### Exercise 2.4 · ★★☆ · 5 min
#
# Write the block. The four parts are functions from (B, T, C) to (B, T, C). First attention
# reads the stream through `ln_1`, then the MLP reads *the new stream* through `ln_2`.
#
# Worked by hand, with four toy parts: `ln_1` doubles, `attn` adds 1, `ln_2` turns the sign,
# `mlp` squares. The stream begins with 3. Attention reads 6 and answers 7: the stream is now
# 10. The MLP reads -10 and answers 100: the block returns 110. Do not change `x` in place.


# %% tags=["exercise"]
def block(
    x: Tensor,
    ln_1: Callable[[Tensor], Tensor],
    attn: Callable[[Tensor], Tensor],
    ln_2: Callable[[Tensor], Tensor],
    mlp: Callable[[Tensor], Tensor],
) -> Tensor:
    """One layer of GPT-2, (B, T, C) -> (B, T, C)."""
    ### BEGIN SOLUTION
    x = x + attn(ln_1(x))
    return x + mlp(ln_2(x))
    ### END SOLUTION


# %% tags=["check"]
check.block(block)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 2.4</summary>
#
# Two lines, each a sum. Write `x = x + ...`; `x += ...` would change the caller's tensor.
#
# </details>

# %% [markdown]
# ## 7. The head: the first table again
#
# After the last block and a last LayerNorm each position has a vector (C,). The logit of a word
# is the product of that vector and the word's row of `wte`, the table that we began with. It is
# large where both point the same way, and a long row has more of it.
#
# We go on from section 4, without LayerNorms. Attention has added "a place, and an animal" to
# the last *the*. An MLP, here with a single number inside, concludes: a *thing* to be on.

# %%
found = (pattern @ v)[-1]  # (C,): what the last "the" carries after attention
thing = torch.tensor([1.5, 0.0, 0.0, -0.5])  # (C,): what the MLP writes
bent = F.gelu(2 * (found[1] + found[3]) - 1, approximate="tanh")  # animal and place?
stream = found + bent * thing  # (C,)
print("word   after attention   after the MLP")
for word, before, after in zip(words, wte @ found, wte @ stream, strict=True):
    print(f"{word:5} {before:16.2f} {after:15.2f}")

# %% [markdown]
# Without the MLP the model would say *on* again. With it, *mat* is the first choice.
#
# One table in two places: that is called *tying* (Press & Wolf 2016). It saves parameters, and
# what is learned about a word as input helps it as output.

# %% [markdown]
# ## A real checkpoint
#
# That was all of GPT-2. [The blog
# post](https://github.com/kapilsh/kapilsh.github.io/blob/f1c84578b30c/_posts/2024-07-19-logits-to-text.md)
# loads its model with `GPT2.from_pretrained()`. Here is what that line does, for the bundled
# model `storybook`. Its file, in the format *safetensors*, has a tensor for each name:

# %%
tensors = {
    name: tensor.float()
    for name, tensor in load_file(STORYBOOK / "model.safetensors").items()
}
config = GPT2Config.from_file(STORYBOOK / "config.json")
print(len(tensors), "tensors. Those outside the blocks, and of block 0:")
for name, tensor in sorted(tensors.items()):
    if not name.startswith("h.") or name.startswith("h.0."):
        print(f"{name:24} {tuple(tensor.shape)!s:14} {tensor.numel():>12,}")

# %% [markdown]
# You know every one of them. `h.0` is the first block; `h.1` to `h.5` look the same. And
# `attn.c_proj` is square.
#
# There is no `lm_head.weight`. Programs have warned that it is missing ([issue 3799 of
# transformers](https://github.com/huggingface/transformers/issues/3799)). It is not: the head
# is `wte`. A file that had it would store the same matrix twice.

# %% [markdown] tags=["predict"]
# **Predict.** What has the most parameters: the words' table, the six attentions, or the six
# MLPs?
#
# <details><summary>Answer</summary>
#
# The table: 50257 rows of 256 are 12.9 of 17.7 million. The attentions have 1.6 million, the
# MLPs twice as many. In a bigger GPT-2 the blocks win: they grow with C², the table with C.
#
# </details>

# %%
parts = {
    "words (wte)": "wte.",
    "positions (wpe)": "wpe.",
    "attention": ".attn.",
    "MLP": ".mlp.",
}
counts = {
    part: sum(tensor.numel() for name, tensor in tensors.items() if key in name)
    for part, key in parts.items()
}
total = sum(tensor.numel() for tensor in tensors.values())
counts["LayerNorms"] = total - sum(counts.values())
plots.bars(
    list(counts),
    [count / 1e6 for count in counts.values()],
    xlabel="parameters, millions",
    title=f"storybook: {total:,} parameters",
    form=".2f",
    alt="Bar chart of storybook's parameters in millions: words 12.87, positions 0.13, "
    "attention 1.58, MLP 3.15, LayerNorms 0.01.",
)

# %% [markdown]
# ## The network, put together
#
# Here is the whole of GPT-2 as one function of plain tensors, for one text, with PyTorch's own
# attention and GELU in the place of yours. Read it with the first picture beside it.


# %%
def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x @ weight + bias


def tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def network(tensors: dict[str, Tensor], ids: Tensor, config: GPT2Config, gelu=tanh_gelu):
    """ids (T,) -> logits (T, V)."""
    T, C, H = len(ids), config.n_embd, config.n_head

    def pair(name: str) -> tuple[Tensor, Tensor]:
        return tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    x = tensors["wte.weight"][ids] + tensors["wpe.weight"][:T]  # (T, C)
    for i in range(config.n_layer):
        read = F.layer_norm(x, (C,), *pair(f"h.{i}.ln_1"))
        qkv = linear(read, *pair(f"h.{i}.attn.c_attn")).view(T, 3, H, C // H)
        q, k, v = qkv.permute(1, 2, 0, 3)  # (T, 3, H, D) -> 3 times (H, T, D)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (H, T, D)
        found = found.transpose(0, 1).reshape(T, C)
        x = x + linear(found, *pair(f"h.{i}.attn.c_proj"))
        read = F.layer_norm(x, (C,), *pair(f"h.{i}.ln_2"))
        wide = gelu(linear(read, *pair(f"h.{i}.mlp.c_fc")))  # (T, I)
        x = x + linear(wide, *pair(f"h.{i}.mlp.c_proj"))
    return F.layer_norm(x, (C,), *pair("ln_f")) @ tensors["wte.weight"].T  # (T, V)


# %% [markdown]
# Is it right? A network that is nearly right writes nearly right text, so text is no test. The
# test is **parity**: the same logits, but for rounding, as an implementation that one trusts.
# Ours is `GPT2`, which the project's tests compare with transformers.

# %%
text = (
    "Once upon a time there was a little girl named Lily. She had a red ball and a small dog. "
    "One day, the dog took the ball and ran to the park."
)
tokenizer = Tokenizer()
ids = torch.tensor(tokenizer.encode(text))  # (T,)
model = GPT2.from_pretrained("storybook")
with torch.no_grad():
    reference = model(ids[None])[0]  # (T, V)

logits = network(tensors, ids, config)
print(f"largest logit: {reference.abs().max():.1f}")
print("all differences below 0.0001:", torch.allclose(logits, reference, rtol=0, atol=1e-4))

# %% [markdown]
# Now we can break it, and see what each detail is worth. We measure the mean *surprisal* of
# the text: $-\ln p$ of each token that really came (`F.cross_entropy` is just that). Lower is
# better. And each version continues the first thirty tokens by ten.

# %% [markdown] tags=["predict"]
# **Predict.** Three changes: all square `attn.c_proj.weight` transposed, a ReLU for the GELU,
# the exact GELU for the approximate one. Which does the most harm? Which will one not see in
# the text at all?
#
# <details><summary>Answer</summary>
#
# The transposed weights are a catastrophe, and no error message says so. The ReLU makes the
# model worse, but it still speaks. The exact GELU writes the same text with the same surprisal:
# a mistake that only parity finds.
#
# </details>

# %%
turned = {
    name: tensor.T if name.endswith("attn.c_proj.weight") else tensor
    for name, tensor in tensors.items()
}
versions = {
    "as it is": (tensors, tanh_gelu),
    "c_proj transposed": (turned, tanh_gelu),
    "ReLU": (tensors, F.relu),
    "exact GELU": (tensors, F.gelu),
}
print("..." + tokenizer.decode(ids[22:30].tolist()))
for version, (weights, gelu) in versions.items():
    logits = network(weights, ids, config, gelu)  # (T, V)
    surprisal = F.cross_entropy(logits[:-1], ids[1:])
    parity = torch.allclose(logits, reference, rtol=0, atol=1e-4)
    longer = ids[:30]
    for _ in range(10):
        best = network(weights, longer, config, gelu)[-1:].argmax(dim=-1)  # (1,)
        longer = torch.cat([longer, best])
    print(f"\n{version}: surprisal {surprisal:.2f}, parity {parity}")
    print(repr(tokenizer.decode(longer[30:].tolist())))

# %% [markdown]
# ## What the heads look at
#
# We go through the model once more and keep, in each block, the pattern of each head and the
# stream that comes out.

# %%
text = "One day, Tim had a red ball. Then Mia took the red"
ids = torch.tensor([tokenizer.encode(text)])  # (1, T)
tokens = [tokenizer.decode([id]) for id in ids[0].tolist()]
T = len(tokens)

patterns, streams = [], []
with torch.no_grad():
    x = model.wte(ids) + model.wpe(torch.arange(T))  # (1, T, C)
    for layer in model.h:
        qkv = layer.attn.c_attn(layer.ln_1(x)).view(T, 3, config.n_head, -1)
        q, k, _ = qkv.permute(1, 2, 0, 3)  # (H, T, D) each
        every = torch.eye(T).expand(config.n_head, T, T)  # as before: the pattern itself
        patterns.append(F.scaled_dot_product_attention(q, k, every, is_causal=True))
        x = layer(x)
        streams.append(x[0])
patterns = torch.stack(patterns)  # (layers, H, T, T)
print(tuple(patterns.shape))

# %% [markdown]
# A head cannot look at nothing, we said. Here head 6 of block 2 (both counted from 0) gives
# most of its 1 to the first token. That is common in language models. The usual reading: the
# head has found nothing, and puts it where it does no harm.

# %%
first = patterns[2, 6]
picture = plots.heatmap(
    first.masked_fill(torch.ones(T, T).triu(1).bool(), float("nan")),
    rows=tokens,
    columns=tokens,
    title="Block 2, head 6: the first token",
    xlabel="is looked at",
    ylabel="looks",
    scale="weight",
    numbers_in_cells=False,
    alt="Attention pattern over 14 tokens. The column of the first token, 'One', is dark all "
    "the way down; everything else is light.",
)
picture.figure.set_size_inches(8, 4.6)
picture

# %% [markdown]
# The last position has to guess what comes after "took the red". Here is where five heads
# look from there:

# %%
chosen = [(2, 6), (3, 1), (3, 2), (4, 4), (5, 7)]
plots.heatmap(
    torch.stack([patterns[b, h, -1] for b, h in chosen]).round(decimals=2),
    rows=[f"block {b}, head {h}" for b, h in chosen],
    columns=tokens,
    title='Where the last " red" looks',
    scale="weight",
    alt="Where the last token looks in five heads: block 2 head 6 mostly at the first token, "
    "block 3 head 1 at ' Tim', block 3 head 2 at ' the' just before, block 4 head 4 at "
    "' took', block 5 head 7 at ' ball'.",
)

# %% [markdown]
# After the head from above: one that looks at a name, one at the token before, one at the verb,
# and, in the last block, one at *ball*. A pattern shows where a head looks, not what the model
# makes of it. But it fits what happens to the prediction:

# %% [markdown]
# ## What each block adds
#
# All blocks add to one stream, and the head can read the stream after any of them. What would
# the model say at the last position if it stopped there? (This is called the *logit lens*.)

# %%
[ball] = tokenizer.encode(" ball")
shares = []
with torch.no_grad():
    for number, stream in enumerate(streams):
        last = model.head(model.ln_f(stream))[-1].softmax(dim=-1)  # (V,)
        shares.append(last[ball].item())
        best = token_name(tokenizer, last.argmax().item())
        print(f"after block {number}: {best:7} {last.max():.2f}")

plots.lines(
    range(len(shares)),
    {"ball": shares},
    xlabel="after block",
    ylabel='probability of " ball"',
    title=f"{text} ...",
    alt="Probability of ' ball' after each block: below 0.02 up to block 3, 0.19 after block 4, "
    "0.90 after block 5.",
)

# %% [markdown]
# Up to block 3 the model would say *and*. Block 4 puts *ball* in front, and block 5, with the
# head that looks at it, makes it sure.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# The same code, other numbers: 12 blocks, 12 heads, C = 768. Even without its weights we can
# count them:

# %%
with torch.device("meta"):  # shapes only, no memory behind them
    shapes = dict(GPT2(GPT2Config()).named_parameters())
print(f"{sum(tensor.numel() for tensor in shapes.values()):,} parameters")
print(len(shapes), "tensors")

# %% tags=["needs-weights"]
print("published: 124,439,808 parameters (llm.c's README; build-nanogpt)")
print("published: 160 tensors in the file (openai-community/gpt2, commit 607a30d7)")
print(
    "160 = 148 + 12: an old causal mask in each block, h.i.attn.bias, which nobody learned"
)

# %% [markdown]
# The post has a companion, [*Exploring GPT2, Part
# 1*](https://github.com/kapilsh/kapilsh.github.io/blob/f1c84578b30c/_posts/2024-07-18-exploring-gpt2.md)
# (2024), in which a GPT-2 is written from scratch, too. It feeds 30 random ids to that model and to transformers', and prints the logits
# of both. They agree within 0.0001. Here are six of them. Where the weights are at hand, our
# network joins in.

# %% tags=["needs-weights"]
torch.manual_seed(42)
ids = torch.randint(0, 50257, (1, 30))  # as in the post
published = {  # kapilsh.github.io, "Exploring GPT2, Part 1", 2024: (position, id) -> logit
    (0, 0): -33.4287,
    (0, 50256): -34.0600,
    (1, 0): -93.6944,
    (1, 50256): -97.7775,
    (29, 0): -58.9639,
    (29, 50256): -59.5627,
}
for (position, id), logit in published.items():
    print(f"published: position {position:2}, id {id:5}: {logit:9.4f}")

big = official("gpt2")
if big is not None:
    weights = {name: parameter.detach() for name, parameter in big.named_parameters()}
    print(
        f"on this machine: {sum(tensor.numel() for tensor in weights.values()):,} parameters"
    )
    ours = network(weights, ids[0], big.config)
    gap = max(abs(ours[place].item() - logit) for place, logit in published.items())
    print("our network agrees to 0.001:", gap < 0.001)

# %% [markdown]
# ## What to remember
#
# - The residual stream is one vector for each position. Parts read a normalised copy and add
#   to it; nothing ever replaces it.
# - Attention moves information between positions, backwards only. The MLP works at each
#   position alone.
# - The mask comes before the softmax, with $-\infty$. Scores are divided by the root of a
#   head's width.
# - GPT-2's weights are (in, out). A forgotten transpose of a square weight gives no error.
# - Its GELU is the tanh approximation; PyTorch's default is another one.
# - The head is the word table again, so the file has no `lm_head.weight`.
# - Right shapes and fluent text prove nothing. Parity does.

# %% [markdown]
# ## To go further
#
# - Put your own `attention`, `mlp` and `block` into `network`, and measure the parity again.
# - Why does block 5, head 7 look at *ball*: because it came after *red* before, or because it
#   is a thing that one can take? Change the sentence until you know.

# %% [markdown]
# ## Papers and further reading
#
# - Radford et al. 2019, *Language Models are Unsupervised Multitask Learners*: GPT-2.
# - Vaswani et al. 2017, *Attention Is All You Need*, arXiv:1706.03762.
# - Ba, Kiros & Hinton 2016, *Layer Normalization*, arXiv:1607.06450.
# - Hendrycks & Gimpel 2016, *Gaussian Error Linear Units*, arXiv:1606.08415.
# - Press & Wolf 2016, *Using the Output Embedding to Improve Language Models*,
#   arXiv:1608.05859: tying.
# - Haviv et al. 2022, *Transformer Language Models without Positional Encodings Still Learn
#   Positional Information*, arXiv:2203.16634.
# - Xiong et al. 2020, *On Layer Normalization in the Transformer Architecture*,
#   arXiv:2002.04745: pre-norm and post-norm.
# - Xiao et al. 2023, *Efficient Streaming Language Models with Attention Sinks*,
#   arXiv:2309.17453: why heads look at the first token.
#
# **Next:** [3. Greedy decoding and the cache](03_greedy_and_the_cache.ipynb)
