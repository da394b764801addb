/**
 * @file Speaks replies: PCM16 frames come in, sound goes out without gaps, and how much was heard is told.
 *
 * Laws: marks of a reply only grow, and never exceed what was received; whenever everything received so far was heard,
 * one mark says exactly that; nothing of a dropped reply sounds or is told any more.
 */
const LEAD_S = 0.06; // between the arrival of a first frame and its sound: room for the network's jitter
const HORIZON_S = 1.5; // sound is given to the browser this far ahead; the rest waits here, where it costs nothing
const CHUNK_S = 0.2; // the most that is given to it at once
const FADE_S = 0.006; // a stop without a click
const TICK_MS = 50;
const MARK_MS = 200;
const LONGEST_LATENCY_S = 0.5; // what a browser claims beyond it is not believed

/**
 * @typedef {object} Reply
 * @property {string} id
 * @property {GainNode} gain
 * @property {Int16Array[]} pending received, not yet given to the browser
 * @property {{from: number, until: number, samples: number, node: AudioBufferSourceNode}[]} scheduled context seconds
 * @property {number} received samples
 * @property {number} heard samples of all that has left `scheduled`
 * @property {number} head when the next sample may sound, context seconds
 * @property {number} marked what was told last, ms
 * @property {number} markedAt performance.now() of it
 */

export class Player {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Reply | null} */
  #reply = null;
  #droppedId = "";
  #timer = 0;
  #isPaused = false;

  /**
   * @param {number} rate of the frames, Hz
   * @param {object} listener
   * @param {(replyId: string, ms: number) => void} listener.onMark so much of the reply was heard
   * @param {(rms: number, peak: number) => void} listener.onLevel of what sounds now, full scale = 1
   * @param {() => void} listener.onBlocked the browser wants a gesture before it lets anything sound
   * @param {() => void} listener.onFreed it lets sound out
   */
  constructor(rate, listener) {
    this.rate = rate;
    this.listener = listener;
  }

  /** Call it from every gesture: browsers allow sound only from then on. */
  unlock() {
    const context = this.#open();
    if (context.state !== "running" && !this.#isPaused) void context.resume();
  }

  /** @param {string} replyId @param {ArrayBuffer} frame PCM16 */
  push(replyId, frame) {
    if (replyId === this.#droppedId || frame.byteLength < 2) return;
    if (this.#reply?.id !== replyId) this.#begin(replyId);
    const pcm = new Int16Array(frame, 0, frame.byteLength >> 1);
    this.#reply.pending.push(pcm);
    this.#reply.received += pcm.length;
    if (this.#context.state !== "running" && !this.#isPaused) this.listener.onBlocked();
    this.#schedule(this.#reply);
    this.#timer ||= setInterval(() => this.#tick(), TICK_MS);
  }

  /** Tell now, to the millisecond, how much was heard. */
  mark() {
    if (this.#reply) this.#tell(this.#reply, 0);
  }

  /** Silence a reply at once; what still arrives of it is thrown away. @param {string} replyId */
  drop(replyId) {
    this.#droppedId = replyId;
    if (this.#reply?.id === replyId) this.#silence();
  }

  /** Stand still with a reply where it is; nothing of it is lost. @param {string} replyId */
  pause(replyId) {
    if (this.#reply?.id !== replyId || this.#context.state !== "running") return;
    this.#isPaused = true;
    void this.#context.suspend(); // its time stands still, and with it all that is scheduled and told
  }

  /** Go on from the same sample. */
  resume() {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    void this.#context.resume();
  }

  #open() {
    if (this.#context) return this.#context;
    try {
      // The speech's own rate: then nothing is resampled chunk by chunk, which would be heard at the seams.
      this.#context = new AudioContext({ sampleRate: this.rate, latencyHint: "interactive" });
    } catch {
      this.#context = new AudioContext({ latencyHint: "interactive" });
    }
    this.#context.onstatechange = () => this.#context.state === "running" && this.listener.onFreed();
    this.analyser = this.#context.createAnalyser();
    this.analyser.fftSize = 2048; // 85 ms at 24 kHz: more than a tick, so no peak is missed
    this.scope = new Float32Array(this.analyser.fftSize);
    this.analyser.connect(this.#context.destination);
    return this.#context;
  }

  #begin(id) {
    this.#silence();
    const gain = this.#open().createGain();
    gain.connect(this.analyser);
    this.#reply = { id, gain, pending: [], scheduled: [], received: 0, heard: 0, head: 0, marked: 0, markedAt: 0 };
  }

  #silence() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.resume();
    const reply = this.#reply;
    this.#reply = null;
    if (!reply) return;
    const now = this.#context.currentTime;
    reply.gain.gain.setTargetAtTime(0, now, FADE_S / 3);
    for (const { node } of reply.scheduled) node.stop(now + FADE_S * 2);
    this.listener.onLevel(0, 0);
  }

  #schedule(reply) {
    const now = this.#context.currentTime;
    while (reply.pending.length && reply.head < now + HORIZON_S) {
      const samples = takeChunk(reply.pending, Math.round(CHUNK_S * this.rate));
      const node = this.#context.createBufferSource();
      node.buffer = this.#context.createBuffer(1, samples.length, this.rate);
      node.buffer.copyToChannel(samples, 0);
      node.connect(reply.gain);
      const from = reply.head > now ? reply.head : now + LEAD_S;
      node.start(from);
      reply.head = from + samples.length / this.rate;
      reply.scheduled.push({ from, until: reply.head, samples: samples.length, node });
    }
  }

  #tick() {
    const reply = this.#reply;
    this.#schedule(reply);
    this.#measure();
    this.#tell(reply, MARK_MS);
    if (reply.pending.length || reply.scheduled.length) return;
    clearInterval(this.#timer);
    this.#timer = 0;
    this.listener.onLevel(0, 0);
  }

  #measure() {
    this.analyser.getFloatTimeDomainData(this.scope);
    let energy = 0;
    let peak = 0;
    for (const value of this.scope) {
      energy += value * value;
      peak = Math.max(peak, Math.abs(value));
    }
    this.listener.onLevel(Math.sqrt(energy / this.scope.length), peak);
  }

  /** Tell what was heard, unless the last time is less than `pause` ms ago; the whole is told without delay. */
  #tell(reply, pause) {
    const samples = this.#samplesHeard(reply);
    const ms = Math.floor((samples * 1000) / this.rate);
    const isRecent = performance.now() - reply.markedAt < pause && samples < reply.received;
    if (ms <= reply.marked || isRecent) return;
    reply.marked = ms;
    reply.markedAt = performance.now();
    this.listener.onMark(reply.id, ms);
  }

  #samplesHeard(reply) {
    const latency = Math.min(this.#context.outputLatency || 0, LONGEST_LATENCY_S);
    const now = this.#context.currentTime - latency;
    while (reply.scheduled.length && reply.scheduled[0].until <= now) reply.heard += reply.scheduled.shift().samples;
    const sounding = reply.scheduled[0];
    const part = sounding ? Math.floor((now - sounding.from) * this.rate) : 0;
    return reply.heard + Math.max(0, part);
  }
}

/**
 * Takes frames off the front of a queue until they fill a chunk (the last one may overfill it).
 * @param {Int16Array[]} pending @param {number} atMost samples @returns {Float32Array} full scale = 1
 */
function takeChunk(pending, atMost) {
  let length = 0;
  let count = 0;
  while (count < pending.length && length < atMost) length += pending[count++].length;
  const chunk = new Float32Array(length);
  let at = 0;
  for (const pcm of pending.splice(0, count)) for (const value of pcm) chunk[at++] = value / 32768;
  return chunk;
}
