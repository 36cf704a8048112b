// JSON as the inspector and the log show it.

import { h } from "./dom.js";
import { parse } from "./api.js";

/** A text, laid out if it is JSON. */
export const json = (text) => h("pre", { tabIndex: 0 }, pretty(text) || "(none)");

function pretty(text) {
  try {
    return JSON.stringify(parse(text), null, 2);
  } catch {
    return text;
  }
}
