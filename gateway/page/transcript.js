/**
 * @file The conversation as text: what was understood, what is being answered, and how much of that was heard.
 *
 * Laws: an utterance and a reply are each one entry; what names an unknown or cleared one is ignored; the view follows
 * the newest entry unless the reader has scrolled away from it.
 */
const ENTRIES_KEPT = 200;
const NEAR_BOTTOM_PX = 80;

/**
 * Divides an answer where its hearing stopped. White space may differ, for speech has none.
 * @param {string} said @param {string} heard @returns {[string, string]} heard and unheard
 */
export function splitHeard(said, heard) {
  let at = 0;
  for (const letter of heard.replace(/\s+/gu, "")) {
    while (at < said.length && /\s/u.test(said[at])) at++;
    if (!said.startsWith(letter, at)) return [heard, said.slice(heard.length)]; // spoken otherwise than written
    at += letter.length;
  }
  while (at < said.length && /\s/u.test(said[at])) at++;
  return [said.slice(0, at), said.slice(at).trimEnd()];
}

export class Transcript {
  /** @type {Map<string, HTMLElement>} utterance_id or reply_id to the paragraph that holds its text */
  #texts = new Map();
  #isFollowing = true; // the reader is at the end
  #top = 0; // of the view, px

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} room what scrolls
   */
  constructor(list, room) {
    this.list = list;
    this.room = room;
    room.addEventListener("scroll", () => this.#noteScroll());
    const watch = new ResizeObserver(() => this.#follow());
    watch.observe(room); // a notice or a keyboard takes room away from below
    watch.observe(list);
  }

  /** Begin anew, with what the persona says first. @param {{opening_line: string, language: string} | undefined} persona */
  clear(persona) {
    this.list.replaceChildren();
    this.#texts.clear();
    this.#isFollowing = true;
    this.language = persona?.language ?? "";
    if (persona) this.#add("", "answer", this.language).textContent = persona.opening_line;
  }

  /** Somebody speaks. @param {string} utteranceId */
  listen(utteranceId) {
    if (!this.#texts.has(utteranceId)) this.#await(utteranceId, "question");
  }

  /** @param {{utterance_id: string, text: string, committed: string, language: string}} partial */
  hear({ utterance_id: utteranceId, text, committed, language }) {
    this.listen(utteranceId);
    const fixed = text.startsWith(committed) ? committed : "";
    const tentative = make("span", "tentative", text.slice(fixed.length));
    this.#write(utteranceId, [make("span", "committed", fixed), tentative], language);
  }

  /** @param {{utterance_id: string, text: string, language: string}} final */
  understand({ utterance_id: utteranceId, text, language }) {
    if (!text) {
      this.#remove(utteranceId);
      return;
    }
    this.listen(utteranceId);
    this.#write(utteranceId, [text], language);
    this.#settle(utteranceId);
  }

  /** @param {string} text a typed turn */
  type(text) {
    this.#add("", "question", "").textContent = text;
  }

  /** @param {string} replyId */
  beginReply(replyId) {
    this.#await(replyId, "answer");
  }

  /** @param {string} replyId @param {string} token */
  extendReply(replyId, token) {
    const text = this.#texts.get(replyId);
    if (!text?.ariaBusy) return;
    text.append(token);
  }

  /** @param {string} replyId */
  endReply(replyId) {
    this.#settle(replyId);
  }

  /** Keep of an answer what was heard, and show the rest as unheard. @param {string} replyId @param {string} heard */
  cutReply(replyId, heard) {
    const text = this.#texts.get(replyId);
    if (!text?.ariaBusy) return;
    const [kept, rest] = splitHeard(text.textContent, heard);
    if (kept || rest) this.#write(replyId, [kept, make("s", "unheard", rest)], this.language);
    else this.#remove(replyId);
    this.#settle(replyId);
  }

  /** What was under way is over. */
  abandon() {
    for (const [id, text] of this.#texts) {
      if (text.textContent) this.#settle(id);
      else this.#remove(id);
    }
    this.#texts.clear();
  }

  /** What is above is forgotten by the gateway. @param {string} text says so */
  divide(text) {
    if (this.list.lastElementChild?.classList.contains("divider")) return;
    this.list.append(make("li", "divider", text));
  }

  #await(id, kind) {
    const text = this.#add(id, kind, kind === "answer" ? this.language : "");
    text.ariaBusy = "true";
  }

  #add(id, kind, language) {
    const text = make("p", kind, "");
    text.lang = language;
    const entry = make("li", `entry of-${kind}`, "");
    entry.append(text);
    this.list.append(entry);
    if (id) this.#texts.set(id, text);
    while (this.list.children.length > ENTRIES_KEPT) this.list.firstElementChild.remove();
    this.#isFollowing ||= kind === "question";
    return text;
  }

  #write(id, parts, language) {
    const text = this.#texts.get(id);
    text.replaceChildren(...parts);
    if (language) text.lang = language;
  }

  #settle(id) {
    const text = this.#texts.get(id);
    if (text) text.ariaBusy = null;
  }

  #remove(id) {
    this.#texts.get(id)?.parentElement.remove();
    this.#texts.delete(id);
  }

  /** Only upwards is away: new text can come between a scroll of ours and its event. */
  #noteScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.room;
    if (scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX) this.#isFollowing = true;
    else if (scrollTop < this.#top) this.#isFollowing = false;
    this.#top = scrollTop;
  }

  #follow() {
    if (this.#isFollowing) this.room.scrollTop = this.room.scrollHeight;
  }
}

/** @param {string} tag @param {string} name of the class @param {string} text @returns {HTMLElement} */
function make(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}
