# %% [markdown]
# # 13. Speculation
#
# **Goal.** You can let something cheap write ahead and a model check it, so that one call of the model gives several
# ids; you can show by hand why the texts stay exactly what they were; and you can say beforehand whether it pays.
#
# **Time** 75 minutes · **Needs** notebooks [3](03_greedy_and_the_cache.ipynb) and [5](05_drawing_a_token.ipynb) · **Next**
# [14. How to generate](14_how_to_generate.ipynb)
#
# The cache of notebook 3 made each step cheap, but there is still one call of the model for each id, one after the other.
# Nearly everything else that makes a model faster changes it a little: fewer layers, fewer digits, a smaller model. Here
# nothing is changed. The trick is old: guess, and check the guess.

# %% tags=["setup"]
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents]
roots = [folder for folder in folders if (folder / "notebooks" / "checks").is_dir()]
if not roots:
    raise SystemExit("Open this notebook in the project's folder; its README says how.")
sys.path[:0] = [str(roots[0]), str(roots[0] / "notebooks")]

# %%
import json
import math
import time

import torch

from checks import speculation as check
from decoding import (
    BlockVerification,
    DrafterInvariant,
    Enumerate,
    Greedy,
    Jacobi,
    Limits,
    PromptLookup,
    Sample,
    SelfSpeculative,
    Speculative,
    TableModel,
    Temperature,
    Tokenizer,
    generate,
    generate_ids,
    law,
    plots,
)
from decoding.legible import token_name
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## What a call costs
#
# To compute one more id, a model multiplies with each of its parameters once. So each of them has to come from memory to
# the processor: for the bundled `storybook` 71 million bytes, in every call. Two operations follow on each number of four
# bytes, and a processor could do many more in the time that those bytes take. It waits for memory.
#
# Several ids in one call need the same parameters, which come **once**. Only the operations multiply. How much longer does
# a call take that appends n ids, instead of one, to a text in the cache?

# %% tags=["varies"]
model = GPT2.from_pretrained("storybook")
tokenizer = Tokenizer()
size = sum(parameter.numel() for parameter in model.parameters())
print(f"{size / 1e6:.0f} million parameters, {4 * size / 1e6:.0f} million bytes")

story = (
    "Once upon a time there was a king who had three sons. The youngest of them loved nothing "
    "so much as his old grey horse, and one morning he rode away to see the world."
)
session = model.open()
session.extend(torch.tensor([tokenizer.encode(story)]))
length = session.lengths.clone()  # (1,)
best = {}  # ids -> seconds, the shortest of eight
for _ in range(8):
    for n in (1, 2, 3, 5, 8):
        session.rewind(length)
        begin = time.perf_counter()
        session.extend(torch.full((1, n), 262), keep=n)  # (1, n, V)
        best[n] = min(best.get(n, math.inf), time.perf_counter() - begin)
for n, seconds in best.items():
    whole = seconds / best[1]
    print(f"{n} in a call: {whole:.1f} times as long, {whole / n:.2f} times for each id")

# %% [markdown]
# Yours will differ: it depends on the processor, and on what else it is doing. On a large model, and above all on a GPU,
# five ids hardly take longer than one. On a processor without much to spare, as the one that made the worked copy, they
# take longer, but not five times as long. Keep the number for five in mind: we call it $b$, and it decides in the end.
#
# But which ids? The second one depends on the first, and the third on both. Somebody has to guess them.

# %% [markdown]
# ## Guess and check, without chance
#
# Our nine words, and a model that tells an endless story: the cat sits on the mat, the dog on the sofa, the moon on the
# roof. Its likeliest word is always the one that the story needs.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
place_of = {"cat": "mat", "dog": "sofa", "moon": "roof"}
next_one = {"cat": "dog", "dog": "moon", "moon": "cat"}


def told(text):
    """The word that the story needs next."""
    who = [word for word in text if word in place_of][-1]
    if text[-1] == "the":
        return place_of[who] if text[-2] == "on" else next_one[who]
    return {"sat": "on", "on": "the", **dict.fromkeys(place_of, "sat")}.get(text[-1], "the")


def logits_after(ids):
    """4 for the word that the story needs, 0 for all others -> (V,)."""
    row = torch.zeros(len(words), dtype=torch.float64)
    row[words.index(told([words[id] for id in ids]))] = 4.0
    return row


toy = TableModel(len(words), 64, logits_after)
text = ["the", "cat", "sat", "on", "the", "mat", "the", "dog", "sat", "on"]
ids = [words.index(word) for word in text]
first = generate_ids(toy, [ids], Greedy(), max_new_tokens=8)[0]
print(" ".join(text), "...", " ".join(words[id] for id in first.ids))

# %% [markdown]
# A guess that costs nothing is a **copy**: look where the last words stood before, and copy what came next. The text ends
# with "sat on", which stood there before, and what followed was "the mat the dog". These four words are the **draft**.
#
# Now one call with all four. A model returns logits at *every* position, each about the next one: five rows of logits,
# one behind the text, and one behind each drafted word. Exactly the call whose price we have just measured.

# %% [markdown] tags=["predict"]
# **Predict.** The text is "the cat sat on the mat the dog sat on", the draft "the mat the dog". Which words would the
# model itself choose in the five places? And how many of the drafted words may stay?
#
# <details><summary>Answer</summary>
#
# Behind the text "the"; behind "the" not "mat" but "sofa", as it is the dog. So the first drafted word stays and the
# second goes. What the model says behind "mat" does not count any more: it is about a text that never will be. That the
# third drafted word is what it chooses there, "the", is of no use.
#
# </details>

# %%
draft = PromptLookup(ngram=3).following(ids, most=4)
session = toy.open()
session.extend(torch.tensor([ids[:-1]]))
logits = session.extend(torch.tensor([[ids[-1], *draft]]), keep=5)[0]  # (5, V)
behind = ["the text", *(f"... {words[id]}" for id in draft)]
drafted = [*(words[id] for id in draft), "-"]
for where, guess, row in zip(behind, drafted, logits, strict=True):
    print(f"behind {where:10} drafted {guess:6} the model says {words[int(row.argmax())]}")

# %% [markdown]
# The round gives "the" (drafted, and what the model says) and "sofa" (the model's own word in the place of "mat"): two
# ids for one call. Even with a useless draft it gives one, as an ordinary step does. If the whole draft stays, the row
# behind its last word gives one *more* id, for nothing: n drafted ids give up to n + 1.
#
# ### Exercise 13.1 · ★☆☆ · 8 min
#
# Write the check: `logits` has n + 1 rows of V, the one in place i about the id behind i drafted ones; `draft` has n ids.
# Return the list of ids that the round gives: the drafted ones that are the model's own choice (`argmax`), up to the first
# that is not; and behind them one id of the model's own. For example, with the model's choices 7, 1, 7, 4, 6 as above,
#
# | draft | ids of the round |
# | --- | --- |
# | `[7, 0, 7, 3]` | `[7, 1]` |
# | `[7, 1, 7, 4]` | `[7, 1, 7, 4, 6]` |
# | `[0, 1, 7, 4]` | `[7]` |
# | `[]` | `[7]` |


# %% tags=["exercise"]
def verify(logits: torch.Tensor, draft: list[int]) -> list[int]:
    """Logits (n + 1, V) and n drafted ids -> the 1 to n + 1 ids that the round gives."""
    ### BEGIN SOLUTION
    choices = logits.argmax(dim=-1).tolist()  # n + 1 ids
    kept = 0
    while kept < len(draft) and draft[kept] == choices[kept]:
        kept += 1
    return choices[: kept + 1]
    ### END SOLUTION


# %% tags=["check"]
check.verify(verify)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 13.1</summary>
#
# `logits.argmax(dim=-1).tolist()` are the model's n + 1 choices. Count how many drafted ids agree from the first on. Kept
# ids *are* the model's choices; so the ids of the round are the beginning of that list.
#
# </details>

# %% [markdown]
# Each id that comes out is the model's own `argmax` behind a text that stands. So the text is that of greedy decoding,
# whoever drafts. (But for one thing: a computer may round a call with five ids differently from five calls. Where two
# logits are nearly equal, that can decide.)
#
# ### Exercise 13.2 · ★★☆ · 14 min
#
# Write the copy. Take the last `ngram` ids of the text and look for them further ahead; of several places the **latest**
# counts. If they stand nowhere, try the last `ngram` − 1 ids, and so on, down to one. Return the `most` ids that follow
# the place that was found, and `[]` where even the last id is new.
#
# - The end of the text is not a place of its own: something must follow it. But a place may overlap the end.
# - Where the copy reaches the end of the text, it goes on with what it has just copied: `[5, 1, 2, 1, 2]` ends with
#   `1, 2`, which stood one place before the end; with `most` = 5 the copy is `[1, 2, 1, 2, 1]`.
# - `ngram` may be more than the text has. The caller's list is not changed.
#
# | ids | ngram | most | |
# | --- | --- | --- | --- |
# | `[3, 4, 6, 3, 5, 3, 4]` | 2 | 2 | `[6, 3]`: behind `3, 4` |
# | `[3, 4, 6, 3, 5, 3, 4]` | 3 | 2 | `[6, 3]`: `5, 3, 4` is new, `3, 4` is not |
# | `[3, 4, 6, 3, 5, 3]` | 1 | 2 | `[5, 3]`: behind the latest 3 |


# %% tags=["exercise"]
def look_up(ids: list[int], ngram: int, most: int) -> list[int]:
    """The ids that followed the last ones where they stood before: `most` of them, or []."""
    ### BEGIN SOLUTION
    for n in range(min(ngram, len(ids) - 1), 0, -1):
        ending = ids[-n:]
        for place in reversed(range(len(ids) - n)):  # the end itself is not among them
            if ids[place : place + n] == ending:
                copied = list(ids)
                for i in range(place + n, place + n + most):
                    copied.append(copied[i])
                return copied[len(ids) :]
    return []
    ### END SOLUTION


# %% tags=["check"]
check.look_up(look_up)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 13.2</summary>
#
# Two loops: n from `ngram` downwards, and inside the places, from the latest. A place i has `ids[i : i + n]`; the end
# itself is the place `len(ids) - n`, so begin one before it. To copy beyond the end, append to a copy of the list, one id
# after the other, and read from the same list.
#
# </details>

# %% [markdown]
# In the library, greedy decoding by speculation is `Speculative(Temperature(0), draft=...)`. `result.rounds` has what was
# drafted in each call, how many of it was accepted, and which id the model added. The first round has no draft: it is the
# call that reads the prompt.

# %%
looked_up = Speculative(Temperature(0), draft=PromptLookup(), length=4)
result = generate_ids(toy, [ids], looked_up, max_new_tokens=26)[0]
for one in result.rounds:
    guess = " ".join(words[each.id] for each in one.drafted)
    print(f"{guess or '-':18} {one.accepted} stay: {' '.join(words[id] for id in one.ids)}")
same = generate_ids(toy, [ids], Greedy(), max_new_tokens=26)[0]
print(f"the same as Greedy: {result.ids == same.ids}")
print(f"{len(result.rounds)} calls for {len(result.ids)} ids")

# %% [markdown]
# Eight rounds of trial and error, until the story comes round. Then whole drafts are right, and a call gives five words.
# The last call has no draft: a single id is missing, and one always comes from the model.

# %% [markdown]
# ## With chance: accept or draw again
#
# With sampling there is no right word. A draft x comes from a distribution q, that of a smaller model, say, and should
# end up distributed as p, that of the model. When may it stay? *Only if it is also what the model draws* would be exact
# but wasteful. The rule:
#
# - Keep x with probability $\min\left(1, \frac{p(x)}{q(x)}\right)$.
# - Otherwise draw again, from what p has more than q, made to sum to 1: the **residual**
#   $r(x) = \frac{\max(p(x) - q(x),\, 0)}{\sum_y \max(p(y) - q(y),\, 0)}$
#
# Ids that q writes too often are thinned out, and what is thrown away goes to those that q writes too rarely.

# %% [markdown] tags=["predict"]
# **Predict.** Three words: p = (0.5, 0.3, 0.2) and q = (0.2, 0.2, 0.6). With which probability does each stay when it is
# drafted? Which words can be drawn in the place of a rejected one, and in which proportion?
#
# <details><summary>Answer</summary>
#
# The first two always: q writes them too rarely. The third with 0.2 / 0.6 = 1/3. What p has more than q is
# (0.3, 0.1, 0), divided by the sum (0.75, 0.25, 0): never the rejected word again.
#
# </details>

# %%
p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)  # (V,)
q = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)  # (V,)

stays = (p / q).clamp(max=1)  # (V,): the probability that a drafted id stays
by_draft = q * stays  # (V,): that it is drafted, and stays
rejected = 1 - by_draft.sum()  # that some draft is rejected
surplus = (p - q).clamp(min=0)  # (V,)
by_redraw = rejected * surplus / surplus.sum()  # (V,)
print("id   drafted   stays   both   redrawn   together   p")
for id in range(3):
    cells = (q[id], stays[id], by_draft[id], by_redraw[id], by_draft[id] + by_redraw[id])
    print(id, "{:9.2f} {:8.2f} {:7.2f} {:8.2f} {:10.2f}".format(*cells), f"{p[id]:6.2f}")
print(f"some draft stays: {by_draft.sum():.2f}")

# %% [markdown]
# The column "together" is p, and it had to be. Both sums are, for every id,
#
# $$\underbrace{q \min\left(1, \tfrac{p}{q}\right)}_{\min(p,\, q)} +
# \underbrace{\left(1 - \textstyle\sum \min(p, q)\right) r}_{\max(p - q,\, 0)} = p$$
#
# The second brace: what is rejected, $1 - \sum \min(p, q)$, is just $\sum \max(p - q, 0)$, the divisor of r, and cancels.
# Whatever q is, the ids are distributed as p. A poor draft costs time and nothing else.
#
# ### Exercise 13.3 · ★★☆ · 10 min
#
# Write the rule: p and q, probabilities of shape (V,), and the drafted id, with q above 0 for it. Return two things: the
# probability with which it stays, a Python float, and the distribution from which another is drawn if it does not, (V,).
#
# With p and q as above, id 2 gives `(0.3333, [0.75, 0.25, 0])`, and id 0 gives `(1.0, [0.75, 0.25, 0])`.
#
# - Where p equals q in all places nothing is ever rejected and no residual is left: return p in its place.
# - The tensors of the caller are not changed.


# %% tags=["exercise"]
def acceptance(p: torch.Tensor, q: torch.Tensor, id: int) -> tuple[float, torch.Tensor]:
    """Probabilities (V,) of model and draft, a drafted id -> its chance, and the residual."""
    ### BEGIN SOLUTION
    chance = min(1.0, (p[id] / q[id]).item())
    more = torch.relu(p - q)  # (V,): what p has more
    total = more.sum()
    return chance, more / total if total > 0 else p
    ### END SOLUTION


# %% tags=["check"]
check.acceptance(acceptance)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 13.3</summary>
#
# `(p[id] / q[id]).item()` is a float, which may be above 1. `(p - q).clamp(min=0)` has what p has more; it sums to the
# chance of a rejection, not to 1. If its sum is 0, dividing by it would give NaN.
#
# </details>

# %% [markdown]
# ### The acceptance rate
#
# A draft from q stays with probability $\sum_x q(x) \min(1, p(x) / q(x)) = \sum \min(p, q)$, above 0.6. That is one minus
# the total variation distance of p and q: what two distributions share. No rule can do better, since no two random words
# with these distributions agree more often. We call this rate $a$.
#
# ### A wrong q
#
# The proof used one thing: q is the distribution that x was really drawn from. Programs break this easily. The draft is
# drawn with a temperature, and q is taken before it; a filter acts on one of the two; or the redraw is made from p.

# %% [markdown] tags=["predict"]
# **Predict.** Somebody draws the rejected word's replacement from p instead of the residual. Which words come too often,
# and would you notice in a text?
#
# <details><summary>Answer</summary>
#
# The third above all: p gives it 0.2, and now it also comes back after its own rejection, 0.28 in all. The second has a
# little too much, too, and the first pays for both. A text shows nothing. It may even read better, if the draft is
# cautious. Only the distribution tells.
#
# </details>


# %%
def outcome(drawn, used, again):
    """What comes out (V,): drawn from one q, judged by another, redrawn from `again`."""
    kept = drawn * (p / used).clamp(max=1)
    return kept + (1 - kept.sum()) * again


residual = surplus / surplus.sum()
cold = q**2 / (q**2).sum()  # q at temperature 1/2
cases = {
    "right": outcome(q, q, residual),
    "drafted at T = 0.5, judged by q": outcome(cold, q, residual),
    "redrawn from p": outcome(q, q, p),
    "every draft stays": q,
}
for name, made in cases.items():
    off = (made - p).abs().sum() / 2
    shown = "  ".join(f"{share:.3f}" for share in made.tolist())
    print(f"{name:33} {shown}   off by {off:.3f}")

# %% [markdown]
# The last column is the total variation distance from p. For a whole strategy, `law` runs all paths that it can take and
# sums up their probabilities (notebook 5). So "exact" can be checked: a random table for the model, another, unrelated one
# for the draft, and all 16 texts of four ids from two. (The first id comes from the prompt's call and the last from the
# model; so a draft has room for two.)

# %%
table = TableModel.random(2, 8, seed=1)
other = TableModel.random(2, 8, seed=2)
exact = law(Sample(), table, [0], max_new_tokens=4)
unlike = law(Sample(), other, [0], max_new_tokens=4)


def distance(one, two):
    """The total variation distance of two laws of texts."""
    return (
        sum(abs(one.get(ids, 0) - two.get(ids, 0)) for ids in one.keys() | two.keys()) / 2
    )


print(f"{len(exact)} texts; model and draft differ by {distance(exact, unlike):.2f}")
speculative = law(Speculative(draft=other, length=2), table, [0], max_new_tokens=4)
print(f"speculation is the law of Sample(): {distance(exact, speculative) < 1e-12}")

# %% [markdown]
# ## How many ids a call?
#
# Say each drafted id stays with probability a, each on its own, up to the first that does not. One id comes always. A
# second comes if the first drafted one stayed, a third if two did:
#
# $$E = 1 + a + a^2 + \dots + a^n = \frac{1 - a^{n+1}}{1 - a}$$

# %% [markdown] tags=["predict"]
# **Predict.** a = 0.8, and four drafted ids in a round. Four times 0.8 is 3.2, and one is added: 4.2 ids a call on
# average?
#
# <details><summary>Answer</summary>
#
# Less: 1 + 0.8 + 0.64 + 0.512 + 0.4096 = 3.36. Behind a rejected id nothing counts, however good it was. And however
# long the drafts, it will never be more than 1 / (1 − 0.8) = 5.
#
# </details>

# %% [markdown]
# The drafts cost something, too. Measure all in plain calls of the model with one id: a call of the draft costs c, and the
# call that checks n drafted ids costs b. (Papers say b = 1. We have measured it.) A round then costs n c + b and gives E
# ids, for which the model alone would need E calls.
#
# ### Exercise 13.4 · ★☆☆ · 8 min
#
# Write the speed-up: ids of a round divided by what the round costs. a is from 0 to 1, and 1 is possible: then all n + 1
# ids come. With a = 0.8, n = 4, c = 0.1 and b = 1.2 it is 3.3616 / 1.6 = 2.101. Below 1, drafting makes it slower.


# %% tags=["exercise"]
def speed_up(a: float, n: int, c: float, b: float) -> float:
    """Acceptance rate, ids a draft, cost of a drafted id and of the check -> the speed-up."""
    ### BEGIN SOLUTION
    expected = n + 1 if a == 1 else (1 - a ** (n + 1)) / (1 - a)
    return expected / (n * c + b)
    ### END SOLUTION


# %% tags=["check"]
check.speed_up(speed_up)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 13.4</summary>
#
# The sum 1 + a + … + aⁿ has n + 1 terms, so the exponent of the formula is n + 1. It divides by 1 − a, and a = 1 needs a
# line of its own, or `sum(a**i for i in range(n + 1))`. The draft is called n times in a round, the model once.
#
# </details>


# %%
def gain(a, n, c, b=1.0):
    """Ids a round, by what the round costs."""
    return sum(a**i for i in range(n + 1)) / (n * c + b)


lengths = list(range(1, 13))
curves = {
    f"a = {a}, c = {c}": [gain(a, n, c) for n in lengths]
    for a, c in ((0.9, 0.08), (0.7, 0.08), (0.7, 0.3), (0.3, 0.5))
}
best = {
    name: max(zip(curve, lengths, strict=True), key=lambda pair: pair[0])
    for name, curve in curves.items()
}
for name, (most, n) in best.items():
    print(f"{name}: at best {most:.2f} times as fast, with drafts of {n}")
plots.lines(
    lengths,
    curves,
    xlabel="ids drafted in a round",
    ylabel="speed-up",
    title="Where b = 1",
    alt="Curves of the speed-up against the length of a draft; at best "
    + "; ".join(f"{name}: {most:.2f} at {n}" for name, (most, n) in best.items())
    + ".",
)

# %% [markdown]
# 0.08 is what GPT-2 costs beside gpt2-xl, if parameters are the measure: 124 million to 1,558 million. Each curve has its
# best length: a good and cheap draft may be long, a poor one should be short. And the lowest never gets above 1.
#
# With b = 1 there is a simple rule. A draft of one id gives (1 + a) / (1 + c), so it pays if **a is more than c**. If it
# is not, longer drafts do not help either: their next id is accepted still more rarely and costs as much.

# %% [markdown]
# ## The draft as a whole
#
# Token by token is exact, and the best that can be done for *one* id. For two it is not. Take two words, with
# p = (1/3, 2/3) and q = (2/3, 1/3) whatever came before, and the draft "0 1". The rule rejects the 0 half of the time. But
# as a *pair* "0 1" has 1/3 · 2/3 under p and 2/3 · 1/3 under q: it is as likely as it should be, and could always stay.
#
# **Block verification** carries a weight along: $w_i = \min\left(1,\; w_{i-1}\, p(x_i) / q(x_i)\right)$, from $w_0 = 1$.
# The 0 leaves w = 1/2, the 1 lifts it to min(1, 1/2 · 2) = 1. The whole draft stays with probability $w_n$; how shorter
# beginnings of it stay is in the docstring of `BlockVerification`. By hand, how many ids of each draft are kept on average:
#
# | draft | its probability | token by token | as a block |
# | --- | --- | --- | --- |
# | 0 0 | 4/9 | 1/2 + 1/4 = 0.75 | both or none: 2 · 1/4 = 0.5 |
# | 0 1 | 2/9 | 1/2 + 1/2 = 1 | both, always: 2 |
# | 1 0 | 2/9 | 1 + 1/2 = 1.5 | 1 + 1/2 = 1.5 |
# | 1 1 | 1/9 | 2 | 2 |
#
# On average 10/9 and 11/9. Now by running all paths of the strategies themselves:


# %%
def always(shares):
    """A model with the same distribution everywhere."""
    row = torch.tensor(shares, dtype=torch.float64).log()  # (V,)
    return TableModel(len(shares), 8, lambda ids: row)


def kept_on_average(strategy, model):
    """How many ids of its first draft it keeps, over all that can happen."""
    chance, total = Enumerate(), 0.0  # its draws come out in every way, one after the other
    while True:
        steps = strategy.run(model, [[0]], Limits(strategy.length + 2), chance)
        rounds = (step.round for step in steps if step.round is not None)
        next(rounds)  # that of the prompt
        kept = next(rounds).accepted
        total += math.exp(chance.log_probability) * kept
        if not chance.advance():
            return total


two_words, its_draft = always([1 / 3, 2 / 3]), always([2 / 3, 1 / 3])
for n in (1, 2, 3):
    one, whole = (
        kept_on_average(kind(draft=its_draft, length=n), two_words)
        for kind in (Speculative, BlockVerification)
    )
    print(f"of {n} drafted: token by token {one:.3f}, as a block {whole:.3f}")
blocks = law(BlockVerification(draft=other, length=2), table, [0], max_new_tokens=4)
print(f"the law of Sample() on the random tables: {distance(exact, blocks) < 1e-12}")

# %% [markdown]
# A tenth more with two ids, and it costs nothing. With one id there is nothing to gain, with three there is more. And the
# texts are exactly those of `Sample`, as `law` says.
#
# ## The same noise
#
# A third rule needs no p / q at all. In notebook 5 a draw was $\arg\max_i\,(\log p_i + g_i)$, with noise g that depends on
# the seed, the step and the id. Let the draft use the **same noise** for its own draw, $\arg\max_i\,(\log q_i + g_i)$. Where
# p and q are alike, the two will mostly agree. Keep the draft where they do, and the model's own choice where they do not:
# this is exercise 13.1 again, on noisy logits. It is called *drafter-invariant* speculation.

# %% [markdown] tags=["predict"]
# **Predict.** One seed; a text by `Sample`, then by `Speculative` and by `DrafterInvariant`, each with two different
# drafts. Which of the five texts are the same?
#
# <details><summary>Answer</summary>
#
# That of `Sample` and both of `DrafterInvariant`: each id is the model's own choice. `Speculative` has the same
# *distribution*, but where a draft is rejected and what is drawn again depends on the draft. (Its two texts may begin
# alike.)
#
# </details>

# %%
once = "Once upon a time there was a little girl. She"
runs = {"Sample": Sample(Temperature(0.7))}
for kind in (Speculative, DrafterInvariant):
    for layers in (3, 5):
        name = f"{kind.__name__}, {layers} layers"
        runs[name] = kind(Temperature(0.7), draft=SelfSpeculative(layers))
sampled = {
    name: generate(model, tokenizer, once, strategy, max_new_tokens=12, seed=1)
    for name, strategy in runs.items()
}
for name, one in sampled.items():
    calls = f"{len(one.rounds)} calls" if one.rounds else f"{len(one.ids)} calls"
    equal = one.ids == sampled["Sample"].ids
    print(f"{name}: {calls}, {'as Sample' if equal else 'another text'}")
    print(f"    ...{one.text!r}")

# %% [markdown]
# The drafts are by the model's own first layers; more about them soon. The price of the shared noise: two draws agree
# somewhat less often than the rule with p / q accepts, at worst $a / (2 - a)$ instead of a. (Twelve ids are too few to
# see it: the calls are as many.) In return a text can be repeated with its seed, even after somebody has trained a better draft.

# %% [markdown]
# ## Drafts without a second model
#
# `storybook` has no little sister. What else can draft?
#
# ### Copies
#
# A copy is certain of itself: q is 1 for its id. So the rule accepts it with min(1, p(x)) = p(x). That is much where a
# text repeats its prompt: corrections, summaries, code, and tales like this one.

# %%
tale = (
    '"Who will help me to plant the wheat?" asked the little red hen. "Not I," said the duck. '
    '"Not I," said the cat. "Not I," said the dog. "Then I will," said the little red hen. '
    'And she did.\n\n"Who will help me to cut the wheat?" asked the little red hen. "Not I," '
    "said the"
)
for T in (0, 1):
    copied = generate(
        model,
        tokenizer,
        tale,
        Speculative(Temperature(T), draft=PromptLookup()),
        max_new_tokens=40,
        seed=1,
    )
    rounds = copied.rounds
    shares = f"{rounds.accepted} of {rounds.drafted} copied ids stay"
    print(f"T = {T}: {shares}, {len(rounds)} calls for {len(copied.ids)} ids")
    if T == 0:
        greedy = copied
print(f"T = 0: ...{greedy.text!r}")

# %% [markdown]
# Greedy decoding runs in circles, and copies love circles. With sampling at T = 1 the model says something new each time,
# and no copy stays. Where nothing is found nothing is drafted, and such a call costs what it always did; but a draft that
# is rejected costs b instead of 1.
#
# Along the greedy text, round by round, each with its draft above and the model's own id below:

# %%
plots.draft_rounds(greedy.rounds, lambda id: tokenizer.decode([id]))

# %% [markdown]
# At first the drafts are copies of the tale, and the model wants to tell it otherwise: "the little *girl*", not "red hen".
# From round 13 on the text repeats what it has just said, and every draft stays. Does it pay on this machine?

# %% tags=["varies"]
seconds = {}
strategies = {
    "Greedy": Greedy(),
    "copies": Speculative(Temperature(0), draft=PromptLookup()),
}
for name, strategy in strategies.items():
    begin = time.perf_counter()
    generate(model, tokenizer, tale, strategy, max_new_tokens=40)
    seconds[name] = time.perf_counter() - begin
faster = seconds["Greedy"] / seconds["copies"]
print(f"40 calls with one id, or {len(greedy.rounds)}: {faster:.1f} times as fast")

# %% [markdown]
# Forty divided by 17 is 2.4. What is missing to that, on some machines all of the gain, went into calls that are dearer than
# one with a single id: b again.
#
# ### The model's own first layers
#
# Stop after a few of the layers and go straight to the head: `SelfSpeculative(layers)`. No other model is needed, and both
# have the same ids. We know what decides: is the acceptance rate a above the cost c? The rate is
# $\sum \min(p, q)$, averaged over the positions of the story about the king. The cost is the share of parameters that a
# call needs.

# %%
story_ids = torch.tensor([tokenizer.encode(story)])  # (1, T)
with torch.no_grad():
    p = model(story_ids)[0].double().softmax(dim=-1)  # (T, V)


def needed(part):
    """How many numbers one call multiplies with: the blocks and the head, not the positions."""
    blocks = sum(weight.numel() for name, weight in part.named_parameters() if "h." in name)
    return blocks + model.wte.weight.numel()


head = model.wte.weight.numel()
block = needed(model.early_exit(1)) - head
print(f"head: {head / 1e6:.1f} million numbers, a block: {block / 1e6:.1f} million")
print("layers     a     c    at best")
for layers in range(1, 6):
    early = model.early_exit(layers)
    q = early.open().extend(story_ids, keep=len(p))[0].double().softmax(dim=-1)  # (T, V)
    a = torch.minimum(p, q).sum(dim=-1).mean().item()
    c = needed(early) / needed(model)
    most = max(gain(a, n, c) for n in range(1, 9))
    print(f"{layers:4} {a:9.2f} {c:5.2f} {most:7.2f}")

# %% [markdown]
# It never pays: a stays below c in every row, so even the best length is slower than no draft. The first reason is the
# head, 50,257 rows that every draft needs in full: half of the layers are nowhere near half of the price. In gpt2-xl the
# head is 80 of 1,558 million, and half of its layers would cost about half.
#
# The second is the training. Nobody taught these layers to speak: the head was trained to read the sixth. Models that are
# trained to exit early draft much better.
#
# Let us see such drafts judged anyway. Four rounds of sampling, with q and p of each drafted id:

# %%
five = Speculative(Temperature(0.7), draft=SelfSpeculative(5))
judged = generate(model, tokenizer, story, five, max_new_tokens=16, seed=1)
for number, one in list(enumerate(judged.rounds, start=1))[2:6]:
    print(f"round {number}")
    for place, each in enumerate(one.drafted):
        name, q_x = token_name(tokenizer, each.id), math.exp(each.draft_logprob)
        if each.target_logprob is None:
            print(f"  {name:10} q = {q_x:.3f}  never looked at")
            continue
        p_x = math.exp(each.target_logprob)
        verdict = "stays" if place < one.accepted else "goes"
        ratio = min(1, p_x / q_x)
        print(f"  {name:10} q = {q_x:.3f}  p = {p_x:.3f}  {verdict}, chance {ratio:.2f}")
    print(f"  {token_name(tokenizer, one.added):10} added by the model")
kept = judged.rounds
print(f"in all {kept.accepted} of {kept.drafted} stay: {kept.acceptance_rate:.2f}")

# %% [markdown]
# The rate of `rounds` counts the ids behind a rejected one as not kept, too, so it is lower than a: keep the two apart when
# you read about "acceptance rates".
#
# ### Guesses of its own: Jacobi
#
# The last one drafts with the model itself. A call returns the model's choice at *every* place, also behind wrong ids.
# Take these choices as the next draft, and so on until nothing changes: greedy decoding as a system of equations, solved by
# repeated substitution, as Jacobi solved linear ones. The result is the greedy text, since an id stays only behind a text
# that stands.

# %%
jacobi = generate(model, tokenizer, tale, Jacobi(window=8), max_new_tokens=40)
print(f"the text of Greedy: {jacobi.ids == greedy.ids}")
print(f"{jacobi.rounds.accepted} of {jacobi.rounds.drafted} guesses stay")
print(f"{len(jacobi.rounds)} calls for {len(jacobi.ids)} ids")

# %% [markdown]
# A guess stays only if it was right although one before it was wrong, which is rare in a language. Copies needed less
# than half as many calls on the same text. Models can be trained for Jacobi's guesses; GPT-2 was not.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# The README of jaymody's *speculative-sampling* prints a greedy text by gpt2-xl about Alan Turing, and the same text by
# speculation with gpt2 as the draft, four ids a round. That is the claim of this notebook, published with a real pair.

# %% tags=["needs-weights"]
listed = json.loads((roots[0] / "facts" / "published.json").read_text(encoding="utf-8"))
fact = next(one for one in listed["facts"] if one["id"] == "A-spec-xl-turing")
print(fact["expected"]["text"])

# %% [markdown]
# Where the weights of gpt2-xl (6.4 GB) are at hand or may be downloaded, one command reproduces the greedy text:
#
# ```sh
# python3 scripts/in_venv.py scripts/reproduce.py --model gpt2-xl --only A-spec-xl-turing
# ```
#
# The next cell makes the same experiment with gpt2 as the model: distilgpt2, which has half of its layers, drafts where it
# is at hand, then copies, and then gpt2's own first six layers. Look for three things: every text must be that of `Greedy`;
# which draft needs the fewest calls; and whether that is also the fastest.

# %% tags=["needs-weights"]
gpt2 = official("gpt2")
if gpt2 is not None:
    drafts = {"copies": PromptLookup(), "six layers": SelfSpeculative(6)}
    distilled = official("distilgpt2")
    if distilled is not None:
        drafts = {"distilgpt2": distilled, **drafts}
    strategies = {"Greedy": Greedy()}
    for name, draft in drafts.items():
        strategies[name] = Speculative(Temperature(0), draft=draft, length=4)
    texts = {}
    for name, strategy in strategies.items():
        begin = time.perf_counter()
        one = generate(gpt2, tokenizer, fact["prompt"], strategy, max_new_tokens=40)
        seconds = time.perf_counter() - begin
        texts[name] = one.ids
        calls = len(one.rounds) or len(one.ids)
        equal = one.ids == texts["Greedy"]
        print(f"{name:11} {calls:3} calls, {seconds:.1f} s, text of Greedy: {equal}")
    print(fact["prompt"] + tokenizer.decode(texts["Greedy"]))

# %% [markdown]
# ## What to remember
#
# - A call with a few ids costs less than as many calls: the parameters come from memory once.
# - **Greedy**: a draft stays as far as it is what the model would write; one id of the model's own comes behind it.
# - **Sampling**: keep x with min(1, p/q), otherwise draw from max(p − q, 0), normalised. The result is p, whatever q is;
#   but q has to be what x was really drawn from.
# - **Acceptance rate** $a = \sum \min(p, q)$; **ids a call** $(1 - a^{n+1}) / (1 - a)$.
# - It pays if these are more than the round costs, $n c + b$; with b = 1, if a is more than c.
# - *Block verification* keeps at least as much. *Shared noise* gives the very ids of `Sample`.
# - Copies cost nothing and pay in texts that repeat. A model's own layers pay if its head is small beside them, and best if
#   it was trained for it.

# %% [markdown]
# ## Papers and further reading
#
# - Leviathan, Kalman & Matias 2022, *Fast Inference from Transformers via Speculative Decoding*,
#   [arXiv:2211.17192](https://arxiv.org/abs/2211.17192): the rule, and when it pays.
# - Chen et al. 2023, *Accelerating Large Language Model Decoding with Speculative Sampling*,
#   [arXiv:2302.01318](https://arxiv.org/abs/2302.01318): the same, found independently.
# - Sun et al. 2024, *Block Verification Accelerates Speculative Decoding*,
#   [arXiv:2403.10444](https://arxiv.org/abs/2403.10444).
# - Daliri et al. 2024, *Coupling without Communication and Drafter-Invariant Speculative Decoding*,
#   [arXiv:2408.07978](https://arxiv.org/abs/2408.07978): the same noise.
# - Saxena 2023, *Prompt Lookup Decoding*, github.com/apoorvumang/prompt-lookup-decoding.
# - Zhang et al. 2023, *Draft & Verify: Lossless Large Language Model Acceleration via Self-Speculative Decoding*,
#   [arXiv:2309.08168](https://arxiv.org/abs/2309.08168).
# - Elhoushi et al. 2024, *LayerSkip*, [arXiv:2404.16710](https://arxiv.org/abs/2404.16710): trained to exit early.
# - Santilli et al. 2023, *Accelerating Transformer Inference for Translation via Parallel Decoding*,
#   [arXiv:2305.10427](https://arxiv.org/abs/2305.10427): Jacobi.

# %% [markdown]
# ## To go further
#
# - Write a whole round of sampling from exercises 13.3 and 5.1, and test it on three ids with a hundred thousand draws.
# - Which `ngram` is best for the tale of the hen? And on a text of your own that repeats nothing?
# - Measure b on your machine for a batch of 16 texts instead of one. Why does speculation pay less there?
