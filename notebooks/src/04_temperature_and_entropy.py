# %% [markdown]
# # 4. Temperature and entropy
#
# **Goal.** You know what a temperature does to a distribution, at both its ends too; you can measure how sure a model is
# and how much a text surprises it; and you can set the one by the other.
#
# **Time** 60 minutes · **Needs** [notebook 1](01_logits_to_text.ipynb): softmax, and which word a row of logits is about ·
# **Next** [5. Drawing a token](05_drawing_a_token.ipynb)
#
# [*Logits to Text*](https://github.com/kapilsh/kapilsh.github.io/blob/f1c84578b30c/_posts/2024-07-19-logits-to-text.md)
# gives temperature a note and three lines of code: "Lower temperature makes the model more confident, while a higher
# temperature makes it less confident." So it does. But by how much? What is confidence, in numbers? What happens at 0?
# And which temperature writes like a person? That takes one more idea, *entropy*.

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
import torch.nn.functional as F
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch.distributions import Categorical

from checks import temperature_and_entropy as check
from decoding import Greedy, Sample, Temperature, Tokenizer, generate, plots
from decoding.legible import token_name
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## The dial
#
# Our nine words again, with their logits after "The cat sat on the". The post's snippet, at three temperatures. (T is the
# temperature here, `t` in code. The length of a text, T in notebook 1, is N.)

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
# how much likelier one word is than another, never which.
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

# %% [markdown] tags=["predict"]
# **Predict.** Here are four ways to apply T = 0.5. All run without an error; two are right. Which?
#
# <details><summary>Answer</summary>
#
# The first, and the last by the formula for the odds. In the second the sum takes the division back. The third takes
# probabilities for logits; these are so close together that it flattens where it should sharpen.
#
# </details>

# %%
p, t = F.softmax(logits, dim=-1), 0.5
print("                        " + "  ".join(f"{word:>5}" for word in words[:4]))
for label, result in [
    ("softmax(logits / T)", F.softmax(logits / t, dim=-1)),
    ("p / T, normalised", (p / t) / (p / t).sum()),
    ("softmax(p / T)", F.softmax(p / t, dim=-1)),
    ("p ** (1/T), normalised", p ** (1 / t) / (p ** (1 / t)).sum()),
]:
    print(f"{label:22}  " + "  ".join(f"{x:5.3f}" for x in result[:4].tolist()))

# %% [markdown]
# ## Both ends
#
# Towards infinity all quotients become 0, and every word gets 1/9. Towards 0 the first place takes everything. At 0 itself
# there is no quotient. Python's own numbers raise an error there; PyTorch divides all the same, and the softmax makes `nan`
# of infinities.

# %%
for t in (1000.0, 10.0, 1.0, 0.2, 0.1, 0):
    p = F.softmax(logits / t, dim=-1)
    print(f"T = {t:6}: mat {p[0]:.4f}   sofa {p[1]:.4f}   on {p[-1]:.4f}")
print(logits / 0)

# %% [markdown]
# By T = 0 everybody means greedy decoding, and programs get there, or not, in their own ways:
#
# | program | what it does with a temperature of 0 |
# | --- | --- |
# | nanoGPT | divides: a crash ([issue 738](https://github.com/karpathy/nanoGPT/issues/738)) |
# | gpt-fast | takes 0.00001 instead |
# | transformers 5.23 | refuses it, in words |
# | vLLM 0.33 | greedy below 0.00001; from there to 0.01 it takes 0.01 |
# | llama.cpp | greedy at 0 and below |
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
# ### Exercise 4.1 · ★☆☆ · 7 min
#
# Write the temperature for one row of logits z, so that it works at 0 too:
#
# - t above 0, however little: return z divided by t.
# - t = 0: the likeliest word keeps its logit, and every other becomes −∞. Of several words in the first place the
#   one with the lowest id stays.
#
# For example, [1.0, 3.0, 3.0, 0.0] becomes [0.5, 1.5, 1.5, 0.0] at t = 2, and [−∞, 3.0, −∞, −∞] at t = 0. Return
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
# The **surprisal** of a word with probability p is $-\log p$. What is certain surprises nobody: $-\log 1 = 0$. The rarer
# the word, the more it surprises, and the surprisals of two words that follow each other add up, because their
# probabilities multiply.
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
# It is 0 where one word is certain, and largest, $\log V$, where all V words are equally likely. If k words share
# everything equally, it is $\log k$. So $e^H$ is called the number of **effective choices**.

# %% [markdown]
# ### Exercise 4.2 · ★★☆ · 10 min
#
# Write the entropy in nats, with the formula: PyTorch's `Categorical` has it ready-made, but leave that for later. The
# argument holds logits, one row (V,) or several (R, V); the result has one number a row, so its shape is () or (R,).
#
# For example, the logits [ln ½, ln ¼, ln ¼] have the probabilities ½, ¼, ¼ and the entropy
# ½ ln 2 + ¼ ln 4 + ¼ ln 4 = 1.04. A logit of −∞, as top-k leaves it, has the probability 0 and adds nothing: 0 · log 0
# counts as 0. So [2, 2, −∞] has the entropy ln 2 = 0.69. Logits may be as large as 1000.


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

# %% [markdown] tags=["predict"]
# **Predict.** Are there more effective choices at T = 0.5 than at T = 1, or fewer? And at T = 2? How many can there be at
# most?
#
# <details><summary>Answer</summary>
#
# Fewer at T = 0.5, more at T = 2: 2.0, 3.7 and 6.3. Never more than nine, which is what T = infinity gives. It need not be
# a whole number: the model is as unsure *as if* so many words were equally likely.
#
# </details>

# %%
for t in (0.5, 1.0, 2.0, 1000.0):
    h = Categorical(logits=logits / t).entropy().item()  # PyTorch's own, from here on
    print(
        f"T = {t:6}: {h:.2f} nats = {h / math.log(2):.2f} bits, {math.exp(h):.2f} choices"
    )

# %% [markdown]
# ### Entropy against temperature
#
# The entropy grows with T, from one end to the other, and never turns back: its slope is the variance of the logits
# (weighted with the probabilities at T), divided by $T^3$, and a variance is not negative. Here are the nine words, and
# nine others of which two share the first place.

# %%
two_leaders = torch.tensor([3.0, 3.0, -1.0, -1.0, -1.0, -1.5, -1.5, -2.0, -2.0])  # (V,)
temperatures = torch.logspace(-1.3, 2, 60)  # (60,): from 0.05 to 100
choices = {
    label: Categorical(logits=row / temperatures[:, None]).entropy().exp()  # (60,)
    for label, row in [("after The cat sat on the", logits), ("two leaders", two_leaders)]
}
alt = (
    "Effective choices against temperature, 0.05 to 100. The nine words rise smoothly from 1 to 9; "
    "those with two leaders stay at 2 until about T = 0.7 and then rise to 9."
)
labels = {"xlabel": "temperature", "ylabel": "effective choices"}
plots.lines(temperatures, choices, **labels, logx=True, alt=alt)

# %% [markdown]
# The two leaders stay *two*, however cold it gets: the limit shares the probability, and "greedy" at 0 is a decision to
# take the lowest id.
#
# ## The surprise of a text
#
# A text surprises a model word by word. Here is "the cat sat on the mat" with a row of logits for each position: what the
# model expects *after* this word. The row at position 4 is the one that you know.

# %%
text = ["the", "cat", "sat", "on", "the", "mat"]
text_ids = torch.tensor([words.index(word) for word in text])  # (N,)
text_logits = torch.tensor(
    [
        [0.5, 0.0, 0.5, 2.5, 0.5, 2.0, -3.0, -4.0, -4.0],  # after "the"
        [-3.0, -3.0, -3.0, -3.0, -3.0, -3.0, 3.0, -2.0, 2.0],  # after "cat"
        [-3.0, -3.0, -3.0, -3.0, -3.0, -3.0, -3.0, 0.0, 3.0],  # after "sat"
        [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -3.0, 5.0, -3.0],  # after "on"
        [3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0],  # after "the"
        [-2.0, -2.0, -2.0, -2.0, -2.0, -2.0, 0.0, 0.0, 2.0],  # after "mat"
    ]
)  # (N, V)

# %%
expectations = text_logits.softmax(dim=-1)  # (N, V)
best = [words[id] for id in expectations.argmax(dim=-1).tolist()]
plots.heatmap(
    expectations,
    rows=[f"{n}, after {word}" for n, word in enumerate(text)],
    columns=words,
    title="what is expected next",
    scale="probability",
    alt="Probabilities of nine words after each word of the cat sat on the mat. Likeliest: "
    + ", ".join(f"{word} after {before}" for before, word in zip(text, best, strict=True)),
)

# %% [markdown]
# Mind the shift. The logits at position n predict the word at n + 1: the first word was predicted by nobody, and what the
# last row predicts is not in the text. N words have N - 1 surprisals.
#
# ```text
# position          0     1     2     3     4     5
# the word          the   cat   sat   on    the   mat
# its row predicts  cat   sat   on    the   mat   ?
# ```

# %% [markdown]
# ### Exercise 4.3 · ★★☆ · 10 min
#
# Write the surprisals of a text in nats, this time without `F.cross_entropy`. `logits` (N, V) and `ids` (N,) belong to one
# text; the result is (N - 1,): its entry n is −log p of the word `ids[n + 1]` under row n of the logits. A text of one word
# gives an empty tensor, (0,).
#
# For example, take `ids = [0, 1, 2]`. Row 0 gives the words 0, 1, 2 the probabilities ¼, ½, ¼, row 1 gives them ⅛, ¾, ⅛.
# Then the surprisals are −ln ½ = 0.69 and −ln ⅛ = 2.08. Row 2 is not needed. Logits may be large: with
# the logits [200, 0] the second word has a surprisal of 200, not infinity.


# %% tags=["exercise"]
def surprisals(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Logits (N, V) and ids (N,) of a text -> the surprisal of each id but the first, (N - 1,), in nats."""
    ### BEGIN SOLUTION
    logprobs = F.log_softmax(logits[:-1], dim=-1)  # (N - 1, V)
    came = ids[1:, None]  # (N - 1, 1): what each row should have foreseen
    return -logprobs.gather(-1, came)[:, 0]
    ### END SOLUTION


# %% tags=["check"]
check.surprisals(surprisals)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 4.3</summary>
#
# Drop the last row of the logits and the first id; now row n belongs to id n. Take the log-softmax of the rows, and of
# each row one entry: `gather(-1, index)` with an index of shape (N - 1, 1) does that for all rows at once.
#
# </details>

# %% [markdown]
# The average surprisal of a text is the **cross-entropy**, the loss that language models are trained to make small. Its
# exponential is the **perplexity**, which reads like effective choices: as surprised, on average, as by a draw from so
# many equally likely words.

# %%
each = F.cross_entropy(text_logits[:-1], text_ids[1:], reduction="none")  # (N - 1,)
for word, surprisal in zip(text[1:], each.tolist(), strict=True):
    print(f"{word:4} {surprisal:.2f} nats")
print(f"cross-entropy {each.mean():.3f} nats, perplexity {each.mean().exp():.2f}")

# %% [markdown]
# Two warnings. A perplexity counts *tokens*, so two models can only be compared if they cut the text into the same ones.
# And one word of probability 0 makes the whole perplexity infinite: behind top-k or top-p, which remove words, it says
# nothing.
#
# ## The other way round
#
# The entropy never turns back. So a wanted entropy belongs to exactly one temperature, if the logits can have it at all: it
# must lie strictly between the log of the number of leaders (0 for a single one) and $\log V$.

# %% [markdown]
# ### Exercise 4.4 · ★★☆ · 12 min
#
# Given logits (V,) and a wanted entropy h in nats, find the temperature t at which the softmax of `logits / t` has the
# entropy h. There is no formula. Search: keep a range that t must be in, look at the entropy in its middle, and throw
# away the half where t cannot be. In all checks t lies between 0.01 and 100. No logit is −∞.
#
# For example, the logits [ln 3, 0] have the probabilities ¾ and ¼ and the entropy 0.5623 as they are, so `h = 0.5623`
# gives 1.0. Return a number, not a tensor, right to 0.2 %. Halve 50 times in a `for` loop: that is more than enough, and
# `while low < high` may never end. Use your own entropy or `Categorical(logits=...)`.


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
    """The logits (N, V) at every position of a text."""
    with torch.no_grad():
        return model(torch.tensor([ids]))[0]


# %% [markdown] tags=["predict"]
# **Predict.** At T = 1 the eight likeliest tokens share nearly nine tenths of the probability. How much of it do they still
# have at T = 2?
#
# <details><summary>Answer</summary>
#
# Less than a tenth. Each of the 50,249 others has next to nothing, but there are so many of them. It is why high
# temperatures write nonsense, and why top-k and top-p (notebook 6) cut the tail off.
#
# </details>

# %%
opening = tokenizer.encode("Once upon a time, there was a little")
after_little = logits_of(opening)[-1]  # (V,)
stages = [(f"T = {t}", after_little / t) for t in (0.5, 1.0, 2.0)]
plots.next_token_bars(stages, name, top=8)

# %% [markdown]
# One temperature treats all steps alike; but they are not alike. Effective choices after four beginnings:

# %%
for prompt in ("Once upon", "Once upon a time, there was a little", "The dog", "The"):
    last = logits_of(tokenizer.encode(prompt))[-1]  # (V,)
    h = [Categorical(logits=last / t).entropy().exp().item() for t in (0.5, 1.0, 2.0)]
    print(f"{prompt:37} T = 0.5: {h[0]:6.1f}   T = 1: {h[1]:7.1f}   T = 2: {h[2]:8.0f}")

# %% [markdown]
# After "Once upon" there is one good choice, after "The" there are many, and at T = 2 even "Once upon" has more than a
# thousand.
#
# ### The same seed at rising temperatures
#
# `generate` draws by adding noise to each logit and taking the best (notebook 5 says why that is fair). The noise comes
# from the seed, the step and the id, and not from the temperature. So we can turn the dial and keep all the chance.

# %%
how = {"max_new_tokens": 18, "seed": 7}
for t in (0, 0.3, 0.6, 0.9, 1.2, 1.5):
    made = generate(model, tokenizer, "Once upon a time", Sample(Temperature(t)), **how)
    print(f"T = {t}: {made.text!r}")

# %% [markdown]
# All six begin alike. Then each line leaves the one above where the noise outweighs the gap between two logits, and the
# hotter it is, the smaller the gaps. At 0.3 and 0.6 that changes what the girl does, at 0.9 it is another story, and at
# 1.5 it is none.
#
# ## What a person writes
#
# Here is the beginning of Anna Sewell's *Black Beauty* (1877), which `storybook` was not trained on. Beside it we put what
# the model itself makes of the first eight tokens: greedily, and five times at T = 1.

# %%
book = (
    "The first place that I can well remember was a large pleasant meadow with a pond of clear "
    "water in it. Some shady trees leaned over it, and rushes and water-lilies grew at the deep "
    "end. Over the hedge on one side we looked into a plowed field, and on the other we looked "
    "over a gate at our master's house, which stood by the roadside; at the top of the meadow "
    "was a grove of fir trees, and at the bottom a running brook overhung by a steep bank."
)
book_ids = tokenizer.encode(book)
start, count = tokenizer.decode(book_ids[:8]), len(book_ids) - 8
how = {"max_new_tokens": count, "seed": 2, "num_samples": 5}
greedy = generate(model, tokenizer, start, Greedy(), max_new_tokens=count)
samples = generate(model, tokenizer, start, Sample(), **how)
texts = {"the book": book_ids, "greedy": greedy.prompt_ids + greedy.ids}
texts |= {f"sample {one.sample + 1}": one.prompt_ids + one.ids for one in samples}
print(f"All {len(texts)} begin {start!r} and have {len(book_ids)} tokens.")

# %% [markdown]
# The **rank** of a token is its place among all 50,257, the likeliest being the first.


# %%
def look_at(ids: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each token but the first, (N - 1,): its surprisal, the entropy before it, its rank."""
    z, came = logits_of(ids)[:-1], torch.tensor(ids[1:])
    rank = 1 + (z > z.gather(-1, came[:, None])).sum(dim=-1)
    surprisal = F.cross_entropy(z, came, reduction="none")
    return surprisal, Categorical(logits=z).entropy(), rank


seen = {label: look_at(ids) for label, ids in texts.items()}
shown = ("the book", "greedy", "sample 1")
for label in shown:
    display(Markdown(f"**{label}**"))
    pieces = [tokenizer.decode([id]) for id in texts[label]]
    ranks = [0, *seen[label][2].tolist()]  # the first has none
    display(plots.text_by_rank(pieces, ranks))

# %% [markdown]
# GLTR (Gehrmann and others 2019) showed such pictures to people who had to tell machine text from human text, and they got
# better at it: many machines took only from the top of the list. Greedy decoding, behind the eight tokens that it was
# given, is the extreme. But a sample at T = 1 has all colours, as the book has.

# %% [markdown] tags=["predict"]
# **Predict.** The entropy is the surprisal that the model expects. For which of the seven texts will the average surprisal
# be close to the average entropy, and for which not?
#
# <details><summary>Answer</summary>
#
# For the samples: there each token is a draw from the very distribution, so the two agree but for chance. In the greedy
# text the surprisal is far below, for each token is the least surprising of all. For a book it depends on how well the
# model knows what books are like; here the two are close.
#
# </details>

# %%
print("           surprisal  entropy    gap    rank 1   rank > 10")
for label, measured in seen.items():
    surprisal, expected, rank = (row[7:] for row in measured)  # behind the words they share
    print(
        f"{label:10} {surprisal.mean():9.2f} {expected.mean():8.2f}"
        f" {surprisal.mean() - expected.mean():+7.2f}"
        f" {(rank == 1).double().mean():8.0%} {(rank > 10).double().mean():10.0%}"
    )

# %% [markdown]
# The gaps of the five samples show what chance does within 100 tokens: about 0.2 nats up or down, with some seeds more.
# The book's is hardly larger. So by these numbers the book could be a sixth sample, and only the greedy text is something
# else. But *read* the book and the sample in the pictures above! A model's own numbers measure how a text fits *its*
# expectations. What it has no idea of, sense for instance, they cannot show.
#
# Here are the three texts along their way, a bar for each token:

# %%
figure = Figure(figsize=(8, 5.2), layout="constrained")
panels = figure.subplots(3, 1, sharex=True, sharey=True)
for axes, label in zip(panels, shown, strict=True):
    surprisal, expected, _ = (row[7:] for row in seen[label])
    axes.bar(range(1, count + 1), surprisal, color="#6aaed6", label="surprisal")
    axes.plot(range(1, count + 1), expected, color="black", label="entropy before it")
    axes.set_title(label, loc="left")
    axes.set_ylabel("nats")
axes.set_xlabel("token")
figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
tops = ", ".join(f"{label} {seen[label][0][7:].max():.1f} nats" for label in shown)
alt = f"Bars of surprisal and a line of entropy along {count} tokens. Highest bars: {tops}."
plots.Picture(figure, alt=alt, text=alt)

# %% [markdown]
# Holtzman and others (2019) drew such a picture: people do not maximise probability. Their text goes up and down, with
# tokens far above the line, and so does a sample. The greedy text stays below the line at every step, and repeats itself:
# look at its words further up.
#
# ## Is 1 the right temperature?
#
# For *writing*, that is a matter of taste. For *predicting* it can be measured: see at which T the cross-entropy of a text
# is smallest. A model is **calibrated** if what it gives 70 % comes true in 70 of 100 cases; then T = 1 is best. Guo and
# others (2017) found large classifiers to be too sure of themselves, and a single T to repair most of it.

# %%
temperatures = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
fit, best = {}, {}
for label in shown:
    z, came = logits_of(texts[label])[7:-1], torch.tensor(texts[label][8:])
    fit[label] = [F.cross_entropy(z / t, came).item() for t in temperatures]
    best[label] = temperatures[fit[label].index(min(fit[label]))]
    print(f"{label:9} smallest at T = {best[label]}: {min(fit[label]):.2f} nats")
alt = f"Cross-entropy of three texts against the temperature. The smallest are at {best}."
labels = {"xlabel": "temperature", "ylabel": "cross-entropy in nats"}
picture = plots.lines(temperatures, fit, **labels, alt=alt)
lowest = [min(curve) for curve in fit.values()]
picture.figure.axes[0].plot(list(best.values()), lowest, "k*", ms=14)
picture

# %% [markdown]
# The stars mark the smallest values. The sample was drawn at T = 1 and is best predicted there. The greedy text asks for
# ever lower temperatures: nothing can be sure enough for it. And the book's curve all but covers the sample's, which did
# not have to be. Training makes cross-entropy small on the *training* texts, and for new ones a model may be too sure, as Guo's
# classifiers were. On this page `storybook` is not.

# %% [markdown] tags=["predict"]
# ## Now with OpenAI's GPT-2
#
# The course ARENA has its students build a GPT-2. On one text it should have a cross-entropy of 4.0441 nats, and give the
# right token a probability of 0.098628 on average.
#
# **Predict.** $e^{-4.0441}$ is 0.0175. Why is that not the average probability?
#
# <details><summary>Answer</summary>
#
# Averaging logarithms gives the logarithm of the *geometric* mean, which is below the usual mean. The cross-entropy, and
# with it the perplexity, is governed by the worst surprises, the mean probability by the best hits.
#
# </details>

# %% tags=["needs-weights"]
arena = (
    "<|endoftext|>I am an amazing autoregressive, decoder-only, GPT-2 style transformer. One day "
    "I will exceed human level intelligence and take over the world!"
)
ids = tokenizer.encode(arena, allow_special=True)  # 35
each, _, _ = look_at(ids)
print("                        cross-entropy  perplexity  mean probability")
print(f"published (ARENA, 2023)        4.0441 {math.exp(4.0441):11.1f}          0.098628")
print(
    f"storybook {each.mean():27.4f} {each.mean().exp():11.1f} {(-each).exp().mean():17.6f}"
)
gpt2 = official("gpt2")
if gpt2 is not None:
    with torch.no_grad():
        z = gpt2(torch.tensor([ids]))[0, :-1]
    each = F.cross_entropy(z, torch.tensor(ids[1:]), reduction="none")  # (34,)
    print(f"gpt2, here {each.mean():26.4f}", end="")
    print(f" {each.mean().exp():11.1f} {(-each).exp().mean():17.6f}")
    print("as published:", abs(each.mean().item() - 4.0441) < 5e-4)

# %% [markdown]
# Both models cut the text into the same tokens, so their perplexities may be compared. `storybook` knows only
# children's stories.
#
# ## What to remember
#
# - A temperature divides the *logits*. The order stays; odds are raised to the power 1/T.
# - T = 0 is a case of its own: greedy, with a rule for ties. A very small T is neither safe nor the same.
# - Surprisal is −log p. Entropy H is the surprisal that the model expects, and $e^H$ the number of effective choices.
# - The average surprisal of a text is its cross-entropy, and $e$ to it the perplexity. Row n is asked for token n + 1.
# - Entropy grows with temperature, so a wanted entropy finds its T, if the logits can have it at all.
# - Greedy text surprises the model far less than the model expects; a sample at T = 1 just as much; the book, too.
#   None of these numbers says whether a text makes sense.

# %% [markdown]
# ## Papers and further reading
#
# - Shannon 1948, *A Mathematical Theory of Communication*, and 1951, *Prediction and Entropy of Printed English*.
# - Guo, Pleiss, Sun, Weinberger 2017, *On Calibration of Modern Neural Networks*,
#   [arXiv:1706.04599](https://arxiv.org/abs/1706.04599).
# - Gehrmann, Strobelt, Rush 2019, *GLTR*, [arXiv:1906.04043](https://arxiv.org/abs/1906.04043).
# - Holtzman, Buys, Du, Forbes, Choi 2019, *The Curious Case of Neural Text Degeneration*,
#   [arXiv:1904.09751](https://arxiv.org/abs/1904.09751).
#
# ## To go further
#
# Run the dial at T = 1,000,000 with two prompts and one seed. What do the two texts have in common, and why? Write a sampler that gives every step the same entropy, with your exercise 4.4. Is that a good idea after "Once upon"?
