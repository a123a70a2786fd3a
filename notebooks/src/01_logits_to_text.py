# %% [markdown]
# # 1. From logits to text
#
# **Goal.** You know every step between a model's numbers and the words on the screen, and have written three of them.
#
# **Time** 50 minutes · **Needs** some Python, and what a probability is · **Next**
# [2. GPT-2 from scratch](02_gpt2_from_scratch.ipynb)
#
# A language model does not write. It looks at a text and gives every word that it knows a number, the word's *logit*: the
# larger it is, the better the word would fit next. Turning these numbers into text is called *decoding*. The blog post
# *Logits to Text* does it in five steps. So does this notebook, in the same order and with the post's own snippets:
# on nine words, then on numbers drawn at random, then on a real model.

# %% tags=["setup"]
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents]
roots = [folder for folder in folders if (folder / "notebooks" / "checks").is_dir()]
if not roots:
    raise SystemExit("Open this notebook in the project's folder; see notebooks/README.md")
sys.path[:0] = [str(roots[0]), str(roots[0] / "notebooks")]

# %%
from collections import Counter

import torch
import torch.nn.functional as F

from checks import logits_to_text as check
from decoding import Greedy, Sample, Tokenizer, generate, plots
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
logits = torch.tensor(
    [3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0]
)  # (V,): a logit for each word

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
# Nothing. Every weight $e^{z}$ is multiplied by the same $e^{5}$, and the sum too, so it cancels. Only differences
# between logits matter: *mat* is $e^{3.1 - 2.4} \approx 2$ times as likely as *sofa*, whatever else there is.
#
# </details>

# %%
shifted = F.softmax(logits + 5, dim=-1)
print(f"mat: {probabilities[0]:.4f} before, {shifted[0]:.4f} after")

# %% [markdown]
# ### Exercise 1.1 · ★☆☆ · 5 min
#
# Write the softmax yourself, without calling one:
#
# $$p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}$$
#
# For example, the logits $[0, \ln 3]$ give the probabilities $[0.25, 0.75]$. Logits may be large: $e^{1000}$ is `inf` in
# floating point, and `inf / inf` is not a number. You have just seen that the same number may be taken from all logits;
# take away the largest. A logit of $-\infty$ means "impossible" and must get the probability 0.


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
# Two lines: `torch.exp` of the shifted logits, then divide by their `.sum()`. The impossible logit needs no special case.
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
# **Sampling** draws a word: each comes up as often as its probability says. The post does it with `torch.multinomial`. A
# *seed* makes the draws repeatable; another seed would give others.

# %%
torch.manual_seed(1)
drawn = torch.multinomial(probabilities, num_samples=12, replacement=True)  # (12,)
print(" ".join(words[index] for index in drawn))

# %%
drawn = torch.multinomial(probabilities, num_samples=300, replacement=True)  # (300,)
counts = torch.bincount(drawn, minlength=len(words))  # (V,)
plots.frequencies(counts, probabilities, words.__getitem__, title="300 draws")

# %% [markdown]
# Greedy would have said *mat* 300 times. Sampling says *mat* about half of the time, and now and then something odd.
# Neither is right or wrong: [notebook 3](03_greedy_and_the_cache.ipynb) is about the first, [notebook
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


print([name(id) for id in tokenizer.encode("indescribable tokens 🦉")])

# %% [markdown] tags=["predict"]
# **Predict.** Why does the owl make more than one token, and none that you could read?
#
# <details><summary>Answer</summary>
#
# GPT-2's tokenizer works on bytes. The owl is four bytes in UTF-8, and the vocabulary has no single token for all four.
# A piece of a character is no text, so it is shown as bytes. When text is streamed, one has to wait for the rest.
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
# It shows that the machinery runs, no more. And the likeliest of these 50,257 was hardly likelier than the rest:

# %%
plots.next_token_bars([("logits drawn at random", logits[0, -1])], name, top=5)

# %% [markdown]
# Sampling is the post's other choice. Its snippet calls `torch.multinomial` on the probabilities as they are.

# %% [markdown] tags=["predict"]
# **Predict.** `torch.multinomial` takes a row of probabilities, or several rows: (V,) or (R, V). What will it do with
# (1, 10, 50257)?
#
# <details><summary>Answer</summary>
#
# It refuses. The post's snippet is meant for a single position: take the last one first, `probabilities[:, -1]`, which
# has the shape (1, 50257). Why the last one is the next section's question.
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

text = "Once upon a time, there was a little girl"
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
# This is how such a model is trained: at every position it has to guess the next token, all positions at once. And it is
# why the *last* position is the one that continues a text: only there is the next token still open.

# %% [markdown]
# ### Exercise 1.2 · ★★☆ · 10 min
#
# How often did the model guess right? Given the logits of one text, (T, V), and its ids, (T,), count the positions t
# whose argmax is the id that really came next, at t + 1. The last position has no next token in the text: leave it out.
#
# Worked by hand: the ids are `[4, 2, 7]`, the argmax of the three positions is `[2, 5, 7]`. At position 0 the model says
# 2, and 2 follows: right. At position 1 it says 5, and 7 follows: wrong. Position 2 does not count. The answer is 1.
# Return a whole number, not a tensor. A text of one token gives 0.


# %% tags=["exercise"]
def count_hits(logits: torch.Tensor, ids: torch.Tensor) -> int:
    """Logits (T, V) and ids (T,) of one text -> how many next ids the argmax got right."""
    ### BEGIN SOLUTION
    guesses = logits[:-1].argmax(
        dim=-1
    )  # (T - 1,): what positions 0 to T - 2 say about the next one
    return int((guesses == ids[1:]).sum())
    ### END SOLUTION


# %% tags=["check"]
check.count_hits(count_hits)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1.2</summary>
#
# Shift the two against each other: the argmax without its last entry, and the ids without their first.
# Then compare them entry by entry, sum, and make an `int`.
#
# </details>

# %% [markdown]
# ### Why argmax at every position is not generation
#
# The post decodes the argmax of *all* positions of its prompt and finds the result coherent. Here is that line for our
# prompt:

# %%
print(tokenizer.decode(choices))

# %% [markdown]
# It reads nearly like a sentence. But look at the table above: each of these tokens was said after the *prompt's* words,
# not after each other. It is ten answers to ten different questions, side by side. A prompt that the model knows less
# well gives it away:

# %%
prompt = torch.tensor(
    [tokenizer.encode("Hello, I'm a language model,")]
)  # (1, T): the post's own
with torch.no_grad():
    line = model(prompt)[0].argmax(dim=-1)  # (T,)
print(tokenizer.decode(line))

# %% [markdown]
# To *generate*, take the last position only, choose one id, append it to the text, and ask again. One id a round:

# %%
running = tokenizer.encode("Once upon a time")
for _ in range(4):
    with torch.no_grad():
        last = model(torch.tensor([running]))[0, -1]  # (V,): the last position's logits
    best = last.softmax(dim=-1).max(dim=-1)
    print(
        f"{tokenizer.decode(running)!r} -> {name(best.indices.item())} ({best.values:.0%})"
    )
    running = [*running, best.indices.item()]

# %% [markdown]
# ### Exercise 1.3 · ★★☆ · 15 min
#
# Write that loop. `model` is any function from ids (1, T) to logits (1, T, V). Begin with the list `ids`, and `n` times:
# ask the model about all ids so far, choose greedily at the last position, append. Return the `n` *new* ids, as a list of
# whole numbers, without the prompt. The caller's list `ids` must stay as it is.
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
# Begin with `list(ids)`, a copy. `torch.tensor([...])` around the list makes the shape (1, T). The logits that count are
# `[0, -1]`; `.argmax().item()` is the id. At the end cut the prompt off.
#
# </details>

# %% [markdown]
# ### A complete generator, in thirty lines and without classes
#
# Everything so far in one function: greedy if the temperature is 0, sampling otherwise. It is honest and slow: it reads
# the whole text again for each new token. [Notebook 3](03_greedy_and_the_cache.ipynb) mends that.


# %%
def next_id(logits: torch.Tensor, temperature: float) -> int:
    """Choose an id from logits (V,)."""
    if temperature == 0:
        return logits.argmax().item()  # greedy
    probabilities = F.softmax(logits / temperature, dim=-1)  # (V,)
    return torch.multinomial(probabilities, num_samples=1).item()


def write(
    model,
    tokenizer,
    prompt: str,
    max_new_tokens: int,
    temperature: float = 0,
    seed: int | None = None,
) -> str:
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

# %%
for seed in (1, 2):
    print(
        f"[seed {seed}]",
        write(
            model,
            tokenizer,
            "Once upon a time",
            max_new_tokens=30,
            temperature=0.8,
            seed=seed,
        ),
    )

# %% [markdown]
# The library does the same, computes nothing twice, and knows many more ways of choosing:

# %%
print(generate(model, tokenizer, "Once upon a time", Greedy(), max_new_tokens=30).text)

# %% [markdown]
# ## What `.eval()` changes
#
# While a network is trained, *dropout* switches a random tenth of its values off, in each pass another tenth. A new
# PyTorch module is in this *train mode*, until somebody calls `.eval()`. The post's snippet does not. Our
# `from_pretrained` has done so for us.

# %% [markdown] tags=["predict"]
# **Predict.** We take the post's prompt and its argmax line again, 100 times, in train mode. How many different lines of
# eight tokens will there be?
#
# <details><summary>Answer</summary>
#
# Nearly a hundred: the next cell counts them. One position more or less certain of itself is enough to change the line,
# and there are eight. In eval mode all 100 are the same.
#
# </details>

# %%
torch.manual_seed(0)
model.train()
with torch.no_grad():
    lines = (
        model(prompt.expand(100, -1)).argmax(dim=-1).tolist()
    )  # 100 times (T,): each row has dropout of its own
model.eval()

different = Counter(tokenizer.decode(line) for line in lines)
print(len(different), "different lines in train mode, for example")
for line in sorted(different)[:4]:
    print("   ", line)

# %% [markdown]
# Not one position is safe. This is how often each agrees with the line of eval mode:

# %%
in_eval_mode = model(prompt)[0].argmax(dim=-1).tolist()  # (T,)
agree = [sum(line[t] == id for line in lines) for t, id in enumerate(in_eval_mode)]
labels = [f"after {name(id)}" for id in prompt[0].tolist()]
plots.bars(
    labels,
    agree,
    xlabel="of 100 passes in train mode, how many have the argmax of eval mode",
    alt="How often each position's argmax in train mode agrees with eval mode, in 100 passes: "
    + ", ".join(f"{label} {times}" for label, times in zip(labels, agree, strict=True)),
)

# %% [markdown]
# So the line that the post prints, `, I'm not little expert. and`, is one draw among very many. There is nothing wrong
# with its model or its code but a forgotten `.eval()`, and everybody forgets it once. A sign to remember: *the same input
# gives different logits.*

# %% [markdown]
# ## Now with OpenAI's GPT-2
#
# The post used OpenAI's weights, and so can you: `GPT2.from_pretrained("gpt2")` downloads 548 MB once. What was published:

# %% tags=["needs-weights"]
print("printed in the post (2024, in train mode):  , I'm not little expert. and")
print(
    "argmax at the last position in eval mode:   407 ' not', logit -94.6874; then 290 ' and', -94.768"
)
print("    (llm.mojo's float64 reference, data/gauntlet)")
print()

gpt2 = official("gpt2")
if gpt2 is not None:
    with torch.no_grad():
        logits = gpt2(prompt)[0]  # (T, V)
    print("here, in eval mode:", tokenizer.decode(logits.argmax(dim=-1)))
    first, second = logits[-1].topk(2).indices.tolist()
    print(
        f"last position: {first} {name(first)} {logits[-1, first]:.4f}, {second} {name(second)} {logits[-1, second]:.4f}"
    )
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
top_3 = toy_logits.masked_fill(
    toy_logits < toy_logits.topk(3).values[-1], -torch.inf
)  # (V,)
plots.next_token_bars(
    [("the logits", toy_logits), ("temperature 0.5", toy_logits / 0.5), ("top-k 3", top_3)],
    words.__getitem__,
    top=9,
)

# %%
for seed in (1, 2, 3):
    print(
        f"[seed {seed}]",
        generate(model, tokenizer, "The dog", Sample(), max_new_tokens=20, seed=seed).text,
    )

# %% [markdown]
# Plain sampling, as here, strays: among 50,257 ids the many unlikely ones are drawn too often to make sense.
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
# - The tutorial: *Logits to Text*, 2024, and its companion on writing GPT-2.
# - Radford, Wu, Child, Luan, Amodei, Sutskever 2019: *Language Models are Unsupervised Multitask Learners* (GPT-2).
# - Sennrich, Haddow, Birch 2015: byte-pair encoding, [arXiv:1508.07909](https://arxiv.org/abs/1508.07909).
# - Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014: *Dropout*, JMLR 15.
#
# ## To go further
#
# Let `write` print each token as soon as it is chosen. Then try it with the owl from step 4 in the prompt. Which tokens
# can you not print at once?
