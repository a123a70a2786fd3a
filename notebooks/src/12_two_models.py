# %% [markdown]
# # 12. Two models
#
# **Goal.** You can decode with more than one distribution: subtract what an amateur knows, what the model would
# say without its prompt, or what its early layers say; and you can tell what each of these does to a text, and
# where it goes wrong.
#
# **Time** 75 minutes · **Needs** notebooks [4](04_temperature_and_entropy.ipynb) and
# [7](07_beyond_top_p.ipynb) · **Next** [13. Speculation](13_speculation.ipynb)
#
# A language model is sure of many things that say little: what is common, what has just been said. A second
# distribution that is sure of the same things shows which they are. Then they can be taken away. Three methods
# do this, with one formula. A fourth, of a similar name, looks at hidden states instead.

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
from collections import Counter

import torch

from checks import two_models as check
from checks.words import WORDS
from decoding import (
    BeamSearch,
    ClassifierFreeGuidance,
    Combined,
    ContrastiveDecoding,
    ContrastiveSearch,
    DoLa,
    ExactSearch,
    Greedy,
    InverseCDF,
    Reprompted,
    Sample,
    TableModel,
    Tokenizer,
    generate,
    generate_ids,
    law,
    plots,
)
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## One formula
#
# "The cat sat on the ...": what may follow, by a large model, the *expert*, and by a small one, the *amateur*.

# %%
expert = [0.40, 0.30, 0.16, 0.08, 0.04, 0.010, 0.0040, 0.0030, 0.0030]
amateur = [0.50, 0.20, 0.04, 0.10, 0.08, 0.040, 0.0200, 0.0199, 0.0001]
p = torch.tensor(expert, dtype=torch.float64)  # (9,)
q = torch.tensor(amateur, dtype=torch.float64)  # (9,)
print("        expert  amateur  log p - log q")
for word, a, b in zip(WORDS, expert, amateur, strict=True):
    print(f"{word:6}  {a:.4f}   {b:.4f}   {math.log(a) - math.log(b):8.2f}")

# %% [markdown]
# The last column says what the expert knows beyond the amateur. "mat" is the favourite of both, and gets −0.22, as
# the expert likes it a little less. The roof is four times as likely for the expert: +1.39, the logarithm of 4.
#
# There are two ways to use that column. Either add some of it to what there is, or take it alone:
#
# $$\text{guidance:} \quad \log q + \gamma\,(\log p - \log q) \qquad\qquad
# \text{contrastive decoding:} \quad \log p - \log q$$
#
# The *scale* $\gamma$ is how far to go from $q$ in the direction of $p$: at 0 one is at $q$, at 1 at $p$, and
# above 1 beyond it. Without logarithms the first one is $p^\gamma q^{1-\gamma}$, the second $p/q$, each divided by
# its sum.

# %% [markdown] tags=["predict"]
# **Predict.** At $\gamma = 2$, so $p^2/q$: mat, sofa or roof? Work it out. And which word is the best by
# contrastive decoding, $p/q$?
#
# <details><summary>Answer</summary>
#
# Mat $0.4^2/0.5 = 0.32$, sofa $0.3^2/0.2 = 0.45$, roof $0.16^2/0.04 = 0.64$: the roof. By $p/q$ it is "on":
# 0.003 is thirty times 0.0001. "The cat sat on the on". Nobody would say that, and the amateur only knows it
# better than the expert.
#
# </details>

# %%
lp, lq = p.log(), q.log()
columns = {f"scale {s}": (lq + s * (lp - lq)).softmax(dim=-1) for s in (0, 1, 1.5, 2, 3)}
columns["contrast"] = (lp - lq).softmax(dim=-1)
print("      " + "".join(f"{name:>10}" for name in columns))
for i, word in enumerate(WORDS):
    print(f"{word:6}" + "".join(f"{column[i]:10.3f}" for column in columns.values()))

# %%
steps = [n / 4 for n in range(15)]  # scales from 0 to 3.5
row = torch.stack([(lq + s * (lp - lq)).softmax(dim=-1) for s in steps])  # (15, 9)
curves = {word: row[:, WORDS.index(word)] for word in ("mat", "sofa", "roof", "on")}
alt = "Four words by scale: mat falls, sofa rises up to 1.5, roof up to 2.5, then on takes over"
told = {"xlabel": "scale", "ylabel": "probability", "alt": alt}
plots.lines(steps, curves, title="From q (0) over p (1) and beyond", **told)

# %% [markdown]
# Up to a scale of 1.5 the sofa and the roof gain, which is what one wants. At 3 "on" is already the favourite, and
# in the contrast alone it has nearly four fifths. **A ratio of two tiny numbers can be huge.** The expert does
# not mean "the on" either: its 0.003 is noise, and the ratio makes it the loudest thing in the room. Both methods
# need something against that. Guidance keeps its scale small. For contrastive decoding see below.
#
# ### Exercise 12.1 · ★☆☆ · 8 min
#
# Write guidance: the logits c behind a prompt, (..., V), those u without it, (..., V), and a scale. Return the
# guided **probabilities**, (..., V).
#
# The logits are not normalised. Check on paper that this does not matter: a constant that is added to all of
# them moves all sums by the same amount.


# %% tags=["exercise"]
def guided(c: torch.Tensor, u: torch.Tensor, scale: float) -> torch.Tensor:
    """Logits with and without the prompt (..., V), and a scale -> probabilities (..., V)."""
    ### BEGIN SOLUTION
    away = c - u  # (..., V) what the prompt contributes
    return (u + scale * away).softmax(dim=-1)
    ### END SOLUTION


# %% tags=["check"]
check.guided(guided)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 12.1</summary>
#
# Begin at u and walk `scale` times the way from u to c. Softmax comes at the very end, over the last dimension.
# At scale 0 your result has to be that of u, at 1 that of c.
#
# </details>

# %% [markdown]
# ## A language model made of others
#
# Here a strategy asks a *language model* for the logits of the next id. So two models with a formula between
# them had better be a language model, too: then each strategy works on it, and knows nothing of it. Two
# classes do the work:
#
# - `Combined(*models)`: all read the same ids, and a `rule` makes one row of logits of theirs.
# - `Reprompted(model, prompt)`: reads another prompt than the one it is given; the text behind it stays.
#
# A toy of four words, in which the last season counts, and the last word:

# %%
words = ["summer", "winter", "sun", "snow"]
summer, winter, sun, snow = range(4)
after = {  # (season, last word): shares of the four
    (summer, summer): [0.05, 0.05, 0.7, 0.2],
    (summer, sun): [0.2, 0.08, 0.6, 0.12],
    (summer, snow): [0.1, 0.1, 0.45, 0.35],
    (winter, winter): [0.05, 0.05, 0.25, 0.65],
    (winter, sun): [0.1, 0.2, 0.3, 0.4],
    (winter, snow): [0.05, 0.15, 0.1, 0.7],
}


def logits_after(ids):
    season = [id for id in ids if id in (summer, winter)][-1]
    return torch.tensor(after[season, ids[-1]], dtype=torch.float64).log()  # (V,)


def text_of(ids):
    return " ".join(words[id] for id in ids)


toy = TableModel(len(words), 6, logits_after)
other = Reprompted(toy, [winter])
for name, model in (("toy", toy), ("toy, reprompted", other)):
    best = list(law(Sample(), model, [summer], max_new_tokens=2).items())[:3]
    print(f"{name:15} summer: " + "; ".join(f"{text_of(ids)} {x:.3f}" for ids, x in best))
best = list(law(Sample(), toy, [winter], max_new_tokens=2).items())[:3]
print(f"{'toy':15} winter: " + "; ".join(f"{text_of(ids)} {x:.3f}" for ids, x in best))

# %% [markdown]
# `law` lists all texts with their exact probabilities. The reprompted model writes after "summer" what the
# toy writes after "winter". Guidance is the toy beside itself with another prompt, `Combined`. We choose a scale
# of 2, and beside its law put another candidate: $P^2/Q$ of *whole texts*, divided by the sum over all texts.

# %% [markdown] tags=["predict"]
# **Predict.** "sun" has a guided probability of 92% as the first word. (Its $p^2/q$ is $0.7^2/0.25 = 1.96$, of
# 2.12 in all.) Is the column "guided" the same as "P²/Q of texts"?
#
# <details><summary>Answer</summary>
#
# No. Guidance divides by a sum at every step; the last column does it once, for whole texts. A beginning behind
# which the two models disagree much gets more from the last column, as its sum is larger. The difference is small
# here, but whoever adds up plain differences, as some papers do, searches for another best text.
#
# </details>

# %%
guide = ClassifierFreeGuidance(toy, [winter], scale=2.0)
plain, cold = (
    law(Sample(), toy, [season], max_new_tokens=2) for season in (summer, winter)
)
stepwise = law(Sample(), guide, [summer], max_new_tokens=2)
squares = {ids: plain[ids] ** 2 / cold[ids] for ids in plain}
total = sum(squares.values())
print("              toy   guided   P²/Q of texts")
for ids in list(plain)[:6]:
    print(
        f"{text_of(ids):12} {plain[ids]:.3f}  {stepwise[ids]:.3f}    {squares[ids] / total:.3f}"
    )
print(f"all {len(stepwise)} texts: guided {sum(stepwise.values()):.6f}")

# %% [markdown]
# Since a guided model is a model, beams and an exact search run on it. And a rule of your own takes three lines.
# This one is the *product* of two models, which says only what both find likely:


# %%
class Product(Combined):
    def rule(self, *logits):
        return sum(one.log_softmax(dim=-1) for one in logits) / len(logits)  # (..., V)


both = Product(toy, other)
for name, model in (("guided", guide), ("product", both)):
    for strategy in (Greedy(), BeamSearch(beams=2), ExactSearch()):
        found = generate_ids(model, [[summer]], strategy, max_new_tokens=3)[0]
        told = f"{name}, {type(strategy).__name__}"
        print(f"{told:20} {text_of(found.ids):14} {sum(found.model_logprobs):6.2f}")

# %% [markdown]
# For the guided model all three agree. The product is the interesting one. Greedy decoding begins with "sun", for the
# moment the better compromise: 0.7 · 0.25 is more than 0.2 · 0.65. Two beams find out that behind "snow" both seasons
# agree better: −2.09 instead of −2.27.

# %% [markdown]
# ## Contrastive decoding
#
# The contrast $\log p - \log q$ of an expert and an amateur, among words that are plausible. The threshold is
# notebook 7's min-p, on the expert alone:
#
# $$\log p_i - \log q_i \quad \text{where } p_i \ge \alpha \max_j p_j, \qquad \text{else } -\infty$$
#
# With $\alpha = 0.1$ a word needs a tenth of the best one's probability: here 0.04. Mat, sofa, roof, dog and moon
# stay, and "on" is out, whatever its ratio. Of those that stay the roof wins, with 4.
#
# ### Exercise 12.2 · ★★☆ · 10 min
#
# Write it for logits of both models, (..., V), of which each row is a distribution of its own. Return
# $\log p - \log q$, and `-inf` where an id is not plausible. An id with exactly $\alpha$ of the best stays.


# %% tags=["exercise"]
def contrast(expert: torch.Tensor, amateur: torch.Tensor, alpha: float) -> torch.Tensor:
    """Logits of both (..., V), a threshold 0 < alpha <= 1 -> log p - log q or -inf, (..., V)."""
    ### BEGIN SOLUTION
    mine, theirs = expert.log_softmax(dim=-1), amateur.log_softmax(dim=-1)  # (..., V)
    least = mine.max(dim=-1, keepdim=True).values + math.log(alpha)  # (..., 1)
    return torch.where(mine >= least, mine - theirs, -torch.inf)
    ### END SOLUTION


# %% tags=["check"]
check.contrast(contrast)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 12.2</summary>
#
# $p_i \ge \alpha \max p$ is $\log p_i \ge \log\alpha + \log\max p$. The maximum is one a row: keep its dimension,
# `max(dim=-1, keepdim=True).values`, or the rows get mixed up. Only the expert decides what is plausible.
#
# </details>

# %% [markdown]
# ### On storybook
#
# The paper pairs gpt2-xl, with 1.5 billion parameters, with gpt2, which has 124 million. **Only one model is
# bundled here**, so our amateur is a makeshift: the first four of storybook's six layers, an *early exit*. It was
# never trained to speak through the head, and does it poorly. What it is sure of:

# %%
model, tokenizer = GPT2.from_pretrained("storybook"), Tokenizer()
early = model.early_exit(4)
park = "Tom and his dog went to the park. They saw a big"


def one_line(text):
    return text.replace("\n", "¶")


def write(model, prompt, strategy=None, n=22):
    """What the model writes after the prompt, greedily if nothing else is said."""
    return generate(model, tokenizer, prompt, strategy or Greedy(), max_new_tokens=n)


def logprobs_after(model, prompt):
    """Of the next token, (V,), float64."""
    logits = model.open().extend(torch.tensor([tokenizer.encode(prompt)]))[0, 0]
    return logits.double().log_softmax(dim=-1)


print("the amateur:", one_line(write(early, park, n=14).text))
mine, theirs = logprobs_after(model, park), logprobs_after(early, park)
print("\n                p     amateur    log p - log q")
for token in (" tree", " slide", " dog", ",", " mixer"):
    i = tokenizer.encode(token)[0]
    a, b = mine[i].item(), theirs[i].item()
    print(f"{token!r:9} {math.exp(a):8.1e}   {math.exp(b):8.1e}   {a - b:8.2f}")

# %% [markdown] tags=["predict"]
# **Predict.** Contrastive decoding with $\alpha = 0$, so without a threshold, chooses among 50,257 tokens. What
# kind of token will it choose?
#
# <details><summary>Answer</summary>
#
# One that both find absurd, and the amateur even more absurd. Among 50,257 tokens there is always some accident of
# that kind.
#
# </details>

# %%
for name, chosen in (
    ("greedy", model),
    ("alpha 0", ContrastiveDecoding(model, early, alpha=0.0)),
    ("alpha 0.1", ContrastiveDecoding(model, early, alpha=0.1)),
):
    count = 4 if name == "alpha 0" else 16
    print(f"{name:10}...{one_line(write(chosen, park, n=count).text)}")

# %% [markdown]
# Without the threshold: nonsense from the first token on. With it: a text, and another one than the greedy one.
#
# The comma, to which the amateur gives 64%, has lost. "slide" is just plausible: 0.020 where 0.017 is needed, a
# tenth of the tree's 0.17. "mixer" with 0.00006 is not, although the amateur gives it a thousandth of that. The
# trace tells the same. By "the model" it means what the strategy sees, the combination.

# %%
contrasted = ContrastiveDecoding(model, early)
settings = {"max_new_tokens": 1, "trace": True}
traced = generate(contrasted, tokenizer, park, Greedy(), **settings)
for token in (" slide", " tree", " mixer"):
    print(traced.trace.why(0, token))

# %% [markdown]
# ## Guidance: what a prompt contributes
#
# Now $p$ is storybook behind its prompt, and $q$ the same storybook behind a *negative prompt*, with the same new
# text after both. No second model is needed. (*Classifier-free* guidance has its name from pictures: there a
# classifier did the pulling before.) What does "hungry" contribute, as against "tired"?

# %% [markdown] tags=["predict"]
# **Predict.** "Tom was very hungry. He wanted to ...": "eat" has 10%, "go" 14%. Behind "Tom was very tired. He
# wanted to ..." it is 4% and 20%. Roughly, at a scale of 3, what happens to the odds of "eat" against "go", which
# are 0.104 : 0.135 = 0.77 at a scale of 1?
#
# <details><summary>Answer</summary>
#
# Odds are where guidance is simple. Behind "tired" they are 0.038 : 0.196 = 0.19; "hungry" multiplies them by
# 0.77 / 0.19, about 4. Scale 3 multiplies by that factor three times: 0.19 · 4³, about 12 to 1.
#
# </details>

# %%
hungry = "Tom was very hungry. He wanted to"
tired = "Tom was very tired. He wanted to"
c, u = logprobs_after(model, hungry), logprobs_after(model, tired)
shown = (" eat", " go", " play", " help", " buy", " bake")
print("scale  " + "".join(f"{token:>7}" for token in shown) + "    odds eat : go")
for scale in (0, 1, 1.5, 3, 8):
    x = (u + scale * (c - u)).softmax(dim=-1)
    eat, go, *others = (x[tokenizer.encode(token)[0]].item() for token in shown)
    cells = "".join(f"{one:7.3f}" for one in (eat, go, *others))
    print(f"{scale:5}  {cells}    {eat / go:13.3g}")

# %%
for scale in (0.0, 1.0, 1.5, 8.0):
    chosen = ClassifierFreeGuidance(model, tokenizer.encode(tired), scale=scale)
    print(f"{scale}  {hungry}{one_line(write(chosen, hungry, n=8).text)}")

# %% [markdown]
# At 0 a hungry Tom goes to the park, as he would if he were tired, and at 1 he still does. At 1.5 he eats. At 8 he
# wants "to eat him": the word that fits the prompt is there, and sense no longer matters.
#
# Without a negative prompt, the other side reads only the prompt's last token (`None`, transformers' default,
# too): away from what one would write about nothing in particular. Ten drawn texts for each scale, with the same
# seed. How many mention snow or cold? And how surprised is storybook itself, not guided, by a token of theirs?

# %%
snowy = "It was a cold day with a lot of snow. Tom went outside. He"
start = tokenizer.encode(snowy)
settings = {"max_new_tokens": 6, "num_samples": 10, "seed": 1, "draw": InverseCDF}
for scale in (1.0, 3.0, 8.0):
    chosen = ClassifierFreeGuidance(model, scale=scale)
    texts = generate(chosen, tokenizer, snowy, Sample(), **settings)
    named = sum("snow" in one.text or "cold" in one.text for one in texts)
    rows = torch.tensor([start + one.ids for one in texts])  # (10, T + 6)
    logprobs = model.open().extend(rows[:, :-1], None, 6).log_softmax(dim=-1)  # (10, 6, V)
    cost = -logprobs.gather(-1, rows[:, -6:, None]).mean(dim=(1, 2))  # (10,) nats a token
    told = f"{cost.mean():.2f} ± {cost.std() / math.sqrt(10):.2f} nats a token"
    print(f"scale {scale}: {named:2} of 10, {told}   ...{one_line(texts[0].text)}")

# %% [markdown]
# Without guidance one text of ten comes back to the snow; at 3 it is seven, at 8 all ten. There the language pays
# for it: "saw snow loved his snow", and a token costs storybook 1.6 nats more. Whether a scale of 3 costs anything
# ten such short texts cannot tell: behind ± is the standard error, and the two means are too near for it.

# %% [markdown]
# ## DoLa: what the last layers add
#
# The third pair of distributions is in one network. Each layer adds to the same vector, and the last LayerNorm and
# the head turn that vector into logits. Nothing forbids asking them after three layers. This is the *logit lens*:


# %%
def lens(prompt, layers=range(model.n_layer + 1), keep=1):
    """Log-probabilities of the next token behind each layer, (keep, L, V), float64."""
    session = model.open()
    ids = torch.tensor([tokenizer.encode(prompt)])
    hidden = session.extend_hidden(ids, None, keep, list(layers))[0]  # (keep, L, C)
    return session.head(hidden).double().log_softmax(dim=-1)


lily = "Once upon a time, there was a little girl named Lily. She loved to play with her"
for layer, row in enumerate(lens(lily)[0]):
    top = row.exp().topk(3)
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    told = [f"{tokenizer.decode([i])!r} {x:.2f}" for i, x in pairs]
    print(f"behind layer {layer}: {', '.join(told)}")

# %% [markdown]
# Read it from the top. Layer 0 is the embedding, before any block, and it says "her", the token that it has just
# read. That is no accident: GPT-2's head *is* the embedding table, so a vector is most like itself. Layers 1 and 2
# say "little", layers 3 and 4 a full stop: what is common in stories. Only the fifth layer says "toys".
#
# *DoLa*, decoding by contrasting layers, takes $p$ from the last layer and $q$ from an earlier one, with the
# threshold of contrastive decoding. Which one? The one whose distribution differs most from the last, measured by
# the *Jensen-Shannon divergence*:
#
# $$\text{JSD}(p, q) = \tfrac12 \sum_i p_i \log\frac{p_i}{a_i} + \tfrac12 \sum_i q_i \log\frac{q_i}{a_i},
# \qquad a = \frac{p + q}{2}$$
#
# Both are compared with their mean $a$. So it is symmetric and always finite: where $a_i = 0$, so are both. It
# goes from 0, where both are equal, to $\log 2 = 0.693$, where no id is possible for both.
#
# By hand: $p = (0.5, 0.5, 0)$ and $q = (0, 0.5, 0.5)$, so $a = (0.25, 0.5, 0.25)$. Each sum is $0.5 \log 2 + 0.5
# \log 1$, together $0.5 \log 2 = 0.347$. (A term with $p_i = 0$ counts as 0.)
#
# ### Exercise 12.3 · ★★☆ · 12 min
#
# Write the choice. Given are **probabilities**, which may be 0: the last layer's, (V,), and those of L earlier
# ones, (L, V). Return the place of the row with the greatest divergence from the last, and that divergence: an int
# and a float. Of equals the first.


# %% tags=["exercise"]
def most_unlike(last: torch.Tensor, early: torch.Tensor) -> tuple[int, float]:
    """Probabilities (V,) and (L, V) -> which row differs most from the last layer, and by how much."""
    ### BEGIN SOLUTION
    middle = (last + early) / 2  # (L, V)
    of_last = (last * (last / middle).log()).nansum(
        dim=-1
    )  # (L,) without the terms 0 log 0
    of_early = (early * (early / middle).log()).nansum(dim=-1)  # (L,)
    unlike = (of_last + of_early) / 2
    place = int(unlike.argmax())
    return place, unlike[place].item()
    ### END SOLUTION


# %% tags=["check"]
check.most_unlike(most_unlike)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 12.3</summary>
#
# Write one function for $\sum_i x_i \log(x_i / a_i)$ and use it twice. Where $x_i = 0$ the term is NaN, and `nansum`
# leaves it out. Sum each of the two by itself: in one sum a NaN of the one would take the other's number along.
#
# </details>

# %% [markdown]
# Along a text, for each position and each layer:


# %%
def divergences(p, q):
    """JSD of log-probabilities (..., V) -> (...)."""
    a = torch.logaddexp(p, q) - math.log(2)
    return ((p.exp() * (p - a)).nansum(dim=-1) + (q.exp() * (q - a)).nansum(dim=-1)) / 2


ids = tokenizer.encode(lily)
along = lens(lily, keep=len(ids))  # (T, L, V)
jsd = divergences(along[:, -1:], along[:, :-1])  # (T, 6)
names = [tokenizer.decode([i]) for i in ids]
alt = "How unlike the last layer each earlier one is, for every token of a sentence about Lily"
told = {
    "title": "Jensen-Shannon divergence from the last layer, behind each token",
    "alt": alt,
}
rows = [f"layer {n}" for n in range(6)]
plots.heatmap(jsd.T, rows=rows, columns=names, scale="JSD", numbers_in_cells=False, **told)

# %%
there, named = jsd[names.index(" there"), 1], jsd[names.index(" named"), 5]
print(f"behind “there”, layer 1: {there:.2f};  behind “named”, layer 5: {named:.2f}")
print("mean by layer:", "  ".join(f"{x:.2f}" for x in jsd.mean(dim=0).tolist()))
for candidates in ([1, 2, 3, 4, 5], [2, 4], [0, 2, 4]):
    chosen = Counter(candidates[i] for i in jsd[:, candidates].argmax(dim=-1).tolist())
    told = ", ".join(f"layer {n} {times} times" for n, times in sorted(chosen.items()))
    print(f"of {candidates}: {told}")

# %% [markdown]
# Behind "there" layer 1 nearly knows what comes (0.07); behind "named", where a name has to be found, even layer 5
# is far off (0.32). On average the divergence shrinks towards the last layer, and mostly the lowest candidate is
# chosen: of 2 and 4 always. That is a finding about a network of six layers; the paper's have 32 and
# more, and it reports a choice that moves from token to token.
#
# Layer 0 has nearly $\log 2 = 0.69$ everywhere: it repeats the token that was read, and the next one is hardly ever
# the same. So as a candidate it wins every time, and its contrast is worth little. With a tied head leave it out.

# %% [markdown] tags=["predict"]
# **Predict.** The paper says that DoLa makes answers more factual. What do you expect of it here?
#
# <details><summary>Answer</summary>
#
# storybook knows no facts, so nothing of that can be seen. It can be seen that a contrast removes what the early
# layers say already: common words.
#
# </details>

# %%
for prompt in (lily, "The cat sat on the"):
    print(f"...{prompt[-20:]}")
    for name, chosen in (("greedy", model), ("DoLa", DoLa(model, [2, 4]))):
        print(f"    {name:7}{one_line(write(chosen, prompt, n=12).text)}")

# %% [markdown]
# Rarer words, and not always better sense: "the porch of the table". Two texts prove nothing either way; the
# paper's evidence is questions about facts.
#
# ### The same name, another method
#
# transformers had a DoLa of its own until version 4.55. This project's tests hold recordings of it, and they show
# that it differs from the paper in three ways:
#
# 1. earlier layers skip the last LayerNorm;
# 2. the divergence is reversed, $\tfrac12\text{KL}(a, p) + \tfrac12\text{KL}(a, q)$: weighted by the mean;
# 3. it is averaged over all texts of a batch, and one layer serves them all.

# %%
with torch.no_grad():
    stream = list(model.residual_stream(torch.tensor([ids]), torch.arange(len(ids))))
    unnormed = torch.stack([model.head(x[0]) for x in stream[1:6]], dim=1)  # (T, 5, V)
unnormed = unnormed.double().log_softmax(dim=-1)


def reversed_divergences(p, q):
    a = torch.logaddexp(p, q) - math.log(2)
    return (a.exp() * (a - (p + q) / 2)).sum(dim=-1)  # both halves in one


last, early_ones = along[:, -1:], along[:, 1:6]  # (T, 1, V), (T, 5, V)
kinds = {
    "as in the paper": jsd[:, 1:],  # (T, 5) each
    "1. no LayerNorm": divergences(last, unnormed),
    "2. reversed": reversed_divergences(last, early_ones),
}
picks = {name: (values.argmax(dim=-1) + 1).tolist() for name, values in kinds.items()}
for name, picked in picks.items():
    same = sum(a == b for a, b in zip(picked, picks["as in the paper"], strict=True))
    chosen = ", ".join(
        f"layer {n} {times} times" for n, times in sorted(Counter(picked).items())
    )
    print(f"{name:16} {same} of {len(ids)} the same: {chosen}")

pair = jsd[[names.index("."), names.index(" loved")], 1:]  # (2, 5)
alone, together = (pair.argmax(dim=-1) + 1).tolist(), pair.mean(dim=0).argmax() + 1
print(f"3. behind “Lily.” and “She loved”, alone: layers {alone}, in one batch: {together}")
normed, bare = (rows[-1, 2].exp().max() for rows in (early_ones, unnormed))
print(
    f"the favourite of layer 3 at the end: {normed:.2f} with LayerNorm, {bare:.2f} without"
)

# %% [markdown]
# Without the LayerNorm a vector has another length than the head is used to: at the end of the text layer 3 gives
# its favourite 0.45 instead of 0.32, and at 8 of 19 tokens another layer is chosen. The reversed divergence changes
# 2 of 19. And two texts that would choose layers 1 and 3 get layer 2 in one batch, which neither would have.
#
# None of this makes the other method wrong; it has a name that belongs to another one. Above all the third
# difference breaks a rule that all of this project keeps: **what a text becomes must not depend on who else is in
# the batch**. `DoLa` here chooses for each row.

# %% [markdown]
# ## Contrastive search: unlike what was there
#
# The last method has a similar name, and one model with one distribution. It does look into the model, too, though
# at the *hidden states* in front of the head. Greedy text runs in circles (notebook 3), and where it does, hidden
# states repeat. So choose among the k likeliest ids, with a *degeneration penalty* for being like something that
# was there:
#
# $$\arg\max_v \; (1 - \alpha)\, p(v) \;-\; \alpha \max_j \cos(h_v, h_j), \qquad
# \cos(x, y) = \frac{x \cdot y}{|x|\,|y|}$$
#
# $h_v$ is the hidden state that v would have if it were taken, $h_j$ those of all ids before, the prompt's, too.
# With $\alpha = 0.6$, two dimensions, and two ids before, $h = (1, 0)$ and $(3, 4)$:
#
# | | $p$ | $h_v$ | cosines | score |
# | --- | --- | --- | --- | --- |
# | mat | 0.5 | (2, 0) | **1**, 0.6 | 0.4 · 0.5 − 0.6 · 1 = −0.40 |
# | sofa | 0.3 | (0, 3) | 0, **0.8** | 0.4 · 0.3 − 0.6 · 0.8 = −0.36 |
# | roof | 0.2 | (0, −1) | **0**, −0.8 | 0.4 · 0.2 − 0.6 · 0 = **0.08** |
#
# The roof wins. The mat points exactly where something has pointed before.
#
# ### Exercise 12.4 · ★★☆ · 10 min
#
# Write the scores: probabilities of the k candidates, (k,), their hidden states, (k, C), those of all T ids before,
# (T, C), and $\alpha$. Return k scores, (k,).


# %% tags=["exercise"]
def search_scores(
    p: torch.Tensor, candidates: torch.Tensor, before: torch.Tensor, alpha: float
) -> torch.Tensor:
    """Probabilities (k,), hidden states (k, C) and (T, C), alpha -> the scores (k,)."""
    ### BEGIN SOLUTION
    new = candidates / candidates.norm(dim=-1, keepdim=True)  # (k, C) of length 1
    old = before / before.norm(dim=-1, keepdim=True)  # (T, C)
    penalty = (new @ old.T).max(dim=-1).values  # (k,) the most alike of what was there
    return (1 - alpha) * p - alpha * penalty
    ### END SOLUTION


# %% tags=["check"]
check.search_scores(search_scores)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 12.4</summary>
#
# Divide each vector by its own length, `x.norm(dim=-1, keepdim=True)`. Then one product of matrices, (k, C) by
# (C, T), has all cosines, and the maximum goes over the T ids before.
#
# </details>

# %% [markdown] tags=["predict"]
# **Predict.** In some models all hidden states point nearly the same way, with cosines above 0.95. (One says that
# they are *anisotropic*.) What does the penalty do there?
#
# <details><summary>Answer</summary>
#
# Nearly the same to all candidates: a constant, which changes no argmax. Contrastive search is greedy decoding
# then, give or take a near tie. So first look at the cosines of the model that is to be used.
#
# </details>


# %%
def cosines(model, prompt):
    """Mean cosine of two different positions behind each layer, a list."""
    row = tokenizer.encode(prompt)
    layers = list(range(model.n_layer + 1))
    states = model.open().extend_hidden(torch.tensor([row]), None, len(row), layers)[0]
    states = torch.nn.functional.normalize(states.double(), dim=-1)  # (T, L, C)
    alike = torch.einsum("tlc,slc->lts", states, states)  # (L, T, T)
    apart = ~torch.eye(len(row), dtype=torch.bool)
    return [one[apart].mean().item() for one in alike]


print("storybook, layers 0 to 6:", "  ".join(f"{x:.2f}" for x in cosines(model, lily)))

# %% [markdown]
# 0.23 on average behind the last layer: far from 1, so storybook's hidden states tell ids apart, and the penalty has
# something to say. (Su & Collier found small GPT-2 models to be anisotropic, and others not. It has to be looked up
# for each model, and takes five lines.)

# %%
sunny = "The sun was"
for name, strategy in (
    ("greedy", Greedy()),
    ("k=4, alpha 0.6", ContrastiveSearch(k=4, alpha=0.6)),
    ("k=4, alpha 0.9", ContrastiveSearch(k=4, alpha=0.9)),
):
    print(f"{name:15} {sunny}{one_line(write(model, sunny, strategy, n=24).text)}")

# %% [markdown]
# The greedy text shines and shines. With $\alpha = 0.6$ a story begins, and nothing was drawn: contrastive search
# is deterministic. With 0.9 being unlike outweighs being likely nine to one, and a Mrs. Wango appears "in his heart".
#
# The price: every step runs the model on k continuations. And it is no distribution: nothing can be drawn from
# it, and beams have no log-probabilities to add. It is a strategy of its own, not a language model made of others.

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# The documentation of transformers prints three continuations of one prompt by gpt2, guided in three ways:

# %% tags=["needs-weights"]
listed = json.loads((roots[0] / "facts" / "published.json").read_text(encoding="utf-8"))
facts = {one["id"]: one for one in listed["facts"]}
gpt2 = official("gpt2")
for name in ("A-doc-cfg-1", "A-doc-cfg-2", "A-doc-cfg-3"):
    fact = facts[name]
    rule = fact["run"]["processors"][0]
    negative = rule["negative_prompt_ids"]
    against = "no prompt" if negative is None else repr(tokenizer.decode(negative))
    print(f"scale {rule['scale']} against {against}:\n    {fact['expected']['text']}")
    if gpt2 is not None:
        chosen = ClassifierFreeGuidance(gpt2, negative, scale=rule["scale"])
        mine = write(chosen, fact["prompt"], n=fact["max_new_tokens"])
        print(f"    ours is equal: {mine.ids == fact['expected']['new_ids']}")

# %% [markdown]
# At scale 0 the dragon over Paris does not count, and somebody is "very happy to be here".
#
# Contrastive search was published with gpt2-large, of which this is one text. Where gpt2 is at hand, look at three
# things: its cosines, which Su & Collier say are near 1; whether contrastive search still helps it; and what gpt2
# writes against its own early exit, or as the amateur of a larger model, if you have gpt2-xl.

# %% tags=["needs-weights"]
print(facts["A-gs-large-contrastive"]["expected"]["text"])
if gpt2 is not None:
    told = "  ".join(f"{x:.2f}" for x in cosines(gpt2, lily))
    print(f"gpt2, layers 0 to {gpt2.n_layer}: {told}")
    company = facts["A-gs-large-contrastive"]["prompt"]
    for strategy in (Greedy(), ContrastiveSearch(k=4, alpha=0.6)):
        print(f"{strategy!r}: {one_line(write(gpt2, company, strategy, n=40).text)}")
    contrasted = ContrastiveDecoding(gpt2, gpt2.early_exit(8))
    print(f"against its 8 lower layers: {one_line(write(contrasted, company, n=40).text)}")

# %% [markdown]
# ## What to remember
#
# - One formula: $a \log p - b \log q$. Guidance has $a = \gamma$ and $b = \gamma - 1$; contrastive decoding and
#   DoLa have 1 and 1.
# - A model made of others is a language model. Strategies, beams and `law` work on it unchanged.
# - A ratio of two tiny probabilities can be huge. So contrasts need a **plausibility threshold**, and guidance a
#   small scale.
# - **Guidance** multiplies odds: at scale $\gamma$ by what the prompt does to them, $\gamma$ times. Too large a
#   scale leaves the language.
# - The **logit lens** lets early layers speak. With a tied head layer 0 repeats what it has read.
# - **Contrastive search** subtracts nothing from a distribution: it penalises hidden states that are like earlier
#   ones, and works only where a model's hidden states tell ids apart.

# %% [markdown]
# ## Papers and further reading
#
# - Li et al. 2022, *Contrastive Decoding: Open-ended Text Generation as Optimization*,
#   [arXiv:2210.15097](https://arxiv.org/abs/2210.15097).
# - Sanchez et al. 2023, *Stay on topic with Classifier-Free Guidance*,
#   [arXiv:2306.17806](https://arxiv.org/abs/2306.17806).
# - Chuang et al. 2023, *DoLa: Decoding by Contrasting Layers Improves Factuality in Large Language Models*,
#   [arXiv:2309.03883](https://arxiv.org/abs/2309.03883).
# - Su et al. 2022, *A Contrastive Framework for Neural Text Generation*,
#   [arXiv:2202.06417](https://arxiv.org/abs/2202.06417): contrastive search.
# - Su & Collier 2022, *Contrastive Search Is What You Need For Neural Text Generation*,
#   [arXiv:2210.14140](https://arxiv.org/abs/2210.14140): which models are anisotropic.
#
# ## To go further
#
# - Three models: $\log p + \gamma\,(\log q^+ - \log q^-)$, with one expert for what is wanted and one for what is
#   not. Write it as a `Combined` with its own `rule`.
# - The snow again with 30 texts of 16 tokens, which takes a minute: does a scale of 3 cost anything?
# - Guide away from a *bad text* instead of a bad prompt, and watch what happens to its words.
# - Try amateurs of 1 to 5 layers. Which one writes the best text, and how would you tell?
