/**
 * @file Runs on the audio thread: the microphone at any rate in, PCM16 at 16 kHz in frames of exactly 20 ms out.
 *
 * Every output sample is a windowed sinc laid over the input at its exact (rational) place, so the low pass and the
 * change of rate are one sum, and nothing drifts. It stands alone, because not every browser lets a worklet import.
 *
 * Posts {pcm: ArrayBuffer of 640 bytes, level: RMS of the frame, full scale = 1}.
 */
const OUTPUT_RATE = 16000;
const FRAME_SAMPLES = 320;
const ZERO_CROSSINGS = 16; // each side of the centre: about 50 dB down where the images would begin
const PASS_BAND = 0.9; // of the lower of the two Nyquist frequencies

/** @param {number} a @param {number} b @returns {number} */
const greatestDivisor = (a, b) => (b ? greatestDivisor(b, a % b) : a);

/**
 * The filter for one place between two input samples, Hamming-windowed and of unit gain.
 * @param {number} half taps each side of the centre
 * @param {number} cutoff in cycles per input sample
 * @param {number} fraction of an input sample, 0 to 1
 * @returns {Float32Array} newest input sample first
 */
function makeTaps(half, cutoff, fraction) {
  const taps = new Float32Array(2 * half + 1);
  let sum = 0;
  for (let k = 0; k < taps.length; k++) {
    const x = half - k - fraction;
    const sinc = x === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * x) / (Math.PI * x);
    taps[k] = sinc * (0.54 + 0.46 * Math.cos((Math.PI * x) / (half + 1)));
    sum += taps[k];
  }
  return taps.map((tap) => tap / sum);
}

/** Changes the rate of a stream, one input sample at a time. */
class Resampler {
  /** @param {number} rate of the input, Hz */
  constructor(rate) {
    const divisor = greatestDivisor(rate, OUTPUT_RATE);
    this.phases = OUTPUT_RATE / divisor; // places between two input samples where an output sample can fall
    this.step = rate / divisor; // from one output sample to the next, in those places
    const cutoff = (PASS_BAND * Math.min(rate, OUTPUT_RATE)) / 2 / rate;
    const half = Math.ceil(ZERO_CROSSINGS / (2 * cutoff));
    this.filters = Array.from({ length: this.phases }, (_, p) => makeTaps(half, cutoff, p / this.phases));
    this.mask = 2 ** Math.ceil(Math.log2(2 * half + 1)) - 1;
    this.past = new Float32Array(this.mask + 1);
    this.at = 0;
    this.due = 0; // places until the next output sample
  }

  /** @param {number} sample @param {(sample: number) => void} emit */
  push(sample, emit) {
    this.at = (this.at + 1) & this.mask;
    this.past[this.at] = sample;
    for (; this.due < this.phases; this.due += this.step) emit(this.sum(this.filters[this.due]));
    this.due -= this.phases;
  }

  /** @param {Float32Array} taps @returns {number} */
  sum(taps) {
    let sum = 0;
    for (let k = 0; k < taps.length; k++) sum += taps[k] * this.past[(this.at - k) & this.mask];
    return sum;
  }
}

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate);
    this.frame = new Int16Array(FRAME_SAMPLES);
    this.filled = 0;
    this.energy = 0;
    this.take = this.take.bind(this);
  }

  /** @param {Float32Array[][]} inputs @returns {boolean} */
  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.resampler.push(sum / channels.length, this.take);
    }
    return true;
  }

  /** @param {number} sample at 16 kHz, full scale = 1 */
  take(sample) {
    const clipped = Math.max(-1, Math.min(1, sample));
    this.frame[this.filled++] = Math.round(clipped * 32767);
    this.energy += clipped * clipped;
    if (this.filled === FRAME_SAMPLES) this.post();
  }

  post() {
    const pcm = this.frame.buffer;
    this.port.postMessage({ pcm, level: Math.sqrt(this.energy / FRAME_SAMPLES) }, [pcm]);
    this.frame = new Int16Array(FRAME_SAMPLES);
    this.filled = 0;
    this.energy = 0;
  }
}

registerProcessor("capture", Capture);
