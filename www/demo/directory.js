// The directory: registering users, and keyset pages in both directions.

import { $, ago, h, statusTag } from "./dom.js";
import { call, faultOf, parse, read } from "./api.js";
import * as edge from "./edge.js";
import * as person from "./person.js";

const PAGE = 8;

/** The cursors of the pages before this one. The first page has none. */
let behind = [];
let cursor = null;
let nextCursor = null;
/** Answers to lists may arrive in another order than their requests. */
let asked = 0;

export async function list() {
  const asking = ++asked;
  const parameters = new URLSearchParams({ limit: PAGE, order: $("order").value });
  if ($("prefix").value) parameters.set("user_id_prefix", $("prefix").value);
  if (cursor) parameters.set("cursor", cursor);
  $("directory").setAttribute("aria-busy", "true");
  if (!$("users").hasChildNodes()) $("users").replaceChildren(...Array.from({ length: 4 }, placeholder));
  const answer = await read(`/v1/end-users?${parameters}`);
  if (asking !== asked) return;
  $("directory").removeAttribute("aria-busy");
  if (answer.status !== 200) return showFault(answer);
  const page = parse(answer.text);
  nextCursor = page.next_cursor;
  $("users").replaceChildren(...page.data.map(row));
  $("known-users").replaceChildren(...page.data.map((user) => h("option", { value: user.user_id })));
  edge.offer(page.data[0]?.user_id);
  $("users-state").replaceChildren(...(page.data.length ? [] : [empty()]));
  $("previous").disabled = behind.length === 0;
  $("next").disabled = !page.has_more;
  $("page-number").textContent = `Page ${behind.length + 1}`;
}

function first() {
  behind = [];
  cursor = null;
  return list();
}

function showFault(answer) {
  $("users").replaceChildren();
  $("users-state").replaceChildren(
    h("p", { className: "empty" }, h("strong", {}, "The list could not be read. "), faultOf(answer), " ",
      h("button", { type: "button", className: "small", onclick: list }, "Try again")));
}

function empty() {
  const searched = $("prefix").value;
  return h("p", { className: "empty" }, searched
    ? `Nobody's id begins with “${searched}”.`
    : "Nobody is registered yet. Register someone above, or add the sample people.");
}

const placeholder = () =>
  h("tr", { className: "placeholder", "aria-hidden": "true" }, ...Array.from({ length: 4 }, () => h("td", {}, h("i"))));

function row(user) {
  const open = h("button", { type: "button", className: "link mono", onclick: () => person.open(user.user_id) }, user.user_id);
  return h("tr", {},
    h("td", {}, open),
    h("td", {}, user.display_name ?? h("span", { className: "muted" }, "–")),
    h("td", { className: "mono clip", title: JSON.stringify(user.metadata) }, JSON.stringify(user.metadata)),
    h("td", { className: "muted", title: user.updated_at }, ago(user.updated_at)));
}

async function register() {
  // The metadata is sent as typed, so that a number keeps its digits.
  const metadata = $("metadata").value.trim() || "{}";
  const name = $("display-name").value;
  const body = `{"user_id":${JSON.stringify($("user-id").value)}${name ? `,"display_name":${JSON.stringify(name)}` : ""},"metadata":${metadata}}`;
  await send(body);
}

async function send(body) {
  const answer = await call("POST", "/v1/end-users", { body });
  const said = {
    201: ["Created.", "This request made the user."],
    200: ["Already there.", "This is the record that is stored; what you sent was not used."],
  }[answer.status] ?? ["Refused.", faultOf(answer)];
  $("registered").replaceChildren(
    h("div", { className: `outcome ${answer.status < 300 ? "" : "bad"}` },
      statusTag(answer.status),
      h("p", {}, h("strong", {}, said[0]), ` ${said[1]}`),
      h("button", { type: "button", className: "small", onclick: () => send(body) }, "Send it again"),
      answer.status < 300 && answer.status ? h("code", { className: "record" }, answer.text) : null));
  if (answer.status === 200 || answer.status === 201) edge.choose(parse(answer.text).user_id);
  if (answer.status === 201) await first();
}

const FIRST = ["ada", "alan", "barbara", "claude", "donald", "edsger", "frances", "grace", "hedy", "john", "katherine", "ken",
  "leslie", "margaret", "niklaus", "radia", "shafi", "tim", "vint", "yoshua"];
const CITY = ["berlin", "lagos", "lima", "osaka"];
const PLAN = ["free", "pro", "team"];

/** One commit for all of them. */
async function addSamples() {
  $("samples").disabled = true;
  const users = Array.from({ length: 60 }, (_, index) => {
    const [name, round] = [FIRST[index % FIRST.length], Math.floor(index / FIRST.length)];
    return {
      user_id: round ? `${name}-${round + 1}` : name,
      display_name: name[0].toUpperCase() + name.slice(1),
      metadata: { plan: PLAN[index % 3], city: CITY[index % 4], seats: 1 + (index % 7) },
    };
  });
  const answer = await call("POST", "/v1/end-users/batch", { body: JSON.stringify({ users }) });
  $("samples").disabled = false;
  const { created, existing } = answer.status === 200 ? JSON.parse(answer.text) : {};
  $("registered").replaceChildren(
    h("div", { className: `outcome ${answer.status < 300 ? "" : "bad"}` }, statusTag(answer.status),
      h("p", {}, answer.status === 200 ? `${created} created, ${existing} already there, in one commit.` : faultOf(answer))));
  await first();
}

export function prepare() {
  person.prepare(list);
  $("register").addEventListener("submit", (event) => {
    event.preventDefault();
    register();
  });
  $("samples").addEventListener("click", addSamples);
  $("order").addEventListener("change", first);
  let typing;
  $("prefix").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(first, 200);
  });
  $("next").addEventListener("click", () => {
    behind.push(cursor);
    cursor = nextCursor;
    list();
  });
  $("previous").addEventListener("click", () => {
    cursor = behind.pop() ?? null;
    list();
  });
}

export function open() {
  $("samples").disabled = false;
  $("prefix").value = "";
  $("users").replaceChildren();
  $("registered").replaceChildren();
  person.forget();
  first();
}
