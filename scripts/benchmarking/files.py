"""Which file each engine reads its weights from."""

from __future__ import annotations

from pathlib import Path


def file_of(folder: Path, kind: str, weights: str) -> Path:
    """The file of this engine in the folder of the checkpoint."""
    if kind == "llama.cpp":
        return folder / f"{weights}.gguf"
    if kind == "ctranslate2":
        return folder / f"ctranslate2-{weights}" / "model.bin"
    return folder / "model.safetensors"
