/** @file Everything of the page that is not the conversation: state, notices, buttons, levels. */
import { language, sentence } from "./strings.js";

/** @typedef {"connecting" | "ready" | "listening" | "thinking" | "speaking" | "reconnecting"} State */

/** @param {string} id @returns {HTMLElement} */
const find = (id) => document.getElementById(id);

export const talkButton = find("talk");
export const stopButton = find("stop");
export const personaBox = find("personas");
export const transcriptList = find("transcript");
export const room = find("room");
const line = find("line");

/** Put the page into the browser's language. */
export function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = sentence(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = sentence(element.dataset.label);
  line.placeholder = sentence(line.dataset.placeholder);
  find("notice-close").addEventListener("click", () => clearNotice());
}

/** @param {State} state */
export function showState(state) {
  document.body.dataset.state = state;
  const label = find("state");
  if (label.textContent !== sentence(state)) label.textContent = sentence(state);
}

/** @param {boolean} canStop whether there is an answer to stop */
export function showStop(canStop) {
  stopButton.hidden = !canStop;
}

/** @param {boolean} isOpen whether the microphone is open, or about to be */
export function showMicrophone(isOpen) {
  talkButton.ariaPressed = String(isOpen);
  talkButton.ariaLabel = sentence(isOpen ? "talking" : "talk");
}

/** @param {{name: string, avatar: string, language: string}} persona */
export function showPersona({ name, avatar, language: spoken }) {
  find("face").textContent = avatar;
  find("host").textContent = name;
  find("host").lang = spoken;
}

/** @param {string} text what happened and what to do */
export function showNotice(text) {
  find("notice-text").textContent = text;
  find("notice").hidden = false;
}

/** @param {string} [only] clear no other notice than this one */
export function clearNotice(only) {
  if (only && find("notice-text").textContent !== only) return;
  find("notice").hidden = true;
  find("notice-text").textContent = "";
}

/** @param {string} text with what less Parley does for now; empty: with nothing less */
export function showMeans(text) {
  find("means").textContent = text;
  find("means").hidden = !text;
}

/** Draw how loud it is. @param {number} rms full scale = 1 */
export function showLevel(rms) {
  const decibels = 20 * Math.log10(Math.max(rms, 1e-4));
  const level = Math.max(0, Math.min(1, (decibels + 55) / 45)); // −55 dB is a quiet room, −10 dB a loud voice
  find("controls").style.setProperty("--level", level.toFixed(3));
}

/** @param {(text: string) => boolean} onText a person typed a line; whether it was taken */
export function watchTyping(onText) {
  find("typing").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = line.value.trim();
    if (!text) return;
    if (onText(text)) line.value = "";
  });
}
