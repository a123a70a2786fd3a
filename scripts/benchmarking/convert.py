"""The checkpoint once more in the files of the peers, with no vocabulary: all that passes is ids."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from gpt2 import GPT2Config

from .files import file_of

GGUF_NAMES = {  # ours -> llama.cpp's
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def convert(folder: Path, kind: str, weights: str) -> None:
    """Write the file of this engine beside the checkpoint, where it needs one of its own."""
    if kind == "llama.cpp":
        write_gguf(folder, weights)
    elif kind == "ctranslate2":
        write_ctranslate2(folder, weights)


def write_gguf(folder: Path, weights: str) -> None:
    """A GGUF file: matrices as the name says; biases, norms and positions float32, as llama.cpp's conversion does.

    The head is not stored: llama.cpp takes the token embedding where there is none.
    """
    import gguf

    config = GPT2Config.from_file(folder / "config.json")
    kinds = gguf.GGMLQuantizationType
    stored = {"f32": kinds.F32, "f16": kinds.F16, "q8_0": kinds.Q8_0}[weights]
    file_types = gguf.LlamaFileType
    file_type = {"f32": file_types.ALL_F32, "f16": file_types.MOSTLY_F16, "q8_0": file_types.MOSTLY_Q8_0}[weights]
    writer = gguf.GGUFWriter(file_of(folder, "llama.cpp", weights), "gpt2")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.n_layer)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(config.inner_width)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(config.n_vocab)
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            tensor = tensor.T  # llama.cpp wants (out, in)
        as_type = stored if tensor.dim() == 2 and name != "wpe.weight" else kinds.F32
        array = gguf.quants.quantize(tensor.contiguous().numpy(), as_type)
        writer.add_tensor(gguf_name(name), array, raw_dtype=as_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """llama.cpp's name of a tensor.

    >>> gguf_name("h.3.mlp.c_fc.bias")
    'blk.3.ffn_up.bias'
    """
    block, part, kind = re.fullmatch(r"(h\.\d+\.)?(.+)\.(weight|bias)", name).groups()  # type: ignore[union-attr]
    return f"{(block or '').replace('h.', 'blk.')}{GGUF_NAMES[part]}.{kind}"


def write_ctranslate2(folder: Path, weights: str) -> None:
    """A folder for CTranslate2, in which the token of an id is its number in digits."""
    from ctranslate2.specs import common_spec, transformer_spec

    config = GPT2Config.from_file(folder / "config.json")
    tensors = load_file(folder / "model.safetensors")

    def fill(spec: Any, name: str) -> None:
        """A norm (gamma, beta), an embedding or a linear layer (weight (out, in), bias)."""
        weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
        if hasattr(spec, "gamma"):
            spec.gamma, spec.beta = weight, bias
            return
        spec.weight = weight.T.contiguous() if bias is not None else weight
        if bias is not None:
            spec.bias = bias

    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        config.n_layer, config.n_head, pre_norm=True, activation=common_spec.Activation.GELUTanh
    )
    spec.config.layer_norm_epsilon = config.layer_norm_epsilon
    decoder = spec.decoder
    decoder.scale_embeddings = False
    fill(decoder.embeddings, "wte")
    decoder.position_encodings.encodings = tensors["wpe.weight"]
    fill(decoder.layer_norm, "ln_f")
    fill(decoder.projection, "wte")
    for n, layer in enumerate(decoder.layer):
        fill(layer.self_attention.layer_norm, f"h.{n}.ln_1")
        fill(layer.self_attention.linear[0], f"h.{n}.attn.c_attn")
        fill(layer.self_attention.linear[1], f"h.{n}.attn.c_proj")
        fill(layer.ffn.layer_norm, f"h.{n}.ln_2")
        fill(layer.ffn.linear_0, f"h.{n}.mlp.c_fc")
        fill(layer.ffn.linear_1, f"h.{n}.mlp.c_proj")
    spec.register_vocabulary([*map(str, range(config.n_vocab))])
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = "0"  # it wants some; none is used
    spec.validate()
    spec.optimize(quantization=weights)
    target = file_of(folder, "ctranslate2", weights).parent
    target.mkdir()
    spec.save(str(target))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
