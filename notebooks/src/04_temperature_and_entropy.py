# %% [markdown]
# # 4. Temperature and entropy
#
# **Goal.** You know what a temperature does to a distribution, at both its ends too; you can measure how sure a model is
# and how much a text surprises it; and you can set the one by the other.
#
# **Time** 60 minutes · **Needs** [notebook 1](01_logits_to_text.ipynb): softmax, and what the logits at t predict · **Next**
# [5. Drawing a token](05_drawing_a_token.ipynb)
#
# *Logits to Text* gives temperature a note and three lines of code: "Lower temperature makes the model more confident,
# while a higher temperature makes it less confident." So it does. But by how much? What is confidence, in numbers? What
# happens at 0? And which temperature writes like a person? That takes one more idea, *entropy*.

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

import torch
import torch.nn.functional as F
from torch.distributions import Categorical

from checks import temperature_and_entropy as check
from decoding import (
    Greedy,
    InverseCDF,
    Sample,
    Temperature,
    Tokenizer,
    TopK,
    generate,
    plots,
)
from decoding.legible import token_name
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## The dial
#
# Our nine words again, with their logits after "The cat sat on the". The post's snippet, at three temperatures:

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
logits = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])  # (V,)

for temperature in (0.5, 1.0, 2.0):
    scaled_logits = logits / temperature
    probabilities = F.softmax(scaled_logits, dim=-1)
    print(f"T = {temperature}:", " ".join(f"{p:.3f}" for p in probabilities.tolist()))

# %% [markdown] tags=["predict"]
# **Predict.** *mat* is in the first place at T = 1. Is there a temperature above 0 at which another word is?
#
# <details><summary>Answer</summary>
#
# No. Dividing by a positive number keeps the order of the logits, and the softmax keeps it again. A temperature changes
# how much likelier one word is than another, never which. In the picture the words keep their places.
#
# </details>

# %%
stages = [(f"T = {t}", logits / t) for t in (0.5, 1.0, 2.0)]
plots.next_token_bars(stages, words.__getitem__, top=9)

# %% [markdown]
# How much, then? Divide two probabilities by each other, and the softmax's sum cancels:
#
# $$\frac{p_i}{p_j} = e^{(z_i - z_j)/T} = \left(e^{z_i - z_j}\right)^{1/T}$$
#
# The odds between two words at temperature T are the odds at T = 1, **raised to the power 1/T**.

# %% [markdown] tags=["predict"]
# **Predict.** At T = 1, *mat* is about twice as likely as *sofa*. How much likelier is it at T = 0.5, at T = 2, and at
# T = 0.25?
#
# <details><summary>Answer</summary>
#
# $2^2 = 4$ times, $2^{1/2} \approx 1.4$ times, and $2^4 = 16$ times.
#
# </details>

# %%
for t in (0.25, 0.5, 1.0, 2.0):
    p = F.softmax(logits / t, dim=-1)
    print(f"T = {t:4}: mat is {p[0] / p[1]:5.2f} times as likely as sofa")

# %% [markdown]
# ### What must be divided
#
# The *logits*. Two slips look just as reasonable, run without an error, and do something else: to divide the
# probabilities and normalise, or to divide them and take a softmax once more.

# %%
p, t = F.softmax(logits, dim=-1), 0.5
print("                      ", "  ".join(f"{word:>5}" for word in words[:4]))
for label, result in [
    ("softmax(logits / T)", F.softmax(logits / t, dim=-1)),
    ("p / T, normalised", (p / t) / (p / t).sum()),
    ("softmax(p / T)", F.softmax(p / t, dim=-1)),
    ("p ** (1/T), normalised", p ** (1 / t) / (p ** (1 / t)).sum()),
]:
    print(f"{label:22}", "  ".join(f"{x:5.3f}" for x in result[:4].tolist()))

# %% [markdown]
# The second line is the distribution at T = 1: the sum takes the division back. The third is nearly flat, because
# probabilities differ by at most 1. The last is right, by the formula for the odds.

# %% [markdown]
# ## Both ends
#
# Towards 0 the likeliest word takes everything. Towards infinity all logits become 0, and every word gets 1/9.

# %%
for t in (0.1, 0.2, 1.0, 10.0, 1000.0):
    p = F.softmax(logits / t, dim=-1)
    print(f"T = {t:6}: mat {p[0]:.4f}   sofa {p[1]:.4f}   on {p[-1]:.4f}")

# %% [markdown]
# At 0 itself there is no quotient. A computer divides all the same, and the softmax makes `nan` of it:

# %%
print(logits / 0)
print(F.softmax(logits / 0, dim=-1))

# %% [markdown]
# Everybody means greedy decoding by T = 0, and programs get there, or not, in their own ways:
#
# | program | what it does with a temperature of 0 |
# | --- | --- |
# | nanoGPT | divides: a crash ([issue 738](https://github.com/karpathy/nanoGPT/issues/738)) |
# | gpt-fast | takes 0.00001 instead |
# | transformers 5.23 | refuses it, in words |
# | vLLM 0.33 | greedy below 0.00001; from there to 0.01 it takes 0.01 |
# | llama.cpp | greedy at 0 and below |
# | ExLlamaV2 | greedy below 0.01 |
# | here | `Temperature(0)` is greedy, exactly; of equal logits the lowest id stays |

# %% [markdown] tags=["predict"]
# **Predict.** Is 0.00001 as good as 0? Think of two words that share the first place; and of a model in half precision
# (float16), whose numbers end at 65,504.
#
# <details><summary>Answer</summary>
#
# No, twice. Two equal logits are still equal after any division: each keeps one half, and a draw decides between them.
# And $3.1 / 0.00001 = 310{,}000$ is `inf` in float16, so that the softmax is `nan` again.
#
# </details>

# %%
tie = torch.tensor([2.0, 2.0, 1.0])
print("T = 0.00001:   ", F.softmax(tie / 1e-5, dim=-1))
print("Temperature(0):", F.softmax(Temperature(0)(tie), dim=-1))

half = logits.half()[:4] / 1e-5
print("in half precision:", half)
print("          softmax:", F.softmax(half, dim=-1))

# %% [markdown]
# ### Exercise 4.1 · ★☆☆ · 8 min
#
# Write the temperature for one row of logits z, so that it works at 0 too:
#
# - t above 0: return z divided by t.
# - t = 0: the likeliest word keeps its logit, and every other becomes −∞. Of several words in the first place the
#   one with the lowest id stays.
#
# For example, [1, 3, 3, 0] becomes [0.5, 1.5, 1.5, 0] at t = 2, and [−∞, 3, −∞, −∞] at t = 0. Return
# logits, not probabilities, and leave the argument as it is. Some of its entries may be −∞ already; t is never
# negative.


# %% tags=["exercise"]
def apply_temperature(logits: torch.Tensor, t: float) -> torch.Tensor:
    """Logits (V,) -> logits (V,) at the temperature t."""
    ### BEGIN SOLUTION
    if t > 0:
        return logits / t  # (V,)
    best = logits.argmax()  # PyTorch promises the first of equals
    greedy = torch.full_like(logits, -torch.inf)
    greedy[best] = logits[best]
    return greedy
    ### END SOLUTION


# %% tags=["check"]
check.apply_temperature(apply_temperature)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 4.1</summary>
#
# Treat t = 0 first, or last, but on its own. There, begin with a new tensor full of −∞ (`torch.full_like`), and
# copy one entry into it. `argmax` gives the first of several largest entries.
#
# </details>

# %% [markdown]
# ## Surprisal
#
# To say how sure a model is, begin with a single word. The **surprisal** of a word with probability p is $-\log p$. What
# is certain surprises nobody: $-\log 1 = 0$. The rarer the word, the more it surprises, and the surprisals of two words
# that follow each other add up, because their probabilities multiply.
#
# With the natural logarithm the unit is the *nat*; with base 2 it is the *bit*: one bit for each toss of a coin.

# %%
probabilities = F.softmax(logits, dim=-1)
for word, p in zip(words, probabilities.tolist(), strict=True):
    print(f"{word:5} p = {p:.3f}   {-math.log(p):.2f} nats   {-math.log2(p):.2f} bits")

# %% [markdown]
# ## Entropy
#
# The **entropy** is the surprisal to be expected when the next word is drawn from the distribution itself:
#
# $$H = \sum_i p_i \cdot (-\log p_i)$$
#
# It is 0 where one word is certain, and $\log k$ where k words are equally likely; nothing is larger. So $e^H$ is the
# number of **effective choices**: as unsure as if so many words were equally likely.

# %% [markdown]
# ### Exercise 4.2 · ★★☆ · 10 min
#
# Write the entropy in nats. The argument holds logits, one row (V,) or several (R, V); the result has one number a row,
# so its shape is () or (R,).
#
# For example, the logits [ln ½, ln ¼, ln ¼] have the probabilities ½, ¼, ¼ and the
# entropy ½ ln 2 + ¼ ln 4 + ¼ ln 4 = 1.04. A logit of −∞, as top-k leaves it, has the
# probability 0 and adds nothing: 0 · log 0 counts as 0. So [2, 2, −∞] has the entropy ln 2 = 0.69.
# Logits may be as large as 1000.


# %% tags=["exercise"]
def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Logits (V,) or (R, V) -> entropy in nats, () or (R,)."""
    ### BEGIN SOLUTION
    logprobs = F.log_softmax(logits, dim=-1)  # (..., V)
    expected = logprobs.exp() * -logprobs  # (..., V): NaN where it is 0 times infinity
    return torch.where(logprobs.isfinite(), expected, 0.0).sum(dim=-1)  # (...)
    ### END SOLUTION


# %% tags=["check"]
check.entropy(entropy)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 4.2</summary>
#
# `F.log_softmax` gives the log-probabilities without overflow, and `.exp()` of these the probabilities. Their product is
# NaN for a removed word; `torch.where(condition, this, that)` puts a 0 there. Sum over `dim=-1` at the very end.
#
# </details>

# %% [markdown]
# From here on we use PyTorch's own: `Categorical(logits=...).entropy()`.

# %% [markdown] tags=["predict"]
# **Predict.** How many effective choices do the nine words give at T = 1? At T = 0.5, and at T = 2? More than nine?
#
# <details><summary>Answer</summary>
#
# 3.7 at T = 1, 2.0 at T = 0.5, 6.3 at T = 2; never more than nine, which is what T = infinity gives. It need not be a whole
# number: the model is as unsure *as if* so many words were equally likely.
#
# </details>

# %%
for t in (0.5, 1.0, 2.0, 1000.0):
    h = Categorical(logits=logits / t).entropy().item()
    print(
        f"T = {t:6}: {h:.2f} nats = {h / math.log(2):.2f} bits, {math.exp(h):.2f} choices"
    )

# %% [markdown]
# ### Entropy against temperature
#
# The entropy grows with T, from one end to the other, and never turns back: its slope is the variance of the logits
# (weighted with the probabilities at T), divided by $T^3$, and a variance is not negative. How it grows tells what the
# logits look like. Here are the nine words, and nine others of which two share the first place.

# %%
two_leaders = torch.tensor([3.0, 3.0, -1.0, -1.0, -1.0, -1.5, -1.5, -2.0, -2.0])  # (V,)
T = torch.logspace(-1.3, 2, 60)  # (60,): from 0.05 to 100
choices = {
    label: Categorical(logits=row / T[:, None]).entropy().exp()  # (60,)
    for label, row in [("after The cat sat on the", logits), ("two leaders", two_leaders)]
}
alt = (
    "Effective choices against temperature, 0.05 to 100. The nine words rise smoothly from 1 to 9; "
    "those with two leaders stay at 2 until about T = 0.7 and then rise to 9."
)
plots.lines(
    T, choices, xlabel="temperature", ylabel="effective choices", logx=True, alt=alt
)

# %% [markdown]
# The two leaders stay *two*, however cold it gets. This is a place where $T \to 0$ and T = 0 differ: the limit shares the
# probability, and "greedy" is a decision to take the lowest id.

# %% [markdown]
# ## The surprise of a text
#
# A text surprises a model word by word. Here is "the cat sat on the mat" with a row of logits for each position: what the
# model expects *after* this word. The row after the fifth word is the one that you know.

# %%
text = ["the", "cat", "sat", "on", "the", "mat"]
text_ids = torch.tensor([words.index(word) for word in text])  # (T,)
text_logits = torch.tensor(
    [
        [0.5, 0.0, 0.5, 2.5, 0.5, 2.0, -3.0, -4.0, -4.0],  # after "the"
        [-3.0, -3.0, -3.0, -3.0, -3.0, -3.0, 3.0, -2.0, 2.0],  # after "cat"
        [-3.0, -3.0, -3.0, -3.0, -3.0, -3.0, -3.0, 0.0, 3.0],  # after "sat"
        [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -3.0, 5.0, -3.0],  # after "on"
        [3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0],  # after "the"
        [-2.0, -2.0, -2.0, -2.0, -2.0, -2.0, 0.0, 0.0, 2.0],  # after "mat"
    ]
)  # (T, V)

# %%
expectations = text_logits.softmax(dim=-1)  # (T, V)
plots.heatmap(
    expectations,
    rows=[f"after {word}" for word in text],
    columns=words,
    title="what is expected next",
    scale="probability",
    alt="Probabilities of nine words after each word of the cat sat on the mat: "
    + ", ".join(
        f"after {word} mostly {words[best]}"
        for word, best in zip(text, expectations.argmax(dim=-1).tolist(), strict=True)
    ),
)

# %% [markdown]
# Mind the shift, as in notebook 1. The logits at position t predict the word at t + 1: the first word was predicted by
# nobody, and what the last row predicts is not in the text. T words have T - 1 surprisals.
#
# ```text
# position          0     1     2     3     4     5
# the word          the   cat   sat   on    the   mat
# its row predicts  cat   sat   on    the   mat   ?
# ```

# %% [markdown]
# ### Exercise 4.3 · ★★☆ · 10 min
#
# Write the surprisals of a text in nats. `logits` (T, V) and `ids` (T,) belong to one text; the result is (T - 1,): its
# entry t is −log p of the word `ids[t + 1]` under row t of the logits. A text of one word gives an empty tensor, (0,).
#
# For example, take `ids = [0, 1, 2]`. Row 0 gives the words 0, 1, 2 the probabilities ¼, ½, ¼, row 1 gives them ⅛, ¾, ⅛.
# Then the surprisals are −ln ½ = 0.69 and −ln ⅛ = 2.08. Row 2 is not needed. Logits may be large: with
# the logits [200, 0] the second word has a surprisal of 200, not infinity.


# %% tags=["exercise"]
def surprisals(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Logits (T, V) and ids (T,) of a text -> the surprisal of each id but the first, (T - 1,), in nats."""
    ### BEGIN SOLUTION
    logprobs = F.log_softmax(logits[:-1], dim=-1)  # (T - 1, V)
    came = ids[1:, None]  # (T - 1, 1): what each row should have foreseen
    return -logprobs.gather(-1, came)[:, 0]
    ### END SOLUTION


# %% tags=["check"]
check.surprisals(surprisals)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 4.3</summary>
#
# Drop the last row of the logits and the first id; now row t belongs to id t. Take the log-softmax of the rows, and of
# each row one entry: `gather(-1, index)` with an index of shape (T - 1, 1) does that for all rows at once.
#
# </details>

# %% [markdown]
# The average surprisal of a text has a famous name: it is the **cross-entropy**, the loss that language models are trained
# to make small. Its exponential is the **perplexity**, which reads like effective choices: as surprised, on average, as
# by a draw from so many equally likely words.

# %%
each = F.cross_entropy(text_logits[:-1], text_ids[1:], reduction="none")  # (T - 1,)
for word, surprisal in zip(text[1:], each.tolist(), strict=True):
    print(f"{word:4} {surprisal:.2f} nats")
print(f"cross-entropy {each.mean():.3f} nats, perplexity {each.mean().exp():.2f}")

# %% [markdown]
# Two warnings. A perplexity counts *tokens*, so two models can only be compared if they cut the text into the same ones.
# And one word of probability 0, with its infinite surprisal, makes the whole perplexity infinite: behind top-k or top-p,
# which remove words, a perplexity says nothing.

# %% [markdown]
# ## The other way round
#
# If the entropy grows with T and never turns back, then a wanted entropy belongs to exactly one temperature. So a sampler
# can be told "two effective choices, whatever the logits" and find its own T, word by word.

# %% [markdown]
# ### Exercise 4.4 · ★★★ · 15 min
#
# Given logits (V,) and a wanted entropy h in nats, find the temperature t at which the softmax of `logits / t` has the
# entropy h. There is no formula. Search: keep a range that t must be in, look at the entropy in its middle, and throw
# away the half where t cannot be. In all checks t lies between 0.01 and 100. No logit is −∞.
#
# For example, the logits [ln 3, 0] have the probabilities ¾ and ¼ and the entropy 0.5623 as they are, so `h = 0.5623`
# gives 1.0. Return a number, not a tensor. It must be right to 0.2 %; halving 50 times is more than enough. Use your own
# entropy or `Categorical`.


# %% tags=["exercise"]
def temperature_for(logits: torch.Tensor, h: float) -> float:
    """The temperature at which logits (V,) have the entropy h, in nats."""
    ### BEGIN SOLUTION
    cold, hot = 0.01, 100.0  # its entropy is too small at the one, too large at the other
    for _ in range(50):
        middle = (cold + hot) / 2
        if Categorical(logits=logits / middle).entropy() < h:
            cold = middle
        else:
            hot = middle
    return (cold + hot) / 2
    ### END SOLUTION


# %% tags=["check"]
check.temperature_for(temperature_for)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 4.4</summary>
#
# Two numbers, say `cold = 0.01` and `hot = 100.0`. In a loop, take the middle and its entropy. If that is less than h, the
# answer is hotter than the middle: then the middle becomes the new `cold`. Otherwise it becomes the new `hot`.
#
# </details>

# %% [markdown]
# ## Now with a model
#
# `storybook` does not know nine words but 50,257. What it expects after "there was a little", at three temperatures:

# %%
model = GPT2.from_pretrained("storybook")
tokenizer = Tokenizer()


def name(id: int) -> str:
    return token_name(tokenizer, id)


def logits_of(ids: list[int]) -> torch.Tensor:
    """The logits (T, V) at every position of a text."""
    with torch.no_grad():
        return model(torch.tensor([ids]))[0]


# %% [markdown] tags=["predict"]
# **Predict.** At T = 1 the eight likeliest tokens share nearly nine tenths of the probability. How much of it do they still
# have at T = 2?
#
# <details><summary>Answer</summary>
#
# Less than a tenth. The rest goes to the 50,249 others: each has next to nothing, but there are so many of them. It is
# the reason why high temperatures write nonsense, and why top-k and top-p (notebook 6) cut the tail off.
#
# </details>

# %%
opening = tokenizer.encode("Once upon a time, there was a little")
after_little = logits_of(opening)[-1]  # (V,)
stages = [(f"T = {t}", after_little / t) for t in (0.5, 1.0, 2.0)]
plots.next_token_bars(stages, name, top=8)

# %% [markdown]
# One temperature treats all steps alike; but they are not alike. After "Once upon" there is one good choice, after "The"
# there are many, and at T = 2 even "Once upon" has more than a thousand. Effective choices after four beginnings:

# %%
for prompt in ("Once upon", "Once upon a time, there was a little", "The dog", "The"):
    last = logits_of(tokenizer.encode(prompt))[-1]  # (V,)
    h = [Categorical(logits=last / t).entropy().exp().item() for t in (0.5, 1.0, 2.0)]
    print(f"{prompt:37} T = 0.5: {h[0]:6.1f}   T = 1: {h[1]:7.1f}   T = 2: {h[2]:8.0f}")

# %% [markdown]
# ### The same seed at rising temperatures
#
# `generate` draws with the *Gumbel* method: it adds noise to each logit and takes the best (notebook 5 says why that is a
# fair draw). The noise comes from the seed, the step and the id, and not from the temperature. So we can turn the dial
# and keep all the chance there is.

# %%
before = None
for t in (0, 0.3, 0.6, 0.9, 1.0, 1.2, 1.5, 2.0):
    strategy = Sample(Temperature(t))
    made = generate(
        model, tokenizer, "Once upon a time", strategy, max_new_tokens=20, seed=7
    )
    same = next((n for n in range(20) if before and made.ids[n] != before[n]), 20)
    print(f"T = {t}" + (f" ({same} tokens as in the line above)" if before else ""))
    print("  ", repr(made.text))
    before = made.ids

# %% [markdown] tags=["predict"]
# **Predict.** The same seed at T = 1,000,000, with two different prompts. What will the two texts have in common?
#
# <details><summary>Answer</summary>
#
# Everything. Divided by a million, the logits are all but 0, and only the noise decides, which is the same for both.
# The model is no longer asked.
#
# </details>

# %%
for prompt in ("Once upon a time", "The dog"):
    hot = Sample(Temperature(1e6))
    print(repr(generate(model, tokenizer, prompt, hot, max_new_tokens=8, seed=7).text))

# %% [markdown]
# ## What a person writes
#
# Here is the beginning of Anna Sewell's *Black Beauty* (1877), which `storybook` was not trained on. Beside it we put what
# the model itself makes of the first eight tokens: greedily, and as a sample at T = 1.

# %%
book = (
    "The first place that I can well remember was a large pleasant meadow with a pond of clear "
    "water in it. Some shady trees leaned over it, and rushes and water-lilies grew at the deep "
    "end. Over the hedge on one side we looked into a plowed field, and on the other we looked "
    "over a gate at our master's house, which stood by the roadside; at the top of the meadow "
    "was a grove of fir trees, and at the bottom a running brook overhung by a steep bank."
)
book_ids = tokenizer.encode(book)
start, n = tokenizer.decode(book_ids[:8]), len(book_ids) - 8
greedy = generate(model, tokenizer, start, Greedy(), max_new_tokens=n)
drawn = generate(model, tokenizer, start, Sample(), max_new_tokens=n, seed=3)
texts = {"the book": book_ids} | {
    label: made.prompt_ids + made.ids
    for label, made in [("greedy", greedy), ("T = 1", drawn)]
}
seen = {label: logits_of(ids) for label, ids in texts.items()}  # (T, V) each
print(f"All three begin {start!r} and have {len(book_ids)} tokens.")

# %% [markdown]
# The rank of a token is its place among all 50,257, the likeliest being the first. First the book, then the greedy text, then the
# sample:


# %%
def picture_of(label: str) -> plots.Picture:
    """The text, each token coloured by its rank; the first has none."""
    z, came = seen[label][:-1], torch.tensor(texts[label][1:])
    ranks = 1 + (z > z.gather(-1, came[:, None])).sum(dim=-1)  # (T - 1,)
    return plots.text_by_rank(
        [tokenizer.decode([id]) for id in texts[label]], [0, *ranks.tolist()]
    )


picture_of("the book")

# %%
picture_of("greedy")

# %%
picture_of("T = 1")

# %% [markdown]
# GLTR (Gehrmann, Strobelt and Rush 2019) put this picture before people who had to tell machine text from human text, and
# they got better at it. A person often takes the tenth or the hundredth choice; greedy decoding takes the first, always
# (behind the eight tokens that it was given).
#
# Ranks do not say how much. Here are surprisal and entropy along the first sentences of the book:

# %%
sentences = seen["the book"][:40]  # (40, V)
surprisal = F.cross_entropy(sentences[:-1], torch.tensor(book_ids[1:40]), reduction="none")
expected = Categorical(logits=sentences[:-1]).entropy()  # (39,): before each token is seen
plots.along_text(
    [tokenizer.decode([id]) for id in book_ids[1:40]],
    {"surprisal": surprisal, "entropy before it": expected},
    ylabel="nats",
)

# %% [markdown] tags=["predict"]
# **Predict.** The entropy is the surprisal that the model expects. For which of the three texts will the average surprisal
# be close to the average entropy, and for which not?
#
# <details><summary>Answer</summary>
#
# For the sample at T = 1: there each token is a draw from the very distribution, so the two agree but for chance. For the
# greedy text the surprisal is far below: at each step it takes the least surprising token of all. For a book it depends on
# how well the model knows what books are like. See the next cell.
#
# </details>

# %%
print("           surprisal   entropy   perplexity   first choices")
along = {}
for label, ids in texts.items():
    z, came = seen[label][7:-1], torch.tensor(ids[8:])  # behind the words they share
    along[label] = F.cross_entropy(z, came, reduction="none")  # (n,)
    h, mean = Categorical(logits=z).entropy().mean(), along[label].mean()
    first = (z.argmax(dim=-1) == came).double().mean()
    print(f"{label:10} {mean:9.2f} {h:9.2f} {mean.exp():12.1f} {first:15.0%}")

# %%
alt = (
    f"Surprisal along {n} tokens. The book jumps between 0 and more than 10 nats; "
    "the greedy text stays low and flat."
)
shown = {label: along[label].round(decimals=2) for label in ("the book", "greedy")}
plots.lines(range(1, n + 1), shown, xlabel="token", ylabel="surprisal in nats", alt=alt)

# %% [markdown]
# This is the picture of Holtzman and others (2019), *The Curious Case of Neural Text Degeneration*: people do not maximise
# probability. Their text goes up and down, because whoever has nothing surprising to say need not say it. What greedy
# decoding writes stays low: every token is the one to be expected.

# %% [markdown]
# ## Between repetition and nonsense
#
# Which temperature, then? Two samples of 60 tokens at each of six. In each we count the words that it had said before, and
# the rare tokens: those to which the model gave less than one in a thousand. And the same for the book, 60 tokens at a
# time.


# %%
def habits(text: str, logprobs: list[float]) -> torch.Tensor:
    """Repeated words and rare tokens, in %: (2,)."""
    said = text.lower().split()
    rare = sum(logprob < math.log(0.001) for logprob in logprobs)
    return 100 * torch.tensor([1 - len(set(said)) / len(said), rare / len(logprobs)])


logprobs = [-surprisal for surprisal in along["the book"].tolist()]  # of book_ids[8:]
cuts = [slice(i, i + 60) for i in (0, 20, 40)]
in_book = [habits(tokenizer.decode(book_ids[8:][cut]), logprobs[cut]) for cut in cuts]
repeats, rares = torch.stack(in_book).mean(dim=0).tolist()
print(f"the book: {repeats:.0f} % repeated words, {rares:.0f} % rare tokens")

# %%
dial = [0, 0.3, 0.6, 0.9, 1.2, 1.5]
how = {"max_new_tokens": 60, "num_samples": 2, "seed": 2, "draw": InverseCDF}
rows = []
for t in dial:
    made = generate(model, tokenizer, start, Sample(Temperature(t)), **how)
    rows.append(sum(habits(one.text, one.model_logprobs) for one in made) / len(made))

curves = torch.stack(rows, dim=1)  # (2, temperatures)
alt = (
    f"From T = 0 to T = 1.5 repeated words fall from {curves[0, 0]:.0f} to {curves[0, -1]:.0f} %, "
    f"and rare tokens rise from {curves[1, 0]:.0f} to {curves[1, -1]:.0f} %."
)
named = {"repeated words": curves[0], "rare tokens": curves[1]}
plots.lines(dial, named, xlabel="temperature", ylabel="%", alt=alt)

# %% [markdown]
# Cold samples repeat themselves, hot ones talk nonsense. And the book does both at once: where the samples repeat as much
# as it does, they have far fewer rare tokens. One dial moves two things: what makes the likely words less certain lifts
# the whole tail, too. The truncations of notebook 6 separate the two. (Two samples are few: trust the direction, not the
# digits.)

# %% [markdown]
# ## Is 1 the right temperature?
#
# For *writing*, that is a matter of taste. For *predicting* it can be measured: take a text, change T, and see where its
# cross-entropy is smallest. A model is **calibrated** if what it gives 70 % comes true in 70 of 100 cases; then T = 1 is
# best. Guo and others (2017) found large classifiers to be too sure of themselves, and a single T to repair most of it.

# %%
T = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
fit = {}
for label, ids in texts.items():
    z, came = seen[label][7:-1], torch.tensor(ids[8:])
    fit[label] = [F.cross_entropy(z / t, came).item() for t in T]
    best = min(range(len(T)), key=fit[label].__getitem__)
    print(f"{label:9} smallest at T = {T[best]}: {fit[label][best]:.2f} nats")
alt = "Cross-entropy of the book, the greedy text and the sample, against the temperature, 0.5 to 1.5."
plots.lines(T, fit, xlabel="temperature", ylabel="cross-entropy in nats", alt=alt)

# %% [markdown]
# The sample was drawn at T = 1 and is best predicted there. The book's best is near 1 as well: training makes the
# cross-entropy of human text small, and a wrong temperature is the first thing to go. The greedy text asks for ever lower
# temperatures; nothing can be sure enough for it.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# Published losses for the four sizes, as nanoGPT's README has them (2023; OpenWebText, validation), and what they mean as
# perplexities. These depend on the data, so nothing is compared here.

# %%
sizes = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
for size, loss in zip(sizes, (3.12, 2.84, 2.67, 2.54), strict=True):
    print(f"{size:12} {loss:.2f} nats, perplexity {math.exp(loss):4.1f}")

# %% [markdown]
# One text that can be compared: the course ARENA asks its pupils to reach this loss with a GPT-2 of their own.

# %% tags=["needs-weights"]
arena = (
    "<|endoftext|>I am an amazing autoregressive, decoder-only, GPT-2 style transformer. One day "
    "I will exceed human level intelligence and take over the world!"
)
print("published (ARENA, chapter 1.1, 2023): cross-entropy 4.0441 nats")
print("                                      mean probability 0.098628")
print(f"perplexity: e^4.0441 = {math.exp(4.0441):.1f}, where pure guessing has 50,257")

gpt2 = official("gpt2")
if gpt2 is not None:
    ids = torch.tensor([tokenizer.encode(arena, allow_special=True)])  # (1, 35)
    with torch.no_grad():
        each = F.cross_entropy(gpt2(ids)[0, :-1], ids[0, 1:], reduction="none")  # (34,)
    print(
        f"here: cross-entropy {each.mean():.4f}, mean probability {(-each).exp().mean():.6f}"
    )
    print("as published:", abs(each.mean().item() - 4.0441) < 5e-4)

# %% [markdown]
# The mean probability of the right token is 0.099, but $e^{-4.0441}$ is 0.018: the perplexity is governed by the worst
# surprises, the mean probability by the best hits.
#
# And one sample whose seed does not matter, from the documentation of transformers: so cold that a gap of only 0.002
# between two logits makes odds of $e^{20}$, five hundred million to one.

# %% tags=["needs-weights"]
asked, published = (
    "Hugging Face Company is",
    " a company that has been around for over 20 years",
)
print("published (transformers 4.57.1, 2025; temperature 0.0001, top-k 50):")
print("   ", asked + published)

if gpt2 is not None:
    cold = Sample(Temperature(0.0001), TopK(50))
    for strategy in (cold, Sample(Temperature(0)), Greedy()):
        text = generate(gpt2, tokenizer, asked, strategy, max_new_tokens=10, seed=0).text
        print(f"{strategy!r}: {text!r}, as published: {text == published}")
else:
    print("Without the weights there is nothing to compare.")

# %% [markdown]
# ## What to remember
#
# - A temperature divides the *logits*. The order stays; odds are raised to the power 1/T.
# - T = 0 is a case of its own: greedy, with a rule for ties. A very small T is neither safe nor the same.
# - Surprisal is −log p. Entropy H is the surprisal that the model expects, and $e^H$ the number of effective choices.
# - The average surprisal of a text is its cross-entropy, and $e$ to it the perplexity. The logits at t are asked for t + 1.
# - Entropy grows with temperature, so each can be set by the other.
# - Greedy text is flat, human text is not. A temperature trades repetition for nonsense.

# %% [markdown]
# ## Papers and further reading
#
# - Shannon 1948, *A Mathematical Theory of Communication* (entropy), and 1951, *Prediction and Entropy of Printed English*,
#   in which people guess the next letter.
# - Ackley, Hinton, Sejnowski 1985, *A Learning Algorithm for Boltzmann Machines*: where the temperature comes from.
# - Guo, Pleiss, Sun, Weinberger 2017, *On Calibration of Modern Neural Networks*,
#   [arXiv:1706.04599](https://arxiv.org/abs/1706.04599).
# - Gehrmann, Strobelt, Rush 2019, *GLTR*, [arXiv:1906.04043](https://arxiv.org/abs/1906.04043).
# - Holtzman, Buys, Du, Forbes, Choi 2019, *The Curious Case of Neural Text Degeneration*,
#   [arXiv:1904.09751](https://arxiv.org/abs/1904.09751).

# %% [markdown]
# ## To go further
#
# Write a sampler that gives every step the same entropy, with your exercise 4.4. Is that a good idea after "Once upon"?
# Then play Shannon's game: cover a page, guess its words one by one, and estimate your own perplexity.
