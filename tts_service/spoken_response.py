"""An HTTP answer that is spoken while it is sent: a reply whose text is complete, as a file of one of the formats.

An error before the first bytes of the file is an HTTP error; one after them is an event where the body is of events,
and cuts the body short where it is the file, so that no client takes a part for the whole; the log has its code. A
client may read slowly, but is cut off when one part finds no room for `UNREAD_LIMIT_S`.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio
from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from shared import threads
from shared.errors import InternalError, InvalidMessage, ParleyError, Unsupported, leaves
from shared.pcm import ms_of, samples_of
from shared.wire.tts import SPEECH_RATE, TtsError
from tts_service.encoders import Format
from tts_service.outbox import Outbox
from tts_service.reply import Manner
from tts_service.speech_body import Body, FileBody
from tts_service.synthesiser import Synthesiser

RETRY_AFTER_MS: Final = 1000
UNREAD_LIMIT_S: Final = 60.0
T = TypeVar("T")

log = logging.getLogger(__name__)


class SpokenResponse(Response):
    """Its tasks end with the call, also when the client leaves."""

    def __init__(
        self,
        synthesiser: Synthesiser,
        manner: Manner,
        text: str,
        form: Format,
        body: Body | None = None,
        unread_limit_s: float = UNREAD_LIMIT_S,
    ) -> None:
        """`body` is the file itself unless told otherwise."""
        self._body = body or FileBody(form.media_type)
        super().__init__(media_type=self._body.media_type, headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self.headers["X-Sample-Rate"] = str(SPEECH_RATE)
        self._synthesiser, self._manner, self._text = synthesiser, manner, text
        self._form = form
        self._unread_limit_s = unread_limit_s
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooManySessions, or the failure of the reply where nothing was sent yet.

        Returning without the end of the body has the server close the connection.
        """
        outbox, failure = Outbox(), None
        reply = self._synthesiser.reply(self._manner, outbox.open("speech", SPEECH_RATE))
        reply.add(self._text)
        reply.end()
        with self._synthesiser.admission.enter():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_leave_with, receive, tasks.cancel_scope, name="peer")
                tasks.start_soon(reply.run, name="reply")
                failure = await self._send_file(outbox, send)
                tasks.cancel_scope.cancel()
        if failure:
            raise failure

    async def _send_file(self, outbox: Outbox, send: Send) -> ParleyError | None:
        """The failure of the reply, if it came before anything was sent."""
        encoder, samples = self._form.encoder(SPEECH_RATE), 0
        try:
            while len(outbox):
                _, item = await outbox.take()
                if isinstance(item, TtsError):
                    return await self._fail(error_of(item), send)
                if isinstance(item, bytes):
                    samples += samples_of(item)
                    await self._send_part(await self._encode(encoder.encode, item), send)
            await self._send_part(await self._encode(encoder.finish), send)
            await self._end(self._body.end(ms_of(samples, SPEECH_RATE)), send)
        except TimeoutError:
            log.warning("a client reads nothing of its file", extra={"limit_s": self._unread_limit_s})
        finally:
            encoder.close()
        return None

    async def _encode(self, step: Callable[..., T], *args: object) -> T:
        """One step of the encoder. A cancel waits for it."""
        if self._form.is_heavy:
            return await threads.call(step, *args, limiter=self._synthesiser.codecs)
        return step(*args)

    async def _fail(self, error: ParleyError, send: Send) -> ParleyError | None:
        if not self._has_begun:
            return error
        log.warning("a spoken file was cut short", extra={"code": error.code})
        told = self._body.failure(error)
        if told:
            await self._end(told, send)
        return None

    async def _send_part(self, made: bytes, send: Send) -> None:
        if made:
            await self._begin(send)
            await self._put({"type": "http.response.body", "body": self._body.part(made), "more_body": True}, send)

    async def _end(self, last: bytes, send: Send) -> None:
        await self._begin(send)
        await self._put({"type": "http.response.body", "body": last, "more_body": False}, send)

    async def _begin(self, send: Send) -> None:
        if not self._has_begun:
            self._has_begun = True
            head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await self._put(head, send)

    async def _put(self, message: Message, send: Send) -> None:
        """Raises TimeoutError where the client makes no room for it."""
        with anyio.fail_after(self._unread_limit_s):
            await send(message)


@contextmanager
def naming(**names: str) -> Iterator[None]:
    """Refusals inside the block tell the field by the name that the client has for it: naming(voice="…")."""
    try:
        yield
    except (InvalidMessage, Unsupported) as refusal:
        param = names.get(refusal.param or "", refusal.param)
        raise type(refusal)(refusal.message, service="tts", param=param) from None


async def _leave_with(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def error_of(failure: TtsError) -> ParleyError:
    """The error that a reply's failure was."""
    known = {leaf.code: leaf for leaf in leaves()}
    kind = known.get(failure.code, InternalError)
    return kind(failure.message, service="tts", retry_after_ms=RETRY_AFTER_MS if kind.retryable else None)
