"""Running published facts about a model: `scripts/reproduce.py` is the command, these are its parts.

fact.py        a fact, and the files in which facts lie
bench.py       what a fact is run on: model, files, tokenizer, data
offline.py     facts that need no weights: tokenizer, configs, layouts of files
forward.py     facts about one pass through the network: logits, losses, the cache, perplexities
writing.py     facts about texts: greedy and sampled ids, and their probabilities
verdict.py     what was expected and what came out, compared
run.py         one fact -> one outcome
report.py      outcomes as a person reads them, and as JSON
tutorial.py    the line that the tutorial prints, explained
"""
