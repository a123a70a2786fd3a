"""GPT2Config: the published shapes, config.json, and the settings that this network does not have."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from gpt2 import GPT2, PUBLISHED, GPT2Config
from tests.gpt2.small import small_config

# name: parameters, layers, heads, width, repository, commit
FACTS = {
    "gpt2": (124_439_808, 12, 12, 768, "openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
    "gpt2-medium": (
        354_823_168, 24, 16, 1024, "openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
    ),
    "gpt2-large": (
        774_030_080, 36, 20, 1280, "openai-community/gpt2-large", "32b71b12589c2f8d625668d2335a01cac3249519",
    ),
    "gpt2-xl": (
        1_557_611_200, 48, 25, 1600, "openai-community/gpt2-xl", "15ea56dee5df4983c59b2538573817e1667135e2",
    ),
    "distilgpt2": (81_912_576, 6, 12, 768, "distilbert/distilgpt2", "2290a62682d06624634c1f46a6ad5be0f47f38aa"),
}  # fmt: skip

# The genuine config.json of each: what all share, what each has besides, and the published sha256 of the file's bytes.
SHARED: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}
GENUINE: dict[str, tuple[dict[str, Any], str]] = {
    "gpt2": ({}, "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4"),
    "gpt2-medium": (
        {"n_embd": 1024, "n_head": 16, "n_layer": 24, "n_special": 0, "predict_special_tokens": True},
        "ef1a44d889ad1a0acc7731c78134f1b87d2d222f110e97dd10fd4117331caf22",
    ),
    "gpt2-large": (
        {"n_embd": 1280, "n_head": 20, "n_layer": 36},
        "7fccdcfd6622055342a734c663ee0b61ff4fd697f42467595df0bf4448c8c170",
    ),
    "gpt2-xl": (
        {"n_embd": 1600, "n_head": 25, "n_layer": 48, "output_past": True},
        "be48115d52314bc27327e160bf10197760db02ea689d10adb24db4102edf7a8a",
    ),
    "distilgpt2": (
        {"n_layer": 6, "_num_labels": 1, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}},
        "4ec5947c1d59fee6212cdf3b0ec1a53eac02092554c5ff0a733488cbd2c64f3a",
    ),
}


def test_there_are_five_published_models() -> None:
    assert list(PUBLISHED) == list(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_published_shape_total_and_commit(name: str) -> None:
    total, n_layer, n_head, n_embd, repository, commit = FACTS[name]
    published = PUBLISHED[name]
    config = published.config
    assert (config.n_layer, config.n_head, config.n_embd) == (n_layer, n_head, n_embd)
    assert (config.n_vocab, config.n_positions, config.inner_width) == (50257, 1024, 4 * n_embd)
    assert config.n_parameters == total
    assert (published.repository, published.revision) == (repository, commit)


@pytest.mark.parametrize("name", FACTS)
def test_published_total_is_the_sum_over_the_network(name: str) -> None:
    with torch.device("meta"):
        model = GPT2(PUBLISHED[name].config)
    assert sum(parameter.numel() for parameter in model.parameters()) == FACTS[name][0]


@pytest.mark.parametrize(
    "changes",
    [{}, {"n_layer": 1}, {"n_inner": 40}, {"n_embd": 12, "n_head": 3}, {"n_vocab": 1, "n_positions": 1}],
)
def test_total_of_odd_shapes(changes: dict[str, int]) -> None:
    config = small_config(**changes)
    assert config.n_parameters == sum(parameter.numel() for parameter in GPT2(config).parameters())


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_config_json(name: str, tmp_path: Path) -> None:
    """The files of the Hub, byte for byte, with all their keys that do not concern the network."""
    besides, sha256 = GENUINE[name]
    text = json.dumps({**SHARED, **besides}, indent=2, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest == sha256
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    assert GPT2Config.from_file(path) == PUBLISHED[name].config


@pytest.mark.parametrize("name", ["gelu_new", "gelu_pytorch_tanh"])
def test_both_names_of_the_tanh_gelu(name: str) -> None:
    assert GPT2Config.from_dict({**SHARED, "activation_function": name}) == GPT2Config()


def test_what_other_writers_spell_out_is_tolerated() -> None:
    """Defaults that newer versions of transformers write into the file, and their common names of the sizes."""
    settings = {
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "add_cross_attention": False,
        "is_encoder_decoder": False,
        "tie_word_embeddings": True,
        "quantization_config": None,
        "pruned_heads": {},
        "dtype": "float32",
        "torch_dtype": "float16",
        "transformers_version": "5.23.0",
        "use_cache": True,
        "pad_token_id": None,
        "hidden_size": 8,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "max_position_embeddings": 5,
        "n_inner": None,
    }
    config = GPT2Config.from_dict(settings)
    assert config == GPT2Config(n_embd=8, n_layer=3, n_head=2, n_positions=5)


def test_every_field_is_read() -> None:
    settings = {
        "vocab_size": 11,
        "n_positions": 7,
        "n_embd": 6,
        "n_layer": 2,
        "n_head": 3,
        "n_inner": 5,
        "layer_norm_epsilon": 1e-6,
        "initializer_range": 0.5,
        "embd_pdrop": 0.2,
        "attn_pdrop": 0.3,
        "resid_pdrop": 0.4,
    }
    assert GPT2Config.from_dict(settings) == GPT2Config(11, 7, 6, 2, 3, 5, 1e-6, 0.5, 0.2, 0.3, 0.4)


def test_the_callers_settings_are_not_changed() -> None:  # law 11
    settings = {**SHARED, "n_layer": 2}
    copy = json.loads(json.dumps(settings))
    GPT2Config.from_dict(settings)
    assert settings == copy


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("activation_function", "gelu"),
        ("activation_function", "relu"),
        ("activation_function", None),
        ("activation_function", ["gelu_new"]),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("reorder_and_upcast_attn", True),
        ("add_cross_attention", True),
        ("is_encoder_decoder", True),
        ("tie_word_embeddings", False),
        ("quantization_config", {"quant_method": "bitsandbytes"}),
        ("pruned_heads", {"0": [1]}),
        ("model_type", "gpt_neo"),
    ],
)
def test_a_setting_that_is_not_implemented_is_named(setting: str, value: object) -> None:  # law 13
    with pytest.raises(ValueError, match=rf"does not implement {setting} = {re.escape(repr(value))}, only "):
        GPT2Config.from_dict({**SHARED, setting: value})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("n_vocab", 0, "whole number of at least 1"),
        ("n_positions", -3, "whole number of at least 1"),
        ("n_embd", 768.0, "whole number of at least 1"),
        ("n_embd", "768", "whole number of at least 1"),
        ("n_layer", True, "whole number of at least 1"),
        ("n_head", None, "whole number of at least 1"),
        ("n_inner", 0, "whole number of at least 1"),
        ("n_head", 7, "multiple of n_head"),
        ("embd_pdrop", 1.0, "at least 0 and below 1"),
        ("attn_pdrop", -0.1, "at least 0 and below 1"),
        ("resid_pdrop", float("nan"), "at least 0 and below 1"),
        ("resid_pdrop", "0.1", "at least 0 and below 1"),
        ("embd_pdrop", None, "at least 0 and below 1"),
        ("layer_norm_epsilon", 0.0, "positive number"),
        ("layer_norm_epsilon", float("nan"), "positive number"),
        ("initializer_range", float("inf"), "positive number"),
        ("initializer_range", [0.02], "positive number"),
    ],
)
def test_a_value_that_no_network_can_have(field: str, value: Any, words: str) -> None:  # law 13
    with pytest.raises(ValueError, match=words) as error:
        GPT2Config(**{field: value})
    assert field in str(error.value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"{'n_layer': 12}", "is not JSON"),
        (b'{"n_layer": 12', "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "one JSON object; it holds a list"),
        (b'"gpt2"', "one JSON object; it holds a str"),
        (b"null", "one JSON object"),
        (b'{"model_type": "bert"}', "model_type = 'bert', only 'gpt2'"),
        (b'{"vocab_size": null}', "whole number of at least 1; got None"),
        (b'{"n_embd": 1e999}', "whole number of at least 1; got inf"),
        (b'{"embd_pdrop": NaN}', "at least 0 and below 1; got nan"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_config_json_that_describes_no_gpt2(content: bytes, words: str, tmp_path: Path) -> None:  # law 13
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        GPT2Config.from_file(path)
    assert str(path) in str(error.value)
