"""What turns a document into the value that users read: a model of pydantic, or any type that it can check.

It loads pydantic. So it is loaded on the thread of a user, and never by a thread of ours.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from zkdiscovery.config.documents import Document
from zkdiscovery.config.encrypted import Encrypted
from zkdiscovery.errors import InvalidDocument

M = TypeVar("M")

MOST_REASONS = 5  # in one message

Validate = Callable[[Document], Any]  # raises InvalidDocument


def validator(model: Any) -> Validate:
    """Return what makes values of a model.

    Args:
        model: a pydantic model, a dataclass, a TypedDict or any other type that pydantic can check; None: dict.

    Raises:
        TypeError: pydantic can't check it.
    """
    try:
        adapter = TypeAdapter(dict[str, Any] if model is None else model)
    except (PydanticUserError, TypeError) as error:
        raise TypeError(f"a model must be a type that pydantic can check: got {model!r:.80}: {error!r:.200}") from None

    def validate(document: Document) -> Any:
        # By the rules of JSON, in which a list is a tuple. A model gets the values that are encrypted; a dict does not.
        text = json.dumps(document, default=Encrypted.reveal)
        if model is None:
            return copy.deepcopy(document)
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            raise InvalidDocument(reason_of(error)) from None
        except Exception as error:  # a validator of users may raise anything
            raise InvalidDocument(f"the model failed: {type(error).__name__}") from error

    return validate


def reason_of(error: ValidationError) -> str:
    """Return why a model refuses a document, in one line and without its values."""
    entries = error.errors(include_input=False, include_url=False, include_context=False)
    reasons = [f"{'.'.join(map(str, entry['loc'])) or 'the document'}: {entry['msg']}" for entry in entries]
    more = len(reasons) - MOST_REASONS
    return "; ".join(reasons[:MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")
