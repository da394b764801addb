"""Scripts that run inside the page to watch or to hinder it."""

# A worklet on the output, served as /tap.js.
TAP = """
// Counts the samples of sound, of silence inside of it, and of silence since; and the leaps: where a sample of sound is
// not the one before plus one, going from 1 to 30000 again and again.
registerProcessor("tap", class extends AudioWorkletProcessor {
  silent = 0; inside = 0; heard = 0; leaps = 0; last = 0;
  process([[samples = []]]) {
    for (const sample of samples) {
      if (sample === 0) { this.silent += this.heard > 0; continue; }
      this.inside += this.silent; this.silent = 0; this.heard++;
      const number = sample * 32768;
      this.leaps += number !== this.last % 30000 + 1;
      this.last = number;
    }
    this.port.postMessage({ heard: this.heard, inside: this.inside, silent: this.silent, leaps: this.leaps });
    return true;
  }
});
"""
# A worklet that hears nothing: every 20 ms a frame that holds its own number, from 1 on.
COUNTING_CAPTURE = """
registerProcessor("capture", class extends AudioWorkletProcessor {
  due = 0; number = 0;
  process([], [[samples]]) {
    this.due += samples.length;
    for (; this.due >= sampleRate / 50; this.due -= sampleRate / 50) {
      const pcm = new Int16Array(320).fill(++this.number).buffer;
      this.port.postMessage({ pcm, level: 0 }, [pcm]);
    }
    return true;
  }
});
"""
# Puts the worklet there; what it counts stands in window.tapped.
WATCH_OUTPUT = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (this instanceof AnalyserNode) {
    this.context.audioWorklet.addModule("tap.js").then(() => {
      const tap = new AudioWorkletNode(this.context, "tap");
      tap.port.onmessage = ({ data }) => { window.tapped = data; };
      connect.call(this, tap);
      connect.call(tap, this.context.destination);
      window.tapped = { heard: 0, inside: 0, silent: 0 };
    });
  }
  return connect.call(this, target, ...rest);
};
"""
# What is done every so often is done much more often.
HURRY = "window.setInterval = ((wait) => (work, ms) => wait(work, ms / 20))(window.setInterval)"
# Nothing is waited for; how long it would have been stands in window.waits, ms.
WAIT_FOR_NOTHING = """
window.waits = [];
window.setTimeout = ((wait) => (work, ms) => wait(work, 0 * window.waits.push(ms)))(window.setTimeout);
"""
# The page was opened an hour ago.
AN_HOUR_OLD = "performance.now = ((now) => () => now.call(performance) + 3_600_000)(performance.now)"
# Only what is due very soon is ever done.
WAIT_FOR_EVER = "window.setTimeout = ((wait) => (work, ms) => (ms < 100 ? wait(work, ms) : 1))(window.setTimeout)"
# So many bytes wait to be sent, whatever the line takes.
WAITING_BYTES = """
window.waitingBytes = 0;
Object.defineProperty(WebSocket.prototype, "bufferedAmount", { get: () => window.waitingBytes });
"""
# In the file of the module, opened as a page: things go into what is kept of the person's voice and words, then some of
# it turns out to have arrived.
# A thing is [bytes of audio, wasSent] or [a message, wasSent, isRepeatable]; comes out: bytes of audio, or messages.
REWIND = """async ([things, ...arrivals]) => {
  const { Upstream } = await import(location);
  const upstream = new Upstream();
  for (const [data, ...rest] of things) {
    upstream.add(typeof data === "number" ? new ArrayBuffer(data) : data, ...rest);
  }
  return arrivals.map((arrived) => upstream.rewind(arrived).map((data) => data.byteLength ?? data));
}"""
# Nothing is done every so often any more.
STOP_INTERVALS = "window.setInterval = () => 1"
# No sound before a gesture, as browsers do it with pages that nobody has touched.
HOLD_SOUND = """
window.AudioContext = class extends AudioContext {
  constructor(...args) {
    super(...args);
    void this.suspend();
  }
};
"""
# A tone through the capture worklet at some rate: 98 of the frames that come out, one after another.
RENDER = """async ([rate, hertz]) => {
  const context = new OfflineAudioContext(1, 2 * rate, rate);
  await context.audioWorklet.addModule("capture-worklet.js");
  const node = new AudioWorkletNode(context, "capture");
  const tone = new OscillatorNode(context, { frequency: hertz });
  const heard = [];
  const isComplete = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => heard.push(...new Int16Array(data.pcm)) >= 99 * 320 && resolve();
  });
  tone.connect(node).connect(context.destination);
  tone.start();
  await context.startRendering();
  await isComplete;
  return heard.slice(320, 99 * 320);
}"""
