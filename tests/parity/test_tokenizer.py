"""Our tokenizer (tiktoken) against transformers' (tokenizers), both built from the shipped vocabulary.

Two regex engines, each with Unicode tables of its own, cut the text into pieces. `DIFFERENCES` lists every code point
on which they disagree: with tiktoken 0.14.0 and tokenizers 0.23.3 there is none.
"""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
import tiktoken

from decoding import Tokenizer
from decoding import tokenizer as our_module
from decoding.tokenizer import ENDOFTEXT, VOCABULARY

if TYPE_CHECKING:
    from transformers import GPT2Tokenizer

pytestmark = pytest.mark.parity

DIFFERENCES: list[int] = []  # code points that one engine takes for a letter, number or space and the other does not
CODE_POINTS = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]  # all but surrogates


@pytest.fixture(scope="module")
def theirs() -> GPT2Tokenizer:
    from transformers import GPT2Tokenizer

    merges = (VOCABULARY / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    return GPT2Tokenizer(
        vocab=json.loads((VOCABULARY / "encoder.json").read_text(encoding="utf-8")),
        merges=[tuple(line.split(" ")) for line in merges],
        add_prefix_space=False,
    )


def encoded(theirs: GPT2Tokenizer, texts: list[str]) -> list[list[int]]:
    return theirs(texts, return_attention_mask=False)["input_ids"]


def decoded(theirs: GPT2Tokenizer, rows: list[list[int]]) -> list[str]:
    return theirs.batch_decode(rows, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def with_pattern(pattern: str) -> Callable[[str], list[int]]:
    """A mutant: our tokenizer, cutting texts by another pattern."""
    ranks = our_module.merge_ranks((VOCABULARY / "vocab.bpe").read_bytes())
    return tiktoken.Encoding("mutant", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}).encode


# -- the vocabulary ---------------------------------------------------------------------------------------------------


def test_every_id_alone(theirs: GPT2Tokenizer, tokenizer: Tokenizer) -> None:
    rows = [[id] for id in range(50257)]
    assert len(theirs) == tokenizer.n_vocab == len(rows)
    assert theirs.eos_token_id == tokenizer.eos_id
    assert [tokenizer.decode(row) for row in rows] == decoded(theirs, rows)


def test_random_ids_that_are_no_text(theirs: GPT2Tokenizer, tokenizer: Tokenizer) -> None:
    """What models write need not be UTF-8: as many U+FFFD, at the same places."""
    dice = random.Random(0)
    rows = [dice.choices(range(50257), k=8) for _ in range(3000)]
    rows += [dice.choices(range(256), k=8) for _ in range(3000)]  # single bytes
    texts = [tokenizer.decode(row) for row in rows]
    assert texts == decoded(theirs, rows)
    assert sum("\ufffd" in text for text in texts) > 3000


def test_endoftext_is_text_here_and_special_there(theirs: GPT2Tokenizer, tokenizer: Tokenizer) -> None:
    """A user may have typed it, so we make it the one id only when asked to."""
    text = f"The end.{ENDOFTEXT}{ENDOFTEXT} Once<|endoftext"
    assert tokenizer.encode(text, allow_special=True) == theirs(text)["input_ids"]
    assert tokenizer.encode(text) == theirs(text, split_special_tokens=True)["input_ids"]
    assert tokenizer.encode(text) != tokenizer.encode(text, allow_special=True)
    ids = tokenizer.encode(text, allow_special=True)
    assert tokenizer.decode(ids) == theirs.decode(ids)
    assert tokenizer.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)


# -- every code point -------------------------------------------------------------------------------------------------


def probe(code: int) -> str:
    """A text that is cut differently for each kind of character.

    A symbol takes the apostrophe behind it along, everything else leaves the contraction whole; white space leaves the
    line ends before it together. Letter or number makes no difference to the ids: no merge joins the two.
    """
    return f"\n\n{chr(code)}'s"


def test_the_probe_tells_kinds_apart(tokenizer: Tokenizer) -> None:
    def whole(code: int) -> tuple[bool, bool]:
        ids = tokenizer.encode(probe(code))
        return 338 in ids, 628 in ids  # "'s" and "\n\n"

    assert [whole(ord(letter)) for letter in "éю漢"] == [(True, False)] * 3
    assert [whole(ord(number)) for number in "½८Ⅷ"] == [(True, False)] * 3
    assert [whole(ord(symbol)) for symbol in "⊕\u0301\u200b"] == [(False, False)] * 3
    assert [whole(ord(space)) for space in "\u2003\u0085\u3000"] == [(True, True)] * 3


def differences(theirs: GPT2Tokenizer, encode: Callable[[str], list[int]], codes: Sequence[int]) -> list[int]:
    """The code points whose probe is encoded differently. A thousand at a time, and one by one where those differ."""
    chunks = [codes[start : start + 1000] for start in range(0, len(codes), 1000)]
    texts = ["".join(map(probe, chunk)) for chunk in chunks]
    found = []
    for chunk, text, ids in zip(chunks, texts, encoded(theirs, texts), strict=True):
        if encode(text) != ids:
            alone = encoded(theirs, list(map(probe, chunk)))
            found += [code for code, ids in zip(chunk, alone, strict=True) if encode(probe(code)) != ids]
    return found


def test_every_code_point(theirs: GPT2Tokenizer, tokenizer: Tokenizer) -> None:
    found = differences(theirs, tokenizer.encode, CODE_POINTS)
    assert found == DIFFERENCES, [f"U+{code:04X} {unicodedata.category(chr(code))}" for code in found[:50]]


def test_one_code_point_in_another_table_is_caught(theirs: GPT2Tokenizer, tokenizer: Tokenizer) -> None:
    """The mutant's Unicode takes the symbol for degrees Celsius, U+2103, for a letter."""
    encode = with_pattern(our_module._PIECES.replace(r" ?\p{L}", r" ?[\p{L}℃]").replace(r"\s\p{L}", r"\s\p{L}℃"))
    assert differences(theirs, encode, range(0x1000, 0x3000)) == [0x2103]


def test_every_code_point_comes_back(tokenizer: Tokenizer) -> None:
    text = "".join(map(chr, CODE_POINTS))
    assert tokenizer.decode(tokenizer.encode(text)) == text


# -- fuzzed texts -----------------------------------------------------------------------------------------------------

RANGES = [
    (0x21, 0x7E), (0xA1, 0x24F), (0x250, 0x2FF), (0x370, 0x3FF), (0x400, 0x4FF), (0x531, 0x58F), (0x5D0, 0x5EA),
    (0x600, 0x6FF), (0x900, 0x97F), (0xE01, 0xE5B), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1E00, 0x1EFF),
    (0x3041, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x10400, 0x1044F), (0x1D400, 0x1D7FF), (0x20000, 0x2A6DF),
]  # fmt: skip
SPACES = " \t\n\r\v\f\x1c\x1f\x85\u00a0\u1680\u2000\u2003\u2028\u2029\u202f\u205f\u3000"
DIGITS = "0123456789٠٣०९๑୭０９²³¹½¾ⅧⅫ①⑳㊿一二\U0001d7ce\U00010107"
MARKS = "\u0300\u0301\u0308\u0327\u0345\u0903\u093e\u094d\u0e31\u20dd\u20e3\u3099\ufe0e\ufe0f\U000e0100"
INVISIBLE = "\x00\x01\x07\x08\x1b\x7f\x80\x9f\u00ad\u180e\u200b\u200c\u200d\u200e\u202e\u2060\ufeff\ufff9"
UNASSIGNED = "\u0378\u0530\u2fe0\ue000\uf8ff\ufdd0\ufffe\uffff\U0001fffe\U000e0080\U000f0000\U0010ffff"
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇫", "1️⃣", "❤️", "🧑🏿‍🚀", "🫠", "😀", "©", "™️"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "’s", "''s", "'", "'lls", "'ſ", " 's", "'Sam"]
WORDS = [
    "the",
    " a",
    " house",
    "Hello",
    "WORLD",
    " naïve",
    "straße",
    " İstanbul",
    "don't",
    " http://x.y/z?q=1",
    "_",
    "--",
]


def fuzzed(count: int, seed: int) -> list[str]:
    """Texts of 1 to 12 parts: of one kind, or of all kinds mixed."""
    dice = random.Random(seed)

    def characters(most: int) -> str:
        first, last = dice.choice(RANGES)
        return "".join(chr(dice.randint(first, last)) for _ in range(dice.randint(1, most)))

    kinds: list[Callable[[], str]] = [
        lambda: characters(8),
        lambda: characters(1),
        lambda: "".join(dice.choices(SPACES, k=dice.randint(1, 4))),
        lambda: " " * dice.randint(1, 9),
        lambda: "".join(dice.choices(DIGITS, k=dice.randint(1, 6))),
        lambda: "".join(dice.choices(MARKS, k=dice.randint(1, 3))),
        lambda: dice.choice(INVISIBLE),
        lambda: dice.choice(UNASSIGNED),
        lambda: chr(dice.choice(CODE_POINTS)),
        lambda: dice.choice(EMOJI),
        lambda: dice.choice(CONTRACTIONS),
        lambda: dice.choice(WORDS),
    ]
    texts = []
    for _ in range(count):
        some = kinds if dice.random() < 0.5 else dice.choices(kinds, k=3)
        texts.append("".join(dice.choice(some)() for _ in range(dice.randint(1, 12))))
    return texts


def test_fuzzed_texts(theirs: GPT2Tokenizer, tokenizer: Tokenizer) -> None:
    texts = fuzzed(60_000, seed=0)
    assert len(set(texts)) > 50_000
    ours = [tokenizer.encode(text) for text in texts]
    for text, ids, expected in zip(texts, ours, encoded(theirs, texts), strict=True):
        assert ids == expected, ascii(text)
    for text, ids, expected in zip(texts, ours, decoded(theirs, ours), strict=True):
        assert tokenizer.decode(ids) == expected == text, ascii(text)


def test_long_runs(theirs: GPT2Tokenizer, tokenizer: Tokenizer) -> None:
    """Where an engine may give up, or merge in another order: the same character thousands of times."""
    texts = [
        part * 3000 for part in (" ", "\n", "a", "é", "1", "=", "'s", " a", "\u3000", "😀", "\t ", "\r\n", "\u0301")
    ]
    assert [tokenizer.encode(text) for text in texts] == encoded(theirs, texts)


PATTERNS = {
    "English letters only": r"""'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]++| ?\p{N}++| ?[^\sA-Za-z\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "digits for numbers": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?[0-9]++| ?[^\s\p{L}0-9]++|\s++$|\s+(?!\S)|\s""",
    "contractions in capitals": r"""'(?i:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "white space in one piece": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++""",
}


@pytest.mark.parametrize("mutant", PATTERNS)
def test_a_wrong_pattern_is_caught(mutant: str, theirs: GPT2Tokenizer, tokenizer: Tokenizer) -> None:
    texts = fuzzed(500, seed=1)
    expected = encoded(theirs, texts)
    assert [tokenizer.encode(text) for text in texts] == expected
    assert list(map(with_pattern(PATTERNS[mutant]), texts)) != expected
