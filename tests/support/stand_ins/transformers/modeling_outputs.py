"""What a model hands out."""

from dataclasses import dataclass
from typing import Any


@dataclass
class BaseModelOutputWithPast:
    last_hidden_state: Any = None
    past_key_values: Any = None
