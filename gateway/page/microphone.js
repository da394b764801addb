/**
 * @file The microphone: asked for only when a person wants to talk, let go as soon as they do not.
 *
 * Law: after close() no frame comes, not even of an open() that was still under way.
 */

/** @typedef {"insecure" | "denied" | "absent" | "busy" | "failed"} Trouble */

const TROUBLES = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "absent",
  OverconstrainedError: "absent",
  NotReadableError: "busy",
  AbortError: "busy",
};

const WISHES = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** The microphone cannot be had; `trouble` says why. */
export class MicrophoneError extends Error {
  /** @param {Trouble} trouble */
  constructor(trouble) {
    super(`The microphone cannot be had: ${trouble}.`);
    this.trouble = trouble;
  }
}

export class Microphone {
  /** @type {{context: AudioContext, stream: MediaStream | null, isLive: boolean} | null} */
  #line = null;

  /**
   * @param {object} listener
   * @param {(pcm: ArrayBuffer, level: number) => void} listener.onFrame 20 ms of PCM16 at 16 kHz, and its RMS
   * @param {() => void} listener.onLost the microphone went away by itself
   */
  constructor(listener) {
    this.listener = listener;
  }

  /** Whether it is open, or about to be. */
  get isWanted() {
    return this.#line !== null;
  }

  /** Whether it hears. */
  get isLive() {
    return this.#line?.isLive ?? false;
  }

  /** Begin to hear; call it from a person's gesture. Rejects with MicrophoneError; a close() meanwhile wins. */
  async open() {
    if (this.#line) return;
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) throw new MicrophoneError("insecure");
    const line = { context: new AudioContext({ latencyHint: "interactive" }), stream: null, isLive: false };
    this.#line = line;
    try {
      await line.context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
      line.stream = await navigator.mediaDevices.getUserMedia({ audio: WISHES });
      if (this.#line === line) this.#listen(line);
      else this.#hangUp(line);
    } catch (failure) {
      const wasWanted = this.#line === line;
      this.#hangUp(line);
      if (wasWanted) throw new MicrophoneError(TROUBLES[failure.name] ?? "failed");
    }
  }

  /** Stop hearing, and let the browser take its recording sign away. */
  close() {
    if (this.#line) this.#hangUp(this.#line);
  }

  #listen(line) {
    const node = new AudioWorkletNode(line.context, "capture", { outputChannelCount: [1] });
    node.port.onmessage = ({ data }) => {
      if (this.#line === line) this.listener.onFrame(data.pcm, data.level);
    };
    line.context.createMediaStreamSource(line.stream).connect(node);
    node.connect(line.context.destination); // it writes only silence there; without an end nothing would pull it
    line.stream.getAudioTracks()[0].addEventListener("ended", () => this.#lose(line));
    line.isLive = true;
    void line.context.resume();
  }

  #lose(line) {
    if (this.#line !== line) return;
    this.#hangUp(line);
    this.listener.onLost();
  }

  #hangUp(line) {
    if (this.#line === line) this.#line = null;
    line.stream?.getTracks().forEach((track) => track.stop());
    if (line.context.state !== "closed") void line.context.close();
  }
}
