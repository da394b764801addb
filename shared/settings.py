"""Settings: one frozen, typed, bounded class per service, read once from the environment when the process starts."""

import os
import sys
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What every service has. A subclass sets `env_prefix`; a seed's name for a field is an alias of it."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    host: str = Field(
        "127.0.0.1", description="Address to listen on; everything stays on this machine unless told otherwise."
    )
    port: int = Field(ge=1, le=65535, description="TCP port to listen on.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe log line that is written."
    )
    shutdown_grace_s: float = Field(
        5.0, ge=0, le=600, description="How long open connections may finish after a stop is asked for."
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment; on a bad value stop the start with a sentence that names the variable."""
        try:
            return cls()
        except ValidationError as failure:
            sys.exit("\n".join(f"{cls._variable(e['loc'])}: {e['msg']}." for e in failure.errors(include_url=False)))

    @classmethod
    def _variable(cls, location: tuple[int | str, ...]) -> str:
        """The name under which the operator set a field; its first name when none of them is set."""
        for field, names in cls.variables().items():
            if location[:1] in {(name,) for name in (field, *names)}:
                return next((name for name in names if name in os.environ), names[0])
        return f"{cls.model_config.get('env_prefix', '')}*"  # a check across several fields

    @classmethod
    def variables(cls) -> dict[str, list[str]]:
        """Field → the variables that are read for it, the one that goes before the others first."""
        prefix = cls.model_config.get("env_prefix", "")
        return {
            name: [str(choice) for choice in getattr(field.validation_alias, "choices", [f"{prefix}{name}".upper()])]
            for name, field in cls.model_fields.items()
        }


def state_folder() -> Path:
    """Where a service started from the checkout keeps what must survive it: `var/` of the working folder."""
    return Path("var")
