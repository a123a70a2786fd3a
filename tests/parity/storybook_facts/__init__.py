"""Facts about the bundled model, computed by transformers: what `python -m tests.parity.write_storybook_facts` writes.

They are of the same kinds as those in facts/published.json. Each one takes its `run` and its rules from a published
one, so that `scripts/reproduce.py --model storybook` goes the ways that the official weights will go. Nothing here is
computed by gpt2/ or decoding/: the network, the decoding and the tokenizer are those of transformers.

Ids that are compared must not hang on rounding: along a greedy text the best logit has to be `MARGIN` above the second,
and beams have to come out the same in float64. The writer stops otherwise. Draws depend on PyTorch's generator, which
gives other numbers on other processors: those facts are soft.

    writer.py   transformers' network and tokenizer, and what a fact is made of
    layout.py   the JSON of facts/
    passes.py   logits          inner.py    the cache, hidden states      losses.py   losses, AdamW, perplexities
    texts.py    greedy texts    draws.py    drawn texts                   files.py    checkpoint, config, encodings
    later.py    everything after sampling: beams, penalties, bans, guidance, contrastive search, speculation
"""
