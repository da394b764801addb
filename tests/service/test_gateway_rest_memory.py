"""What was told over HTTP in one conversation comes back in another one, is exported, and goes with its person."""

import json
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from tests.support.rest_house import RestHouse, rest_house

pytestmark = [pytest.mark.service, pytest.mark.anyio]

DOG, QUESTION = "My dog is called Biscuit.", "What is the name of my dog?"


async def chat(house: RestHouse, user_id: str, text: str) -> None:
    answer = await house.client.post("/chat", data={"text": text, "user_id": user_id})
    assert answer.status_code == 200, answer.text


async def exported(house: RestHouse, user_id: str) -> list[str]:
    answer = await house.client.get(f"/v1/users/{user_id}/export")
    records = [json.loads(line) for line in answer.text.splitlines()]
    return [record["text"] for record in records if record["kind"] == "memory"]


async def test_it_comes_back_leaves_with_an_export_and_goes_with_its_person(tmp_path: Path) -> None:
    places = {"memory_database_url": f"sqlite+aiosqlite:///{tmp_path}/m.db", "milvus_path": tmp_path / "vectors.db"}
    async with rest_house(tmp_path, memory=True, **places) as house:
        await chat(house, "ann", DOG)
        while await exported(house, "ann") != [DOG]:
            await anyio.lowlevel.checkpoint()
        await chat(house, "ann", QUESTION)
        assert "Biscuit" in json.dumps(house.prompt())
        await chat(house, "bob", QUESTION)
        assert "Biscuit" not in json.dumps(house.prompt())

        assert (await house.client.delete("/v1/users/ann")).status_code == 200
        assert await exported(house, "ann") == []
        await chat(house, "ann", QUESTION)
        assert "Biscuit" not in json.dumps(house.prompt())
