/**
 * @file The talk button and the space bar: press once to talk freely, hold to talk only so long.
 */
const TAP_MS = 300; // a shorter press of the space bar on the button is a press of the button

/**
 * @param {HTMLButtonElement} button
 * @param {object} listener
 * @param {() => void} listener.onToggle pressed
 * @param {() => void} listener.onHold the space bar went down
 * @param {(isTap: boolean) => void} listener.onRelease it came up; a tap was a press of the button
 */
export function watchTalking(button, { onToggle, onHold, onRelease }) {
  let heldSince = 0;

  const release = (isTap) => {
    heldSince = 0;
    onRelease(isTap);
  };
  const isOurs = (event) => event.code === "Space" && (event.target === button || !isControl(event.target));

  button.addEventListener("click", onToggle);
  document.addEventListener("keydown", (event) => {
    if (!isOurs(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // neither a click of the button nor a scroll
    if (event.repeat || heldSince) return;
    heldSince = performance.now();
    onHold();
  });
  document.addEventListener("keyup", (event) => {
    if (event.code !== "Space" || !heldSince) return;
    event.preventDefault();
    release(event.target === button && performance.now() - heldSince < TAP_MS);
  });
  window.addEventListener("blur", () => heldSince && release(false)); // the key comes up elsewhere, unseen
}

/** @param {EventTarget | null} target @returns {boolean} whether the space bar means something to it */
function isControl(target) {
  return target instanceof Element && target.closest("input, textarea, select, button, a, [contenteditable]") !== null;
}
