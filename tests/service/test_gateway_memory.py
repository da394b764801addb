"""Memory on the real embedded store and the real embeddings: told in one conversation, wanted in the next."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.history import History
from tests.support.house_processes import TOP
from tests.support.memories import UNHURRIED_S, Score, past_talk, people, score, tell
from tests.support.own_service import ready

pytestmark = [pytest.mark.service, pytest.mark.anyio]

DOG = "My dog is called Biscuit and she is a beagle."
QUESTION = "What breed is that animal of mine?"


@pytest.fixture(scope="module")
def llm_url() -> Iterator[str]:
    """The llm_service as a process, with the embedded embedding model."""
    with ready("llm_service", "LLM", LLM_ENGINE="fake", LLM_EMBEDDING_WARM="true", OMP_NUM_THREADS="1") as base:
        yield base.removesuffix("/v1")


async def test_a_fact_of_one_session_is_in_the_next_one_s_prompt_when_it_is_needed_and_not_otherwise(
    llm_url: str, tmp_path: Path
) -> None:
    async with past_talk(tmp_path, llm_url) as memory:
        memory.remember("ann", "con_1", "trn_1", DOG)
        memory.remember("ann", "con_1", "trn_2", "我对花生过敏。")
        await memory.settled()

    async with past_talk(tmp_path, llm_url) as memory:
        needed = await memory.recall("ann", QUESTION, UNHURRIED_S)
        chinese = await memory.recall("ann", "我不能吃什么？", UNHURRIED_S)
        not_needed = await memory.recall("ann", "What is the capital of France?", UNHURRIED_S)
        of_nobody = await memory.recall("bob", QUESTION, UNHURRIED_S)

    history = History("Be kind.")
    history.add("Hello", "Hello!")
    prompt = history.messages(QUESTION)
    told = {"role": "user", "content": f"Earlier I told you:\n- {DOG}"}
    assert needed.told_in(prompt) == [*prompt[:-1], told, {"role": "assistant", "content": "I remember."}, prompt[-1]]
    assert [one.text for one in chinese.memories] == ["我对花生过敏。"]
    assert not_needed.told_in(prompt) == prompt
    assert of_nobody.memories == ()


async def test_what_is_forgotten_comes_back_to_nobody_and_the_rest_stays(llm_url: str, tmp_path: Path) -> None:
    async with past_talk(tmp_path, llm_url) as memory:
        for user_id in ("ann", "bob"):
            memory.remember(user_id, f"con_{user_id}", f"trn_{user_id}", DOG)
        memory.remember("ann", "con_other", "trn_other", "I live in Leeds.")
        await memory.settled()

        assert await memory.forget_conversation("ann", "con_ann") == 1
        assert (await memory.recall("ann", QUESTION, UNHURRIED_S)).memories == ()
        assert len((await memory.recall("ann", "Where do I live?", UNHURRIED_S)).memories) == 1
        assert await memory.forget("ann") == 1
        assert (await memory.recall("ann", "Where do I live?", UNHURRIED_S)).memories == ()
        assert len((await memory.recall("bob", QUESTION, UNHURRIED_S)).memories) == 1


async def test_the_labelled_set_comes_back_with_few_mistakes(llm_url: str, tmp_path: Path) -> None:
    outcomes = Counter[str]()
    scored = Score()
    async with past_talk(tmp_path, llm_url, outcomes) as memory:
        for number, person in enumerate(people("reporting")):
            await tell(memory, f"user{number}", person)
        for number, person in enumerate(people("reporting")):
            scored += await score(memory, f"user{number}", person)

    assert set(outcomes) == {"found", "empty"}
    assert scored.need_nothing + scored.right + scored.missed >= 60
    assert scored.precision >= 0.85
    assert scored.recall >= 0.78
    assert scored.kept_empty == scored.need_nothing


async def test_without_embeddings_the_words_alone_bring_back(tmp_path: Path) -> None:
    async with past_talk(tmp_path, None) as memory:
        memory.remember("ann", "con_1", "trn_1", DOG)
        await memory.settled()
        recalled = await memory.recall("ann", "What is my dog's name?", UNHURRIED_S)
    assert [one.text for one in recalled.memories] == [DOG]


def test_importing_the_memory_imports_no_heavy_library() -> None:
    script = (
        "import sys, gateway.memory\n"
        "print([name for name in ('pymilvus', 'milvus_lite', 'numpy', 'pandas') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
