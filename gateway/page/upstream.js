/**
 * @file What the person said of late, kept for a line that is cut: audio, and the messages that stand between it.
 *
 * The gateway tells how many bytes of audio it has; what was sent later is due again. A gateway that was restarted may
 * have lost audio but not messages, so that number says of a message that it arrived, and never that it did not.
 * Laws: what is due keeps its order, and each byte of audio is due at most once; a message that does harm when it comes
 * twice is due only if it was given to no line; never more than KEPT_BYTES are kept, and the newest are.
 */
export const KEPT_BYTES = 320000; // 10 s of PCM16 at 16 kHz

/**
 * @typedef {object} Item
 * @property {ArrayBuffer | string} data audio, or a message
 * @property {number} at bytes of audio that were sent before it
 * @property {boolean} wasSent it was given to a line; else there was none, or it was too slow
 * @property {boolean} isRepeatable it does no harm when it comes twice
 */

export class Upstream {
  /** @type {Item[]} */
  #items = [];
  #keptBytes = 0;
  #sentBytes = 0; // of audio, in this session

  /** @param {ArrayBuffer | string} data @param {boolean} wasSent @param {boolean} [isRepeatable] */
  add(data, wasSent, isRepeatable = false) {
    this.#items.push({ data, at: this.#sentBytes, wasSent, isRepeatable });
    if (wasSent && typeof data !== "string") this.#sentBytes += data.byteLength;
    this.#keptBytes += sizeOf(data);
    while (this.#keptBytes > KEPT_BYTES) this.#keptBytes -= sizeOf(this.#items.shift().data);
  }

  /**
   * What is to be sent now, by a line on which the session goes on. It counts as sent.
   * @param {number} arrived bytes of audio that the gateway has
   * @returns {(ArrayBuffer | string)[]}
   */
  rewind(arrived) {
    const due = this.#items.map((item) => ({ ...item, data: dueOf(item, arrived) })).filter(({ data }) => data);
    this.clear();
    this.#sentBytes = arrived;
    for (const { data, isRepeatable } of due) this.add(data, true, isRepeatable);
    return due.map(({ data }) => data);
  }

  /** Forget everything: the next session knows nothing of it. */
  clear() {
    this.#items = [];
    this.#keptBytes = 0;
    this.#sentBytes = 0;
  }
}

/** @param {Item} item @param {number} arrived @returns {ArrayBuffer | string | null} what did not arrive of it */
function dueOf({ data, at, wasSent, isRepeatable }, arrived) {
  const known = arrived - at; // bytes of audio from here on that the gateway has
  if (wasSent && typeof data !== "string") return known < data.byteLength ? data.slice(Math.max(0, known)) : null;
  const mayCome = !wasSent || isRepeatable;
  return mayCome && known <= 0 ? data : null;
}

/** @param {ArrayBuffer | string} data @returns {number} bytes of memory */
function sizeOf(data) {
  return typeof data === "string" ? 2 * data.length : data.byteLength;
}
