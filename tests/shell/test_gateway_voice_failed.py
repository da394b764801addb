"""An answer whose voice fails: the failure is told, and what nobody heard does not count as heard."""

from pathlib import Path

import pytest

from tests.support.gateway_house import open_house
from tests.support.replicas import Narrator, started

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


@pytest.mark.parametrize("code", ["invalid_message", "engine_failed", "service_unavailable"])
async def test_a_voice_that_refuses_is_told_and_nothing_was_heard(code: str, tmp_path: Path) -> None:
    async with started(Narrator(refuses=code)) as url, open_house(tmp_path, tts_url=url) as house:
        client, session = await house.open()
        client.send(type="text", text="go")
        done = await client.see("reply_done")
        (turn,) = await house.turns(session)
        client.send(type="text", text="again")
        await house.llm.tally.wait_for("asked", 2)

    assert [event["service"] for event in client.events if event["type"] == "error"][:1] == ["tts"]
    assert (done["finish_reason"], done["text"], turn["heard_text"]) == ("error", "", "")
    assert [message["content"] for message in house.llm.prompts[1][1:]] == ["go\nagain"]
