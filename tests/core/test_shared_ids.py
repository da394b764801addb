"""Names of utterances, turns, replies and sessions."""

import re

import pytest

from shared.ids import new_id

pytestmark = pytest.mark.core


@pytest.mark.parametrize("kind", ["utt", "trn", "rpl", "ses"])
def test_an_id_tells_its_kind_and_is_new_each_time(kind: str) -> None:
    made = {new_id(kind) for _ in range(1_000)}
    assert len(made) == 1_000
    assert [name for name in made if not re.fullmatch(f"{kind}_[0-9a-f]{{16}}", name)] == []
