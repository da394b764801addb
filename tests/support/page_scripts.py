"""Scripts that run inside the page to watch or to hinder it."""

# A worklet on the output, served as /tap.js.
TAP = """
// Counts the samples of sound, of silence inside of it, and of silence since.
registerProcessor("tap", class extends AudioWorkletProcessor {
  silent = 0; inside = 0; heard = 0;
  process([[samples = []]]) {
    for (const sample of samples) {
      if (sample === 0) { this.silent += this.heard > 0; continue; }
      this.inside += this.silent; this.silent = 0; this.heard++;
    }
    this.port.postMessage({ heard: this.heard, inside: this.inside, silent: this.silent });
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
