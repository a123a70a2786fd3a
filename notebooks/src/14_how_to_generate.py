# %% [markdown]
# # 14. How to generate
#
# **Goal.** You have walked the best-known tour of decoding on its own prompt, its published outputs beside
# ours; you can say where two beam searches part; and you can translate a call of the library transformers.
#
# **Time** 60 minutes · **Needs** notebooks [6](06_top_k_and_top_p.ipynb), [8](08_penalties.ipynb) and
# [10](10_beam_search.ipynb); what is needed of [5](05_drawing_a_token.ipynb) is said again · **Next** the map, in
# the README of the notebooks
#
# Many people met decoding in one blog post: *How to generate text*, by Patrick von Platen, published by Hugging
# Face in 2020 and revised in 2023. It leads one prompt, "I enjoy walking with my cute dog", through greedy search,
# beam search, sampling, a temperature, top-k and top-p. It is short, friendly and nearly always right. We follow
# it from station to station, and at some places we look more closely than it does.

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
import textwrap

import torch

from checks import how_to_generate as check
from decoding import (
    BeamSearch,
    Greedy,
    Gumbel,
    InverseCDF,
    Multinomial,
    NoRepeatNGram,
    Prefix,
    RepetitionPenalty,
    Sample,
    TableModel,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    TransformersBeamSearch,
    compare,
    generate,
    generate_ids,
    plots,
    score,
)
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## What was published
#
# The tour prints what OpenAI's GPT-2 wrote. Texts that anybody with the weights can find again, because nothing in
# them was drawn, are in this project's list of published facts, each with its source. The list has them in ids,
# too: the post prints text, and we encoded it.

# %%
listed = json.loads((roots[0] / "facts" / "published.json").read_text(encoding="utf-8"))
prompt = "I enjoy walking with my cute dog"
published = {fact["id"]: fact for fact in listed["facts"] if fact.get("prompt") == prompt}
for name, fact in published.items():
    print(f"{name:24} {fact['max_new_tokens']} new ids   {fact['library']}")


# %% [markdown]
# Each station is here twice: in the edition of 2020, computed in TensorFlow, and in that of 2023, in PyTorch.

# %% [markdown] tags=["predict"]
# **Predict.** The edition of 2020 writes `max_length=50`, that of 2023 `max_new_tokens=40`. The prompt has 7 ids.
# Why has the older one three ids more? And would you expect its text to begin with the shorter one, for greedy
# search, and for a beam search?
#
# <details><summary>Answer</summary>
#
# `max_length` counts the prompt, and leaves room for 43 new ids. Greedy search decides each id without looking ahead,
# so the longer text has to begin with the shorter. A beam search that may write three ids more can come to another
# winner.
#
# </details>


# %%
def texts_of(fact):
    """The texts of a fact, best first: each a dictionary with `text` and `new_ids`."""
    return fact["expected"].get("sequences", [fact["expected"]])


for stop in ("greedy", "beam5", "beam5-ngram2"):
    longer = texts_of(published[f"A-blog20-{stop}"])[0]["new_ids"]
    shorter = texts_of(published[f"A-blog23-{stop}"])[0]["new_ids"]
    same = longer[: len(shorter)] == shorter
    print(f"{stop:13} {len(shorter)} ids are the first of the {len(longer)}: {same}")

# %% [markdown]
# All three are. That two programs, three years apart, agree on forty ids is worth more than either text alone.
#
# Two helpers for the stations. `station` runs a strategy on `storybook`, the bundled model, which everybody has.
# `beside` shows what was published, and where OpenAI's weights are on your machine, whether we write the same.


# %%
def shown(text):
    """A text on short lines, its line ends made visible."""
    return textwrap.indent(textwrap.fill(text.replace("\n", "¶"), 92), "    ")


def station(strategy, start=prompt, count=18, **settings):
    """Run it on storybook, print what it writes and how likely that is."""
    result = generate(model, tokenizer, start, strategy, max_new_tokens=count, **settings)
    tell(strategy, result)
    return result


def tell(strategy, result):
    """What storybook wrote, and its log-probability by the model, whatever a strategy did to it."""
    print(f"storybook, {strategy!r}: log-probability {sum(result.model_logprobs):.2f}")
    print(shown(result.prompt + result.text))


def beside(name, strategy):
    """The texts of a fact, which others published; and whether GPT-2 writes them here, too."""
    fact = published[name]
    ours = None
    if gpt2 is not None:
        count = fact["max_new_tokens"]
        written = generate(gpt2, tokenizer, prompt, strategy, max_new_tokens=count)
        ours = [prompt + one.text for one in (written.candidates or [written])]
    print(f"published in {fact['source']}:")
    for place, one in enumerate(texts_of(fact)):
        print(shown(one["text"]))
        if ours is not None:
            mine = ours[place] if place < len(ours) else "(no such text)"
            print(
                "  ours: equal"
                if mine == one["text"]
                else f"  ours: DIFFERENT\n{shown(mine)}"
            )


model = GPT2.from_pretrained("storybook")
tokenizer = Tokenizer()

# %% tags=["needs-weights"]
gpt2 = official("gpt2")

# %% [markdown]
# ## First station: greedy search

# %%
greedy = station(Greedy())

# %% tags=["needs-weights"]
beside("A-blog20-greedy", Greedy())
beside("A-blog23-greedy", Greedy())

# %% [markdown]
# Two models that have little in common, and the same thing happens to both: after a sentence they go in circles.
# The tour says that this is a very common problem, in beam search, too, and goes on to it for another reason: greedy
# search misses likely words that hide behind unlikely ones.

# %% [markdown]
# ## Second station: beam search
#
# The tour's example is a tree in which "The nice woman" has a probability of 0.5 · 0.4 = 0.20 and "The dog has"
# 0.4 · 0.9 = 0.36. Greedy search takes *nice*, two beams find *dog has*. Then the tour says:
#
# > Beam search will always find an output sequence with higher probability than greedy search, but is not
# > guaranteed to find the most likely output.
#
# The second half is right. For the first, let the tree grow by two words. These four numbers stay; the rest is ours.

# %%
after = {
    "The": {"nice": 0.5, "dog": 0.4, "car": 0.1},
    "nice": {"woman": 0.4, "house": 0.3, "guy": 0.3},
    "dog": {"has": 0.9, "runs": 0.1},
    "woman": {"smiles": 0.75, "runs": 0.25},
    "has": {"been": 0.5, "a": 0.45, "runs": 0.05},
    "smiles": {"today": 1.0},
    "been": {"here": 0.4, "there": 0.3, "home": 0.3},
    "a": {"friend": 0.4, "house": 0.3, "car": 0.3},
}
words = list(dict.fromkeys([*after, *(word for row in after.values() for word in row)]))
table = torch.full((len(words), len(words)), -torch.inf)  # (V, V)
for word in words:
    for follower, share in after.get(word, {"here": 0.5, "there": 0.5}).items():
        table[words.index(word), words.index(follower)] = math.log(share)
tree_model = TableModel.bigram(table, n_positions=5)

# %% [markdown] tags=["predict"]
# **Predict.** Two beams, four words. After two words the beam holds *dog has* (0.36) and *nice woman* (0.20). Go on
# by hand, with the numbers of `after`: what does it hold after three? What comes out after four, and what does greedy
# search come to?
#
# <details><summary>Answer</summary>
#
# *dog has been* has 0.36 · 0.5 = 0.180 and *dog has a* 0.36 · 0.45 = 0.162; *nice woman smiles* has
# 0.20 · 0.75 = 0.150, and is dropped. But *today* follows for certain: greedy search ends with 0.150. Of the two that
# were kept, *been* splits into at most 0.180 · 0.4 = 0.072 and *a* into at most 0.162 · 0.4 = 0.065.
#
# </details>

# %%
strategies = (Greedy(), BeamSearch(beams=2), BeamSearch(beams=3))
results = [
    generate_ids(tree_model, [[0]], strategy, max_new_tokens=4, trace=True)[0]
    for strategy in strategies
]
for strategy, result in zip(strategies, results, strict=True):
    said = " ".join(words[id] for id in result.ids)
    print(f"{strategy!r:20} The {said:23} {math.exp(sum(result.model_logprobs)):.3f}")
plots.search_tree(results[1].trace.tree, words.__getitem__)

# %% [markdown]
# Greedy search has found a text twice as likely. A beam is a race that is judged at every step, and a leader that
# will have to split its probability beats one that will not. Wider helps here: three beams find it again.
# But no width below the full one promises that.
#
# Is that a toy's trouble? Here are the tour's own five beams on `storybook`, with another prompt. We take
# `TransformersBeamSearch`, which counts as that library does. (Five beams are its default, and not printed. More about
# it in a moment.)

# %%
start = "She looked at the"
for strategy in (Greedy(), TransformersBeamSearch(beams=5, early_stopping=True)):
    station(strategy, start)

# %% [markdown]
# Greedy search wins again. On the tour's prompt the beam does, as we are about to see. So it *can* find a
# likelier text; it will not always.
#
# The tour's calls now: five beams, then five beams with `no_repeat_ngram_size=2`.

# %%
plain = TransformersBeamSearch(beams=5, early_stopping=True)
no_repeat = TransformersBeamSearch(NoRepeatNGram(2), beams=5, early_stopping=True)
fixed = {"greedy": Greedy(), "5 beams": plain, "5 beams, no 2-gram twice": no_repeat}
searched = compare(
    model, tokenizer, prompt, fixed, max_new_tokens=18, num_samples=1, seed=0
)
tell(plain, searched.results["5 beams"].samples[0])

# %% tags=["needs-weights"]
beside("A-blog20-beam5", plain)
beside("A-blog23-beam5", plain)

# %% [markdown] tags=["predict"]
# **Predict.** The ban removes ids, and never makes one likelier for the model. Without the ban the beam came to the
# log-probability above. With it, can it find a text that the *model* thinks likelier?
#
# <details><summary>Answer</summary>
#
# An exact search could not: every text that is allowed with the ban is allowed without it. A beam can, and does: the
# ban threw out what stood in the way. That is a search error that shows itself, without any exact search.
#
# </details>

# %%
banned = searched.results["5 beams, no 2-gram twice"].samples[0]
tell(no_repeat, banned)

# %% tags=["needs-weights"]
beside("A-blog20-beam5-ngram2", no_repeat)
beside("A-blog23-beam5-ngram2", no_repeat)

# %% [markdown]
# More than two nats better: to the model, the text with the ban is more than ten times as likely as the one that five
# beams took for the best. (The tour warns of such bans, too: *New York* could be said only once. Notebook 8 has more.)
#
# ### Five beams, five texts?
#
# The tour then asks for all five (`num_return_sequences=5`; the comment in its code says "now we have 3 output
# sequences") and finds them "only marginally different". How different are they? (Neighbours in the list may be near
# ties. Where ours are the same texts in another order, rounding can be the reason.)

# %% tags=["needs-weights"]
beside("A-blog20-beam5-return5", no_repeat)
beside("A-blog23-beam5-return5", no_repeat)


# %%
def in_common(rows):
    """How many ids all of them begin with."""
    return next(
        (n for n, ids in enumerate(zip(*rows, strict=False)) if len(set(ids)) > 1),
        len(rows[0]),
    )


for name in ("A-blog20-beam5-return5", "A-blog23-beam5-return5"):
    rows = [one["new_ids"] for one in texts_of(published[name])]
    different = [len(set(place)) for place in zip(*rows, strict=True)]
    print(
        f"{name}: {len(rows)} texts, the first {in_common(rows)} of {len(rows[0])} ids equal, "
        f"{sum(n == 1 for n in different)} places where all agree"
    )
rows = [one.ids for one in banned.candidates]
print(
    f"storybook: {len(rows)} texts, the first {in_common(rows)} of {len(rows[0])} ids equal"
)

# %% [markdown]
# In both editions the five part at the sixteenth id, over *him* or *her*, and then mostly agree again: at 39 of all 43
# places, and at 35 of 40. On `storybook`, too, they begin alike. Five beams are variants of one text. For five different
# texts, draw.

# %% [markdown]
# ## Two beam searches
#
# `BeamSearch` (notebook 10) is the textbook's; `TransformersBeamSearch` matches what was published. They differ in
# more than defaults:
#
# | | `BeamSearch` | `TransformersBeamSearch` |
# | --- | --- | --- |
# | after a ban | what is left sums to 1 again | what was removed is lost to the score |
# | length penalty unless told | 0, the plain sum | 1, the mean: longer texts gain |
# | it ends | when nothing can win any more | often earlier, unless `early_stopping="never"` |
# | processors see | logits | log-probabilities |
# | ties | better parent, then lower id | as `torch.topk` has them |
#
# Without processors, with the same length penalty and `"never"`, both find the same texts (but for ties, and in a
# vocabulary that is not tiny).
#
# ### The ban
#
# One prompt on which they part, although both get the same length penalty:

# %%
start = "The king said"
theirs = station(no_repeat, start, count=22)
canonical = BeamSearch(NoRepeatNGram(2), beams=5, length_penalty=1.0)
ours = station(canonical, start, count=22, trace=True)
for name, found in (("theirs", theirs), ("ours", ours)):
    print(
        f"{name}: score {found.score:.2f}; a mean of {sum(found.model_logprobs) / 22:.2f} by the "
        f"model, of {sum(found.processed_logprobs) / 22:.2f} renormalised"
    )

# %% [markdown]
# Each is better by its own measure. Ours contains one id that the model found very unlikely:

# %%
least = min(range(22), key=lambda step: ours.model_logprobs[step])
token = tokenizer.decode([ours.ids[least]])
print(
    f"{token!r}: {ours.model_logprobs[least]:.2f} by the model, "
    f"{ours.processed_logprobs[least]:.2f} after the ban"
)
print(ours.trace.why(least, "\n"))

# %% [markdown]
# The model wanted a second line end, as surely as it wants anything. The ban took it, since two line ends had been
# seen. Renormalised, what is left is a normal choice, and *And* costs little. Not renormalised, the text pays for the
# detour around the ban with nine nats, and another text wins.
#
# Neither is wrong. Not renormalised, the score rests on the model's own probability of the text; but over all texts that
# the ban allows, these sum to less than 1. Renormalised, it is the probability of the text under model and ban together,
# and they sum to 1.

# %% [markdown]
# ### Exercise 14.1 · ★★☆ · 10 min
#
# Compute both scores of a finished text. Given are the model's logits before each of its T ids, (T, V), what a
# processor removed there, (T, V) with True for removed, the ids, and the length penalty. Return two numbers, theirs
# and ours: the sum of the log-probabilities of the ids, divided by $T^{\text{length penalty}}$.
#
# - **theirs** takes the log-probabilities of the model, as if nothing had been removed.
# - **ours** takes them after the removal, renormalised.
# - T counts the new ids. The prompt is not in it.
#
# By hand, with three words, probabilities `[0.5, 0.25, 0.25]` at both steps, ids `[0, 1]`, and id 0 removed at the
# second; length penalty 1:
#
# | | step 1 | step 2 | sum | / 2 |
# | --- | --- | --- | --- | --- |
# | theirs | ln 0.5 | ln 0.25 | -2.08 | -1.04 |
# | ours | ln 0.5 | ln (0.25 / 0.5) | -1.39 | -0.69 |
#
# No id of the text is ever removed. The caller's tensors are not changed.


# %% tags=["exercise"]
def both_scores(
    logits: torch.Tensor, removed: torch.Tensor, ids: list[int], length_penalty: float
) -> tuple[float, float]:
    """Logits and what was removed, (T, V), and T ids -> the score in transformers, and ours."""
    ### BEGIN SOLUTION
    scores = []
    for rows in (logits, logits.masked_fill(removed, -torch.inf)):
        logprobs = rows.log_softmax(dim=-1)  # (T, V)
        chosen = logprobs.gather(-1, torch.tensor(ids)[:, None])  # (T, 1)
        scores.append(float(chosen.sum()) / len(ids) ** length_penalty)
    return scores[0], scores[1]
    ### END SOLUTION


# %% tags=["check"]
check.both_scores(both_scores)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 14.1</summary>
#
# `log_softmax(dim=-1)` makes log-probabilities of each row. For ours, set the removed logits to `-inf` first, with
# `masked_fill` (without the underscore): the softmax then shares everything among what is left. Pick one number a
# row, add them up, make a `float` of the sum, and divide by `len(ids) ** length_penalty`.
#
# </details>

# %% [markdown]
# ### The end
#
# The tour sets `early_stopping=True` "so that generation is finished when all beam hypotheses reached the EOS
# token". What it does is: stop as soon as *as many texts have ended as there are beams*. Hypotheses that go on are
# dropped, however well they stand. By hand, with an end and two words:

# %%
names = ["<end>", "dog", "so"]
shares = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.1, 0.4], [0.2, 0.2, 0.6]])  # (V, V)
so_so = TableModel.bigram(shares.log(), n_positions=4)
for strategy in (
    TransformersBeamSearch(beams=2, early_stopping=True),
    TransformersBeamSearch(beams=2, early_stopping="never"),
    BeamSearch(beams=2, length_penalty=1.0),
):
    (found,) = generate_ids(so_so, [[1]], strategy, max_new_tokens=3, eos_id=0)
    said = " ".join(names[id] for id in found.ids)
    print(f"{strategy!r:58} dog {said:9} {found.score:.2f}")

# %% [markdown]
# After *dog* the end has 0.5, a score of ln 0.5 = -0.69. After *dog so* it has 0.4 · 0.2, which makes two texts, and
# `True` stops. But *so so* was still going, and *so so so* has ln (0.4 · 0.6 · 0.6) / 3 = -0.65. In the tour's own
# outputs none of that matters: every one of them ends at the length, not at an end.

# %% [markdown]
# ## Third station: sampling
#
# The tour now draws: from everything, with a temperature of 0.6 (0.7 in 2020), with top-k 50, with top-p 0.92, with
# both. It sets a seed "to reproduce results". Its samples are not in our list: in 2020 they were drawn with TensorFlow's
# generator, in 2023 on a device that is not named, and a seed is only as good as the program that uses it. One seed, one
# distribution, and three right ways to draw:

# %% tags=["varies"]
for draw in (Gumbel, InverseCDF, Multinomial):
    text = generate(
        model, tokenizer, prompt, Sample(TopK(50)), max_new_tokens=8, seed=42, draw=draw
    ).text
    print(f"{draw.__name__:11}{text!r}")

# %% [markdown]
# Three texts, of which none is better than the others, and the last may be another on your machine: `torch.multinomial`
# has changed what it draws from a seed between versions of PyTorch (pytorch issue 154031), and differs between CPUs and
# graphics cards. What can be compared between programs is the *distribution*, and a text only together with seed,
# version and machine.
#
# Our stations, with the same noise for all of them (notebook 5): a text parts from its neighbours only where a
# processor makes it.

# %%
chains = {
    "everything": Sample(),
    "temperature 0.6": Sample(Temperature(0.6)),
    "top-k 50": Sample(TopK(50)),
    "top-p 0.92": Sample(TopP(0.92)),
    "top-k 50, top-p 0.95": Sample(TopK(50), TopP(0.95)),
}
drawn = compare(model, tokenizer, prompt, chains, max_new_tokens=18, num_samples=4, seed=42)
for name, result in drawn.results.items():
    print(f"{name}\n{shown(prompt + result.samples[0].text)}")

# %% [markdown]
# ### "92% most likely words"
#
# Above its top-p call the edition of 2020 has the comment "deactivate top_k sampling and sample only from 92% most
# likely words"; that of 2023 has "set top_k to 50" above `top_p=0.92, top_k=0`, left over from the section before.
# The call itself is what the text describes. The comments are not.

# %% [markdown] tags=["predict"]
# **Predict.** 92% of the words would be 46,236 of 50,257 ids. How many ids does top-p 0.92 keep, roughly? And how many
# if `top_k=0` is left out of the call, where top-k is 50 unless told otherwise?
#
# <details><summary>Answer</summary>
#
# As many as hold 92% of the *probability*: some dozens where the model is sure, thousands where it is not, never
# nearly 46,236 here. Without `top_k=0` at most 50, and then fewer, since top-p acts on what top-k has left.
#
# </details>

# %%
ids = tokenizer.encode(prompt)
with torch.no_grad():
    logits = model(torch.tensor([ids]))[0]  # (T, V): after each token of the prompt
kept = {
    "with top_k=0": (TopP(0.92)(logits) > -torch.inf).sum(dim=-1),  # (T,)
    "without it": (TopP(0.92)(TopK(50)(logits)) > -torch.inf).sum(dim=-1),
}
for name, counts in kept.items():
    print(f"top_p=0.92 {name:13}", *[f"{n:6,}" for n in counts.tolist()])
tokens = [tokenizer.decode([id]) for id in ids]
plots.along_text(tokens, kept, ylabel="ids kept after this token", logy=True)

# %% [markdown]
# ### A default that nobody wrote down
#
# The tour switches top-k off "(more on this later)" and never says why that is needed: in transformers a call that
# draws has a top-k of 50, unless it says `top_k=0` or the model's own settings differ. Of our four draws from
# everything, how many could such a call have written? `score` knows: the probability of a text under a strategy,
# `-inf` where it has none.

# %%
for sample in drawn.results["everything"].samples:
    hidden = score(model, sample.prompt_ids, sample.ids, Sample(TopK(50)))
    outside = [t for t, logprob in enumerate(hidden.logprobs) if logprob == -math.inf]
    if outside:
        least = min(outside, key=lambda t: sample.model_logprobs[t])
        token = tokenizer.decode([sample.ids[least]])
        print(f"not this one: {token!r} was not among the likeliest 50 there")
    else:
        print("this one could be")

# %% [markdown]
# Two. Of the ids outside we print the least likely. One that is far outside is proof enough: no seed, version or
# machine makes top-k 50 write that text. (An id that is 51st by a hair proves less: rounding may let it in elsewhere.)
# This is what can be said of a sample for certain.

# %% [markdown]
# ### Exercise 14.2 · ★★☆ · 10 min
#
# Find the proof. Given are the model's logits before each of the T ids of a text, (T, V), the ids of the prompt and
# of the text, a top-k `k` and a `no_repeat_ngram_size` `n`. Return the places, counted from 0, of all ids that a call
# with these settings cannot have chosen there, given what stands before them.
#
# - **First the ban, then top-k**, as in transformers: top-k counts among what the ban has left.
# - **The ban** removes an id if it would complete a run of n ids that has occurred before. Prompt and text count
#   together.
# - **0** switches either off. A k above the number of ids that are left removes nothing more. No two logits of a row
#   are equal.
#
# By hand, n = 2, k = 2: prompt `[1, 2]`, text `[1, 0]`. Before the second id the last one is 1, and 1 has been
# followed by 2: so 2 is removed. With the logits `[0.1, 0.2, 3.0, 2.0]` there, 0 is the last of four; but of those
# that are left, 3, 1 and 0, it is the third, and k = 2 keeps two. Place 1 is impossible. With k = 3 it is not.


# %% tags=["exercise"]
def impossible(
    logits: torch.Tensor, prompt: list[int], text: list[int], k: int, n: int
) -> list[int]:
    """Logits (T, V) and the T ids that were chosen -> the places of those that cannot have been."""
    ### BEGIN SOLUTION
    found = []
    for place, id in enumerate(text):
        row = logits[place : place + 1]  # (1, V)
        if n > 0:
            row = NoRepeatNGram(n)(row, Prefix.of([prompt + text[:place]]))
        if k > 0:
            row = TopK(k)(row)
        if row[0, id] == -torch.inf:
            found.append(place)
    return found
    ### END SOLUTION


# %% tags=["check"]
check.impossible(impossible)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 14.2</summary>
#
# Go through the places. What stands before place t is `prompt + text[:t]`. With the project's processors:
# `NoRepeatNGram(n)(logits[t : t + 1], Prefix.of([before]))` is a row (1, V), `TopK(k)` acts on it, and the id is
# impossible if its logit is `-inf` then. By hand: collect the ids that followed earlier occurrences of the last n - 1
# ids (for n = 1: all ids so far), and see how many of the others have a higher logit.
#
# </details>

# %% [markdown]
# The ban needs no logits, so it can be asked of the published texts here and now. A model that knows nothing gives
# every id the same chance. Under it, a strategy with the ban has `-inf` only for what the ban removed:

# %%
know_nothing = TableModel(tokenizer.n_vocab, 64, lambda ids: torch.zeros(tokenizer.n_vocab))
with_ban = Sample(NoRepeatNGram(2))
for name, fact in published.items():
    ids = texts_of(fact)[0]["new_ids"]
    asked = score(know_nothing, fact["prompt_ids"], ids, with_ban).logprobs
    if -math.inf in asked:
        place = asked.index(-math.inf)
        pair = tokenizer.decode(
            (fact["prompt_ids"] + ids)[len(fact["prompt_ids"]) + place - 1 :][:2]
        )
        print(f"{name:24} cannot have had it: {pair!r} came before")
    else:
        print(f"{name:24} may have had it")

# %% [markdown]
# Just those that the tour says. In the greedy text the first pair is *with my*, which stands in the prompt: a ban
# that looked at the text alone would act later.

# %% [markdown]
# ## To read a call
#
# What does a call of transformers do? For the settings of the tour, in words:
#
# 1. `do_sample=True` draws. Otherwise `num_beams` above 1 searches; otherwise it is greedy.
# 2. In all three, `repetition_penalty` acts first (1.0 is off), then `no_repeat_ngram_size` (0 is off).
# 3. **Only when drawing**: `temperature` (1.0 is off), then `top_k` (**50 unless told**, 0 is off), then `top_p` (1.0
#    is off). Without `do_sample` they are ignored.
# 4. Only in a search: `length_penalty` (1.0 unless told) and `early_stopping` (False unless told).
# 5. `num_return_sequences` (1 unless told) is how many texts come back: candidates of a search, or samples. (Here the
#    number of samples is no matter of the strategy, but `num_samples` of `generate`.)
#
# ### Exercise 14.3 · ★★☆ · 14 min
#
# Write the translation: a dictionary with the settings of a call to one of this project's strategies. Settings that
# are missing have the values above. Processors that are off are left out. For a search take
# `TransformersBeamSearch(..., beams=..., length_penalty=..., early_stopping=..., candidates=...)`.
#
# | settings | strategy |
# | --- | --- |
# | `{"temperature": 0.7}` | `Greedy()` |
# | `{"do_sample": True}` | `Sample(TopK(50))` |
# | `{"do_sample": True, "top_p": 0.92, "top_k": 0}` | `Sample(TopP(0.92))` |
# | `{"num_beams": 5}` | `TransformersBeamSearch(beams=5, candidates=1)` |
#
# (Drawing *and* beams is possible there; here it is not asked. The check compares what the strategies print as.)


# %% tags=["exercise"]
def translated(settings: dict) -> object:
    """The settings of a call of transformers -> the strategy that does it here."""
    ### BEGIN SOLUTION
    penalty = settings.get("repetition_penalty", 1.0)
    size = settings.get("no_repeat_ngram_size", 0)
    chain = [RepetitionPenalty(penalty)] if penalty != 1.0 else []
    chain += [NoRepeatNGram(size)] if size > 0 else []
    if settings.get("do_sample", False):
        temperature, k, p = (
            settings.get(name, default)
            for name, default in (("temperature", 1.0), ("top_k", 50), ("top_p", 1.0))
        )
        chain += [Temperature(temperature)] if temperature != 1.0 else []
        chain += [TopK(k)] if k > 0 else []
        chain += [TopP(p)] if p < 1.0 else []
        return Sample(*chain)
    if settings.get("num_beams", 1) == 1:
        return Greedy(*chain)
    search = {
        "beams": settings["num_beams"],
        "length_penalty": settings.get("length_penalty", 1.0),
        "early_stopping": settings.get("early_stopping", False),
        "candidates": settings.get("num_return_sequences", 1),
    }
    return TransformersBeamSearch(*chain, **search)
    ### END SOLUTION


# %% tags=["check"]
check.translated(translated)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 14.3</summary>
#
# `settings.get("top_k", 50)` is the value, or 50 where there is none. Build a list of processors in the order of the
# points above, each only `if` it is on. Then choose the strategy: `Sample(*chain)`, `Greedy(*chain)`, or the search.
#
# </details>

# %% [markdown]
# ## All stations in one table
#
# `compare` measures. The three that do not draw wrote one text each; the others wrote four. Given are the mean
# log-probability of an id by the model, the entropy of the model's distribution before it, and the share of runs of four
# ids that were there before; behind ± the standard error of a mean over four texts.

# %%
print(f"{'':26}{'log-probability':>16}{'entropy':>15}{'repetition-4':>18}")
for name, result in (*searched.results.items(), *drawn.results.items()):
    cells = []
    for measure in ("log-probability", "entropy", "repetition-4"):
        value, error = result.measures[measure]
        cells.append(
            f"{value:6.2f}" + (f" ± {error:.2f}" if error is not None else " " * 7)
        )
    print(f"{name:26}" + "   ".join(cells))

# %% [markdown]
# Four texts of 18 ids from one prompt of one small model: enough to see a trend, too few for decimals. Whatever
# sharpens raises the log-probability, and search raises it most. Two in five of greedy search's runs of four were there
# before. And where the search with the ban leads, the model is surest.
#
# No column says how *good* a text is. None can: greedy search has a high log-probability because it repeats itself, and
# noise never repeats.

# %% [markdown]
# ### Which one, when?
#
# | you want | take | and know that |
# | --- | --- | --- |
# | the same answer every time, cheaply | `Greedy()` | it goes in circles in long texts |
# | a likely text, where there is one right answer, as in translation | `BeamSearch` with few beams | likelier is not better, and none of our cells shows a translation |
# | the likeliest text, for certain | `ExactSearch`, if it comes to an end | it may be empty, or dull |
# | a story, a dialogue | `Sample(TopP(0.9))` or so, or a temperature | the number is a matter of taste |
# | several different texts | several samples | candidates of a beam are one text |
# | to match published numbers | the same program and version | and read its defaults |
#
# The tour ends with much the same: there is no one-size-fits-all method. It also says that top-p and top-k "seem to
# produce more fluent text", and *seem* is the right word: it goes on to a study in which people found beam search the
# more fluent one, once the model had been trained for it. Fluency is judged by people. We have not asked any.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# The search stations stand above, each beside what was published. What is left are the draws, and the published ones
# cannot be drawn again. So look for the trend: do the five come in the same order as `storybook`'s? And is the text of
# "everything" as odd as the tour finds its own?

# %% tags=["needs-weights"]
if gpt2 is not None:
    official_draws = compare(
        gpt2, tokenizer, prompt, chains, max_new_tokens=40, num_samples=3, seed=42
    )
    for name, result in official_draws.results.items():
        mean = result.measures["log-probability"].value
        print(f"{name}: {mean:.2f} a token\n{shown(prompt + result.samples[0].text)}")

# %% [markdown]
# And the sentence about *always*: is there a prompt on which GPT-2's greedy text is likelier than that of five beams?

# %% tags=["needs-weights"]
if gpt2 is not None:
    for start in (prompt, "She looked at the", "The king said", "In the morning"):
        sums = []
        for strategy in (Greedy(), plain):
            found = generate(gpt2, tokenizer, start, strategy, max_new_tokens=20)
            sums.append(sum(found.model_logprobs))
        print(f"{start:34} greedy {sums[0]:7.2f}   five beams {sums[1]:7.2f}")

# %% [markdown]
# ## What to remember
#
# - **Beam search** can find a likelier text than greedy search, and not always. With a ban it may find one that is
#   likelier still: then the search without it has missed.
# - **Candidates** of a beam are variants of one text.
# - **Renormalised or not**: after a ban, two beam searches rank texts differently. transformers does not renormalise.
# - **Length penalty**: 1 there, 0 here; it counts new ids. **Early stopping** ends a search before its best text.
# - **top_p=0.92** is 92% of the probability, not of the words. A call that draws has **top_k=50** unless it says no.
# - **A seed** repeats a text with the same program, version and machine. What a setting *cannot* have written can be
#   proved of any text.
# - Measures describe a text. They do not say whether it is good.

# %% [markdown]
# ## Papers and further reading
#
# - von Platen 2020, revised 2023, *How to generate text: using different decoding methods for language generation with
#   Transformers*, on Hugging Face's blog: the tour.
# - Holtzman et al. 2019, *The Curious Case of Neural Text Degeneration*,
#   [arXiv:1904.09751](https://arxiv.org/abs/1904.09751): top-p; texts by people are not likely texts.
# - Fan, Lewis & Dauphin 2018, *Hierarchical Neural Story Generation*,
#   [arXiv:1805.04833](https://arxiv.org/abs/1805.04833): top-k.
# - Paulus, Xiong & Socher 2017, *A Deep Reinforced Model for Abstractive Summarization*,
#   [arXiv:1705.04304](https://arxiv.org/abs/1705.04304): no n-gram twice.
# - Stahlberg & Byrne 2019, *On NMT Search Errors and Model Errors: Cat Got Your Tongue?*,
#   [arXiv:1908.10090](https://arxiv.org/abs/1908.10090): what exact search finds.
# - In this project: `decoding/strategies/transformers_beam.py`, whose docstring lists all differences;
#   `facts/published.json`; and `scripts/reproduce.py`, which runs every published fact where the weights are.
#
# ## To go further
#
# - Find the shortest tree of words in which three beams lose to greedy search.
# - Let `storybook` search with `BeamSearch` and `TransformersBeamSearch` without processors, with `early_stopping` False
#   and "never". On which prompts do they part? (With a text that ends early they may.)
# - On `storybook` the tour's five beams missed a text that the ban found. How many beams does it take until the search
#   finds one at least as likely without a ban?
