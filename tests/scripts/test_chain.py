"""Strategies and processors as they are written on the command line."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import Any

import pytest

import decoding
import decoding.processors
from decoding import (
    DRY,
    BanSequences,
    BanWords,
    DynamicTemperature,
    Force,
    Greedy,
    LogitBias,
    Mirostat,
    PLess,
    PresencePenalty,
    Processor,
    RepetitionPenalty,
    Sample,
    Suppress,
    Tokenizer,
    TopK,
    TopP,
)
from scripts import generate as program
from scripts.chain import (
    BY_FLAG,
    OPTIONS,
    Option,
    add_processors,
    build_processor,
    changes_greedy,
    field_names,
)
from scripts.strategies import Asked, read_strategy, with_negative_values


def read(*arguments: str) -> list[tuple[str, str]]:
    """The processors that generate.py takes from these options."""
    found: list[tuple[str, str]] = program.parse(["hi", *arguments]).processors
    return found


def built(tokenizer: Tokenizer, *arguments: str) -> Processor:
    ((flag, value),) = read(*arguments)
    return build_processor(flag, value, tokenizer)


# -- completeness -----------------------------------------------------------------------------------------------------


def processors_without(options: Sequence[Option]) -> set[str]:
    """The exported processors that none of these options makes."""
    exported = {name for name in decoding.processors.__all__ if isinstance(getattr(decoding.processors, name), type)}
    return exported - {option.cls for option in options}


def test_every_processor_has_an_option() -> None:
    assert processors_without(OPTIONS) == set()
    assert len(BY_FLAG) == len({option.cls for option in OPTIONS}) == len(OPTIONS)  # none has two
    for option in OPTIONS:  # one that is left out is found
        assert processors_without([other for other in OPTIONS if other is not option]) == {option.cls}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_the_example_of_every_option_builds_its_processor(option: Option, tokenizer: Tokenizer) -> None:
    arguments = [f"--{option.flag}", option.example] if option.values else [f"--{option.flag}"]
    processor = built(tokenizer, *arguments)
    assert type(processor) is getattr(decoding, option.cls)
    written = f"sample {shlex.join(arguments)}"
    assert read_strategy(written).build(tokenizer) == Sample(processor)
    assert read_strategy(written.replace("sample", "greedy")).build(tokenizer) == Greedy(processor)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_the_syntax_of_every_option_names_its_parameters(option: Option) -> None:
    """Those that may be left out in brackets, in their order; names of lists are the option's own."""
    if "..." in option.values:
        return
    required, _, rest = option.values.partition("[,")
    optional = [part for part in rest.removesuffix("]").split(",") if part]
    names = [name.upper() for name in field_names(getattr(decoding, option.cls)) if name != "tokenizer"]
    assert len([part for part in required.split(",") if part]) + len(optional) == len(names)
    assert optional == names[len(names) - len(optional) :]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_what_keeps_the_favourite_changes_no_greedy_text(option: Option, tokenizer: Tokenizer, storybook: Any) -> None:
    if option.keeps_favourite:
        strategy = Asked("greedy", ((option.flag, option.example),)).build(tokenizer)
        ids = [
            decoding.generate(storybook, tokenizer, "Once upon", one, max_new_tokens=4, seed=1).ids
            for one in (Greedy(), strategy)
        ]
        assert ids[0] == ids[1]
    assert changes_greedy([("top-k", "3"), (option.flag, option.example)]) != option.keeps_favourite


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "processor"),
    [
        (["--top-p", "0.9"], TopP(0.9)),
        (["--top-p=.9"], TopP(0.9)),
        (["--top-k", "40"], TopK(40)),
        (["--p-less"], PLess()),
        (["--dynamic-temperature", "0.5,1.5"], DynamicTemperature(0.5, 1.5)),
        (["--dynamic-temperature", "0.5,1.5,exponent=2"], DynamicTemperature(0.5, 1.5, 2.0)),
        (["--dynamic-temperature", "HIGH=1.5,low=0.5"], DynamicTemperature(0.5, 1.5)),
        (["--mirostat", "3,0.1,1"], Mirostat(3.0, 0.1, version=1)),
        (["--repetition-penalty", "1.2"], RepetitionPenalty(1.2)),
        (["--repetition-penalty", "1.2,64,no"], RepetitionPenalty(1.2, window=64, include_prompt=False)),
        (["--repetition-penalty", "1.2,include-prompt=No"], RepetitionPenalty(1.2, include_prompt=False)),
        (["--repetition-penalty", "1.2, window = none"], RepetitionPenalty(1.2, window=None)),
        (["--presence-penalty", "-0.5"], PresencePenalty(-0.5)),
        (["--presence-penalty", "-.5,window=64"], PresencePenalty(-0.5, window=64)),
        (["--presence-penalty=-0.5"], PresencePenalty(-0.5)),
        (["--logit-bias", "262=-2.5,13=1"], LogitBias({262: -2.5, 13: 1.0})),
        (["--logit-bias", '" the"=-2.5,.=1'], LogitBias({262: -2.5, 13: 1.0})),
        (["--logit-bias", r'"="=1," \"=2'], None),
        (["--logit-bias", '"="=1'], LogitBias({28: 1.0})),
        (["--logit-bias", r"\n=1"], LogitBias({198: 1.0})),
        (["--suppress", '262," a"'], Suppress([262, 257])),
        (["--suppress", '","'], Suppress([11])),
        (["--suppress", r"\,"], Suppress([11])),
        (["--suppress", '"262"'], Suppress([29119])),
        (["--suppress", "<|endoftext|>"], Suppress([50256])),
        (["--force", '0=11,1=" there"'], Force({0: 11, 1: 612})),
        (["--ban-sequence", '" named"," Lily"'], BanSequences([[3706, 20037]])),
        (["--ban-sequence", '" named Lily"'], BanSequences([[3706, 20037]])),
        (["--ban-sequence", "3706, 20037"], BanSequences([[3706, 20037]])),
    ],
)
def test_values(arguments: list[str], processor: Processor | None, tokenizer: Tokenizer) -> None:
    if processor is None:
        with pytest.raises(ValueError, match="a quotation mark is not closed"):
            built(tokenizer, *arguments)
    else:
        assert built(tokenizer, *arguments) == processor


def test_words_and_breakers_are_texts(tokenizer: Tokenizer) -> None:
    assert built(tokenizer, "--ban-words", r'Lily,"a, b",\"x') == BanWords(["Lily", "a, b", '"x'], tokenizer)
    breakers = DRY.breakers_of(tokenizer, ["\n", ":"])
    assert built(tokenizer, "--dry", r"0.8,breakers=\n:") == DRY(0.8, breakers=breakers)
    assert 198 in breakers and 25 in breakers and 262 not in breakers
    assert built(tokenizer, "--dry", r'0.8,breakers="\n,",window=64') == DRY(
        0.8, breakers=DRY.breakers_of(tokenizer, ["\n", ","]), window=64
    )


def test_numbers_that_look_like_options_are_values() -> None:
    assert with_negative_values(["--presence-penalty", "-1", "-x"]) == ["--presence-penalty=-1", "-x"]
    assert with_negative_values(["--stop", "-1"]) == ["--stop", "-1"]  # no processor: argparse's own to judge
    assert with_negative_values(["--p-less", "-1"]) == ["--p-less", "-1"]
    assert with_negative_values(["--presence-penalty", "--top-k"]) == ["--presence-penalty", "--top-k"]
    assert with_negative_values(["-1", "--", "-1"]) == ["-1", "--", "-1"]


def test_options_may_be_repeated_and_keep_their_order() -> None:  # law 4
    arguments = ["--top-k", "5", "--p-less", "--top-k=3", "--temperature", "0.5"]
    assert read(*arguments) == [("top-k", "5"), ("p-less", ""), ("top-k", "3"), ("temperature", "0.5")]
    assert program.parse(["hi"]).processors == []  # and nothing of it stays for the next time


# -- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("top-p", "much", "'much' is not a number"),
        ("top-p", "", "'' is not a number"),
        ("top-p", "0.9,0.8", "'0.8' is one too many"),
        ("top-p", "q=0.9", "there is no parameter 'q'"),
        ("top-k", "2.5", "'2.5' is not a whole number"),
        ("top-k", str(2**63), "is too large"),
        ("dynamic-temperature", "0.5", "HIGH is missing"),
        ("dynamic-temperature", "low=0.5,1.5", "'1.5' follows one with a name, and so needs one"),
        ("dynamic-temperature", "0.5,low=0.7", "low is given twice"),
        ("repetition-penalty", "1.2,include_prompt=maybe", "'maybe' is neither yes nor no"),
        ("repetition-penalty", "1.2,window=all", "'all' is not a whole number"),
        ("logit-bias", "262", "'262' has no equals sign"),
        ("logit-bias", "262=1,262=2", "262 is given twice"),
        ("logit-bias", "262=much", "'much' is not a number"),
        ("suppress", "262,", "an id is missing"),
        ("suppress", " Lily and", """' Lily and' is 2 tokens, " Lily" " and", and one is wanted"""),
        ("suppress", '" the', "a quotation mark is not closed in '\" the'"),
        ("force", "x=262", "'x' is not a whole number"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_flag_and_syntax(
    flag: str, value: str, words: str, tokenizer: Tokenizer
) -> None:  # law 13
    option = BY_FLAG[flag]
    with pytest.raises(ValueError) as caught:
        build_processor(flag, value, tokenizer)
    said = str(caught.value)
    assert said.startswith(f"--{flag}: ") and words in said and "\n" not in said
    assert said.endswith(f"it is written --{flag} {option.values}, such as --{flag} {shlex.quote(option.example)}")


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.values], ids=lambda option: option.flag)
def test_every_option_refuses_nonsense_in_one_line(
    option: Option, capsys: pytest.CaptureFixture[str], tokenizer: Tokenizer
) -> None:
    refused = []
    for value in ["", '"', "=", ",,", "nan", "1e999", "99999999", "-1"]:
        try:
            build_processor(option.flag, value, tokenizer)
        except ValueError as fault:
            assert str(fault) and "\n" not in str(fault)
            refused.append(value)
    assert refused[:2] == ["", '"']
    with pytest.raises(SystemExit) as caught:
        program.parse(["hi", f"--{option.flag}"])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"--{option.flag}" in error


def test_what_the_class_refuses_is_its_own_sentence(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"^top-p is a probability mass, above 0 and at most 1; got 1\.5$"):
        build_processor("top-p", "1.5", tokenizer)


def test_the_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="x")
    add_processors(parser)
    parser.print_help()
    shown = capsys.readouterr().out
    for option in OPTIONS:
        assert f"--{option.flag} {option.values}".strip() in " ".join(shown.split())
