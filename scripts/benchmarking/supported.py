"""The kinds of weights that CTranslate2 can compute with on this processor: asked in a process of its own."""

from __future__ import annotations

import ctranslate2

if __name__ == "__main__":
    print(*ctranslate2.get_supported_compute_types("cpu"))
