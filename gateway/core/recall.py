"""Which memories come back for a question, and the lines in which the prompt holds them.

Two searches give candidates: one by vectors (how near a memory is in meaning, for languages that the model of
embeddings knows) and one by words (`memory_words`). Each has a threshold of its own, since their figures do not
compare. They are lower where the question is about the person: where it speaks of "me", asks for advice, or asks
whether something is remembered. Who asks about the world wants nothing of this unless the match is strong. What one
search alone finds too weak counts where both find it. Ranks of both are fused for the order, and what is far behind the
best one stays away. Of memories that tell the same thing, or a thing of which there is one, the newest counts.

It knows nothing of stores, models or time limits, and what it is given belongs to one person already.

Laws (tests/core/test_gateway_recall.py): what comes back was a candidate, once, above a threshold; never more than
`most` nor more tokens than `most_tokens`; of one subject only the newest; the order of the candidates changes
nothing; a question without words brings nothing back by words; of nothing recalled no turn is made.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.memory_words import folded, speaks_of_self
from gateway.core.topics import is_topical
from gateway.core.words import normalised

_ADVICE = re.compile(
    r"\b(?:recommend|suggest|advise|should i|should we|shall (?:i|we)|can i (?:do|eat|cook|make|buy)|"
    r"(?:i|we) (?:can|could|should)|could (?:i|we)|ideas? for)\b|"
    r"推荐|建议|比较好|什么好|合适|帮我|给我.*(?:买|选|想)|추천|좋을까|괜찮을까|사 ?줄까|할까|먹을까"
)
_RECALLS = re.compile(
    r"\b(?:remember|remind|forgot|forgotten|did i (?:tell|say)|i told you|i said)\b|\bagain\?|"
    r"记得|来着|忘了|忘记|说过|告诉过|提过|기억|까먹|잊어|였지|였죠|였더라|더라|했지|했죠|말했|"
    "[가-힣]야 (?:하지|하나|되지|돼|할까)"
)
_SECRET = re.compile(r"\b(?:password|passcode|pin|code)\b|密码|号码|尾号|번호|암호")
_WEAK_TOPICS = ("#liking", "#family", "#name")
_NUMBER = re.compile(
    "[0-9]+|[零一二两三四五六七八九十百千万]+|zero|three|four|five|six|seven|eight|nine|ten|eleven|twelv|thirteen|fourteen|"
    "fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundr|thousand"
)
_FUSED_FROM = 10  # the usual constant of reciprocal rank fusion is made for lists of hundreds
_TURNS = {
    "latin": ("Earlier I told you:", "I remember."),
    "han": ("我以前告诉过你：", "我记得。"),
    "hangul": ("전에 제가 한 말이에요:", "기억하고 있어요."),
}


@dataclass(frozen=True, slots=True)
class Memory:
    """Something that a person said. `order` grows with the time at which it was told."""

    memory_id: str
    text: str
    order: float
    subject: str
    words: frozenset[str]
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory that a search found; how near it is in meaning (cosine), where that is known."""

    memory: Memory
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class RecallParams:
    """Thresholds, and how much may come back."""

    most: int = 4
    most_tokens: int = 160  # by `tokens_in`; a memory alone is never longer
    similarity: float = 0.33  # of a question about the person
    points: float = 0.5
    far_similarity: float = 0.75  # of any other
    far_points: float = 1.8
    unlike: float = 0.10  # a similarity below it speaks against a memory
    unlike_share: float = 1.8  # of the points, that overrule it
    weak_share: float = 0.7  # of both thresholds, where both searches find it
    behind_share: float = 0.7  # of the best one's figure


def is_personal(question: str) -> bool:
    """Whether what the person told may matter.

    They speak of themselves, want advice, ask what is remembered, or for a number or a password, which no book tells.
    """
    text = folded(question)
    return speaks_of_self(text) or any(pattern.search(text) for pattern in (_ADVICE, _RECALLS, _SECRET))


def points_of(asked: Collection[str], memory: Memory, shared: Mapping[str, int] | None = None) -> float:
    """How much the words of a question and of a memory have in common; a word is 1, and a topic is one.

    `shared` tells how many of the person's memories have a word: what many have tells less.
    """
    return sum(_weight(word) * _rarity((shared or {}).get(word, 1)) for word in set(asked) & memory.words)


def chosen(
    question: str,
    asked: Collection[str],
    found: Iterable[Candidate],
    params: RecallParams = RecallParams(),
    besides: str = "",
) -> list[Memory]:
    """The memories that come back, the best first.

    What was told in the conversation `besides` takes the place of what it contradicts, and stays away itself: the
    prompt holds it already.
    """
    candidates = _newest(_best_of(found))
    words, points, similarity = set(asked), params.points, params.similarity
    if not is_personal(question):  # of the world: a topic that it shares with a memory says nothing
        words = {word for word in words if word[0] == "@" or not (word[0] == "#" or is_topical(word))}
        points, similarity = params.far_points, params.far_similarity
    shared = Counter(word for one in candidates for word in one.memory.words & words)
    passing = [
        (points_of(words, one.memory, shared), one)
        for one in candidates
        if _passes(points_of(words, one.memory) / points, one.similarity, similarity, params)
    ]
    best = _fused(_near(passing, params))
    return _bounded([one for one in best if not besides or one.conversation_id != besides], params)


def tokens_in(text: str) -> int:
    """About how many tokens a text is, rather too many: three Latin characters are one, others one each."""
    latin = sum(character < "\u0250" for character in text)
    return -(-latin // 3) + len(text) - latin


def turn_of(question: str, memories: Sequence[Memory]) -> tuple[str, str] | None:
    """What is remembered as a turn of the talk, in the language of the question: what the person said, and an answer.

    Every model's template takes a turn, and a small model, which has learnt to go by what was said to it, uses it there
    sooner than beside the question or the persona. None when nothing is remembered.
    """
    if not memories:
        return None
    lead, answer = _TURNS[_script(question)]
    return "\n".join([lead, *(f"- {' '.join(memory.text.split())}" for memory in memories)]), answer


def _passes(points_share: float, found: float | None, similarity: float, params: RecallParams) -> bool:
    if found is None:
        return points_share >= 1
    if found < params.unlike:
        return points_share >= params.unlike_share
    share = found / similarity
    return max(points_share, share) >= 1 or min(points_share, share) >= params.weak_share


def _near(passing: Sequence[tuple[float, Candidate]], params: RecallParams) -> list[tuple[float, Candidate]]:
    """Without those that are far behind the best one, by the mean of the figures that are known."""
    most_points = max((points for points, _ in passing), default=0.0)
    most_similar = max((one.similarity or 0.0 for _, one in passing), default=0.0)

    def is_near(points: float, found: float | None) -> bool:
        shares = [points / most_points] if most_points else []
        if most_similar and found is not None:
            shares.append(max(0.0, found) / most_similar)
        return sum(shares) >= params.behind_share * len(shares)

    return [(points, one) for points, one in passing if is_near(points, one.similarity)]


def _rarity(memories: int) -> float:
    return (1 + 1 / memories) / 2


def _weight(word: str) -> float:
    if word.startswith("@"):
        return 2.0
    if word.startswith("#"):
        return 0.4 if word in _WEAK_TOPICS else 1.0
    script = _script(word)
    if _NUMBER.fullmatch(word) or is_topical(word):
        return 0.3 if script != "han" else 0.15 * len(word)  # its topic counts already, or it may mean anything
    if script == "han":
        return 0.25 * len(word)  # a word of two characters is a pair and both of them: 1 in all
    return 0.5 if script == "hangul" and len(word) == 1 else 1.0


def _best_of(found: Iterable[Candidate]) -> list[Candidate]:
    """Each memory once, with the similarity that is known of it."""
    best: dict[str, Candidate] = {}
    for one in found:
        known = best.get(one.memory.memory_id)
        if known is None or (one.similarity or -1) > (known.similarity or -1):
            best[one.memory.memory_id] = one
    return sorted(best.values(), key=lambda one: (one.memory.order, one.memory.memory_id))


def _newest(found: Iterable[Candidate]) -> list[Candidate]:
    """Of candidates in the order of their telling, those that no newer one of the same subject or text replaces."""
    return list({one.memory.subject or normalised(one.memory.text): one for one in found}.values())


def _fused(scored: Sequence[tuple[float, Candidate]]) -> list[Memory]:
    """By reciprocal ranks; the newer one first where they are equal."""
    by_points = _ranks([points for points, _ in scored])
    by_similarity = _ranks([one.similarity or 0 for _, one in scored])
    fused = [
        (-1 / (_FUSED_FROM + a) - 1 / (_FUSED_FROM + b), -one.memory.order, one.memory.memory_id, one.memory)
        for a, b, (_, one) in zip(by_points, by_similarity, scored, strict=True)
    ]
    return [memory for *_, memory in sorted(fused, key=lambda row: row[:3])]


def _ranks(figures: Sequence[float]) -> list[int]:
    order = sorted(set(figures), reverse=True)
    return [order.index(figure) for figure in figures]


def _bounded(memories: Sequence[Memory], params: RecallParams) -> list[Memory]:
    kept: list[Memory] = []
    tokens = 0
    for memory in memories:
        tokens += tokens_in(memory.text)
        if len(kept) == params.most or tokens > params.most_tokens:
            break
        kept.append(memory)
    return kept


def _script(text: str) -> str:
    if any("가" <= character <= "힣" for character in text):
        return "hangul"
    return "han" if any("\u3400" <= character <= "\u9fff" for character in text) else "latin"
