"""What is said when no answer can be made: one short sentence in each language, so that nobody waits in silence.

Law (tests/core/test_gateway_apologies.py): in every language something is said, English where no sentence is known.
"""

APOLOGIES = {
    "en": "I'm sorry, I can't answer just now. Please ask me again in a moment.",
    "zh": "抱歉，我现在回答不了，请稍后再问我一次。",
    "ko": "죄송해요, 지금은 대답할 수 없어요. 잠시 후에 다시 물어봐 주세요.",
    "ja": "すみません、今はお答えできません。少し後でもう一度聞いてください。",
    "de": "Es tut mir leid, ich kann gerade nicht antworten. Bitte frag mich gleich noch einmal.",
    "fr": "Je suis désolé, je ne peux pas répondre pour l'instant. Redemandez-moi dans un moment.",
    "es": "Lo siento, ahora mismo no puedo responder. Pregúntame otra vez dentro de un momento.",
}


def apology_in(language: str) -> str:
    """The sentence for a language (BCP 47)."""
    return APOLOGIES.get(language.split("-")[0].casefold(), APOLOGIES["en"])
