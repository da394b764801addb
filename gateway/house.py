"""What all sessions of a gateway share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.llm_client import LlmClient
from gateway.load import HouseLoad
from gateway.memory import PastTalk
from gateway.personas import Persona
from gateway.settings import GatewaySettings
from gateway.store import Store
from gateway.two_tier import TwoTier
from gateway.watch import ServiceWatch


@dataclass(frozen=True, slots=True)
class House:
    """What all sessions share."""

    settings: GatewaySettings
    llm: LlmClient
    store: Store
    personas: Mapping[str, Persona]
    watch: ServiceWatch
    load: HouseLoad = field(default_factory=HouseLoad)
    memory: PastTalk | None = None
    two_tier: TwoTier | None = None  # None: the sound of answers is not kept

    @property
    def journals(self) -> Path | None:
        """Where sessions are written down; None where none can be resumed."""
        return self.settings.sessions_dir if self.settings.resume_s else None
