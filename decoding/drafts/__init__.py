"""What drafts ids for speculation: another model, the first layers of the model, or the text so far."""

from .draft import Draft, Drafter, DraftSession, DraftTask
from .model_draft import ModelDraft
from .prompt_lookup import PromptLookup
from .self_speculative import SelfSpeculative

__all__ = ["Draft", "DraftSession", "DraftTask", "Drafter", "ModelDraft", "PromptLookup", "SelfSpeculative"]
