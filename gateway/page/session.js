/**
 * @file The WebSocket to the gateway: version 1 of its protocol, spoken and kept alive.
 *
 * A line that is cut or silent is called again, ever less often. The session goes on where it was, as long as the
 * gateway keeps it; else a new one takes its place.
 * Laws: nothing is sent before `ready`, and after a cut nothing before `resume` is answered; what the gateway says in a
 * session is told once and in order, over as many lines as it takes; the microphone never waits on a line for longer
 * than BACKLOG_BYTES, and a session that is over takes what waited for it along.
 */
import { KEPT_BYTES, Upstream } from "./upstream.js";

export const OUTPUT_RATE = 24000; // Hz, of the speech that comes back
const INPUT_RATE = 16000;
const BACKLOG_BYTES = 64000; // 2 s of speech; what a slower line cannot take is old news
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 15000;
const STEADY_MS = 5000; // a line that lasted so long was a good one
const UNSTEADY_ATTEMPTS = 2; // a gateway that answers and is gone again is called less often from the start
const PING_MS = 5000;
const UNANSWERED_PINGS = 2; // that make a line a dead one
const GOODBYE = 1000; // close codes: the session is over
const GIVEN_UP = 4000; // the line is over; the session may go on by another one

/**
 * How long to wait before call number `attempt` (0, 1, …): it doubles, and a third of it is chance, so that the pages
 * of a gateway that was restarted do not all come back in the same instant.
 * @param {number} attempt @param {number} chance 0 to 1 @returns {number} ms
 */
export function retryDelay(attempt, chance) {
  return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt) * (1 - chance / 3);
}

/**
 * @typedef {object} Thread a session as far as it came to us
 * @property {string} id
 * @property {string} token with which it can be gone on with
 * @property {number} keptMs for so long after a cut
 * @property {number} lastSeq of the last message
 * @property {number} audioBytes of the binary frames since then
 * @property {string} speaking reply_id that binary frames belong to: that of the last segment
 * @property {number} cutAt performance.now() of the cut
 */

export class Session {
  /** @type {WebSocket | null} */
  #socket = null;
  #isReady = false;
  #readyAt = 0;
  /** @type {Thread | null} */
  #thread = null;
  /** @type {{type: string}[] | null} what a new session said while the old one is asked for */
  #heldBack = null;
  #upstream = new Upstream();
  /** @type {{type: string} | null} the last one */
  #mark = null;
  #isCatchingUp = false; // what was said during a cut is on its way
  #attempt = 0;
  #notBefore = 0; // performance.now() before which the gateway asked not to be called
  #unansweredPings = 0;
  #retryTimer = 0;

  /**
   * @param {URL} address
   * @param {object} listener
   * @param {(message: {type: string}) => void} listener.onMessage each JSON message; `ready` is the first of a session,
   *   and comes again, with `resumed`, when it goes on
   * @param {(replyId: string, frame: ArrayBuffer) => void} listener.onAudio PCM16 at OUTPUT_RATE
   * @param {() => void} listener.onLost the line is gone; the next one comes by itself
   * @param {() => void} listener.onEnded the session is over: left, or followed by another one
   */
  constructor(address, listener) {
    this.address = address;
    this.listener = listener;
    window.addEventListener("online", () => {
      if (this.#retryTimer && performance.now() >= this.#notBefore) this.connect();
    });
    setInterval(() => this.#checkLine(), PING_MS);
  }

  get isReady() {
    return this.#isReady;
  }

  /** Call the gateway now. */
  connect() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#socket === socket && this.#receive(data);
    socket.onclose = () => this.#lose(socket);
    this.#unansweredPings = 0;
    this.#socket = socket;
  }

  /** Say goodbye: the gateway keeps nothing, and is not called again. */
  leave() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    const socket = this.#socket;
    this.#hangUp();
    if (socket?.readyState === WebSocket.OPEN) socket.close(GOODBYE);
    this.#end();
  }

  /** What was before the cut is not wanted any more: the next line brings a new session. */
  forget() {
    if (this.#heldBack) this.#lose(this.#socket); // the old session may be on its way already
    this.#end();
  }

  /** @param {string | undefined} persona an id, or the gateway's own choice */
  configure(persona) {
    const audioOut = { encoding: "pcm16", sample_rate: OUTPUT_RATE, transport: "binary" };
    this.#tell({ type: "config", sample_rate: INPUT_RATE, persona, audio_out: audioOut }, true);
  }

  /** @param {string} text a typed turn; one that is lost with its line is not said again: it could be answered twice */
  type(text) {
    this.#send({ type: "text", text });
  }

  /** The utterance is over now. */
  commit() {
    this.#tell({ type: "commit" }, true);
  }

  /** Stop the answer. */
  cancel() {
    this.#tell({ type: "cancel" }, false);
  }

  /** @param {string} replyId @param {number} ms of it heard so far */
  played(replyId, ms) {
    this.#mark = { type: "played", reply_id: replyId, ms };
    this.#send(this.#mark);
  }

  /** @param {ArrayBuffer} pcm @returns {boolean} whether it was sent or can wait: false on a line that is too slow */
  sendAudio(pcm) {
    if (!this.#thread) return true;
    const isSent = this.#isReady && this.#hasRoom();
    if (isSent) this.#socket.send(pcm);
    this.#upstream.add(pcm, isSent);
    return isSent || !this.#isReady;
  }

  #hasRoom() {
    const waiting = this.#socket.bufferedAmount;
    this.#isCatchingUp &&= waiting > BACKLOG_BYTES;
    return waiting <= BACKLOG_BYTES + (this.#isCatchingUp ? KEPT_BYTES : 0);
  }

  /** Say something that must reach the session, also when the line is cut. */
  #tell(message, isRepeatable) {
    if (!this.#thread) return;
    this.#send(message);
    this.#upstream.add(JSON.stringify(message), this.#isReady, isRepeatable);
  }

  #send(message) {
    if (this.#isReady) this.#socket.send(JSON.stringify(message));
  }

  /** @param {string | ArrayBuffer} received */
  #receive(received) {
    this.#unansweredPings = 0;
    if (typeof received !== "string") {
      this.#hear(received);
      return;
    }
    const message = JSON.parse(received);
    if (message.type === "error" && message.retry_after_ms) {
      this.#notBefore = performance.now() + message.retry_after_ms;
    }
    if (message.type === "ready") this.#greet(message);
    else if (this.#heldBack) this.#weigh(message);
    else this.#take(message);
  }

  /** @param {ArrayBuffer} frame */
  #hear(frame) {
    if (!this.#isReady) return;
    this.#thread.audioBytes += frame.byteLength;
    this.listener.onAudio(this.#thread.speaking, frame);
  }

  #take(message) {
    if (this.#isReady) {
      this.#thread.lastSeq = message.seq;
      this.#thread.audioBytes = 0;
      if (message.type === "segment") this.#thread.speaking = message.reply_id;
    }
    this.listener.onMessage(message);
  }

  // -- after a cut ----------------------------------------------------------------------------------------------------

  /** The line is open, with a new session or with the old one. */
  #greet(ready) {
    if (ready.resumed && this.#heldBack) {
      this.#goOn(ready);
      return;
    }
    if (this.#thread && performance.now() - this.#thread.cutAt >= this.#thread.keptMs) this.#end();
    this.#heldBack = [ready];
    if (!this.#thread) {
      this.#beginAnew();
      return;
    }
    const { id, token, lastSeq, audioBytes } = this.#thread;
    const resume = { type: "resume", session_id: id, token, last_seq: lastSeq, audio_bytes: audioBytes };
    this.#socket.send(JSON.stringify(resume));
  }

  /** A message before `resume` is answered: the refusal, or something of the new session. */
  #weigh(message) {
    const isRefusal = message.type === "error" && message.service === "gateway";
    if (!isRefusal) {
      this.#heldBack.push(message);
      return;
    }
    this.#beginAnew();
    this.#thread.lastSeq = message.seq;
  }

  #beginAnew() {
    this.#end();
    const messages = this.#heldBack;
    const [{ session_id: id, token, resume_ms: keptMs = 0 }] = messages;
    this.#thread = { id, token, keptMs, lastSeq: 0, audioBytes: 0, speaking: "", cutAt: 0 };
    this.#open();
    for (const message of messages) this.#take(message);
  }

  /** The gateway sends what we missed; it gets what it missed. */
  #goOn(ready) {
    this.#thread.token = ready.token;
    this.#thread.keptMs = ready.resume_ms;
    this.#open();
    if (this.#mark) this.#send(this.#mark);
    for (const data of this.#upstream.rewind(ready.audio_bytes)) this.#socket.send(data);
    this.#isCatchingUp = true;
    this.listener.onMessage(ready);
  }

  #end() {
    if (!this.#thread) return;
    this.#thread = null;
    this.#mark = null;
    this.#upstream.clear();
    this.listener.onEnded();
  }

  #open() {
    this.#heldBack = null;
    this.#isReady = true;
    this.#isCatchingUp = false;
    this.#readyAt = performance.now();
  }

  // -- the line -------------------------------------------------------------------------------------------------------

  #checkLine() {
    if (!this.#socket) return;
    if (this.#unansweredPings++ >= UNANSWERED_PINGS) this.#lose(this.#socket);
    else this.#send({ type: "ping" });
  }

  /** Give a line up. Its closing handshake is not waited for: on a dead line it would never come. */
  #lose(socket) {
    if (this.#socket !== socket) return;
    const now = performance.now();
    if (this.#isReady) {
      this.#thread.cutAt = now;
      this.#attempt = now - this.#readyAt < STEADY_MS ? Math.min(this.#attempt, UNSTEADY_ATTEMPTS) : 0;
    }
    this.#hangUp();
    socket.close(GIVEN_UP);
    const delay = Math.max(0, this.#notBefore - now) + retryDelay(this.#attempt++, Math.random());
    this.#retryTimer = setTimeout(() => this.connect(), delay);
    this.listener.onLost();
  }

  #hangUp() {
    this.#socket = null;
    this.#isReady = false;
    this.#heldBack = null;
  }
}
