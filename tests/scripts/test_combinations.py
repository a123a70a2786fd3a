"""Models made of others as they are written on the command line."""

from __future__ import annotations

import inspect
import shlex

import pytest
import torch

import decoding
from decoding import ClassifierFreeGuidance, Combined, ContrastiveDecoding, DoLa, LanguageModel, Reprompted, Tokenizer
from gpt2 import GPT2
from scripts import generate as program
from scripts.combinations import BY_FLAG, COMBINATIONS, SETTINGS, read_combination
from scripts.command import UsageError

FIRST = {"model", "expert"}  # what --model names


def test_every_model_made_of_others_has_a_flag_and_every_parameter_a_setting() -> None:
    classes = {getattr(decoding.combine, name) for name in decoding.combine.__all__}
    assert {getattr(decoding, option.cls) for option in COMBINATIONS} == classes - {Combined, Reprompted}
    for option in COMBINATIONS:
        parameters = set(inspect.signature(getattr(decoding, option.cls)).parameters)
        assert set(option.settings.values()) == parameters - FIRST
        assert option.flag in option.settings
    assert {flag for option in COMBINATIONS for flag in option.settings} == set(BY_FLAG)
    assert len(BY_FLAG) == len(SETTINGS)


@pytest.mark.parametrize("option", COMBINATIONS, ids=lambda option: option.flag)
def test_the_example_of_every_setting_can_be_used(option: object, storybook: GPT2, tokenizer: Tokenizer) -> None:
    for option in COMBINATIONS:
        written = [(flag, BY_FLAG[flag].example) for flag in option.settings]
        combination = read_combination(written, tokenizer)
        assert combination is not None
        model = combination.build(storybook, lambda name: storybook.early_exit(2))
        assert type(model) is getattr(decoding, option.cls)
        assert combination.title(model).startswith(repr(model))


def logits(model: LanguageModel) -> torch.Tensor:
    session = model.open()
    session.extend(torch.tensor([[7454, 2402]]))
    return session.extend(torch.tensor([[257]]))[0, -1]


@pytest.mark.parametrize(
    "text",
    [
        "--amateur small --plausibility 0.3 --amateur-temperature 0.5",
        "--guidance-scale -0.5 --negative-prompt 'A big dog'",
        "--guidance-scale 3",
        "--dola 1,3 --plausibility 0",
    ],
)
def test_it_is_the_model_that_the_class_makes(text: str, storybook: GPT2, tokenizer: Tokenizer) -> None:
    words = shlex.split(text)
    written = [(flag.removeprefix("--"), value) for flag, value in zip(words[::2], words[1::2], strict=True)]
    small = storybook.early_exit(2)
    combination = read_combination(written, tokenizer)
    assert combination is not None
    expected: dict[str, LanguageModel] = {
        "amateur": ContrastiveDecoding(storybook, small, alpha=0.3, temperature=0.5),
        "guidance-scale": ClassifierFreeGuidance(
            storybook, tokenizer.encode("A big dog") if "dog" in text else None, scale=-0.5 if "dog" in text else 3.0
        ),
        "dola": DoLa(storybook, [1, 3], alpha=0.0),
    }
    model = combination.build(storybook, lambda name: {"small": small}[name])
    assert torch.equal(logits(model), logits(expected[combination.option.flag]))


def test_without_options_there_is_none(tokenizer: Tokenizer) -> None:
    assert read_combination([], tokenizer) is None


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--amateur", "storybook", "--dola", "2"], 2, "--amateur and --dola make different models; take one"),
        (["--plausibility", "0.2"], 2, "--plausibility belongs to --amateur or --dola"),
        (["--guidance-scale", "2", "--plausibility", "0.2"], 2, "--plausibility belongs to --amateur or --dola"),
        (["--negative-prompt", "x"], 2, "--negative-prompt belongs to --guidance-scale"),
        (["--guidance-scale", "2", "--negative-prompt", ""], 2, "--negative-prompt is empty; leave it out for none"),
        (
            ["--guidance-scale", "-inf"],
            1,
            "--guidance-scale: scale is how much the prompt counts, a number such as 1.5",
        ),
        (["--guidance-scale", "much"], 2, "--guidance-scale: 'much' is not a number; it is written --guidance-scale X"),
        (["--dola", "0,x"], 2, "--dola: 'x' is not a whole number; it is written --dola LAYERS, such as --dola 2,4"),
        (["--dola", ""], 2, "--dola: '' is not a whole number"),
        (["--dola", "9"], 1, "--dola: layers are some of 0 to 5"),
        (["--dola", "2", "--dola", "3"], 2, "--dola is given twice"),
        (["--dola", "2", "--plausibility", "2"], 1, "--plausibility: alpha is the share"),
        (["--amateur", "nobody"], 1, "there is no model 'nobody'"),
        (["--amateur", "storybook", "--amateur-temperature", "0"], 1, "--amateur-temperature: temperature is what the"),
        (["--dola", "2", "--strategy", "contrastive-search"], 1, "contrastive search needs a model that shows hidden"),
        (["--guidance-scale", "2", "--early-exit", "2"], 1, "self-speculation drafts with the layers"),
        (["--guidance-scale", "2", "--negative-prompt", "word " * 600], 1, "more than the model's 512 positions"),
    ],
)
def test_a_mistake_is_one_line(options: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["hi", "--model", "storybook", *options]) == code  # law 13
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert output.err.startswith(f"generate.py: {said}") or said in output.err


def test_an_amateur_with_another_vocabulary_is_refused_by_both_numbers(storybook: GPT2, tokenizer: Tokenizer) -> None:
    combination = read_combination([("amateur", "toy")], tokenizer)
    assert combination is not None
    with pytest.raises(ValueError, match="one vocabulary; got 50257 and 5 ids"):
        combination.build(storybook, lambda name: decoding.TableModel.random(5, 9, seed=1))


def test_a_flag_is_read_with_the_amateur_left_unloaded(tokenizer: Tokenizer) -> None:
    combination = read_combination([("amateur", "gpt2-xl")], tokenizer)
    assert combination is not None and combination.arguments == {"amateur": "gpt2-xl"}
    with pytest.raises(UsageError):
        read_combination([("amateur", "a"), ("guidance-scale", "2")], tokenizer)
