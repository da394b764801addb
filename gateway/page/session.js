/**
 * @file The WebSocket to the gateway: version 1 of its protocol, spoken and kept alive.
 *
 * A line that is lost or silent is called again, ever less often, and each time that is a new session.
 * Laws: nothing is sent before `ready`; the microphone never waits in a queue longer than BACKLOG_BYTES.
 */
export const OUTPUT_RATE = 24000; // Hz, of the speech that comes back
const INPUT_RATE = 16000;
const BACKLOG_BYTES = 64000; // 2 s of speech; what a slower line cannot take is old news
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15000;
const PING_MS = 10000;
const SILENCE_MS = 25000; // two pings unanswered

/**
 * How long to wait before call number `attempt` (0, 1, …): it doubles, and a third of it is chance, so that the pages of
 * a gateway that was restarted do not all come back in the same instant.
 * @param {number} attempt @param {number} chance 0 to 1 @returns {number} ms
 */
export function retryDelay(attempt, chance) {
  return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt * (1 + chance / 2));
}

export class Session {
  /** @type {WebSocket | null} */
  #socket = null;
  #isReady = false;
  #attempt = 0;
  #notBefore = 0; // performance.now() before which the gateway asked not to be called
  #heardAt = 0;
  #retryTimer = 0;
  #speaking = ""; // reply_id that binary frames belong to: that of the last segment

  /**
   * @param {URL} address
   * @param {object} listener
   * @param {(message: {type: string}) => void} listener.onMessage each JSON message, `ready` the first
   * @param {(replyId: string, frame: ArrayBuffer) => void} listener.onAudio PCM16 at OUTPUT_RATE
   * @param {() => void} listener.onLost the session is over; the next one comes by itself
   */
  constructor(address, listener) {
    this.address = address;
    this.listener = listener;
    window.addEventListener("online", () => this.#retryTimer && this.connect());
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
    this.#heardAt = performance.now();
    this.#socket = socket;
  }

  /** @param {string | undefined} persona an id, or the gateway's own choice */
  configure(persona) {
    const audioOut = { encoding: "pcm16", sample_rate: OUTPUT_RATE, transport: "binary" };
    this.#send({ type: "config", sample_rate: INPUT_RATE, persona, audio_out: audioOut });
  }

  /** @param {string} text a typed turn */
  type(text) {
    this.#send({ type: "text", text });
  }

  /** The utterance is over now. */
  commit() {
    this.#send({ type: "commit" });
  }

  /** Stop the answer. */
  cancel() {
    this.#send({ type: "cancel" });
  }

  /** @param {string} replyId @param {number} ms of it heard so far */
  played(replyId, ms) {
    this.#send({ type: "played", reply_id: replyId, ms });
  }

  /** @param {ArrayBuffer} pcm @returns {boolean} whether it was sent: false on a line that is too slow */
  sendAudio(pcm) {
    if (!this.#isReady) return true;
    if (this.#socket.bufferedAmount > BACKLOG_BYTES) return false;
    this.#socket.send(pcm);
    return true;
  }

  #send(message) {
    if (this.#isReady) this.#socket.send(JSON.stringify(message));
  }

  /** @param {string | ArrayBuffer} received */
  #receive(received) {
    this.#heardAt = performance.now();
    if (typeof received !== "string") {
      this.listener.onAudio(this.#speaking, received);
      return;
    }
    const message = JSON.parse(received);
    if (message.type === "ready") {
      this.#isReady = true;
      this.#attempt = 0;
    }
    if (message.type === "segment") this.#speaking = message.reply_id;
    if (message.type === "error" && message.retry_after_ms) {
      this.#notBefore = performance.now() + message.retry_after_ms;
    }
    this.listener.onMessage(message);
  }

  #checkLine() {
    if (!this.#socket) return;
    if (performance.now() - this.#heardAt > SILENCE_MS) this.#lose(this.#socket);
    else this.#send({ type: "ping" });
  }

  /** Give a line up. Its closing handshake is not waited for: on a dead line it would never come. */
  #lose(socket) {
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#isReady = false;
    this.#speaking = "";
    socket.close();
    const delay = Math.max(retryDelay(this.#attempt++, Math.random()), this.#notBefore - performance.now());
    this.#retryTimer = setTimeout(() => this.connect(), delay);
    this.listener.onLost();
  }
}
