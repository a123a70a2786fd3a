"""GPT-2 in plain PyTorch: ids -> logits. It knows nothing of text or of decoding."""

from .checkpoint import CheckpointError
from .config import PUBLISHED, GPT2Config, PublishedModel
from .hub import Source
from .hub_errors import HubUnreachableError, ModelNotFoundError
from .model import GPT2
from .session import Session

__all__ = [
    "GPT2",
    "PUBLISHED",
    "CheckpointError",
    "GPT2Config",
    "HubUnreachableError",
    "ModelNotFoundError",
    "PublishedModel",
    "Session",
    "Source",
]
