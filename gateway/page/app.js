/**
 * @file The page: what each message, sound and press means for the others.
 *
 * For tests and the curious, `window.parley` tells {state, events: the types of the last 500 messages received,
 * playedPeak: the loudest sample that was played, full scale = 1; it may be set back to 0}.
 */
import { Microphone } from "./microphone.js";
import { Picker } from "./personas.js";
import { Player } from "./player.js";
import { OUTPUT_RATE, Session } from "./session.js";
import { describe, explain, sentence } from "./strings.js";
import { watchTalking } from "./talk.js";
import { Transcript } from "./transcript.js";
import * as view from "./view.js";

const EVENTS_KEPT = 500;

/** @type {{state: view.State, events: string[], playedPeak: number}} */
const parley = (window.parley = { state: "connecting", events: [], playedPeak: 0 });

/** What is under way. */
const now = {
  hasMet: false, // there was a session before
  isWaiting: false, // an answer is owed
  isAsking: false, // for a typed turn, of which nothing was heard since
  replyId: "", // the answer that is being given
  sounds: false, // it has sound
  utteranceId: "", // what is being said
  voidId: "", // what was being said to a persona that is gone
};

const transcript = new Transcript(view.transcriptList, view.room);
const picker = new Picker(view.personaBox, startOver);
const player = new Player(OUTPUT_RATE, {
  onMark: (replyId, ms) => session.played(replyId, ms),
  onLevel(rms, peak) {
    parley.playedPeak = Math.max(parley.playedPeak, peak);
    if (now.sounds) view.showLevel(rms);
  },
  onBlocked: () => view.showNotice(sentence("blocked")),
  onFreed: () => view.clearNotice(sentence("blocked")),
});
const microphone = new Microphone({
  onFrame(pcm, level) {
    if (!session.sendAudio(pcm)) view.showNotice(sentence("slow"));
    if (!now.sounds) view.showLevel(level);
  },
  onLost() {
    view.showNotice(sentence("mic_lost"));
    refresh();
  },
});
const session = new Session(new URL("ws", document.baseURI.replace(/^http/, "ws")), {
  onMessage(message) {
    parley.events.push(message.type);
    if (parley.events.length > EVENTS_KEPT) parley.events.shift();
    if (message.utterance_id && message.utterance_id === now.voidId) return;
    on[message.type]?.(message);
    refresh();
  },
  onAudio(replyId, frame) {
    if (replyId === now.replyId) now.sounds = true;
    player.push(replyId, frame);
    refresh();
  },
  onLost: refresh,
  onEnded() {
    endReply();
    now.utteranceId = "";
    transcript.abandon();
    view.showMeans("");
    refresh();
  },
});

/** What each message means. */
const on = {
  async ready({ resumed }) {
    view.clearNotice();
    if (resumed) {
      if (now.isAsking) now.isWaiting = false; // nobody knows whether it arrived
      return;
    }
    if (now.hasMet) transcript.divide(sentence("divider"));
    now.hasMet = true;
    await meetPersonas();
    session.configure(picker.chosen?.id);
  },
  loading({ service }) {
    view.showNotice(sentence("loading", service));
  },
  degraded(message) {
    view.showMeans(describe(message));
  },
  speech_started({ utterance_id: id }) {
    view.clearNotice();
    now.utteranceId = id;
    now.isWaiting = false;
    now.isAsking = false;
    transcript.listen(id);
  },
  partial(message) {
    transcript.hear(message);
  },
  final(message) {
    now.utteranceId = "";
    now.isWaiting ||= message.text !== "";
    transcript.understand(message);
  },
  reply_started({ reply_id: id }) {
    view.clearNotice();
    now.replyId = id;
    now.sounds = false;
    now.isWaiting = true;
    now.isAsking = false;
    transcript.beginReply(id);
  },
  token({ reply_id: id, text }) {
    transcript.extendReply(id, text);
  },
  reply_done({ reply_id: id, text, finish_reason: reason }) {
    if (reason === "stop" || reason === "length") transcript.endReply(id);
    else transcript.cutReply(id, text);
    if (id === now.replyId) endReply();
  },
  reply_paused({ reply_id: id }) {
    player.pause(id);
  },
  reply_resumed() {
    player.resume();
  },
  interrupted({ reply_id: id, heard_text: heard }) {
    transcript.cutReply(id, heard);
    if (id === now.replyId) endReply();
  },
  error(message) {
    console.warn(`${message.service}: ${message.code}: ${message.message}`);
    view.showNotice(explain(message));
    now.isWaiting = now.replyId !== "";
  },
};

/** The answer is over; what of it did not sound yet never will. */
function endReply() {
  if (now.replyId) player.drop(now.replyId);
  now.replyId = "";
  now.sounds = false;
  now.isWaiting = false;
  now.isAsking = false;
}

/** @returns {view.State} */
function currentState() {
  if (!session.isReady) return now.hasMet ? "reconnecting" : "connecting";
  if (now.sounds) return "speaking";
  if (now.isWaiting) return "thinking";
  return microphone.isLive ? "listening" : "ready";
}

function refresh() {
  parley.state = currentState();
  view.showState(parley.state);
  view.showStop(now.sounds || now.isWaiting); // also of an answer that goes on while the line is cut
  view.showMicrophone(microphone.isWanted);
  if (!now.sounds && !microphone.isLive) view.showLevel(0);
}

/** @type {Promise<void> | null} */
let meeting = null;

/** Show who can answer; once, and again only when it failed. */
function meetPersonas() {
  meeting ??= picker.load().then(
    () => {
      view.showPersona(picker.chosen);
      transcript.clear(picker.chosen);
    },
    () => {
      meeting = null;
      view.showNotice(sentence("personas_absent"));
    },
  );
  return meeting;
}

/** Another persona was chosen. @param {import("./personas.js").Persona} persona */
function startOver(persona) {
  endReply();
  now.voidId = now.utteranceId;
  now.utteranceId = "";
  view.clearNotice();
  view.showPersona(persona);
  transcript.clear(persona);
  if (session.isReady) session.configure(persona.id);
  else session.forget();
  refresh();
}

async function openMicrophone() {
  player.unlock();
  try {
    const opening = microphone.open();
    refresh();
    await opening;
    if (microphone.isLive) view.clearNotice();
  } catch (failure) {
    view.showNotice(sentence(`mic_${failure.trouble ?? "failed"}`));
  }
  refresh();
}

/** Stop listening; what was being said is said. While the line is cut, that is not known. */
function closeMicrophone() {
  if (now.utteranceId || !session.isReady) session.commit();
  microphone.close();
  refresh();
}

let wasOpen = false; // the microphone, before the space bar was held

watchTalking(view.talkButton, {
  onToggle: () => (microphone.isWanted ? closeMicrophone() : void openMicrophone()),
  onHold() {
    wasOpen = microphone.isWanted;
    void openMicrophone();
  },
  onRelease(isTap) {
    if (isTap && wasOpen) closeMicrophone();
    if (isTap) return;
    session.commit();
    if (!wasOpen) microphone.close();
    refresh();
  },
});
view.stopButton.addEventListener("click", () => {
  player.mark(); // the gateway keeps what was heard, to the word
  if (now.replyId) player.drop(now.replyId);
  session.cancel();
  view.talkButton.focus();
});
view.watchTyping((text) => {
  if (!session.isReady) return false;
  player.unlock();
  transcript.type(text);
  session.type(text);
  now.isWaiting = true;
  now.isAsking = true;
  refresh();
  return true;
});
document.addEventListener("pointerdown", () => player.unlock());
document.addEventListener("keydown", () => player.unlock());
window.addEventListener("pagehide", () => session.leave());
window.addEventListener("pageshow", ({ persisted }) => persisted && session.connect()); // back from the browser's cache

view.translate();
refresh();
void meetPersonas();
session.connect();
