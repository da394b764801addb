"""How near memories are in meaning: their vectors in Milvus, embedded in this process or a server by address.

Texts are not kept here, only ids, and people under a digest of their name, so that no filter holds what a client sent.
A person's vectors lie in one of `PARTITIONS` parts, and a search looks into that part alone: a search in Milvus Lite
goes row by row over all parts that it looks into, with a filter just as without. Rows that were not flushed cost a
search much more than others, so that every `FLUSH_EVERY` of them are, and all at the end; they survive a crash anyway.

The embedded one is a folder that one process holds. A second one gets MemoryUnavailable, and may try again later.
Vectors of two models cannot be compared: a collection belongs to the model that one of its parts is named after, an
empty one, since Milvus Lite keeps no description.

All that Milvus does blocks, and runs on threads of its own number; its library is loaded when it is opened first.
"""

import hashlib
import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter

from shared import threads

PARTITIONS = 64
FLUSH_EVERY = 256
SEARCH_TIMEOUT_S = 2.0
TIMEOUT_S = 10.0  # of all else
SEARCHES = 4  # at once; Milvus Lite computes in this process
log = logging.getLogger(__name__)


class MemoryUnavailable(Exception):
    """The vectors cannot be reached; the sentence says why, for an operator."""


@dataclass(frozen=True, slots=True)
class StoredVector:
    """A memory's vector."""

    memory_id: str
    user_id: str
    conversation_id: str
    vector: Sequence[float]


class MemoryStore:
    """Vectors of memories. `uri` is a folder that ends with .db, or the http address of a server."""

    def __init__(self, uri: str, collection: str = "voice_conversations") -> None:
        self._uri = uri
        self._collection = collection
        self._client: Any = None
        self._model = ""
        self._unflushed = 0
        self._reading = CapacityLimiter(SEARCHES)
        self._writing = CapacityLimiter(1)

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._client is not None

    async def open(self) -> None:
        """Reach the database; raises MemoryUnavailable, and may be called again then."""
        if self._client is None:
            await threads.call(self._open, limiter=self._writing)

    async def close(self) -> None:
        """Write what waits, and let the folder go."""
        client, self._client = self._client, None
        if client is not None:
            await threads.call(_closed, client, self._uri, self._collection, limiter=self._writing)

    async def add(self, model: str, vectors: Sequence[StoredVector]) -> None:
        """Keep vectors that this model made. Raises MemoryUnavailable."""
        if not vectors:
            return
        await self._prepare(model, len(vectors[0].vector))
        await threads.call(self._insert, vectors, limiter=self._writing)
        self._unflushed += len(vectors)
        if self._unflushed >= FLUSH_EVERY:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; a server does that by itself, and allows it seldom. Raises MemoryUnavailable."""
        if self._unflushed and self._client is not None and _is_folder(self._uri):
            self._unflushed = 0
            await threads.call(self._call, "flush", limiter=self._writing)

    async def near(self, model: str, user_id: str, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        """A person's memories nearest to a vector of this model, with their cosine. Raises MemoryUnavailable."""
        await self._prepare(model, len(vector))
        return await threads.call(self._search, user_id, vector, limit, limiter=self._reading)

    async def forget(self, user_id: str, conversation_id: str | None = None) -> None:
        """Delete a person's vectors, or those of one conversation. Raises MemoryUnavailable."""
        await threads.call(self._delete, user_id, conversation_id, limiter=self._writing)

    async def remove(self, user_id: str, memory_ids: Collection[str]) -> None:
        """Delete these vectors of a person. Raises MemoryUnavailable."""
        if memory_ids:
            await threads.call(self._remove, user_id, list(memory_ids), limiter=self._writing)

    async def _prepare(self, model: str, dimensions: int) -> None:
        if self._client is None:
            raise MemoryUnavailable("The memory's vectors are not open.")
        if self._model != model:
            await threads.call(self._use, model, dimensions, limiter=self._writing)
            self._model = model

    # on threads ----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Noted here, on the thread: a cancel meanwhile must not lose an open folder."""
        self._client = _opened(self._uri)

    def _use(self, model: str, dimensions: int) -> None:
        """Make the collection, or see that it is of this model."""
        if not self._call("has_collection"):
            _make(self._reached, self._collection, model, dimensions)
        if _made_by(model) not in self._call("list_partitions"):
            raise MemoryUnavailable(
                f"The collection {self._collection} holds vectors of another model than {model}: "
                "set MILVUS_COLLECTION to another name, or delete it."
            )
        self._call("load_collection")

    def _insert(self, vectors: Sequence[StoredVector]) -> None:
        parts: dict[str, list[dict[str, object]]] = {}
        for one in vectors:
            owner = _owner(one.user_id)
            row = {"id": one.memory_id, "owner": owner, "conversation": _owner(one.conversation_id)}
            parts.setdefault(_part(owner), []).append(row | {"vector": list(one.vector)})
        for part, rows in parts.items():
            self._call("insert", rows, partition_name=part)

    def _search(self, user_id: str, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        owner = _owner(user_id)
        hits = self._call(
            "search",
            [list(vector)],
            anns_field="vector",
            limit=limit,
            filter=f'owner == "{owner}"',
            partition_names=[_part(owner)],
            output_fields=["owner"],
            timeout=SEARCH_TIMEOUT_S,
        )
        return [(hit["id"], float(hit["distance"])) for hit in hits[0] if hit["entity"]["owner"] == owner]

    def _delete(self, user_id: str, conversation_id: str | None) -> None:
        if not self._call("has_collection"):
            return
        owner = _owner(user_id)
        told = "" if conversation_id is None else f' and conversation == "{_owner(conversation_id)}"'
        self._call("delete", filter=f'owner == "{owner}"{told}', partition_name=_part(owner))

    def _remove(self, user_id: str, memory_ids: list[str]) -> None:
        if self._call("has_collection"):
            self._call("delete", ids=memory_ids, partition_name=_part(_owner(user_id)))

    @property
    def _reached(self) -> Any:
        if self._client is None:
            raise MemoryUnavailable("The memory's vectors are not open.")
        return self._client

    def _call(self, verb: str, *args: object, **named: object) -> Any:
        from pymilvus.exceptions import MilvusException  # type: ignore[import-untyped]

        try:
            return getattr(self._reached, verb)(self._collection, *args, **named)
        except MilvusException as failure:
            log.warning("the memory's vectors cannot be used", extra={"verb": verb, "code": failure.code})
            raise MemoryUnavailable(f"Milvus cannot {verb.replace('_', ' ')} now.") from None


def _is_folder(uri: str) -> bool:
    return "://" not in uri


def _owner(name: str) -> str:
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()[:32]


def _made_by(model: str) -> str:
    return "by_" + re.sub(r"\W", "_", model.rpartition("/")[2].lower(), flags=re.ASCII)[:100]


def _part(owner: str) -> str:
    return f"people_{int(owner, 16) % PARTITIONS}"


def _opened(uri: str) -> Any:
    try:
        from pymilvus import MilvusClient  # type: ignore[import-untyped]
        from pymilvus.exceptions import MilvusException
    except ImportError:
        raise MemoryUnavailable("The packages pymilvus and milvus-lite are not installed.") from None
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it writes lines of its own; ours say what failed

    is_folder = _is_folder(uri)
    if is_folder:
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
    try:
        return MilvusClient(uri, timeout=TIMEOUT_S)
    except MilvusException:
        reason = "another process holds it, or it cannot be written" if is_folder else "it does not answer"
        raise MemoryUnavailable(f"The memory at {uri} cannot be opened: {reason}.") from None


def _closed(client: Any, uri: str, collection: str) -> None:
    from pymilvus.exceptions import MilvusException

    if not _is_folder(uri):
        client.close()
        return
    try:
        if client.has_collection(collection):
            client.flush(collection)
    except MilvusException:
        log.warning("the memory's vectors were closed without a flush")
    client.close()
    from milvus_lite.server_manager import server_manager_instance  # type: ignore[import-untyped]

    server_manager_instance.release_server(uri)  # else the folder stays taken until this process ends


def _make(client: Any, collection: str, model: str, dimensions: int) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("owner", DataType.VARCHAR, max_length=32)
    schema.add_field("conversation", DataType.VARCHAR, max_length=32)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="COSINE")  # a part is small: nothing to build, all found
    client.create_collection(collection, schema=schema, index_params=index)
    for part in [f"people_{number}" for number in range(PARTITIONS)] + [_made_by(model)]:
        client.create_partition(collection, part)
