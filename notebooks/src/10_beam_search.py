# %% [markdown]
# # 10. Beam search
#
# **Goal.** You can run a beam search by hand, say when it may stop and what a length penalty does to it, and
# hold what it finds against the best text that there is.
#
# **Time** 75 minutes · **Needs** [1. From logits to text](01_logits_to_text.ipynb) and
# [3. Greedy decoding and the cache](03_greedy_and_the_cache.ipynb) · **Next**
# [11. Choosing among many](11_choosing_among_many.ipynb)
#
# The best word at every step does not make the best text. So keep several beginnings alive, and decide later: that
# is *beam search*. A well-known tutorial says of it that it "will always find an output sequence with higher
# probability than greedy search". This is false. Here you see what is true instead.

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
from collections.abc import Callable

import torch

from checks import beam_search as check
from decoding import (
    BeamSearch,
    ExactSearch,
    Greedy,
    NoRepeatNGram,
    Processor,
    Sample,
    TableModel,
    Tokenizer,
    generate,
    generate_ids,
    law,
    plots,
    score,
    search_errors,
    stream,
)
from decoding.legible import token_name
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## 1. A toy that greedy gets wrong
#
# Our nine words, the word *a*, and a full stop that ends a text. The next word depends on the last one only, and
# every text begins behind *the*:

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on", "a", "."]


def toy_of(rows, words):
    """A model in a table: word -> the words that may come next, with their probabilities."""
    table = torch.zeros(len(words), len(words), dtype=torch.float64)  # (V, V)
    for last, followers in rows.items():
        for word, share in followers.items():
            table[words.index(last), words.index(word)] = share
    return TableModel.bigram(table.log(), n_positions=20)  # log(p) will do as a logit


toy = toy_of(
    {
        "the": {"cat": 0.5, "dog": 0.4, "moon": 0.1},
        "cat": {"sat": 0.5, ".": 0.3, "on": 0.2},
        "dog": {".": 0.6, "sat": 0.4},
        "sat": {"on": 0.8, ".": 0.2},
        "on": {"a": 1.0},
        "a": {"mat": 0.6, "sofa": 0.25, "roof": 0.15},
        "moon": {".": 1.0},
        "mat": {".": 1.0},
        "sofa": {".": 1.0},
        "roof": {".": 1.0},
    },
    words,
)
prompt, stop = [words.index("the")], words.index(".")

# %% [markdown] tags=["predict"]
# **Predict.** Read the rows. What does greedy decoding write behind *the*, and how probable is that text? Can you
# find one that is more probable?
#
# <details><summary>Answer</summary>
#
# "cat sat on a mat .", with 0.5 · 0.5 · 0.8 · 1 · 0.6 · 1 = 0.12. "dog ." has 0.4 · 0.6 = 0.24, twice as much, and
# even "cat ." has 0.5 · 0.3 = 0.15.
#
# </details>

# %%
texts = law(Sample(), toy, prompt, max_new_tokens=6, eos_id=stop)
shown = {" ".join(words[id] for id in ids): share for ids, share in list(texts.items())[:7]}
greedy = generate_ids(toy, [prompt], Greedy(), max_new_tokens=6, eos_id=stop)[0]
greedy_text = " ".join(words[id] for id in greedy.ids)
plots.bars(
    [f"greedy:  {text}" if text == greedy_text else text for text in shown],
    list(shown.values()),
    xlabel="probability of the text after “the”",
    title=f"The likeliest 7 of {len(texts)} texts",
    alt="Bar chart of the likeliest texts: "
    + ", ".join(f"{text} {share:.3f}" for text, share in shown.items())
    + f". Greedy writes {greedy_text}.",
)

# %% [markdown]
# ### Two at a time, by hand
#
# A beam search of *width* 2 keeps two beginnings, which are called *hypotheses*. Each step has two halves: extend
# both by every word, then keep the two best of all that comes out. The *score* is the logarithm of the probability,
# so that products become sums:
#
# | step | children, best first, with probability and score | what happens |
# | --- | --- | --- |
# | 1 | **cat** 0.5 (−0.69), **dog** 0.4 (−0.92), moon 0.1 (−2.30) | moon goes |
# | 2 | **cat sat** 0.25 (−1.39), *dog .* 0.24 (−1.43), **dog sat** 0.16 (−1.83), cat . 0.15 (−1.90), and worse | *dog .* is set aside |
# | 3 | **cat sat on** 0.2 (−1.61), **dog sat on** 0.128 (−2.06), cat sat . 0.05 (−3.00), dog sat . 0.032 (−3.44) | |
#
# A child that ends with the full stop is a whole text. If it is among the two best of all, it is set aside, and the
# place it would have taken goes to the next that goes on: *dog sat*, third, stays alive.

# %% [markdown]
# ### Exercise 10.1 · ★★☆ · 12 min
#
# Write one step, for texts that do not end. `hypotheses` is a list of pairs (ids, score), `table` holds
# log-probabilities (V, V): row i is about the id that follows id i. Return the best `beams` children, best first, as
# pairs (ids, score) like those that came in.
#
# - The score of a child is that of its parent plus the log-probability of the new id.
# - **Ties.** Of equal scores, the child whose parent is earlier in the list is first; of one parent's children the
#   one with the lower id.
# - A child with the score `-inf` cannot be. Leave it out, even if fewer than `beams` remain.
# - The caller's lists are not changed.
#
# Worked by hand, with the probabilities [0.5, 0.3, 0.2] after id 0 and [0.1, 0.9, 0] after id 1:
#
# | hypothesis | its children | |
# | --- | --- | --- |
# | [0] with 0.6 | [0, 0] 0.30, [0, 1] 0.18, [0, 2] 0.12 | |
# | [1] with 0.4 | [1, 0] 0.04, [1, 1] 0.36 | [1, 2] cannot be |
#
# `beams=2` returns `[([1, 1], log 0.36), ([0, 0], log 0.30)]`.


# %% tags=["exercise"]
def beam_step(
    hypotheses: list[tuple[list[int], float]], table: torch.Tensor, beams: int
) -> list[tuple[list[int], float]]:
    """Pairs (ids, score) and log-probabilities (V, V) -> the best children, best first."""
    ### BEGIN SOLUTION
    children = []
    for ids, before in hypotheses:  # in the order of parents, then of ids
        for id, logprob in enumerate(table[ids[-1]].tolist()):
            if before + logprob != -math.inf:
                children.append(([*ids, id], before + logprob))
    children.sort(key=lambda child: child[1], reverse=True)  # equals keep their order
    return children[:beams]
    ### END SOLUTION


# %% tags=["check"]
check.beam_step(beam_step)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 10.1</summary>
#
# Two loops, one over the hypotheses and one over `enumerate(table[ids[-1]].tolist())`, collect all children in the
# order that ties ask for. `sort` and `sorted` are stable: equals stay in the order in which they were, even with
# `reverse=True`. Sort by the score, the second part of each pair.
#
# </details>

# %% [markdown]
# With `trace=True` a search keeps what it considered as a tree: of each step the best 2 · width children, and more where
# it had to look further. Here is the whole search. (✓ is the text that won, ▪ another whole text.)

# %%
found = generate_ids(
    toy, [prompt], BeamSearch(beams=2), max_new_tokens=6, eos_id=stop, trace=True
)[0]
plots.search_tree(found.trace.tree, words.__getitem__)

# %% [markdown] tags=["predict"]
# Follow it step by step next to the table. Width 2 finds "dog .", the best text. Which is the *second* best text?
#
# **Predict.** The search hands out its two best texts as `candidates`. Will the second of them be the second best?
#
# <details><summary>Answer</summary>
#
# No. "cat ." with 0.15 was fourth in step 2 and went. The second candidate is "cat sat on a mat ." with 0.12. What a
# beam search of width n returns is the best n of what it has *seen* end, and not the best n.
#
# </details>

# %%
for one in found.candidates:
    print(
        f"{' '.join(words[id] for id in one.ids):20} {math.exp(one.score):.2f}  score {one.score:.2f}"
    )
print(f"{found.search.evaluations} distributions were asked for")

# %% [markdown]
# ## 2. When to stop
#
# After step 2 there is a whole text, "dog ." with −1.43. Is it time to stop? *cat sat* is still alive with −1.39,
# which is better. Its children can only be less probable; but how much less, nobody knows yet. One step later the
# best that lives is *cat sat on* with −1.61. No log-probability is above 0, so nothing that begins like this will
# ever come above −1.61, and "dog ." has won.
#
# This is a *bound*: a number that no continuation can exceed. When no bound is above the best score, a search may stop:
# nothing that it could still find would be better. (Our `BeamSearch` returns several candidates. It goes on until none of
# *them* can change.)
#
# ### Longer texts have lower scores
#
# Every further word multiplies by a probability. A text of six words has six factors, a text of two has two. So plain
# scores favour short texts, and sometimes more than one likes: in translation, the likeliest text of a good model has
# often been found to be the empty one (Stahlberg & Byrne 2019). The usual remedy is a *length penalty*, an exponent
# α:
#
# $$\mathrm{score}(x) = \frac{1}{T^{\alpha}} \sum_{t=1}^{T} \log p(x_t \mid x_{<t})$$
#
# T counts all ids, the end of the text among them. α = 0 is the plain sum, α = 1 the mean. The sum is negative, so
# dividing it by something larger *raises* the score. In spite of its name the "penalty" rewards length.

# %% [markdown]
# ### Exercise 10.2 · ★☆☆ · 4 min
#
# Write the score of a text. Its log-probabilities, one an id, and alpha go in; a Python number comes out. For
# example `[-1, -1, -0.5, -0.5]` with alpha 0.5 is −3 / √4 = −1.5.


# %% tags=["exercise"]
def adjusted(logprobs: list[float], alpha: float) -> float:
    """The sum of the log-probabilities, divided by their number to the power of alpha."""
    ### BEGIN SOLUTION
    return sum(logprobs) / len(logprobs) ** alpha
    ### END SOLUTION


# %% tags=["check"]
check.adjusted(adjusted)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 10.2</summary>
#
# The exponent belongs to the length alone: `len(logprobs) ** alpha`. Nothing is special about alpha = 0, since any
# number to the power of 0 is 1.
#
# </details>

# %% [markdown] tags=["predict"]
# **Predict.** "dog ." has ln 0.24 = −1.43 and two ids, "cat sat on a mat ." has ln 0.12 = −2.12 and six. Which of
# them wins at α = 1? And where, roughly, does the winner change?
#
# <details><summary>Answer</summary>
#
# At α = 1 the scores are −1.43 / 2 = −0.71 and −2.12 / 6 = −0.35: the long one wins by far. They are equal where
# $3^{\alpha} = 2.12 / 1.43$, which is at α = 0.36.
#
# </details>

# %%
alphas = [step / 20 for step in range(31)]
sums = {text: (math.log(share), len(text.split())) for text, share in shown.items()}
curves = {
    text: [sums[text][0] / sums[text][1] ** alpha for alpha in alphas]
    for text in ("dog .", "cat .", "cat sat on a mat .", "dog sat on a mat .")
}
turn = math.log(sums["cat sat on a mat ."][0] / sums["dog ."][0]) / math.log(6 / 2)
print(f"the winner changes at alpha = {turn:.2f}")
plots.lines(
    alphas,
    curves,
    xlabel="length penalty α",
    ylabel="score",
    title="Length pays, the more the higher α is",
    alt="Line chart of the scores of four texts for a length penalty from 0 to 1.5. "
    + "; ".join(
        f"{text} from {curve[0]:.2f} to {curve[-1]:.2f}" for text, curve in curves.items()
    )
    + f". The best is dog . below {turn:.2f}, and cat sat on a mat . above.",
)

# %% [markdown]
# There is no "right" α. It moves the goal: with α = 0.3 the best text is another one than with α = 0.4, and no
# search can tell you which you want.
#
# It also moves the bound. A hypothesis of 3 ids with the sum −1.61 may grow, and at α = 1 each id that costs nothing
# improves its mean: −1.61 / 3, −1.61 / 4, and so on, up to the longest text that is allowed.

# %% [markdown]
# ### Exercise 10.3 · ★★☆ · 10 min
#
# Write the test. `totals` are the plain sums of the live hypotheses, in any order; all have `length` ids, none is a
# whole text yet. `best` is the adjusted score of the best whole text. No text has more than `room` ids, which is more
# than `length`. Return True where at least one of them may still become a text whose adjusted score is **above**
# `best`, knowing nothing but that no log-probability is above 0.
#
# - For α > 0, ask which length is the most favourable. For α < 0, where short texts are favoured, ask again: all of
#   them get at least one more id.
# - Where nothing is live, nothing can win.
#
# | totals | length | best | room | α | |
# | --- | --- | --- | --- | --- | --- |
# | −1.39, −1.83 | 2 | −1.43 | 6 | 0 | True: −1.39 is above −1.43 |
# | −1.61, −2.06 | 3 | −1.43 | 6 | 0 | False |
# | −1.61, −2.06 | 3 | −0.71 | 6 | 1 | True: −1.61 / 6 = −0.27 |


# %% tags=["exercise"]
def may_still_win(
    totals: list[float], length: int, best: float, room: int, alpha: float
) -> bool:
    """Whether one of the live hypotheses can still become better than the best whole text."""
    ### BEGIN SOLUTION
    favourable = room if alpha > 0 else length + 1
    bounds = [one / favourable**alpha for one in totals]
    return any(bound > best for bound in bounds)
    ### END SOLUTION


# %% tags=["check"]
check.may_still_win(may_still_win)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 10.3</summary>
#
# At best, all further ids cost nothing, so that the sum stays what it is. Only the divisor is left to choose: for
# α > 0 the largest length, `room`, for α < 0 the smallest, `length + 1`. For α = 0 it does not matter. `any(...)` of
# an empty list is False.
#
# </details>

# %% [markdown]
# Programs differ in their stopping. Ours has three ways: `"first"` ends with the first whole text, as many tutorials
# do; `"optimal"` asks for the bound; `"exhaust"` goes on while anything lives.

# %%
print(f"{'':12}{'α = 0':35}α = 1")
for stopping in ("first", "optimal", "exhaust"):
    cells = []
    for alpha in (0.0, 1.0):
        search = BeamSearch(beams=2, length_penalty=alpha, stopping=stopping)
        one = generate_ids(toy, [prompt], search, max_new_tokens=6, eos_id=stop)[0]
        text = " ".join(words[id] for id in one.ids)
        cells.append(f"{text:20} {one.search.evaluations:2} asked")
    print(f"{stopping:12}" + "      ".join(cells).rstrip())

# %% [markdown]
# With α = 0 `"first"` is lucky: its text is the best one, for 3 distributions instead of 11. With α = 1 it stops at
# −0.71, long before the text with −0.35 has come to its end. (On this toy `"optimal"` saves nothing over `"exhaust"`,
# as it has two candidates to be sure of.)

# %% [markdown]
# ## 3. The exact optimum
#
# To know what a search misses, one needs the best text itself. *Brute force* looks at all V^T rows of T ids: here
# 11⁶, nearly two million. The same bound does it with far less.
#
# *Branch and bound* goes down to a first text, always to the likeliest child, and then goes back and tries the others.
# A child whose total is not above the score of the best text so far is left out, with all that begins like it. What is
# left at the end is certain.

# %%
exact = generate_ids(
    toy, [prompt], ExactSearch(), max_new_tokens=6, eos_id=stop, trace=True
)[0]
print(" ".join(words[id] for id in exact.ids), f"with {math.exp(exact.score):.2f}")
print(
    f"{exact.search.evaluations} distributions asked for; brute force has {11**6:,} rows of ids"
)
plots.search_tree(exact.trace.tree, words.__getitem__)

# %% [markdown]
# Six distributions, where the beam of width 2 asked for 11, and this time with a proof. In this picture the score of
# what is no whole text is its bound. *mat*, at the end of the first row, was left out because of "cat ." with −1.90:
# a text that ends costs no question, so each is set aside as soon as it is in sight.

# %% [markdown]
# ### Exercise 10.4 · ★★★ · 15 min
#
# Write it, for texts of exactly `steps` ids, of which none ends early. `next_logprobs(ids)` takes all ids so far, the
# start among them, and returns the log-probabilities (V,) of the next one. Return the `steps` new ids with the highest
# sum, as a list.
#
# - The checks count how often you ask. It must not be more often than depth-first search needs that tries the
#   likeliest child first and leaves out every child whose total is not above the best text's so far.
# - Do not ask what follows a whole text. No two texts are equally likely in the checks.


# %% tags=["exercise"]
def likeliest(
    next_logprobs: Callable[[list[int]], torch.Tensor], start: list[int], steps: int
) -> list[int]:
    """The likeliest `steps` ids after the start."""
    ### BEGIN SOLUTION
    best_total, best_ids = -math.inf, []

    def descend(new_ids, so_far):
        nonlocal best_total, best_ids
        if len(new_ids) == steps:
            best_total, best_ids = so_far, new_ids  # we only come here with a better one
            return
        ranked, order = next_logprobs(start + new_ids).sort(descending=True)  # (V,) each
        for logprob, id in zip(ranked.tolist(), order.tolist(), strict=True):
            if so_far + logprob <= best_total:
                return  # and the others are even less likely
            descend([*new_ids, id], so_far + logprob)

    descend([], 0.0)
    return best_ids
    ### END SOLUTION


# %% tags=["check"]
check.likeliest(likeliest)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 10.4</summary>
#
# A function inside of the function, `descend(new_ids, total)`, which calls itself for each child, and two variables
# for the best text so far (`nonlocal`). If `new_ids` has `steps` ids, remember it. Otherwise ask, sort the children by
# falling log-probability, and stop at the first whose total is not above the best one.
#
# </details>

# %% [markdown] tags=["predict"]
# **Predict.** The greedy text of our toy has probability 0.12. How many beginnings of three ids can there be that are
# at least as likely as that? (You need no table for this.)
#
# <details><summary>Answer</summary>
#
# At most 8. Different beginnings of one length exclude each other, so their probabilities add up to at most 1, and
# 9 · 0.12 is more than 1. In general a first text with probability P leaves at most 1 / P beginnings of each length.
# This is why exact search is quick where a model is sure, and hopeless for long open-ended texts, whose P is tiny.
#
# </details>

# %% [markdown]
# ### What is wrong with "always finds a more probable text"
#
# Another toy, and three words to write. Greedy takes *cat*, then *sat*, and then it gets *on* for nothing.

# %%
animals = [
    "the",
    "cat",
    "dog",
    "moon",
    "sat",
    "barked",
    "slept",
    "rose",
    "on",
    "at",
    "near",
    ".",
]
trap = toy_of(
    {
        "the": {"cat": 0.40, "dog": 0.35, "moon": 0.25},
        "cat": {"sat": 0.4, "slept": 0.3, "rose": 0.3},
        "dog": {"barked": 0.52, "slept": 0.48},
        "moon": {"rose": 0.5, "slept": 0.5},
        "sat": {"on": 1.0},
        "barked": {"at": 0.4, "near": 0.3, ".": 0.3},
        "slept": {"on": 0.4, "near": 0.3, ".": 0.3},
        "rose": {"at": 0.4, "near": 0.3, ".": 0.3},
    },
    animals,
)
trapped = {}
for beams in (1, 2, 3):
    one = generate_ids(trap, [[0]], BeamSearch(beams=beams), max_new_tokens=3, trace=True)[
        0
    ]
    trapped[beams] = one
    print(
        f"width {beams}: {' '.join(animals[id] for id in one.ids):14} {math.exp(one.score):.3f}"
    )
plots.search_tree(trapped[2].trace.tree, animals.__getitem__)

# %% [markdown]
# Width 1, which is greedy, finds 0.160, and width 2 less than half of that, 0.073. In step 2 both children of *dog*
# (0.182 and 0.168) are a little ahead of *cat sat* (0.160), which had the best future. The wider beam had more room, and
# filled it with the wrong relatives. Width 3 has a place for all three.
#
# How often does a search miss the optimum? `search_errors` counts. Take a random toy of five words, in which every
# beginning has probabilities of its own, twenty-five prompts, and texts of five ids:

# %%
random_toy = TableModel.random(5, n_positions=16, seed=10, scale=1.5)
prompts = [[a, b, 0] for a in range(5) for b in range(5)]
widths = {f"width {beams}": BeamSearch(beams=beams) for beams in (1, 2, 3, 5)}
errors = search_errors(random_toy, prompts, widths, max_new_tokens=5)
for name, misses in errors.misses.items():
    missed, lost = errors.error_share(name)[0], errors.mean_lost(name)[0]
    asked = sum(miss.evaluations for miss in misses) / len(misses)
    print(
        f"{name}: misses the best text in {missed:3.0%}, loses {lost:.2f} nats on average, asks {asked:4.1f} times"
    )
asked = sum(optimum.evaluations for optimum in errors.optima) / len(errors.optima)
print(f"exact search asks {asked:.1f} times on average; there are {5**5:,} texts")

# %% [markdown]
# So this is true: a wider beam *usually* finds a text that is at least as likely, and pays for it. It is no guarantee,
# unless the beam is so wide that nothing is ever pruned. That width 5 missed none of these is no proof of anything; exact
# search, which is certain, asked even less than width 5.

# %% [markdown]
# ## 4. Storybook
#
# Now a real model with 50,257 ids. The first five steps of a search of width 3:

# %%
model = GPT2.from_pretrained("storybook")
tokenizer = Tokenizer()


def names(id):
    return token_name(tokenizer, id)


door = "The little girl opened the door and saw a"
opened = generate(model, tokenizer, door, BeamSearch(beams=3), max_new_tokens=5, trace=True)
print(f"{opened.text!r} with {opened.score:.2f}, {opened.search.evaluations} asked")
plots.search_tree(opened.trace.tree, names)

# %% [markdown]
# " big" is ahead at first, and greedy would take it. One step later " little girl" has overtaken all that begins with
# " big", and by step 5 nothing else is left. (Where the number of ids is limited, a text is whole when it has them all.)
#
# Twelve new ids behind another prompt, with growing width:

# %%
woman = "Once there was a poor woman"
strategies = {
    "greedy": Greedy(),
    "width 2": BeamSearch(beams=2),
    "width 3": BeamSearch(beams=3),
    "width 5": BeamSearch(beams=5),
}
for name, strategy in strategies.items():
    result = generate(model, tokenizer, woman, strategy, max_new_tokens=12)
    print(f"{name:8} {sum(result.model_logprobs):7.2f}  {result.text}")

# %% [markdown]
# There it is, with a real model. Width 2 finds a likelier text than greedy. Width 3 ends 4.9 nats *below* greedy, so
# that its text is less than a hundredth as probable, and width 5 is more than one nat below. What was alive in the search
# of width 3? (In the order of the alphabet, so that relatives stand together.)

# %%
tree = generate(
    model, tokenizer, woman, BeamSearch(beams=3), max_new_tokens=5, trace=True
).trace.tree
for step in (2, 3, 4):
    alive = [
        n for n, node in enumerate(tree) if node.step == step and node.fate == "extended"
    ]
    shown = [f"{tokenizer.decode(tree.ids(n))!r} {tree[n].score:.2f}" for n in alive]
    print(f"step {step}:  " + "   ".join(sorted(shown)))

# %% [markdown]
# " who had a" is there in step 3. In step 4 three relatives that begin with a comma take all places, and what greedy and
# width 2 went on with is gone. Such prompts are not rare: try some of your own.
#
# ### Four texts that are one
#
# Here are all four candidates of a search of width 4, sixteen ids behind a third prompt:

# %%
wolf = "The wolf said"
four = generate(model, tokenizer, wolf, BeamSearch(beams=4), max_new_tokens=16)
for one in four.candidates:
    print(f"{one.score:7.2f}  {one.text.replace(chr(10), '¶')}")

# %% [markdown]
# They differ in their last id. The children of a good parent push their cousins out, and soon all hypotheses descend
# from one. Who wants four *different* texts has to ask for that: the next notebook does.
#
# It has an advantage, too. What all hypotheses share is certain, and can be shown before the search has ended. A
# processor that does nothing but count tells us when each id of the stream comes out:


# %%
class Count(Processor):
    """Count the steps, and change nothing."""

    def __init__(self):
        self.steps = 0

    def process(self, logits, prefix):
        self.steps += 1
        return logits


count, given = Count(), {}
for piece in stream(model, tokenizer, wolf, BeamSearch(count, beams=4), max_new_tokens=16):
    given[count.steps] = given.get(count.steps, "") + piece.text
for steps, text in given.items():
    print(f"after step {steps:2}: {text!r}")

# %% [markdown]
# The text comes in jerks, and most of it some steps late. In greedy decoding each id is out at once.
#
# ### Held against the optimum
#
# For a few ids, exact search works here, too. Four ids behind one prompt, and behind the door of the first tree five with
# a *budget*: when that is spent, the best text so far comes back, with a bound on what may remain.

# %%
contest = {
    "greedy": Greedy(),
    "width 2": BeamSearch(beams=2),
    "width 3": BeamSearch(beams=3),
    "exact": ExactSearch(),
}
for name, strategy in contest.items():
    result = generate(model, tokenizer, "A boy named Tim", strategy, max_new_tokens=4)
    asked = len(result.ids) if result.search is None else result.search.evaluations
    print(f"{name:8} {sum(result.model_logprobs):6.2f}  {asked:3} asked  {result.text!r}")
print(f"all texts of four ids: {model.n_vocab**4:.1e}")

part = generate(model, tokenizer, door, ExactSearch(budget=20), max_new_tokens=5)
print(
    f"door, budget 20: {part.text!r} with {part.score:.2f}; none is above {part.search.bound:.2f}"
)

# %% [markdown]
# Width 3 has found the very best of 6.4 · 10¹⁸ texts, and exact search proves it with 35 questions. Each further id makes
# texts less probable, and the work longer.
#
# Behind the door 20 questions are not enough: the best score may be anywhere between the two numbers. The bound is that of
# " little" in the tree above, which exact search has not come to: it is busy with texts that begin with " big". The beam
# of width 3 had −5.49 after 13 questions.

# %% [markdown]
# ## 5. Likelier is not better
#
# Suppose that we had the optimum, always. Would the texts be good? Thirty-five ids behind the door with width 3, as it is
# and with a processor that forbids every group of three ids that has occurred before:

# %%
free = generate(model, tokenizer, door, BeamSearch(beams=3), max_new_tokens=35)
bound_to = BeamSearch(NoRepeatNGram(3), beams=3)
tied = generate(model, tokenizer, door, bound_to, max_new_tokens=35, trace=True)
for name, result in (("as it is", free), ("NoRepeatNGram(3)", tied)):
    print(f"{name}: {sum(result.model_logprobs):.1f}")
    print(textwrap.indent(textwrap.fill(door + result.text.replace("\n", "¶"), 80), "    "))
print(tied.trace.why(24, " very"))

# %% [markdown]
# The plain search turns in a circle: *The little girl* says *Thank you, Lily!*, and does it once more. The search is right
# to write so: repeating is what the model finds likely. The processor stops it by force, at a price of about two
# nats. `why` tells what it did behind "The girl was". Neither is a good story.
#
# Holtzman et al. looked at what people write in the same way. Here is the beginning of *The Frog Prince* in an English
# edition of the brothers Grimm, and what comes after its first words there, in a beam search, and in a draw:

# %%
start = "One fine evening a young princess put on her bonnet and clogs,"
follows = (
    " and went out to take a walk by herself in a wood; and when she came to a cool spring"
    " of water, that rose in the midst of it"
)
people = tokenizer.encode(follows)
written = score(model, tokenizer.encode(start), people, Sample())
beamed = generate(model, tokenizer, start, BeamSearch(beams=5), max_new_tokens=len(people))
drawn = generate(model, tokenizer, start, Sample(), max_new_tokens=len(people), seed=1)
logprobs = {
    "people": written.logprobs,
    "beams": beamed.model_logprobs,
    "drawn": drawn.model_logprobs,
}
for name, text in (("people", follows), ("beams", beamed.text), ("drawn", drawn.text)):
    print(f"{name}: {sum(logprobs[name]) / len(logprobs[name]):.2f} an id")
    print(textwrap.indent(textwrap.fill("..." + text.replace("\n", "¶"), 80), "    "))

# %% [markdown] tags=["predict"]
# **Predict.** Plot the probability of each id, for the text by people and for that of the beams. Which curve will be
# high nearly everywhere, and which will jump?
#
# <details><summary>Answer</summary>
#
# The beams' is high: nearly every id is one that was expected. The text by people keeps falling below a hundredth, once
# below a thousandth, wherever it says something new, and comes back up in between.
#
# </details>

# %%
pair = {name: [math.exp(x) for x in logprobs[name]] for name in ("people", "beams")}
low = {name: sum(share < 0.01 for share in curve) for name, curve in pair.items()}
print(f"ids below 1%: {low['people']} of {len(people)} by people, {low['beams']} by beams")
plots.lines(
    list(range(1, len(people) + 1)),
    pair,
    xlabel="id of the text",
    ylabel="probability that storybook gave it",
    logy=True,
    title="People surprise; beams do not",
    alt=f"Two jagged curves of the probability of each of {len(people)} ids, on a logarithmic axis. "
    f"In the text by people {low['people']} ids are below 1%, in that of the beams {low['beams']}.",
)

# %% [markdown]
# The two means lie 1.6 nats apart: an id by people is about a fifth as probable as one of the beams, and storybook may
# even have met this tale in its training. The draw comes out lower still: too many surprises, and of the wrong kind. A
# search for the likeliest text leads away from what people write, and a better search leads further.
#
# It is different where the input decides what is right, as in translation: there beam search has its place. And a
# narrow beam is often *better* than the optimum there, because what it misses are the short and the dull.

# %% [markdown]
# ## 6. Now with OpenAI's GPT-2
#
# Two texts of a beam search of width 2, from the tests and the blog of Hugging Face. Both soon repeat themselves. Neither
# has come to an end: all hypotheses of such a search are equally long, no length penalty matters, and where the weights
# are at hand ours should write the same.

# %% tags=["needs-weights"]
published = [  # prompt, what follows, how many new ids
    (
        "The flying machine",
        " is a very powerful machine, but it's not a very powerful machine. It's",
        17,
    ),
    (
        "TensorFlow is",
        " an open-source, open-source, distributed-source application framework for the",
        16,
    ),
]
gpt2 = official("gpt2")
for before, following, new in published:
    print(f"published: {before}[{following}]")
    if gpt2 is not None:
        ours = generate(
            gpt2, tokenizer, before, BeamSearch(beams=2), max_new_tokens=new
        ).text
        print("           as published" if ours == following else f"DIFFERENT: {ours!r}")

# %% [markdown]
# And the experiments of this notebook, on GPT-2. Look whether the scores rise with every width, whether the
# candidates of width 5 differ in more than their ends, and how far the mean of the Frog Prince lies below that of the
# beams.

# %% tags=["needs-weights"]
if gpt2 is not None:
    for name, strategy in strategies.items():
        result = generate(gpt2, tokenizer, woman, strategy, max_new_tokens=12)
        print(f"{name:8} {sum(result.model_logprobs):7.2f}  {result.text!r}")
    for one in result.candidates:
        print(f"{one.score:7.2f}  {one.text!r}")
    tale = score(gpt2, tokenizer.encode(start), people, Sample())
    beamed = generate(
        gpt2, tokenizer, start, BeamSearch(beams=5), max_new_tokens=len(people)
    )
    print(
        f"people {tale.logprob / len(people):.2f} an id, beams {beamed.score / len(people):.2f}"
    )

# %% [markdown]
# ## What to remember
#
# - Beam search extends the best hypotheses by every id and keeps the best children. Scores are sums of logarithms.
# - Whole texts are set aside. The search may stop when no bound of a live hypothesis is above the best of them.
# - Longer texts have lower sums. A length penalty α divides by $T^{\alpha}$; it changes what "best" means, and the
#   bound with it.
# - Width 1 is greedy. A wider beam usually finds a likelier text, but need not: it can end below greedy.
# - Exact search with a bound finds the optimum, and proves it. It is quick for sure models and short texts only.
# - The candidates of a beam search hardly differ. What they share can be given out early.
# - Likelier is not better: what people write is full of ids that a model did not expect.

# %% [markdown]
# ## Papers and further reading
#
# - Lowerre 1976, *The Harpy Speech Recognition System*: where beam search comes from.
# - Wu et al. 2016, *Google's Neural Machine Translation System*, arXiv:1609.08144: a length penalty of another form.
# - Huang, Zhao & Ma 2018, *When to Finish? Optimal Beam Search for Neural Text Generation*, arXiv:1809.00069.
# - Stahlberg & Byrne 2019, *On NMT Search Errors and Model Errors: Cat Got Your Tongue?*, arXiv:1908.10090: exact
#   search, and the empty translations that it finds.
# - Holtzman et al. 2019, *The Curious Case of Neural Text Degeneration*, arXiv:1904.09751: the picture of section 5.
# - Meister, Cotterell & Vieira 2020, *If Beam Search is the Answer, What was the Question?*, arXiv:2010.02650.
# - In this project: `decoding/strategies/beam.py`, `decoding/strategies/exact.py`, `decoding/search_error.py`.

# %% [markdown]
# ## To go further
#
# - Change one number of the first toy so that width 2 misses the best text and width 3 finds it.
# - Make `beam_step` deal with a full stop: return what is set aside as well, if it is among the best `beams` of all.
# - Exact search with α = 1 is slow. Why does its bound hardly ever cut anything, and can you think of a tighter one?
