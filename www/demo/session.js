// The caller. The key is only in this tab's memory: in no storage, no cookie and no URL. On the developer's own
// machine the Worker hands out the demo key.

import { $ } from "./dom.js";
import { call, faultOf, setKey } from "./api.js";
import { allowDistance } from "./edge.js";
import { setHalfLife } from "./mood.js";

/** The form of a key, which clients check before they send a request. */
const SHAPE = /^[a-z]+_(live|test)_[A-Za-z0-9]{8,}$/;

let onSignedIn = () => {};
let onSignedOut = () => {};

export async function start(signedIn, signedOut) {
  [onSignedIn, onSignedOut] = [signedIn, signedOut];
  $("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    signIn($("key").value.trim());
  });
  $("sign-out").addEventListener("click", () => ask(""));
  const { api_key: key, distance_ms_max: distanceMax, mood_half_life_ms: halfLife } = await demo();
  allowDistance(distanceMax ?? 0);
  if (halfLife !== undefined) setHalfLife(halfLife);
  if (key) await signIn(key);
  else ask("");
}

/** The server's settings for this page. Only the local development server includes a key. */
async function demo() {
  try {
    const response = await fetch("/demo.json");
    return response.status === 200 ? await response.json() : {};
  } catch {
    return {};
  }
}

function ask(fault) {
  setKey("");
  onSignedOut();
  $("person").close();
  $("key").value = "";
  $("signing-in").hidden = true;
  $("session").hidden = true;
  $("signed-in").hidden = true;
  $("sign-in").hidden = false;
  $("sign-in-fault").textContent = fault;
  if (document.activeElement === document.body || fault) $("key").focus({ preventScroll: true });
}

async function signIn(key) {
  const mode = SHAPE.exec(key)?.[1];
  if (!mode) return ask("That is not an API key: they read like sk_live_… or sk_test_….");
  setKey(key);
  const tried = await call("GET", "/v1/usage/turns");
  if (tried.status === 401 || tried.status === 0) return ask(faultOf(tried));
  $("key").value = "";
  $("sign-in").hidden = true;
  $("sign-in-fault").textContent = "";
  $("signing-in").hidden = true;
  $("session-mode").textContent = mode;
  $("session-key").textContent = `${key.slice(0, key.lastIndexOf("_") + 1)}…${key.slice(-4)}`;
  $("session").hidden = false;
  $("signed-in").hidden = false;
  onSignedIn();
}
