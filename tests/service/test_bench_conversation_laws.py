"""A hundred thousand conversations by chance, as the command for them plays them, break no law."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.transitions import State
from tests.bench.conversation_laws import SEQUENCES

pytestmark = pytest.mark.service

TOP = Path(__file__).parents[2]


@pytest.mark.timeout(300)  # half a minute of two cores
def test_a_hundred_thousand_conversations_break_no_law_and_reach_every_cell() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.conversation_laws"], cwd=TOP, capture_output=True, text=True
    )
    found = json.loads(ran.stdout.splitlines()[-1])

    assert ran.returncode == 0, ran.stdout
    assert (found["sequences"], found["breaches"]) == (SEQUENCES, 0)
    assert SEQUENCES >= 100_000
    assert (found["states"], found["cells_missed"]) == (sorted(State), [])
