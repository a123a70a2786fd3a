# %% [markdown]
# # 8. Penalties
#
# **Goal.** You can keep a model from repeating itself in five ways, say what each of them costs,
# and know why the same number does different things in different programs.
#
# **Time** 70 minutes · **Needs** notebooks [3](03_greedy_and_the_cache.ipynb),
# [4](04_temperature_and_entropy.ipynb) and [6](06_top_k_and_top_p.ipynb) · **Next**
# [9. Order matters](09_order_matters.ipynb)
#
# In notebook 3 a king said "I will help you" ten times. There are two ways out: draw instead of
# taking the best, or look at what has been said and make it less likely. This notebook is about
# the second. And as such rules look at ids, it is also about favouring, forbidding and forcing
# ids and words.

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

from checks import penalties as check
from decoding import (
    DRY,
    BanSequences,
    BanWords,
    Force,
    FrequencyPenalty,
    Greedy,
    LogitBias,
    MinNewTokens,
    NoRepeatNGram,
    Prefix,
    PresencePenalty,
    RepetitionPenalty,
    Sample,
    Suppress,
    TableModel,
    Tokenizer,
    compare,
    generate,
    generate_ids,
    law,
    plots,
    score,
)
from decoding.legible import token_name
from decoding.measures import repetition
from gpt2 import GPT2
from weights import official

# %%
model = GPT2.from_pretrained("storybook")
tokenizer = Tokenizer()


def quoted(id):
    """The token in quotes, so that one sees the space that most of them begin with."""
    return token_name(tokenizer, id)


def show(text):
    print(textwrap.fill(text.strip().replace("\n\n", " ¶ "), 92))


king = "The old king looked at the"
circle = generate(model, tokenizer, king, Greedy(), max_new_tokens=60)
show(king + circle.text)
print(f"\n{repetition(circle.ids, 4):.0%} of its pieces of four ids have been there before")

# %% [markdown]
# Why does he? Each time the sentence is said, the model finds it likelier that it goes on like
# that, and greedy decoding takes what is likeliest ([notebook 3](03_greedy_and_the_cache.ipynb)
# measured it). A *penalty* breaks into that circle: it lowers the logits of what has been said.

# %% [markdown]
# ## The repetition penalty
#
# The best-known rule comes with the model CTRL (Keskar et al. 2019). One number r, usually from
# 1.1 to 1.5, acts on every id that has occurred, however often:
#
# $$z_i \to \begin{cases} z_i / r & z_i > 0 \\ z_i \cdot r & z_i \le 0 \end{cases}$$
#
# where $z_i$ is its logit. Our nine words, after "the cat sat on the mat". A processor that has
# to know the text gets a *prefix* as well, one row for each row of logits:

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
logits = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])  # (V,)
said = [words.index(word) for word in ["the", "cat", "sat", "on", "the", "mat"]]  # 6 ids
prefix = Prefix.of([said])  # one row


def after(processor, row):
    """What a processor makes of one row of logits, (V,), behind "the cat sat on the mat"."""
    return processor(row[None], prefix)[0]


penalised = after(RepetitionPenalty(1.5), logits)  # (V,)
for word, old, new in zip(words, logits, penalised, strict=True):
    print(
        f"{word:5} {old:5.2f}  {new:5.2f}" + ("  said" if words.index(word) in said else "")
    )

# %% [markdown] tags=["predict"]
# **Predict.** Why two cases? *cat* has been said, and its logit is -0.4. What would happen to *cat*
# if the rule divided every logit by 1.5?
#
# <details><summary>Answer</summary>
#
# -0.4 / 1.5 = -0.27 is *more* than -0.4: what has been said would become likelier. A negative logit
# has to be multiplied, to -0.6. The paper's own formula only divides, and so did transformers at
# first. In distilgpt2, whose best logits are negative, a penalty of 1.5 wrote "The dog dog dog dog
# dog dog" ([issue 2302](https://github.com/huggingface/transformers/issues/2302)).
#
# </details>

# %%
plots.next_token_bars(
    [("the model", logits), ("RepetitionPenalty(1.5)", penalised)], words.__getitem__, top=9
)

# %% [markdown]
# *mat* falls from 52.1% to 28.3%, behind *sofa*. Nothing is removed: what is likely enough may
# still be said twice. And *the*, said twice, is treated like *cat*, said once.

# %% [markdown]
# ### Exercise 8.1 · ★★☆ · 10 min
#
# Write the repetition penalty for one row of logits, (V,), without `RepetitionPenalty`. `ids` is
# the text so far, a list. Return logits (V,).
#
# - Every id in the list is penalised **once**, however often it stands there; all others stay.
# - Positive logits are divided by `penalty`, negative ones multiplied. It is above 0 and may be
#   below 1, which encourages repetition.
# - A logit that is `-inf` already stays so. `ids` may be empty: then nothing changes.
# - The caller's tensor is not changed.
#
# For example, ids `[2, 0, 2]` and penalty 2 make `[4, 3, -1]` into `[2, 3, -2]`.


# %% tags=["exercise"]
def repetition_penalty(
    logits: torch.Tensor, ids: list[int], penalty: float
) -> torch.Tensor:
    """Logits (V,) -> logits (V,), in which the ids that have occurred are less likely."""
    ### BEGIN SOLUTION
    result = logits.clone()
    for seen in set(ids):
        z = logits[seen]
        result[seen] = z / penalty if z > 0 else z * penalty
    return result
    ### END SOLUTION


# %% tags=["check"]
check.repetition_penalty(repetition_penalty)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 8.1</summary>
#
# `logits.clone()` is a copy that you may write to. `set(ids)` has every id once. The sign decides
# for each id by itself.
#
# </details>

# %% [markdown]
# ### Where is zero?
#
# The rule asks whether a logit is positive. But the zero of logits means nothing: the softmax only
# knows their differences, so a model that adds 5 to all of them is the same model.

# %% [markdown] tags=["predict"]
# **Predict.** We add 5 to all nine logits, and penalise then. *mat* had 28.3% after the penalty. Has
# it more now, less, or the same?
#
# <details><summary>Answer</summary>
#
# Less: 8.1 / 1.5 = 5.4 is 2.7 below 8.1, where 3.1 / 1.5 was only 1.03 below 3.1. Dividing takes a
# *share* of the logit, so the penalty grows with the distance from zero, wherever zero happens to be.
#
# </details>

# %%
print("share of mat:     the model   RepetitionPenalty(1.5)   PresencePenalty(1)")
for shift in (0, 5, -5):
    moved = logits + shift  # (V,): the same probabilities
    rows = [
        moved,
        after(RepetitionPenalty(1.5), moved),
        after(PresencePenalty(1.0, include_prompt=True), moved),
    ]
    cells = [f"{row.softmax(dim=-1)[0]:.1%}" for row in rows]
    print(f"logits {shift:+d}: {cells[0]:>17} {cells[1]:>20} {cells[2]:>22}")

# %% [markdown]
# The penalty in the last column comes next. It does not care where zero is; of all rules in this
# notebook, only the repetition penalty does. So "1.2" says little without the model. How far from
# zero are storybook's best logits? (GPT-2's lie somewhere else: see the last section.)

# %%
with torch.no_grad():
    best = model(torch.tensor([tokenizer.encode(king)]))[0].amax(dim=-1)  # (T,)
for logit in (float(best.min()), float(best.max())):
    print(
        f"storybook: {logit:.1f}; a penalty of 1.2 takes {logit - logit / 1.2:.1f} from that"
    )

# %% [markdown]
# It gets worse. transformers hands its processors logits, but in a beam search (a search that keeps
# several texts alive) *log-probabilities*. Those are logits, too, moved so that their exponentials
# sum to 1.

# %% [markdown] tags=["predict"]
# **Predict.** A model is 98.5% sure that *mat* comes again. Its log-probability is -0.015. What does
# a penalty of 1.5 make of that?
#
# <details><summary>Answer</summary>
#
# -0.023: next to nothing. On log-probabilities the penalty turns $p$ into $p^{1.5}$, and a p near 1
# stays near 1. The repetitions that the model is surest of are the ones that it leaves alone.
#
# </details>

# %%
sure = 6 * logits  # (V,)
on_logits = after(RepetitionPenalty(1.5), sure)
on_logprobs = after(RepetitionPenalty(1.5), sure.log_softmax(dim=-1))
for name, row in (("the model", sure), ("logits", on_logits), ("log-probs", on_logprobs)):
    print(f"{name:10} mat {row.softmax(dim=-1)[0]:.1%}")

# %% [markdown]
# ## Presence and frequency
#
# OpenAI's API has two penalties that *subtract*, so that zero plays no part. With $c_i$ for how
# often id i has occurred:
#
# $$z_i \to z_i - \text{frequency} \cdot c_i - \text{presence} \cdot [c_i > 0]$$
#
# Presence asks whether, frequency how often. Subtracting a divides the odds by $e^a$: a presence
# penalty of 1 makes everything that was said 2.7 times less likely against everything else.

# %% [markdown] tags=["predict"]
# **Predict.** After "the cat sat on the mat", with frequency 0.5 and presence 0.2: how much does the
# logit of *the* fall, that of *mat*, that of *dog*?
#
# <details><summary>Answer</summary>
#
# *the* by 0.5 · 2 + 0.2 = 1.2, *mat* by 0.5 + 0.2 = 0.7, *dog* not at all.
#
# </details>

# %%
both = after(FrequencyPenalty(0.5, include_prompt=True), logits)
both = after(PresencePenalty(0.2, include_prompt=True), both)
for word in ("the", "mat", "dog"):
    place = words.index(word)
    print(f"{word:4} {logits[place]:5.2f} to {both[place]:5.2f}")

# %% [markdown]
# ### Exercise 8.2 · ★☆☆ · 6 min
#
# Write both as one function of a row of logits, (V,), and the ids so far. Return logits (V,).
#
# - Each id of the list loses `frequency` as often as it occurs, and `presence` once.
# - `ids` may be empty. Either number may be 0, or negative, which encourages repetition.
# - The caller's tensor is not changed.
#
# For example, ids `[2, 0, 2]`, frequency 0.5 and presence 0.25 make `[4, 3, -1]` into
# `[3.25, 3, -2.25]`.


# %% tags=["exercise"]
def frequency_and_presence(
    logits: torch.Tensor, ids: list[int], frequency: float, presence: float
) -> torch.Tensor:
    """Logits (V,) -> logits (V,), lowered where an id has occurred."""
    ### BEGIN SOLUTION
    counts = torch.zeros_like(logits)  # (V,)
    for seen in ids:
        counts[seen] += 1
    return logits - frequency * counts - presence * (counts > 0)
    ### END SOLUTION


# %% tags=["check"]
check.frequency_and_presence(frequency_and_presence)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 8.2</summary>
#
# Count first: a tensor of zeros like the logits, and a loop that adds 1 at each id.
# (`counts[ids] += 1` counts every id once only.) `counts > 0`, times a number, is that number or 0.
#
# </details>

# %% [markdown]
# What do they do to whole texts? Take a model that knows nothing of what it said: after every word
# it wants *mat*, *sofa* or *roof*, with the same three logits. `law` adds up all 27 texts of three
# words, exactly. How likely is one that says a word again? And one word three times?

# %%
chains = [
    [],
    [PresencePenalty(1.0)],
    [FrequencyPenalty(1.0)],
    [RepetitionPenalty(1.5, include_prompt=False)],
]
for shift in (0, 5):
    print(f"logits {shift:+d}                     a word again   one word three times")
    row = logits[:3].double() + shift
    simple = TableModel(3, 8, lambda ids, row=row: row)  # 3 ids; the same logits always
    for chain in chains:
        texts = law(Sample(*chain), simple, [0], max_new_tokens=3)
        again = sum(share for ids, share in texts.items() if len(set(ids)) < 3)
        same = sum(share for ids, share in texts.items() if len(set(ids)) == 1)
        name = type(chain[0]).__name__ if chain else "no penalty"
        print(f"    {name:18} {again:17.1%} {same:17.1%}")

# %% [markdown]
# Presence and frequency agree until a word has been said twice; then frequency goes on, and more
# than halves the chance of a third time. Both halves of the table are the same model. The last row
# is the only one that differs between them.

# %% [markdown]
# ## Which ids count?
#
# "What has been said": does that include the prompt? Here is one story, three times.

# %%
three = {
    "no penalty": Greedy(),
    "1.2": Greedy(RepetitionPenalty(1.2)),
    "1.2, text alone": Greedy(RepetitionPenalty(1.2, include_prompt=False)),
}
stories = {
    name: generate(model, tokenizer, "The dog", strategy, max_new_tokens=20, trace=True)
    for name, strategy in three.items()
}
for name, story in stories.items():
    print(f"{name:16} The dog{story.text}")

# %% [markdown] tags=["predict"]
# **Predict.** Under the penalty the dog thanks a cat. Nobody had mentioned one, and nothing had been
# repeated yet. Why?
#
# <details><summary>Answer</summary>
#
# " dog" stands in the prompt, and the prompt counts. The one word that this story cannot do without
# is made less likely from the first step on, and after " thanked the", " cat" is next in line.
# `trace.why` says so, step by step.
#
# </details>

# %%
show(stories["1.2"].trace.why(7, " dog"))

# %% [markdown]
# Where the prompt is a question with its key words, or a page to be summarised, this is no small
# matter. A *window* is a second answer: `RepetitionPenalty(1.2, window=64)` forgets what lies
# further back than 64 ids.
#
# <details><summary>Who counts what: a table to look things up</summary>
#
# | Penalty | Here, unless you say otherwise | Elsewhere |
# | --- | --- | --- |
# | repetition | prompt and text | the same: transformers, vLLM; text alone: SGLang; the last 64 ids: llama.cpp |
# | presence, frequency | text alone | the same: vLLM; the prompt, too: llama.cpp |
# | n-grams (below) | prompt and text | the same: transformers, where padding counts as well |
#
# </details>

# %% [markdown]
# ## Never again: n-grams
#
# The rules so far make something less likely. This one forbids (Paulus et al. 2017). An *n-gram* is
# a run of n ids. Remove every id that would complete an n-gram which has occurred:
#
# | the text, n = 3 | | | | | | | | |
# | --- | --- | --- | --- | --- | --- | --- | --- | --- |
# | the | dog | **sat** | **on** | the | mat | **sat** | **on** | ? |
#
# The last n - 1 = 2 words are "sat on". They have occurred before, and *the* came next. So *the* may
# not come now.

# %% [markdown]
# ### Exercise 8.3 · ★★☆ · 12 min
#
# Write it. Given the ids so far and n (at least 1), return the ids that may not come next: a list
# of whole numbers, each once, in ascending order.
#
# - A text with fewer than n ids contains no n-gram: nothing is banned.
# - n = 1 bans every id that has occurred.
# - Occurrences may overlap: after `[5, 5]` and n = 2, 5 is banned.
#
# `banned_next([7, 3, 6, 8, 7, 0, 6, 8], 3)`, the text above, is `[7]`. And
# `banned_next([1, 4, 1, 2, 1], 2)` is `[2, 4]`: both have followed a 1.


# %% tags=["exercise"]
def banned_next(ids: list[int], n: int) -> list[int]:
    """The ids that would complete an n-gram which has occurred, in ascending order."""
    ### BEGIN SOLUTION
    start = len(ids) - (n - 1)  # where the last n - 1 ids begin
    found = set()
    for end in range(n - 1, len(ids)):
        if ids[end - (n - 1) : end] == ids[start:]:
            found.add(ids[end])
    return sorted(found)
    ### END SOLUTION


# %% tags=["check"]
check.banned_next(banned_next)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 8.3</summary>
#
# Look at every id of the list that has at least n - 1 ids before it, and compare those with the
# last n - 1 of all. Beware of `ids[-(n - 1):]`: for n = 1 that is `ids[0:]`, everything. Collect in
# a set; `sorted` makes a list of it.
#
# </details>

# %% [markdown] tags=["predict"]
# **Predict.** In GPT-2's vocabulary " Timmy" is two ids, " Tim" and "my". We forbid repeated 2-grams
# and begin "there was a boy named Timmy." What will the boy be called from then on?
#
# <details><summary>Answer</summary>
#
# Tim: after " Tim", "my" is gone. A name of n ids can be said once. (Below he is Timmy once more, at
# the beginning of a line. There no space stands before him, and "Tim" without it is another id.)
#
# </details>

# %%
timmy = "Once upon a time, there was a boy named Timmy."
no_twice = Greedy(NoRepeatNGram(2))
renamed = generate(model, tokenizer, timmy, no_twice, max_new_tokens=34, trace=True)
show(timmy + renamed.text)
print(renamed.trace.why(1, "my"))

# %% [markdown]
# The model gave "my" 99.3%. No probability helps against a rule without exceptions. It can even
# forbid everything. Nine words, none of which may be said twice, and twelve wanted:

# %%
nine = TableModel(9, 40, lambda ids: logits)
try:
    generate_ids(nine, [[words.index("the")]], Greedy(NoRepeatNGram(1)), max_new_tokens=12)
except ValueError as error:
    show(str(error))

# %% [markdown]
# Eight words were left beside *the*; step 8, counted from 0, had none. A system that puts a large
# negative number instead of `-inf` would write something all the same, and say nothing. Here it is
# an error that names the rule.

# %% [markdown]
# ## DRY: the longer, the less
#
# "Don't repeat yourself" (p-e-w 2024, in text-generation-webui) lies between. For each id x, let L be
# the length of the repetition that x would continue: how many of the *last* ids stand, in the same
# order, before an earlier x. The logit of x falls by
#
# $$\text{multiplier} \cdot \text{base}^{\,L - \text{allowed}} \qquad \text{where } L \ge \text{allowed.}$$
#
# Short pieces, such as "and the", cost nothing. Then the price grows exponentially.

# %% [markdown]
# ### Exercise 8.4 · ★★★ · 15 min
#
# Find L. Given the ids so far, return a list of `n_vocab` whole numbers, L for each id: 0 where
# it has not occurred, or where what stood before it was not the last id. Worked by hand:
#
# | the cat sat on the mat the dog sat on the ... | | |
# | --- | --- | --- |
# | earlier *mat* | before it: cat **sat on the** | the last ids: dog **sat on the**: L = 3 |
# | earlier *cat* | before it: **the** | L = 1 |
# | earlier *dog* | before it: mat **the** | the last ids: on **the**: L = 1 |
# | earlier *sat*, twice | before it: cat, dog | neither is *the*: L = 0 |
#
# As a call, with the ids of our nine words: `repeat_lengths([7, 5, 6, 8, 7, 0, 7, 3, 6, 8, 7], 9)`
# is `[3, 0, 0, 1, 0, 1, 0, 0, 0]`.
#
# - Where x has occurred several times, the longest counts.
# - The two may overlap: after `[5, 5, 5]`, L of 5 is 2.
# - Before the beginning of the text there is nothing to match.


# %% tags=["exercise"]
def repeat_lengths(ids: list[int], n_vocab: int) -> list[int]:
    """For each id of the vocabulary, how long a repetition it would continue."""
    ### BEGIN SOLUTION
    lengths = [0] * n_vocab
    for place, x in enumerate(ids):
        same = 0
        while same < place and ids[place - 1 - same] == ids[len(ids) - 1 - same]:
            same += 1
        lengths[x] = max(lengths[x], same)
    return lengths
    ### END SOLUTION


# %% tags=["check"]
check.repeat_lengths(repeat_lengths)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 8.4</summary>
#
# For every place of the list, walk backwards from the id before it, and at the same time backwards
# from the end, for as long as both agree. Stop at the beginning: in Python `ids[-1]` is no error, it
# is the last id. Keep the largest for each id.
#
# </details>

# %% [markdown]
# The way of the hint compares the same ids again and again: where all T ids of a text are the same,
# T² / 2 comparisons a step. The *Z-algorithm* remembers what it has compared, and needs about 2 T
# (`decoding/processors/repeats.py` has it, in a dozen lines).
#
# Here is L along the king's speech. The processor itself tells it: with base 2, a multiplier of 1
# and an allowed length of 1, what it takes from a logit is $2^{L-1}$.


# %%
def repeated_before(ids):
    """For each id of a text, how long the repetition is that it continues."""
    ruler = DRY(1.0, base=2.0, allowed_length=1)
    taken = [
        -float(ruler(torch.zeros(1, 50257), Prefix.of([ids[:t]]))[0, ids[t]])
        for t in range(1, len(ids))
    ]
    return [0] + [0 if amount == 0 else 1 + round(math.log2(amount)) for amount in taken]


circle_ids = circle.prompt_ids + circle.ids
plots.along_text(
    [tokenizer.decode([id]) for id in circle_ids],
    {"L": repeated_before(circle_ids), "free up to here": [1] * len(circle_ids)},
    ylabel="length of the repetition",
)

# %% [markdown]
# The last id continues a repetition of 35. What DRY charges, with a multiplier of 0.8 and its usual
# base and allowed length, 1.75 and 2:

# %%
for length in (1, 2, 5, 10, 35):
    price = 0.8 * 1.75 ** (length - 2) if length >= 2 else 0.0
    print(f"L = {length:2}: {price:,.1f}")

# %% [markdown]
# A price of 10 divides the odds by 22,000; few words survive that. But the king does not even get
# that far:

# %%
dry = generate(model, tokenizer, king, Greedy(DRY(0.8)), max_new_tokens=28, trace=True)
show(king + dry.text)
show(dry.trace.why(17, " to"))

# %% [markdown]
# The two ids " am" and " sorry" had stood before " to" already: L = 2. A price of 0.8 more than
# halves the odds, and " for" is ahead. From there on it is another text.

# %% [markdown] tags=["predict"]
# **Predict.** People repeat on purpose, too. A wolf asks three times to be let in, in the same words.
# `score` tells how likely a strategy is to write a given text. How likely is this one under
# `NoRepeatNGram(3)`? And under DRY, where up to 19 ids in a row have been there before?
#
# <details><summary>Answer</summary>
#
# Under `NoRepeatNGram(3)` it is impossible: probability 0, an infinite surprise. Under DRY it comes to
# the same: L = 19 costs $0.8 \cdot 1.75^{17}$, more than 10,000 nats. (A surprise of a nats is a
# probability of $e^{-a}$.)
#
# </details>

# %%
wolf = (
    'The wolf went to the house of straw. "Little pig, little pig, let me come in!" '
    'Then he went to the house of sticks. "Little pig, little pig, let me come in!" '
    'Then he went to the house of bricks. "Little pig, little pig, let me come in!"'
)
sons = (
    "Once upon a time there was a king who had three sons. The youngest of them loved nothing "
    "so much as his old grey horse, and one morning he rode away to see the world."
)
breakers = DRY.breakers_of(tokenizer, ["\n", ":", '"', "*"])
rules = {
    "no penalty": Sample(),
    "RepetitionPenalty(1.2)": Sample(RepetitionPenalty(1.2)),
    "FrequencyPenalty(0.5)": Sample(FrequencyPenalty(0.5)),
    "NoRepeatNGram(3)": Sample(NoRepeatNGram(3)),
    "DRY(0.8)": Sample(DRY(0.8)),
    "DRY(0.8), breakers": Sample(DRY(0.8, breakers=breakers)),
}
longest = max(repeated_before(tokenizer.encode(wolf)))
print(f"longest repetition of the wolf: {longest} ids\n")
print(f"{'surprise, nats an id':24}{'the wolf':>12}{'the sons':>12}")
scored = {}
for name, strategy in rules.items():
    line = f"{name:24}"
    for text in (wolf, sons):
        first, *rest = tokenizer.encode(text)
        scored[name, text] = score(model, [first], rest, strategy)
        line += f"{-scored[name, text].logprob / len(rest):12.3f}"
    print(line)

# %% [markdown]
# That is what *sequence breakers* are for: ids that end every repetition, such as quotation marks.
# No match reaches across one. With them the refrain still costs much, but it can be said.
#
# The other column may be unexpected. The text about the sons hardly repeats itself, and no penalty
# makes it less likely; two make it a little *more* likely. What they take from the words that were
# said goes to all those that were not. Here is the wolf, id by id, darker where it was less probable:

# %%
wolf_tokens = [tokenizer.decode([id]) for id in tokenizer.encode(wolf)]
for name in ("no penalty", "DRY(0.8), breakers"):
    shares = [math.exp(logprob) for logprob in scored[name, wolf].logprobs]
    display(plots.text_by_probability(wolf_tokens, [math.nan, *shares]))

# %% [markdown]
# Above, without a penalty; below, DRY with breakers. Each refrain begins anew at its quotation mark,
# and the price rises from there, so that "let me come in" is nearly impossible.

# %% [markdown]
# ## Single ids
#
# Four simple tools, each one line of mathematics: add to logits, never say, say now, do not end yet.

# %%
girl = "Once upon a time, there was a little girl named"


def one(text):
    """The id of a text that is a single token."""
    (id,) = tokenizer.encode(text, allow_special=True)
    return id


tools = [
    Greedy(),
    Greedy(LogitBias({one(" Tom"): 5.0})),
    Greedy(Suppress([one(".")])),
    Greedy(Force({0: one(" L")})),
]
for strategy in tools:
    result = generate(model, tokenizer, girl, strategy, max_new_tokens=16)
    print(f"{strategy!r:37} ...named{result.text}")

# %% [markdown]
# A bias of 5 multiplies the odds by $e^5 \approx 150$, at *every* step. Suppressing the full stop does
# not make the model end its sentences otherwise: this one goes on and on. And to force " L" is to
# change what the model has read, not what it wants: "ila" follows, not "ily".
#
# The end of a text is an id, too. `MinNewTokens(n)` removes it for n steps:

# %%
last = "They all lived happily ever after. The end."
for strategy in (Greedy(), Greedy(MinNewTokens(6))):
    result = generate(model, tokenizer, last, strategy, max_new_tokens=12, trace=True)
    print(f"{strategy!r:24} {result.text!r}")
    show(result.trace.why(0, "<|endoftext|>"))

# %% [markdown]
# The model had nothing more to say, and says it.

# %% [markdown]
# ## Words
#
# To ban a *word* is harder, since a model writes ids. `BanSequences` removes the id that would
# complete a banned sequence.

# %% [markdown] tags=["predict"]
# **Predict.** `tokenizer.encode("Lily")` is two ids, "L" and "ily". We ban that sequence. Who is
# the little girl now?
#
# <details><summary>Answer</summary>
#
# Lily. Within a sentence a word comes with its space, and " Lily" is one id, another one. A ban has
# to know every form: with a space and without, small, Capitalised, ALL CAPITALS. `BanWords` does.
#
# </details>

# %%
no_lily = BanWords(["Lily"], tokenizer)
for name, ban in (
    ("the sequence", BanSequences([tokenizer.encode("Lily")])),
    ("the word", no_lily),
):
    result = generate(model, tokenizer, girl, Greedy(ban), max_new_tokens=12, trace=True)
    print(f"{name:13} ...named{result.text}")
    print(f"{'':13} {result.trace.why(0, ' Lily')}")
print(
    "\nBanWords bans", *(" ".join(map(quoted, ids)) for ids in no_lily.sequences), sep=" | "
)

# %% [markdown]
# ### Loopholes
#
# Is she safe? The tokenizer writes " Lily" in one way, but the bytes can be put together in others,
# and the model may write any of them. `loopholes` lists spellings that contain no banned sequence:

# %%
start = tokenizer.encode(girl)
ways = [tuple(tokenizer.encode(" Lily")), *no_lily.loopholes(5)]
print("probability of             the model   with the ban")
for ids in ways:
    free, banned = (
        math.exp(score(model, start, ids, strategy).logprob)
        for strategy in (Sample(), Sample(no_lily))
    )
    print(f"{' '.join(map(quoted, ids)):26} {free:9.2g} {banned:14.2g}")
print("loopholes in all:", len(no_lily.loopholes(1000)))

# %% [markdown]
# With the ban, a draw writes " L" "ily" about once in 18,000 times, and the ban has made that three
# times likelier: Lily's 68% had to go somewhere. One could ban every spelling as a sequence, and
# there would still be "LiLy" and "Lilly". Whoever needs certainty looks at the *text* as it grows,
# and not at ids.
#
# Bans also hit too much. Timmy begins with the id " Tim", so who bans " Tim" bans him as well.

# %% [markdown]
# ## What it costs
#
# The king again, with five strategies. `compare` runs them on one prompt and measures the texts:
# the share of 4-grams that have been there before, and the model's surprise in nats an id.

# %%
five = {name: Greedy(*rules[name].processors) for name in list(rules)[:5]}
measured = compare(model, tokenizer, king, five, max_new_tokens=40, num_samples=1, seed=0)
for name, result in measured.results.items():
    (place,) = result.parts_at
    repeated = result.measures["repetition-4"].value
    surprise = -result.measures["log-probability"].value
    other = "" if place is None else f"; another text from id {place} on"
    print(f"{name}: {repeated:.0%} repeated, surprise {surprise:.2f}{other}")
    show(king + result.samples[0].text + "\n")
    print()

# %% [markdown]
# Every penalty ends the circle, and every text surprises the model more than the one that runs in
# it. That is what one asked for. But look at *where* they act. `RepetitionPenalty(1.2)` changes the
# very first word, " king", since the prompt has a king already. The frequency penalty, which counts
# the text alone, waits for a second " am" (id 15, counted from 0); the last two for a second " am
# sorry" that would go on as before (id 17).
#
# Does a penalty leave alone what does not repeat itself? *Drawn* texts hardly do. With the same noise
# for all (notebook 5), a text changes only where the penalty has changed a choice:

# %%
drawn = {name: rules[name] for name in list(rules)[:5] if name != "FrequencyPenalty(0.5)"}
fox = compare(
    model, tokenizer, "One morning a fox", drawn, max_new_tokens=16, num_samples=5, seed=0
)
print(f"{'':24} repetition-4   surprise   texts that changed")
for name, result in fox.results.items():
    changed = sum(place is not None for place in result.parts_at)
    repeated = result.measures["repetition-4"].value
    surprise = -result.measures["log-probability"].value
    print(f"{name:24} {repeated:12.0%} {surprise:10.2f} {changed:>16} of 5")

plain, other = fox.results["no penalty"], fox.results["RepetitionPenalty(1.2)"]
print("\nwhat RepetitionPenalty(1.2) changed first, in each of the texts:")
for old, new, place in zip(plain.samples, other.samples, other.parts_at, strict=True):
    if place is not None:
        print(f"    id {place:2}: {quoted(old.ids[place])} to {quoted(new.ids[place])}")

# %% [markdown]
# There was nothing to mend: no 4-gram occurs twice. NoRepeatNGram and DRY did nothing. The
# repetition penalty changed four of five texts all the same, and they surprise the model more.
# (Five short texts are few: how much more would be another number with other seeds.)
#
# And what has it taken away? " the", " a", a line break, and the fox, whom the prompt names. A
# penalty that counts single ids hits what every text needs.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# First, where is *its* zero? A test of transformers publishes the logit and the log-probability of
# the id that distilgpt2 (a small GPT-2 by Hugging Face) writes after "Justin Timberlake". Had that
# id been said before, a penalty of only 1.1 would do this:

# %% tags=["needs-weights"]
# huggingface/transformers, tests/generation/test_framework_agnostic.py
logit, logprob = -57.8844, -2.538938
print(f"on the logit:           {logit * 0.1:.2f}, odds times {math.exp(logit * 0.1):.4f}")
print(
    f"on the log-probability: {logprob * 0.1:.2f}, odds times {math.exp(logprob * 0.1):.4f}"
)

# %% [markdown]
# This logit, the best of its row, lies far below zero. Without beams, a penalty of 1.1 divides the odds
# of the id by more than 300; in a beam search, the same number takes less than a quarter of them.
#
# Here are greedy texts that were published with such rules: in the documentation of transformers,
# and in its tests. Where the weights are at hand, the cell compares.

# %% tags=["needs-weights"]
# transformers 4.57.1, docstrings of generation/; tests/models/gpt2/test_modeling_tf_gpt2.py
# the banned: "is", and "angry about" in three ids
is_and_angry = BanSequences([[271], [648, 563, 546]])
settings = [
    ("distilgpt2", []),
    ("distilgpt2", [RepetitionPenalty(1.1)]),
    ("distilgpt2", [NoRepeatNGram(2)]),
    ("distilgpt2", [RepetitionPenalty(1.3), NoRepeatNGram(2), is_and_angry]),
    ("gpt2", [BanSequences([[one(" mess")]])]),
]
published = [  # the prompt | what follows
    "I'm not going to| be able to do that. I'm going to be able to do that",
    "I'm not going to| be able to do that. I'll just have to go out and play",
    "Today I|’m not sure if I can get a better understanding of the nature of this issue",
    "Yesterday was| a very interesting time for the world to see how much of this is",
    "In a word, the cake is a| bit of a surprise.",
]
openai = {name: official(name) for name in ("distilgpt2", "gpt2")}
for (name, chain), text in zip(settings, published, strict=True):
    print(f"\n{name}, {', '.join(map(repr, chain)) or 'no penalty'}\n    {text}")
    prompt, following = text.split("|")
    if openai[name] is not None:
        count = len(tokenizer.encode(following))
        greedy = Greedy(*chain)
        ours = generate(openai[name], tokenizer, prompt, greedy, max_new_tokens=count).text
        print("    as published" if ours == following else f"    DIFFERENT: {ours!r}")

# %% [markdown]
# Read the fourth text once more. The authors banned "is", and the text ends with it. They gave the id
# of "is" without a space, 271; the text has " is", 318. It is what happened to Lily.

# %% [markdown]
# ## What to remember
#
# - The **repetition penalty** divides positive logits and multiplies negative ones, once an id. It
#   depends on where zero lies: on logits and on log-probabilities it is another rule.
# - **Presence** and **frequency** penalties subtract: whether, and how often. Zero plays no part.
# - **Which ids count**, prompt or not, and how far back: systems differ, and a dog becomes a cat.
# - **No-repeat n-gram** forbids without exceptions. A name of n ids can be said once, and a row
#   can end up empty.
# - **DRY** grows with the length of the repetition, and needs breakers where people repeat on purpose.
# - A word is many sequences of ids: spaces, capitals, other spellings.
# - Rules that count single ids also change texts that do not repeat themselves.

# %% [markdown]
# ## Papers and further reading
#
# - Keskar et al. 2019, *CTRL*, arXiv:1909.05858: the repetition penalty, in section 4.1.
# - Paulus, Xiong & Socher 2017, *A Deep Reinforced Model for Abstractive Summarization*,
#   arXiv:1705.04304: no trigram twice.
# - Holtzman et al. 2019, *The Curious Case of Neural Text Degeneration*, arXiv:1904.09751: why the
#   likeliest text repeats itself.
# - Welleck et al. 2019, *Neural Text Generation with Unlikelihood Training*, arXiv:1908.04319: teach the
#   model not to repeat; the measure that is used here.
# - Xu et al. 2022, *Learning to Break the Loop*, arXiv:2206.02369: repetition makes itself likelier.
# - In this project: `decoding/processors/penalties.py`, `repeats.py`, `bias.py` and `banned.py`.

# %% [markdown]
# ## To go further
#
# - Which penalty on log-probabilities ends the king's circle? Write a processor that takes the
#   `log_softmax` first and hands that to `RepetitionPenalty`.
# - Find the smallest `FrequencyPenalty` under which he says his sentence only once.
# - Write `repeat_lengths` with sequence breakers: no match contains one.
# - How many loopholes has your own name? Which is the likeliest after "a little girl named"?
