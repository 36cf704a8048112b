// The log, live: one streamed request, in which each change appears as its event.
//
// Nothing of an erased person stays in the list: an event without data says that its subject is gone, and then every row
// about the subject loses its id and its data.

import { $, copy, h } from "./dom.js";
import { call, faultOf, parse } from "./api.js";
import { createParser } from "./eventsource-parser.js";
import { json } from "./json.js";

const KEPT = 50;
/** How many people's references are remembered. */
const PEOPLE_MAX = 1_000;
/** Time between two updates of the list. */
const FLUSH_MS = 60;
/** Time between two announcements to a screen reader. */
const SAY_MS = 5_000;
/** Time until the next attempt, unless the server says it, and at most. Each failure doubles it. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 30_000;
const STATES = { live: "created", connecting: "pending", reconnecting: "pending", paused: "", ended: "bad" };
const KINDS = { created: "created", updated: "ok", revoked: "bad", deleted: "bad", erased: "bad", exhausted: "bad" };

const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** The newest first. */
let rows = [];
/** Events that are not shown yet, the oldest first. */
let waiting = [];
let shown = null;
/** The place of the last event. */
let place = null;
/** The reference of each person by id, for rows that name people by id alone. */
const people = new Map();
/** How many events have not been announced. */
let unsaid = 0;
let isOpen = false;
let isPaused = false;
/** Ends the stream that is followed. */
let following = null;

/** Follows as long as somebody looks. A hidden tab would hold one of the few connections that browsers open. */
function update() {
  const goesOn = isOpen && !isPaused && !document.hidden;
  if (goesOn === (following !== null)) return;
  following?.abort();
  following = goesOn ? new AbortController() : null;
  if (goesOn) follow(following.signal);
  else say("paused");
}

async function follow(signal) {
  let [failures, retryMs] = [0, RETRY_MS];
  say("connecting");
  while (!signal.aborted) {
    let isHeard = false;
    const parser = createParser({ onEvent: note, onRetry: (ms) => (retryMs = ms) });
    const onPiece = (piece) => {
      if (signal.aborted) return;
      if (!isHeard) say("live");
      isHeard = true;
      parser.feed(piece);
    };
    const headers = { Accept: "text/event-stream", ...(place && { "Last-Event-ID": place }) };
    const answer = await call("GET", "/v1/events", { headers, onPiece, keep: false, signal });
    if (signal.aborted) return;
    if (answer.status === 410) place = JSON.parse(answer.text).error.details.oldest;
    else if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) return say("ended", faultOf(answer));
    failures = isHeard ? 0 : failures + 1;
    say("reconnecting");
    const told = 1000 * Number(answer.headers.get("retry-after"));
    const wait = told || Math.min(RETRY_MAX_MS, retryMs * 2 ** failures);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function say(state, fault = "") {
  $("log-state").className = `status ${STATES[state]}`;
  $("log-state").textContent = state;
  $("log-fault").textContent = fault;
}

function note({ id, data }) {
  place = id;
  const event = parse(data);
  if (event.subject.type === "end_user" && event.subject.id !== null) remember(event.subject);
  if (waiting.length === 0) setTimeout(flush, FLUSH_MS);
  waiting.push(event);
  // So many events are newer that no row of this one's subject stays.
  if (waiting.length > KEPT) waiting.shift();
  if (unsaid === 0) setTimeout(announce, SAY_MS);
  unsaid += 1;
}

function remember({ id, ref }) {
  people.delete(id);
  people.set(id, ref);
  if (people.size > PEOPLE_MAX) people.delete(people.keys().next().value);
}

function flush() {
  for (const event of waiting) add(event);
  waiting = [];
  for (const { item } of rows.splice(KEPT)) {
    if (item.contains(document.activeElement)) $("events").focus();
    item.remove();
  }
  if (!rows.includes(shown)) select(null);
  $("no-events").hidden = rows.length > 0;
}

function announce() {
  $("log-said").textContent = unsaid ? `${unsaid} new ${unsaid === 1 ? "event" : "events"}, the last ${rows[0]?.event.type}` : "";
  unsaid = 0;
}

function add(event) {
  if (event.data === null) forgetSubject(event.subject);
  const row = { event, button: h("button", { type: "button", onclick: () => select(shown === row ? null : row) }) };
  row.item = h("li", {}, row.button);
  fill(row);
  rows.unshift(row);
  $("events").prepend(row.item);
}

/** Removes from the rows what they tell of a subject that is gone. A relationship names a person, perhaps this one. */
function forgetSubject({ type, ref }) {
  const names = ({ subject, data }) =>
    type === "end_user" && subject.type === "relationship" && data !== null && (people.get(data.user_id) ?? ref) === ref;
  for (const row of rows) {
    const { event } = row;
    if (event.subject.ref === ref) event.subject.id = event.data = null;
    else if (names(event)) event.data = null;
    else continue;
    fill(row);
    if (row === shown) detail();
  }
  for (const [id, known] of people) if (known === ref) people.delete(id);
}

function fill({ event, button }) {
  const { sequence, type, created_at: at, actor, subject } = event;
  button.replaceChildren(
    h("span", { className: `status ${KINDS[type.split(".")[1]] ?? "pending"}` }, type),
    h("span", { className: subject.id === null ? "who muted" : "who" }, nameOf(event)),
    h("time", { className: "muted", dateTime: at, title: at }, clock.format(new Date(at))),
    h("span", { className: "about-event muted" },
      h("span", {}, `#${sequence}`),
      h("span", { title: subject.ref }, short(subject.ref)),
      h("span", { title: actor.id ?? "" }, actor.id === null ? actor.type : `${actor.type} ${short(actor.id)}`)));
}

/** What the subject is called, if it is still there. */
function nameOf({ subject: { type, id }, data }) {
  if (id === null) return "gone";
  if (type === "quota") return `${data.used} of ${data.limit}`;
  if (type === "relationship") return data?.user_id ?? "person gone";
  if (type === "organization") return "limits";
  return data.name ?? id;
}

/** The end of a random id. Ids that were made at the same time begin alike. */
const short = (id) => (id.length > 24 ? `…${id.slice(-8)}` : id);

function select(row) {
  shown?.button.removeAttribute("aria-current");
  shown = row;
  shown?.button.setAttribute("aria-current", "true");
  detail();
}

function detail() {
  $("event").hidden = !shown;
  if (!shown) return $("event").replaceChildren();
  const { event } = shown;
  const text = JSON.stringify(event);
  const copying = h("button", { type: "button", className: "small", id: "copy-event" }, "Copy as JSON");
  copying.addEventListener("click", () => copy(copying, text));
  $("event").replaceChildren(
    h("div", { className: "row" }, h("h4", {}, event.type), copying),
    json(text));
}

export function prepare() {
  document.addEventListener("visibilitychange", update);
  $("log-pause").addEventListener("click", () => {
    isPaused = !isPaused;
    $("log-pause").textContent = isPaused ? "Resume" : "Pause";
    update();
  });
}

/** Begins with the oldest event of the key's organization. */
export function open() {
  close();
  isOpen = true;
  update();
}

/** Forgets everything: it belongs to another key. */
export function close() {
  isOpen = false;
  update();
  [rows, waiting, place, unsaid] = [[], [], null, 0];
  people.clear();
  select(null);
  $("events").replaceChildren();
  $("no-events").hidden = false;
}
