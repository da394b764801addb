"""Replies as a session asks for them: what each is made of, and what is around it."""

from collections.abc import Callable
from dataclasses import replace

from gateway.character import Character
from gateway.core.actions import RequestReply
from gateway.core.trace import Trace, Voiced
from gateway.house import House
from gateway.outbox import Outbox
from gateway.reply import Post, ReplyRun, Surroundings
from gateway.session_journal import SessionJournal
from shared.errors import ParleyError


class ReplyMaker:
    """Makes the replies of one session."""

    def __init__(
        self,
        house: House,
        character: Character,
        journal: SessionJournal,
        outbox: Outbox,
        post: Post,
        refuse: Callable[[ParleyError], None],
    ) -> None:
        self._house = house
        self._character = character
        self._journal = journal
        settings = house.settings
        self._around = Surroundings(
            house.llm,
            house.watch.replicas("tts_service", settings.tts_url),
            settings.connect_timeout_s,
            settings.lead_ms,
            outbox,
            post,
            refuse,
            house.load,
            lambda reply_id, question: journal.recall(reply_id, question.messages),
            keeps_sound=house.two_tier is not None,
        )

    def make(self, request: RequestReply) -> ReplyRun:
        """A reply; what the person said in earlier sessions is looked for meanwhile."""
        order = self._character.order(request, self._journal.opened.session_id, self._house.load.level)
        if self._house.memory and not request.script:
            opened = self._journal.opened
            recall = self._house.memory.begin(opened.user_id, request.user_text, opened.session_id)
            order = replace(order, recall=recall)
        spoken = order.speech.model_dump(include={"voice", "language", "sample_rate"})
        self._journal.speak({"reply_id": request.reply_id, "start": spoken, "is_silent": order.is_silent})
        return ReplyRun(order, self._around)

    def make_again(self, request: RequestReply, begun: Voiced, trace: Trace, *, is_written: bool) -> ReplyRun:
        """The rest of a reply that another gateway had begun: asked in the same words, spoken by the same voice."""
        level, session_id = self._house.load.level, self._journal.opened.session_id
        order = self._character.order(request, session_id, level, begun, is_written)
        if trace.prompt.get("reply_id") == request.reply_id:
            order = replace(order, question=replace(order.question, messages=trace.prompt["messages"]))
        if trace.speech.get("reply_id") == request.reply_id:
            speech = order.speech.model_copy(update=trace.speech["start"])
            order = replace(order, speech=speech, is_silent=trace.speech["is_silent"])
        return ReplyRun(order, self._around)
