# %% [markdown]
# # 1. From logits to text
#
# **Goal.** You know every step between a model's numbers and the words on the screen, and have written three of them.
#
# **Time** 45 minutes · **Needs** some Python, and what a probability is · **Next**
# [2. GPT-2 from scratch](02_gpt2_from_scratch.ipynb)
#
# A language model does not write. It looks at a text and gives every word that it knows a number, the word's *logit*: the
# larger it is, the better the word would fit next. Turning these numbers into text is called *decoding*. The blog post
# [*Logits to Text*](https://github.com/kapilsh/kapilsh.github.io/blob/f1c84578b30c/_posts/2024-07-19-logits-to-text.md)
# does it in five steps. So does this notebook, in the same order and with the post's own snippets: on nine words, then on
# numbers drawn at random, then on a model that has learned from children's stories.

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
from collections import Counter

import torch
import torch.nn.functional as F

from checks import logits_to_text as check
from decoding import Greedy, Sample, Tokenizer, TopK, generate, plots
from decoding.legible import token_name
from gpt2 import GPT2
from weights import official

# %% [markdown]
# ## Step 1. Obtain the logits
#
# Our first model knows nine words, so that all its numbers can be looked at. Say it has read "The cat sat on the". Here
# are its logits for the next word. They are not probabilities: some are negative, and they sum to nothing in particular.

# %%
words = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
logits = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])  # (V,)

for word, logit in zip(words, logits.tolist(), strict=True):
    print(f"{word:5} {logit:5.1f}")

# %% [markdown]
# A real model looks at several texts at once and speaks at every position of each. So its logits have three dimensions,
# as the post says: `[batch_size, sequence_length, vocab_size]`, or shorter (B, T, V). We come to that in step 5.

# %% [markdown]
# ## Step 2. Apply a softmax function
#
# The softmax makes probabilities of logits: it raises $e$ to each, which leaves nothing negative, and divides by the sum,
# so that all together make 1. The post's snippet:

# %%
probabilities = F.softmax(logits, dim=-1)  # (V,)

print("sum:", round(probabilities.sum().item(), 6))

# %%
plots.next_token_bars([("softmax of the logits", logits)], words.__getitem__, top=9)

# %% [markdown] tags=["predict"]
# **Predict.** Add 5 to every one of the nine logits. What happens to the probability of *mat*?
#
# <details><summary>Answer</summary>
#
# Nothing. Every $e^{z}$ is multiplied by the same $e^{5}$, and so is their sum: it cancels. Only differences between
# logits matter: *mat* is $e^{3.1 - 2.4} \approx 2$ times as likely as *sofa*, whatever else there is. (GPT-2's own logits
# are often all near -90. Now you know why that is no problem.)
#
# </details>

# %%
shifted = F.softmax(logits + 5, dim=-1)
print(f"mat: {probabilities[0]:.4f} before, {shifted[0]:.4f} after")

# %% [markdown]
# ### Exercise 1.1 · ★☆☆ · 5 min
#
# Write the softmax yourself, from `torch.exp` and `.sum()`:
#
# $$p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}$$
#
# For example, the logits $[0, \ln 3]$ give the probabilities $[0.25, 0.75]$. Logits may be large: $e^{1000}$ is `inf` in
# floating point, and `inf / inf` is not a number. You have just seen what may be added to all logits: use it, so that
# nothing can overflow. A logit of $-\infty$ means "impossible" and must get the probability 0.


# %% tags=["exercise"]
def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Logits (V,) -> probabilities (V,)."""
    ### BEGIN SOLUTION
    weights = torch.exp(logits - logits.max())  # (V,): the largest is e^0 = 1
    return weights / weights.sum()  # (V,)
    ### END SOLUTION


# %% tags=["check"]
check.softmax(softmax)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1.1</summary>
#
# Subtract the largest logit from all of them. The largest is 0 then, and its exponential 1. The impossible logit needs no
# special case: what is the exponential of $-\infty$?
#
# </details>

# %% [markdown]
# ## Step 3. Sample or argmax
#
# Now somebody has to choose. **Greedy decoding** takes the likeliest word. The post's snippet:

# %%
predicted_index = torch.argmax(probabilities, dim=-1)
print(predicted_index.item(), "->", words[predicted_index])

# %% [markdown] tags=["predict"]
# **Predict.** The post takes the argmax of the *probabilities*. What would the argmax of the *logits* have been?
#
# <details><summary>Answer</summary>
#
# The same. The softmax keeps the order: a larger logit is a larger probability. For greedy decoding one can leave it
# out, and programs do. For sampling one cannot: there it is the probabilities themselves that count.
#
# </details>

# %%
print(words[logits.argmax()], words[probabilities.argmax()])

# %% [markdown]
# **Sampling** draws a word: in the long run each comes up as often as its probability says. The post does it with
# `torch.multinomial`. A *seed* makes the draws repeatable; another seed would give others.

# %% tags=["varies"]
torch.manual_seed(1)
drawn = torch.multinomial(probabilities, num_samples=12, replacement=True)  # (12,)
print(" ".join(words[index] for index in drawn))

# %% tags=["varies"]
drawn = torch.multinomial(probabilities, num_samples=300, replacement=True)  # (300,)
counts = torch.bincount(drawn, minlength=len(words))  # (V,)
plots.frequencies(counts, probabilities, words.__getitem__, title="300 draws")

# %% [markdown]
# The bars are what was drawn, the diamonds what was to be expected; chance rarely leads outside of the whiskers. Greedy
# would have said *mat* 300 times. Sampling says *mat* about half of the time, and now and then something odd. Neither is right or wrong: [notebook 3](03_greedy_and_the_cache.ipynb) is about the first, [notebook
# 5](05_drawing_a_token.ipynb) about the second.

# %% [markdown]
# ## Step 4. Convert token indices to text
#
# For nine words that is a list. GPT-2 knows 50,257 *tokens*: words, pieces of words, single bytes. A tokenizer goes from
# text to their numbers, the *ids*, and back. Ours is tiktoken with GPT-2's vocabulary, which is on your disk already.

# %%
tokenizer = Tokenizer()

text = "Hello, I'm a language model,"
ids = tokenizer.encode(text)
print(ids)
print([tokenizer.decode([id]) for id in ids])
print(tokenizer.decode(ids) == text)

# %% [markdown]
# Most tokens begin with the space before the word. So texts are put together by joining tokens, with nothing between them.


# %%
def name(id: int) -> str:
    """A token in quotes, so that its spaces can be seen."""
    return token_name(tokenizer, id)


print(*[name(id) for id in tokenizer.encode("indescribable owls 🦉")])

# %% [markdown] tags=["predict"]
# **Predict.** Why does the owl make more than one token, and none that you could read?
#
# <details><summary>Answer</summary>
#
# GPT-2's tokenizer works on bytes. The owl is four bytes in UTF-8, and the vocabulary has no single token for all four.
# A piece of a character is no text, so it is shown as bytes (`\x20` is the space before the owl). Who prints tokens one
# by one has to wait for the rest of the owl.
#
# </details>

# %% [markdown]
# ## Step 5. The complete example
#
# The post's complete example draws its logits at random, in the shape of a real model: one text, ten positions, 50,257
# ids. It decodes the argmax of every position.

# %%
torch.manual_seed(0)
logits = torch.randn(1, 10, 50257)  # (B, T, V)

probabilities = F.softmax(logits, dim=-1)  # (B, T, V)
predicted_indices = torch.argmax(probabilities, dim=-1)  # (B, T)
print(tuple(predicted_indices.shape))
print(tokenizer.decode(predicted_indices[0]))

# %% [markdown]
# Ten tokens that have nothing to do with each other: the numbers came from no model, so the text comes from nowhere.
# It shows that the machinery runs, no more. Even the best of the 50,257 has one chance in a thousand:

# %%
plots.next_token_bars([("logits drawn at random", logits[0, -1])], name, top=5)

# %% [markdown]
# Sampling is the post's other choice. Its snippet calls `torch.multinomial` on the probabilities as they are.

# %% [markdown] tags=["predict"]
# **Predict.** What will it do with probabilities of the shape (1, 10, 50257)?
#
# <details><summary>Answer</summary>
#
# It refuses: it takes a row of probabilities, (V,), or several rows, (R, V). The post's snippet is meant for a single
# position: take the last one first, `probabilities[:, -1]`, which has the shape (1, 50257). Why the last one is the next
# section's question.
#
# </details>

# %%
try:
    torch.multinomial(probabilities, num_samples=1)
except RuntimeError as error:
    print("RuntimeError:", error)
print(torch.multinomial(probabilities[:, -1], num_samples=1).shape)

# %% [markdown]
# ## Now with a model
#
# `storybook` is a small GPT-2 that comes with this project: 18 million parameters, taught with children's stories.
# It takes ids (B, T) and gives logits (B, T, V): for every position of every text, one number for each of 50,257 ids.

# %%
model = GPT2.from_pretrained("storybook")

text = "The cat sat on the mat and looked at the moon"
ids = tokenizer.encode(text)
with torch.no_grad():
    logits = model(torch.tensor([ids]))  # (1, T, V)
print(tuple(logits.shape))

# %% [markdown]
# ### What the position t predicts
#
# The logits at position t are about the token that comes *after* t. The model has read the tokens up to t, and no
# further. Here is each token with the model's first choice for what follows it:

# %%
choices = logits[0].argmax(dim=-1).tolist()  # (T,)
for t, (id, choice) in enumerate(zip(ids, choices, strict=True)):
    follows = name(ids[t + 1]) if t + 1 < len(ids) else "(nobody knows)"
    print(
        f"{t:2}  after {name(id):10} the model says {name(choice):10} the text says {follows}"
    )

# %% [markdown]
# Four right guesses, and the others could do as well. This is how such a model is trained: at every position it has to
# guess the next token, all positions at once. And it is why the *last* position continues a text: only there is the next
# token still open.

# %% [markdown]
# ### Exercise 1.2 · ★★☆ · 10 min
#
# Let the computer count the right guesses. Given the logits of one text, (T, V), and its ids, (T,), count the positions
# t whose argmax is the id that really came next, at t + 1. The last position has no next token in the text: leave it out.
#
# Worked by hand: the ids are `[4, 2, 7]`, the argmax of the three positions is `[2, 5, 7]`. At position 0 the model says
# 2, and 2 follows: right. At position 1 it says 5, and 7 follows: wrong. Position 2 does not count. The answer is 1.
# Return a whole number, not a tensor. A text of one token gives 0.


# %% tags=["exercise"]
def count_hits(logits: torch.Tensor, ids: torch.Tensor) -> int:
    """Logits (T, V) and ids (T,) of one text -> how many next ids the argmax got right."""
    ### BEGIN SOLUTION
    guesses = logits[:-1].argmax(dim=-1)  # (T - 1,): of positions 0 to T - 2
    return int((guesses == ids[1:]).sum())
    ### END SOLUTION


# %% tags=["check"]
check.count_hits(count_hits)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1.2</summary>
#
# Shift the two against each other: guesses without the last one, ids without the first. Both have T - 1 entries then.
#
# </details>

# %% [markdown]
# ### Why argmax at every position is not generation
#
# The post decodes the argmax of *all* positions of its prompt, and finds the result coherent enough. Here is that line
# for our text:

# %%
print(tokenizer.decode(choices))

# %% [markdown]
# It has the rhythm of a sentence, and it is none. Look at the table: each of these tokens was said after the words of the
# *text*, not after each other. Side by side stand eleven answers to eleven different questions.
#
# To *generate*, take the last position only, choose one id, append it to the text, and ask again:
#
# ```text
# Once upon a time                  ->  ","       append it, and ask again:
# Once upon a time,                 ->  " there"  append it, and ask again:
# Once upon a time, there           ->  " was"    ...
# ```

# %% [markdown]
# ### Exercise 1.3 · ★★☆ · 10 min
#
# Write that loop. `model` is any function from ids (1, T) to logits (1, T, V). Begin with the list `ids`, and `n` times:
# ask the model about all ids so far, choose greedily at the last position, append. Return the `n` *new* ids, as a list of
# whole numbers, without the prompt; for `n = 0` an empty list. The caller's list `ids` must stay as it is.
#
# Worked by hand: a model that always prefers the id one above the last, asked with `ids = [3, 5]` and `n = 3`, gives
# `[6, 7, 8]`. The check uses a model of our nine words.


# %% tags=["exercise"]
def continue_greedily(model, ids: list[int], n: int) -> list[int]:
    """The n ids that greedy decoding adds to the ids of a prompt; model: (1, T) -> (1, T, V)."""
    ### BEGIN SOLUTION
    sequence = list(ids)  # a copy
    for _ in range(n):
        with torch.no_grad():
            scores = model(torch.tensor([sequence]))[0, -1]  # (V,)
        sequence.append(int(scores.argmax()))
    return sequence[len(ids) :]
    ### END SOLUTION


# %% tags=["check"]
check.continue_greedily(continue_greedily)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1.3</summary>
#
# Begin with a copy of the list. Brackets around it give `torch.tensor` the shape (1, T). Of the logits (1, T, V) you need
# those of the first text at the last position.
#
# </details>

# %% [markdown]
# ### A complete generator, in thirty lines and without classes
#
# Everything so far, and an end: a model says `<|endoftext|>`, the *eos* token, when its text is over. The *temperature* is
# explained at the end of this notebook; 0 means greedy. The function is honest and slow: it reads the whole text again for
# each new token. [Notebook 3](03_greedy_and_the_cache.ipynb) mends that.


# %%
def next_id(logits: torch.Tensor, temperature: float) -> int:
    """Choose an id from logits (V,)."""
    if temperature == 0:
        return logits.argmax().item()  # greedy
    probabilities = F.softmax(logits / temperature, dim=-1)  # (V,)
    return torch.multinomial(probabilities, num_samples=1).item()


def write(model, tokenizer, prompt, max_new_tokens, temperature=0, seed=None):
    """Prompt in, continuation out."""
    if seed is not None:
        torch.manual_seed(seed)
    prompt_ids = tokenizer.encode(prompt)  # text -> ids
    new_ids = []
    while len(new_ids) < max_new_tokens:
        text_so_far = torch.tensor([prompt_ids + new_ids])  # (1, T)
        if text_so_far.shape[1] > model.n_positions:
            break  # the model can look at so many ids and no more
        with torch.no_grad():
            logits = model(text_so_far)  # ids -> logits (1, T, V)
        chosen = next_id(logits[0, -1], temperature)  # logits of the last position -> an id
        if chosen == tokenizer.eos_id:
            break  # the model says that the text is over
        new_ids.append(chosen)
    return tokenizer.decode(new_ids)  # ids -> text


# %%
print(write(model, tokenizer, "Once upon a time", max_new_tokens=30))

# %% tags=["varies"]
for seed in (1, 2):
    text = write(model, tokenizer, "Once upon a time", 30, temperature=0.8, seed=seed)
    print(f"[seed {seed}]", text)

# %% [markdown]
# The library does the same, and computes nothing twice:

# %%
print(generate(model, tokenizer, "Once upon a time", Greedy(), max_new_tokens=30).text)

# %% [markdown]
# ## What `.eval()` changes
#
# While a network is trained, *dropout* switches a random tenth of its values off, each time another tenth. A new
# PyTorch module is in this *train mode*, until somebody calls `.eval()`. The post's snippet does not. Our
# `from_pretrained` has done so for us.

# %% [markdown] tags=["predict"]
# **Predict.** We give the post's prompt to the model 100 times, in train mode, and look at the argmax of its eight
# positions. How many different lines will there be: one, a few, or nearly all?
#
# <details><summary>Answer</summary>
#
# All 100 are different, as the next cell shows: each of the eight positions is disturbed, and one change makes another
# line. In eval mode all 100 are the same.
#
# </details>

# %% tags=["varies"]
prompt = torch.tensor([tokenizer.encode("Hello, I'm a language model,")])  # (1, T)

torch.manual_seed(0)
model.train()
with torch.no_grad():
    # 100 rows, and dropout is another one in each
    lines = model(prompt.expand(100, -1)).argmax(dim=-1).tolist()  # 100 times (T,)
model.eval()

different = Counter(tokenizer.decode(line) for line in lines)
print(len(different), "different lines in train mode, for example")
for line in sorted(different)[:4]:
    print("   ", line)

# %% [markdown]
# Not one position is safe. So often does each agree with the line of eval mode:

# %% tags=["varies"]
in_eval_mode = model(prompt)[0].argmax(dim=-1).tolist()  # (T,)
agree = [sum(line[t] == id for line in lines) for t, id in enumerate(in_eval_mode)]
labels = [f"after {name(id)}" for id in prompt[0].tolist()]
plots.bars(
    labels,
    agree,
    xlabel="of 100 rows in train mode, how many have the argmax of eval mode",
    alt="How often each position's argmax in train mode agrees with eval mode, in 100 rows: "
    + ", ".join(f"{label} {times}" for label, times in zip(labels, agree, strict=True)),
)

# %% [markdown]
# The post prints `, I'm not little expert. and`. In eval mode GPT-2's last choice for this prompt is not " and" but
# " not": others have published it, see below. So the line is one draw in train mode, of many that were possible.
# Everybody forgets `.eval()` once. The sign to remember: *the same input gives different logits.*

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# The post used OpenAI's weights, and so can you: `GPT2.from_pretrained("gpt2")` downloads 548 MB once. What was published:

# %% tags=["needs-weights"]
print("the post, 2024, in train mode:  , I'm not little expert. and")
print(
    "last position, in eval mode:    407 ' not', logit -94.6874; then 290 ' and', -94.768"
)
print("(computed in float64 by the project llm.mojo, data/gauntlet)")
print()

gpt2 = official("gpt2")
if gpt2 is not None:
    with torch.no_grad():
        logits = gpt2(prompt)[0]  # (T, V)
    print("here, in eval mode:", tokenizer.decode(logits.argmax(dim=-1)))
    first, second = logits[-1].topk(2).indices.tolist()
    for id in (first, second):
        print(f"last position: {id} {name(id)}, logit {logits[-1, id]:.4f}")
    print(
        "as published:",
        [first, second] == [407, 290] and abs(logits[-1, 407].item() + 94.6874) < 1e-3,
    )

# %% [markdown]
# ## Where the post ends
#
# Its notes name what comes next. **Temperature** divides the logits before the softmax; **top-k** and **top-p** keep the
# likeliest words only. On our nine words:

# %%
toy_logits = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])  # (V,)
stages = [
    ("the logits", toy_logits),
    ("temperature 0.5", toy_logits / 0.5),
    ("top-k 3", TopK(3)(toy_logits)),
]
plots.next_token_bars(stages, words.__getitem__, top=9)

# %% [markdown]
# Why one would want that: here is a text sampled with nothing of the kind. Dark tokens are those that the model itself
# held for nearly impossible. There are so many of them that now and then one is drawn.

# %%
result = generate(model, tokenizer, "The dog", Sample(), max_new_tokens=30, seed=2)
plots.text_by_probability(
    [tokenizer.decode([id]) for id in result.ids],
    [math.exp(logprob) for logprob in result.model_logprobs],
)

# %% [markdown]
# [Notebook 4](04_temperature_and_entropy.ipynb) and [notebook 6](06_top_k_and_top_p.ipynb) are about what helps.

# %% [markdown]
# ## What to remember
#
# - A model gives logits (B, T, V). The logits at position t are about the token at t + 1.
# - Softmax makes probabilities of them. Only differences between logits matter, and the order stays.
# - Greedy takes the best id, sampling draws one. Either way *one*, at the *last* position; append it, and ask again.
# - The argmax at every position is a row of separate guesses, not a continuation.
# - `.eval()` before you look at a model's answers, or dropout answers for it.
#
# ## Papers and further reading
#
# - The tutorial: [*Logits to Text*](https://github.com/kapilsh/kapilsh.github.io/blob/f1c84578b30c/_posts/2024-07-19-logits-to-text.md), 2024.
# - Radford, Wu, Child, Luan, Amodei, Sutskever 2019: *Language Models are Unsupervised Multitask Learners* (GPT-2).
# - Sennrich, Haddow, Birch 2015: byte-pair encoding, [arXiv:1508.07909](https://arxiv.org/abs/1508.07909).
# - Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014: *Dropout*, JMLR 15.
#
# ## To go further
#
# Let `write` print each token as soon as it is chosen. Then try it with the owl from step 4 in the prompt. Which tokens
# can you not print at once?
