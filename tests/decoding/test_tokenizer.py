"""The tokenizer against published encodings, tiktoken's own reader of the vocabulary, and OpenAI's table of strings."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
import torch
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from decoding import Tokenizer
from decoding import tokenizer as module
from decoding.tokenizer import ENDOFTEXT, SHA256, VOCABULARY, merge_ranks

FACTS = json.loads((Path(__file__).parent / "encodings.json").read_text(encoding="utf-8"))
EOS = 50256

# -- published facts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fact", FACTS["encodings"], ids=lambda fact: fact["fact"])
def test_published_encodings(tokenizer: Tokenizer, fact: dict) -> None:
    assert tokenizer.encode(fact["text"], allow_special=True) == fact["ids"]
    assert tokenizer.decode(fact["ids"]) == fact["text"]


def test_the_line_that_everybody_begins_with(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("Hello, I'm a language model,") == [15496, 11, 314, 1101, 257, 3303, 2746, 11]
    assert len(FACTS["encodings"]) >= 65  # the published ones are there


def test_published_strings_of_the_vocabulary(tokenizer: Tokenizer) -> None:
    """As encoder.json writes them: bytes that are not printable stand as characters from U+0100 on."""
    encoder = json.loads((VOCABULARY / "encoder.json").read_text(encoding="utf-8"))
    assert {id: string for string, id in encoder.items() if str(id) in FACTS["strings"]} == {
        int(id): string for id, string in FACTS["strings"].items()
    }
    assert tokenizer.token_bytes(256) == b" t" and tokenizer.token_bytes(50255) == b" gazed"
    assert tokenizer.n_vocab == len(encoder) == EOS + 1 and tokenizer.eos_id == encoder[ENDOFTEXT] == EOS


# -- the vocabulary ---------------------------------------------------------------------------------------------------


def test_both_files_are_openais() -> None:
    for name, digest in (
        ("vocab.bpe", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
        ("encoder.json", "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
    ):
        assert SHA256[name] == digest == hashlib.sha256((VOCABULARY / name).read_bytes()).hexdigest()


def test_tiktokens_own_reader_gives_the_same_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")  # no copies
    expected = data_gym_to_mergeable_bpe_ranks(str(VOCABULARY / "vocab.bpe"), str(VOCABULARY / "encoder.json"))
    assert merge_ranks((VOCABULARY / "vocab.bpe").read_bytes()) == expected


def test_every_id_has_the_bytes_that_encoder_json_says(tokenizer: Tokenizer) -> None:
    encoder = json.loads((VOCABULARY / "encoder.json").read_text(encoding="utf-8"))
    single = {string: tokenizer.token_bytes(id)[0] for string, id in encoder.items() if id < 256}
    assert sorted(single.values()) == list(range(256))  # every byte once
    for string, id in encoder.items():
        if id != EOS:
            assert tokenizer.token_bytes(id) == bytes(single[character] for character in string)
    assert tokenizer.token_bytes(EOS) == b"<|endoftext|>"


def test_a_tampered_vocabulary_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(VOCABULARY, tmp_path / "vocabulary")
    monkeypatch.setattr(module, "VOCABULARY", tmp_path / "vocabulary")
    assert Tokenizer().encode("a") == [64]  # an exact copy will do
    file = tmp_path / "vocabulary" / "vocab.bpe"
    content = file.read_bytes()
    for tampered in (content.replace(b"h e\n", b"e h\n", 1), content[:-1], content.replace(b"\n", b"\r\n")):
        file.write_bytes(tampered)
        with pytest.raises(ValueError, match=r"vocab.bpe is not OpenAI's file; install the project anew"):
            Tokenizer()
    file.unlink()
    with pytest.raises(ValueError, match=r"vocab.bpe cannot be read; install the project anew"):
        Tokenizer()


def test_nothing_is_downloaded_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the tokenizer must not open a connection")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where tiktoken would put its copy
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    before = sorted(VOCABULARY.iterdir())
    assert Tokenizer().decode(Tokenizer().encode("no cable")) == "no cable"
    assert list(tmp_path.iterdir()) == [] and sorted(VOCABULARY.iterdir()) == before


# -- encode -----------------------------------------------------------------------------------------------------------


def test_endoftext_is_ordinary_text_unless_asked_otherwise(tokenizer: Tokenizer) -> None:
    text = "hello<|endoftext|>"
    assert tokenizer.encode(text) == [31373, 27, 91, 437, 1659, 5239, 91, 29]
    assert tokenizer.encode(text, allow_special=True) == [31373, EOS]
    assert tokenizer.decode(tokenizer.encode(text)) == tokenizer.decode([31373, EOS]) == text


@pytest.mark.parametrize("text, at", [("\ud800", 0), ("ab\udfff", 2), ("a\udc80\ud83d\ude00", 1), ("\ude00\ud83d", 0)])
def test_a_lone_surrogate_is_refused_in_words(tokenizer: Tokenizer, text: str, at: int) -> None:  # law 13
    with pytest.raises(ValueError, match=f"character {at} of the text, .* is half of a surrogate pair"):
        tokenizer.encode(text)


def fuzzed(n: int) -> list[str]:
    """Texts of few kinds of characters: spaces and apostrophes in runs, digits, letters of all lengths, emojis."""
    source = random.Random(20)
    kinds = ["a", "Z", " ", "  ", "\n", "\t", "'s", "'ll", "'", "0", "12", "é", "ß", "日", "😀", "\u00a0", "\u3000"]
    kinds += ["\x00", "\r\n", "!", "...", "<|endoftext|>", "\u200d", "\u0301", " the", "ing", "-", "_", "ñ", "\u2028"]
    return ["".join(source.choices(kinds, k=source.randint(1, 30))) for _ in range(n)]


def test_the_bytes_of_the_ids_are_the_bytes_of_the_text(tokenizer: Tokenizer) -> None:
    for text in fuzzed(2000):
        for allow_special in (False, True):
            ids = tokenizer.encode(text, allow_special=allow_special)
            assert b"".join(tokenizer.token_bytes(id) for id in ids) == tokenizer.decode_bytes(ids) == text.encode()
            assert tokenizer.decode(ids) == text
            assert (EOS in ids) == (allow_special and ENDOFTEXT in text)


# -- decode -----------------------------------------------------------------------------------------------------------


def test_decode_takes_lists_tensors_and_iterators(tokenizer: Tokenizer) -> None:
    ids = [15496, 11, 314]
    for given in (ids, tuple(ids), iter(ids), torch.tensor(ids), torch.tensor(ids, dtype=torch.int32)):
        assert tokenizer.decode(given) == "Hello, I"
    assert tokenizer.decode([]) == tokenizer.decode(torch.tensor([], dtype=torch.int64)) == ""
    for shape in ((1, 3), ()):
        with pytest.raises(ValueError, match="decode takes the ids of one row; got a tensor of shape"):
            tokenizer.decode(torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("bad", [-1, 50257, 10**12])
def test_an_id_outside_of_the_vocabulary_is_refused_in_words(tokenizer: Tokenizer, bad: int) -> None:  # law 13
    for call in (tokenizer.token_bytes, lambda id: tokenizer.decode([0, id]), lambda id: tokenizer.decode_bytes([id])):
        with pytest.raises(ValueError, match=f"ids lie between 0 and 50256; got {bad}"):
            call(bad)


def test_special_tokens_can_be_left_out(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([EOS, 15496, EOS, 11]) == "<|endoftext|>Hello<|endoftext|>,"
    assert tokenizer.decode([EOS, 15496, EOS, 11], skip_special_tokens=True) == "Hello,"
    typed = tokenizer.encode(ENDOFTEXT)
    assert tokenizer.decode(typed, skip_special_tokens=True) == ENDOFTEXT  # what a user typed is text


def test_broken_characters_become_replacement_characters(tokenizer: Tokenizer) -> None:
    first, second = tokenizer.encode("อ")
    assert tokenizer.decode([first, second]) == "อ"
    assert tokenizer.decode([first]) == "\ufffd"
    assert tokenizer.decode([first, 64]) == "\ufffda"
    assert tokenizer.decode_bytes([first]) == "อ".encode()[:2]
