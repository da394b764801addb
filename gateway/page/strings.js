/** @file What the page says, in English and Chinese. The browser's language decides. */

const ENGLISH = {
  personas: "Who answers",
  conversation: "Conversation",
  talk: "Talk",
  talking: "Stop listening",
  stop: "Stop",
  type: "Type instead",
  send: "Send",
  dismiss: "Dismiss",
  hint: "Press the button and speak, or hold the space bar while you do.",
  connecting: "Connecting",
  ready: "Ready",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  reconnecting: "Connection lost, trying again",
  divider: "The connection was lost. This is a new conversation.",
  loading: "{service} is warming up. It goes on by itself.",
  asr: "The speech recogniser",
  llm: "The language model",
  tts: "The voice",
  gateway: "Parley",
  no_hq: "Parley has much to do: answers are kept as they were first spoken.",
  fast_voice: "Parley has much to do: a simpler voice speaks for now.",
  text_only: "Parley has much to do: answers come as text for now.",
  blocked: "The browser holds the sound back. Press anywhere to hear the answer.",
  slow: "The line is too slow for your voice. Move closer to the network, or type.",
  personas_absent: "The list of characters did not come. Reload the page to try again.",
  mic_insecure: "Browsers give the microphone only to secure pages. Open Parley by https:// or on localhost, or type.",
  mic_denied: "The microphone is not allowed. Allow it beside the address bar and press again, or type.",
  mic_absent: "There is no microphone. Plug one in and press again, or type.",
  mic_busy: "The microphone is busy in another program. Close that and press again, or type.",
  mic_failed: "The microphone did not start. Reload the page and press again, or type.",
  mic_lost: "The microphone went away. Plug it in and press the button again.",
  error_full: "All places are taken. Parley tries again by itself.",
  error_busy: "Parley has too much to do. Wait a moment and say it again.",
  error_down: "{service} does not answer just now. Wait a moment and say it again.",
  error_unsupported: "{service} cannot do that here. Choose another character, or type.",
  error_misunderstood: "The page and the server do not understand each other. Reload the page.",
  error_broken: "Something went wrong inside Parley. Say it again.",
};

const CHINESE = {
  personas: "和谁说话",
  conversation: "对话",
  talk: "说话",
  talking: "停止聆听",
  stop: "停止",
  type: "也可以打字",
  send: "发送",
  dismiss: "关闭",
  hint: "按下按钮说话，或者按住空格键说话。",
  connecting: "正在连接",
  ready: "准备好了",
  listening: "正在听",
  thinking: "正在想",
  speaking: "正在说",
  reconnecting: "连接断开，正在重连",
  divider: "连接断开过，这是一段新的对话。",
  loading: "{service}正在准备，好了会自动继续。",
  asr: "语音识别",
  llm: "语言模型",
  tts: "语音合成",
  gateway: "Parley",
  no_hq: "现在有点忙，回答暂不重新录制。",
  fast_voice: "现在有点忙，暂时换用简单一些的声音。",
  text_only: "现在有点忙，回答暂时只有文字。",
  blocked: "浏览器拦住了声音，点一下页面就能听到回答。",
  slow: "网络太慢，传不了声音。请换个网络，或者打字。",
  personas_absent: "角色列表没有加载出来，请刷新页面。",
  mic_insecure: "浏览器只允许安全的页面使用麦克风。请用 https:// 或 localhost 打开，或者打字。",
  mic_denied: "麦克风未获允许。请在地址栏旁允许后再按一次，或者打字。",
  mic_absent: "没有找到麦克风。请接上后再按一次，或者打字。",
  mic_busy: "麦克风正被别的程序占用。请关闭它后再按一次，或者打字。",
  mic_failed: "麦克风没能启动。请刷新页面再试，或者打字。",
  mic_lost: "麦克风断开了。请接上后再按一次按钮。",
  error_full: "现在满员了，稍后会自动重试。",
  error_busy: "现在太忙了，请稍等再说一遍。",
  error_down: "{service}暂时没有回应，请稍等再说一遍。",
  error_unsupported: "{service}在这里做不到，请换个角色，或者打字。",
  error_misunderstood: "页面和服务器对不上，请刷新页面。",
  error_broken: "Parley 内部出了问题，请再说一遍。",
};

/** "zh" or "en". */
export const language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
const TABLE = language === "zh" ? CHINESE : ENGLISH;

/** The `error` codes that a person can tell apart, by what there is to do about them. */
const ERRORS = {
  too_many_sessions: "error_full",
  overloaded: "error_busy",
  audio_overrun: "error_busy",
  service_unavailable: "error_down",
  service_timeout: "error_down",
  engine_failed: "error_down",
  unsupported: "error_unsupported",
  internal_error: "error_broken",
};

/**
 * A sentence of the table.
 * @param {string} key
 * @param {string} [service] asr, llm, tts or gateway, where the sentence speaks of one
 * @returns {string}
 */
export function sentence(key, service = "gateway") {
  return TABLE[key].replace("{service}", TABLE[service] ?? service);
}

/**
 * With what less Parley does; empty: with nothing less.
 * @param {{level: string, message: string}} degraded @returns {string}
 */
export function describe({ level, message }) {
  return level === "full" ? "" : (TABLE[level] ?? message);
}

/** What went wrong and what to do. @param {{code: string, service: string}} error @returns {string} */
export function explain({ code, service }) {
  return sentence(ERRORS[code] ?? "error_misunderstood", service);
}
