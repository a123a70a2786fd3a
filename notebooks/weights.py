"""OpenAI's weights, where they are on this machine already. A notebook never downloads anything."""

from __future__ import annotations

from gpt2 import GPT2, CheckpointError, HubUnreachableError, ModelNotFoundError


def official(name: str = "gpt2") -> GPT2 | None:
    """The published model of that name from this machine: the folder that GPT2_WEIGHTS names, or the Hub's cache.

    None, and a word about it, where it is not there, or not whole.
    """
    try:
        return GPT2.from_pretrained(name, local_files_only=True)
    except CheckpointError as error:
        print(f"Nothing is compared here: {error}")
    except (HubUnreachableError, ModelNotFoundError):
        print(f"{name} is not on this machine, so nothing is compared here.")
        print(f'GPT2.from_pretrained("{name}") downloads it, once.')
    return None
