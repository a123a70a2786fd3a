"""text <-> ids, with tiktoken and GPT-2's own vocabulary, which lies beside this file: nothing is downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from operator import index
from pathlib import Path

import tiktoken
from torch import Tensor

VOCABULARY = Path(__file__).parent / "vocabulary"
SHA256 = {  # ids and merges follow from vocab.bpe alone; encoder.json spells the ids out, and the tests compare them
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}
ENDOFTEXT = "<|endoftext|>"

# How GPT-2 cuts a text into the pieces that byte-pair encoding then works on: contractions, words and numbers with the
# space before them, runs of other characters, white space (OpenAI's encoder.py).
_PIECES = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


class Tokenizer:
    """GPT-2's byte-level byte-pair encoding: 50,256 strings of bytes and the id of `<|endoftext|>`.

    >>> tokenizer = Tokenizer()
    >>> tokenizer.encode("Hello, I'm a language model,")
    [15496, 11, 314, 1101, 257, 3303, 2746, 11]
    >>> tokenizer.decode([15496, 11])
    'Hello,'
    """

    def __init__(self) -> None:
        ranks = merge_ranks(_verified("vocab.bpe"))
        self.eos_id = len(ranks)  # 50256
        self._encoding = tiktoken.Encoding(
            "gpt2", pat_str=_PIECES, mergeable_ranks=ranks, special_tokens={ENDOFTEXT: self.eos_id}
        )

    @property
    def n_vocab(self) -> int:
        return self._encoding.n_vocab

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """The ids of a text.

        `<|endoftext|>` is ordinary text, as a user may have typed it, unless `allow_special` makes it the one id 50256.
        Raises ValueError for lone surrogates, which stand for no character and cannot be written as UTF-8.
        """
        if not isinstance(text, str):
            raise ValueError(f"encode takes a text; got {text!r}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"character {error.start} of the text, {text[error.start]!r}, is half of a surrogate pair: it stands "
                f"for no character; the text was probably read with a wrong encoding"
            ) from error
        allowed = {ENDOFTEXT} if allow_special else set[str]()
        return self._encoding.encode(text, allowed_special=allowed, disallowed_special=())

    def decode(self, ids: Iterable[int] | Tensor, skip_special_tokens: bool = False) -> str:
        """The text of ids, a list or a tensor of one dimension. Bytes that are no UTF-8 become U+FFFD.

        `skip_special_tokens` leaves `<|endoftext|>` out. Raises ValueError for an id outside of the vocabulary.
        """
        return self.decode_bytes(ids, skip_special_tokens=skip_special_tokens).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int] | Tensor, skip_special_tokens: bool = False) -> bytes:
        """The bytes of ids: what `decode` turns into text."""
        if isinstance(ids, Tensor):
            if ids.dim() != 1:
                raise ValueError(f"decode takes the ids of one row; got a tensor of shape {tuple(ids.shape)}")
            ids = ids.tolist()
        try:
            numbers = [index(id) for id in ids]
        except TypeError as error:
            raise ValueError(f"decode takes the ids of one row, whole numbers; got {ids!r}") from error
        return b"".join(self.token_bytes(id) for id in numbers if not (skip_special_tokens and id == self.eos_id))

    def token_bytes(self, id: int) -> bytes:
        """The bytes that one id stands for; not always whole characters."""
        if not 0 <= id < self.n_vocab:
            raise ValueError(f"ids lie between 0 and {self.n_vocab - 1}; got {id}")
        return self._encoding.decode_single_token_bytes(id)


def merge_ranks(vocab_bpe: bytes) -> dict[bytes, int]:
    """The byte strings of a `vocab.bpe` with their ids, which are also the order in which pairs are merged.

    The file writes each byte as one printable character: itself where it is printable, the next unused character from
    U+0100 on where it is not. The first 256 ids are the bytes in that order; every line then merges two strings.
    """
    printable = [byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
    ranks = {bytes([byte]): rank for rank, byte in enumerate(printable + others)}
    for line in vocab_bpe.decode("utf-8").split("\n")[1:-1]:  # the first line names the version
        ranks[bytes(byte_of[character] for character in line.replace(" ", ""))] = len(ranks)
    return ranks


def _verified(name: str) -> bytes:
    """A file of the vocabulary, exactly as OpenAI published it."""
    try:
        content = (VOCABULARY / name).read_bytes()
    except OSError as error:
        raise ValueError(f"the vocabulary {VOCABULARY / name} cannot be read; install the project anew") from error
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ValueError(f"the vocabulary {VOCABULARY / name} is not OpenAI's file; install the project anew")
    return content
