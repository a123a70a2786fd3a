"""From bytes to text as it is made (law 10), against a reference that looks at one byte after another."""

from __future__ import annotations

import random

import pytest

from decoding import Greedy, Tokenizer, generate, stream
from decoding.text import Stops, TextStream
from gpt2 import GPT2
from tests.decoding.models import scripted

# -- the slow reference -----------------------------------------------------------------------------------------------


def slow_find(text: bytes, stops: list[bytes]) -> tuple[int, int] | None:
    """The stop that is complete first, of those complete at the same byte the longest: its start and end."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return end - max(map(len, found)), end
    return None


def slow_pending(text: bytes, stops: list[bytes]) -> int:
    """The longest end of `text` with which a stop begins but does not end."""
    lengths = [length for stop in stops for length in range(1, len(stop)) if text.endswith(stop[:length])]
    return max(lengths, default=0)


def slow_text(text: bytes, stops: list[bytes]) -> str:
    found = slow_find(text, stops)
    return (text if found is None else text[: found[0]]).decode("utf-8", errors="replace")


def streamed(chunks: list[bytes], stops: Stops) -> list[str]:
    texts = TextStream(stops)
    return [*(texts.push(chunk) for chunk in chunks), texts.close()]


def cut(text: bytes, source: random.Random, longest: int) -> list[bytes]:
    """The text in pieces of random lengths."""
    chunks = []
    while text:
        length = source.randint(1, longest)
        chunks.append(text[:length])
        text = text[length:]
    return chunks


def cases(n: int) -> list[tuple[bytes, list[str]]]:
    """Texts of few different characters and stops made from the same: overlaps, prefixes and repeats are everywhere.

    The alphabets have one, two, three and four bytes a character; every third text has bytes that are no UTF-8.
    """
    source = random.Random(10)
    alphabets = ["ab", "aab\n", "aé", "éè", "日本a", "😀😁b", "ab日😀"]  # é and è, and the emojis, begin alike
    found = []
    for number in range(n):
        alphabet = source.choice(alphabets)
        text = "".join(source.choices(alphabet, k=source.randint(0, 14))).encode("utf-8")
        if number % 3 == 0:
            at = source.randint(0, len(text))
            text = text[:at] + bytes(source.choices([0x80, 0xC3, 0xE6, 0xF0, 0x9F, 0xFF], k=2)) + text[at:]
        stops = ["".join(source.choices(alphabet, k=source.randint(1, 4))) for _ in range(source.randint(0, 3))]
        found.append((text, stops))
    return found


CASES = cases(3000)


# -- laws -------------------------------------------------------------------------------------------------------------


def test_find_and_pending_are_what_one_byte_after_another_gives() -> None:
    stopped = 0
    for text, strings in CASES:
        stops, encoded = Stops(strings), [string.encode("utf-8") for string in strings]
        assert stops.find(text) == slow_find(text, encoded), (text, strings)
        assert stops.pending(text) == slow_pending(text, encoded), (text, strings)
        stopped += stops.find(text) is not None
    assert 500 < stopped < 2500  # both happen often


def test_the_text_is_the_same_however_it_is_cut() -> None:
    source = random.Random(1)
    for text, strings in CASES:
        expected = slow_text(text, [string.encode("utf-8") for string in strings])
        for longest in (1, 3, 6):
            pieces = streamed(cut(text, source, longest), Stops(strings))
            assert "".join(pieces) == expected, (text, strings)


def test_only_what_is_certain_is_printed_and_all_of_it_at_once() -> None:
    """Nothing may be taken back later, and nothing is held that can no longer become a stop or a character."""
    source = random.Random(2)
    for text, strings in CASES:
        encoded = [string.encode("utf-8") for string in strings]
        texts, printed, so_far = TextStream(Stops(strings)), "", b""
        for chunk in cut(text, source, 4):
            printed, so_far = printed + texts.push(chunk), so_far + chunk
            if slow_find(so_far, encoded) is not None:
                assert texts.stopped
                break
            certain = so_far[: len(so_far) - slow_pending(so_far, encoded)]
            unfinished = 0  # bytes of a character that more bytes could finish
            for length in (1, 2, 3):
                end = certain[-length:]
                if len(end) == length and any(could_begin(end, first) for first in (2, 3, 4)):
                    unfinished = length
            assert printed == certain[: len(certain) - unfinished].decode("utf-8", errors="replace"), (text, strings)


def could_begin(end: bytes, length: int) -> bool:
    """Whether some character of `length` bytes begins with these fewer bytes."""
    seconds = (b"\x80", b"\x90", b"\xa0") if len(end) == 1 else (b"",)  # not every lead allows every second byte
    return len(end) < length and any(is_one_character((end + second).ljust(length, b"\x80")) for second in seconds)


def is_one_character(text: bytes) -> bool:
    try:
        return len(text.decode("utf-8")) == 1
    except UnicodeDecodeError:
        return False


def test_without_holding_back_the_beginning_of_a_stop_would_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [b"on", b"ce E", b"N", b"D upon"]
    assert streamed(chunks, Stops(["END"])) == ["on", "ce ", "", "", ""]
    monkeypatch.setattr(Stops, "pending", lambda self, text: 0)  # the mutant
    assert "".join(streamed(chunks, Stops(["END"]))) != "once "


def test_every_byte_is_printed_once_and_broken_ones_as_replacement_characters() -> None:
    none = Stops([])
    assert streamed([b"\xf0", b"\x9f", b"\x98", b"\x80!"], none) == ["", "", "", "😀!", ""]
    assert streamed([b"a\xff", b"b"], none) == ["a\ufffd", "b", ""]
    assert streamed([b"\xe6\x97", b"a"], none) == ["", "\ufffda", ""]  # it can no longer become a character
    assert streamed([b"a\xf0\x9f"], none) == ["a", "\ufffd"]  # nothing follows
    assert streamed([b"a\xf0\x9fEND", b"x"], Stops(["END"])) == ["a\ufffd", "", ""]


def test_the_published_streams() -> None:
    """E-stream-decode of the golden facts: a character spread over tokens comes out with its last byte."""
    thai = [Tokenizer().token_bytes(id) for id in (19567, 255, 19567, 109)]
    for groups, step, expected in (
        ([[0], [1], [2], [3]], 4, "ั"),
        ([[0, 1, 2, 3]], 1, "อั"),
        ([[0], [1, 2, 3]], 2, "อั"),
        ([[0], [1]], 2, "อ"),
        ([[0], [1], [2, 3]], 3, "ั"),
    ):
        texts = TextStream(Stops([]))
        assert [texts.push(b"".join(thai[n] for n in group)) for group in groups][step - 1] == expected


def test_the_stop_that_is_complete_first_counts() -> None:
    assert Stops(["abcd", "bc"]).find(b"xabcd") == (2, 4)
    assert Stops(["bc", "abc"]).find(b"xabcabc") == (1, 4)  # complete at the same byte: the longest
    assert Stops(["aab"]).find(b"aaab") == (1, 4)
    assert Stops([]).find(b"anything") is None


def test_completed_by_names_the_token_in_which_a_stop_ends() -> None:
    source = random.Random(4)
    asked = 0
    for text, strings in CASES:
        encoded = [string.encode("utf-8") for string in strings]
        chunks = cut(text, source, 4)
        completed = Stops(strings).completed_by(lambda id, chunks=chunks: chunks[id])
        if not strings:
            assert completed is None
            continue
        assert completed is not None
        found = slow_find(text, encoded)
        for last in range(len(chunks)):
            seen = len(b"".join(chunks[: last + 1]))
            ends_here = found is not None and seen - len(chunks[last]) < found[1] <= seen
            assert completed(range(last + 1)) == ends_here, (chunks, strings)
            asked += 1
            if ends_here:
                break
    assert asked > 5000


def test_a_stop_as_bare_string_and_an_empty_stop_are_refused_in_words() -> None:  # law 13
    with pytest.raises(ValueError, match=r"stops are a list of strings, .*; got 'END'"):
        Stops("END")
    with pytest.raises(ValueError, match="an empty stop would end every text"):
        Stops(["END", ""])


# -- end to end -------------------------------------------------------------------------------------------------------


def test_a_stop_inside_a_token(tokenizer: Tokenizer) -> None:
    """The text ends before it; the ids keep the id that completed it, with all its bytes."""
    hello, world, eos = 15496, 995, tokenizer.eos_id
    model = scripted(tokenizer.n_vocab, 1, [hello, world, world, eos])
    result = generate(model, tokenizer, "a", Greedy(), max_new_tokens=9, stop=["o w"])
    assert (result.text, result.ids, result.finish_reason) == ("Hell", [hello, world], "stop")
    result = generate(model, tokenizer, "a", Greedy(), max_new_tokens=9, stop=["orl"])
    assert (result.text, result.ids, result.finish_reason) == ("Hello w", [hello, world], "stop")
    result = generate(model, tokenizer, "a", Greedy(), max_new_tokens=9, stop=["world w"])
    assert result.ids == [hello, world, world]


def test_eos_stays_in_the_ids_and_not_in_the_text(tokenizer: Tokenizer) -> None:
    hello, eos = 15496, tokenizer.eos_id
    model = scripted(tokenizer.n_vocab, 1, [hello, eos])
    result = generate(model, tokenizer, "a", Greedy(), max_new_tokens=9, stop=["Hello!", "<|endoftext|>"])
    assert (result.text, result.ids, result.finish_reason) == ("Hello", [hello, eos], "eos")  # what was held comes out


def test_stops_are_matched_in_the_new_text_only(tokenizer: Tokenizer) -> None:
    """Not in the prompt, and not across its end."""
    prompt, new = "hello he", tokenizer.encode("llo w")
    model = scripted(tokenizer.n_vocab, len(tokenizer.encode(prompt)), new)
    result = generate(model, tokenizer, prompt, Greedy(), max_new_tokens=len(new), stop=["hello"])
    assert (result.text, result.finish_reason) == ("llo w", "length")
    result = generate(model, tokenizer, prompt, Greedy(), max_new_tokens=len(new), stop=["lo"])
    assert (result.text, result.finish_reason) == ("l", "stop")


def test_a_character_of_several_tokens_is_streamed_whole(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a 😀 b")
    pieces = list(
        stream(scripted(tokenizer.n_vocab, 1, ids), tokenizer, "a", Greedy(), max_new_tokens=len(ids), stop=["zz"])
    )
    assert "".join(piece.text for piece in pieces) == "a 😀 b"
    assert len(pieces) == len(ids) and not any("\ufffd" in piece.text for piece in pieces)
    broken = list(stream(scripted(tokenizer.n_vocab, 1, ids), tokenizer, "a", Greedy(), max_new_tokens=2))
    assert broken[-1].text.endswith("\ufffd")  # cut by the length in the middle of the character


def test_stops_of_a_story(storybook: GPT2, tokenizer: Tokenizer) -> None:
    prompt = "Once upon a time"
    whole = generate(storybook, tokenizer, prompt, Greedy(), max_new_tokens=25)
    assert len(whole.text) > 60
    for start, length in ((10, 1), (20, 3), (33, 9)):
        stop = whole.text[start : start + length]
        result = generate(storybook, tokenizer, prompt, Greedy(), max_new_tokens=25, stop=["never said", stop])
        assert result.finish_reason == "stop"
        assert result.text == whole.text[: whole.text.index(stop)]
        assert result.ids == whole.ids[: len(result.ids)]
        assert stop in tokenizer.decode(result.ids) and stop not in tokenizer.decode(result.ids[:-1])


def test_a_stop_that_is_no_text_is_refused_in_words() -> None:  # law 13
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        Stops(["\udc80"])
