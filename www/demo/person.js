// One person: their record, changed with If-Match, and their erasure, followed until the receipt says that every
// store has removed them.

import { $, ago, h, statusTag } from "./dom.js";
import { call, encode, faultOf, parse, read } from "./api.js";

/** Time between two reads of a receipt. An erasure takes seconds. */
const POLL_MS = 700;

let onChange = () => {};
let shown = "";

export function prepare(changed) {
  onChange = changed;
  $("person").addEventListener("click", (event) => event.target === $("person") && $("person").close());
  // The list may have drawn the row again meanwhile.
  $("person").addEventListener("close", () => {
    const rows = [...$("users").querySelectorAll("button")];
    (rows.find((row) => row.textContent === shown) ?? $("prefix")).focus({ preventScroll: true });
  });
}

export function forget() {
  $("receipt-list").replaceChildren();
  $("receipts").hidden = true;
}

export async function open(userId) {
  const dialog = $("person");
  shown = userId;
  dialog.replaceChildren(head(userId), h("p", { className: "empty" }, "Loading…"));
  dialog.showModal();
  const answer = await read(`/v1/end-users/${encode(userId)}`);
  if (shown !== userId) return;
  if (answer.status !== 200) return fill(h("p", { className: "empty", role: "alert" }, faultOf(answer)));
  show(parse(answer.text), answer.headers.get("etag"));
}

/** Fills the part under the head. The head stays, so it keeps the focus. */
function fill(...content) {
  while ($("person").children.length > 1) $("person").lastChild.remove();
  $("person").append(...content);
}

const head = (userId) =>
  h("div", { className: "panel-head" },
    h("h3", { id: "person-title", className: "mono" }, userId),
    h("button", { type: "button", className: "quiet small", onclick: () => $("person").close() }, "Close"));

function show(user, etag) {
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const facts = h("dl", { className: "facts" },
    fact("Name", user.display_name ?? "–"),
    fact("Status", user.status.replace("_", " ")),
    fact("Version", `${user.version}`),
    fact("Created", ago(user.created_at)));
  const relationships = user.relationships.length
    ? h("ul", { className: "plain" }, ...user.relationships.map((one) =>
      h("li", {}, `${one.turns} ${one.turns === 1 ? "turn" : "turns"}${one.mood ? `, ${one.mood.label}` : ""}`)))
    : h("p", { className: "muted" }, "No conversations yet.");
  fill(facts, editor(user, etag), h("h4", {}, "Relationships"), relationships, eraser(user));
}

function editor(user, etag) {
  const said = h("p", { id: "saved", className: "fine", role: "status" });
  const metadata = h("textarea", {
    id: "edit-metadata", className: "mono", rows: 6, spellcheck: false, value: JSON.stringify(user.metadata, null, 2),
  });
  const name = h("input", { id: "edit-name", value: user.display_name ?? "", maxLength: 255, autocomplete: "off" });
  const save = async (event) => {
    event.preventDefault();
    const body = `{"display_name":${JSON.stringify(name.value || null)},"metadata":${metadata.value.trim() || "{}"}}`;
    const answer = await call("PATCH", `/v1/end-users/${encode(user.user_id)}`, { body, headers: { "If-Match": etag } });
    if (answer.status === 200) {
      const saved = parse(answer.text);
      show({ ...user, ...saved }, answer.headers.get("etag"));
      $("saved").replaceChildren(statusTag(200), ` Saved as version ${saved.version}.`);
      $("edit-save").focus();
      return onChange();
    }
    said.replaceChildren(statusTag(answer.status), ` ${faultOf(answer)}`);
    if (answer.status === 412) {
      said.append(" ", h("button", { type: "button", className: "small", onclick: () => reopen(user.user_id) }, "Read again"));
    }
  };
  return h("form", { onsubmit: save },
    h("div", { className: "field" }, h("label", { htmlFor: "edit-name" }, "Display name"), name),
    h("div", { className: "field" }, h("label", { htmlFor: "edit-metadata" }, "Metadata"), metadata),
    h("div", { className: "row" },
      h("button", { className: "primary", id: "edit-save" }, "Save"),
      h("span", { className: "muted fine" }, `only if still at version ${user.version}`)),
    said);
}

function reopen(userId) {
  $("person").close();
  open(userId);
}

function eraser(user) {
  const cascade = h("select", { id: "cascade" },
    h("option", { value: "all" }, "the person, and everything held"),
    h("option", { value: "memory_only" }, "their relationships"),
    h("option", { value: "model_only" }, "their moods"));
  const said = h("p", { className: "fine", role: "status" });
  const button = h("button", { className: "danger", id: "erase" }, "Erase");
  let asked = false;
  // An erasure cannot be undone, so it takes a second press.
  cascade.addEventListener("change", () => {
    asked = false;
    button.textContent = "Erase";
  });
  const erase = async (event) => {
    event.preventDefault();
    if (!asked) {
      asked = true;
      button.textContent = "Erase for good";
      said.textContent = "This cannot be undone. Press again to erase.";
      return;
    }
    const body = JSON.stringify({ cascade: cascade.value });
    const answer = await call("DELETE", `/v1/end-users/${encode(user.user_id)}`, { body });
    if (answer.status !== 202) {
      said.replaceChildren(statusTag(answer.status), ` ${faultOf(answer)}`);
      return;
    }
    $("person").close();
    watch(JSON.parse(answer.text).deletion_id);
    onChange();
  };
  return h("form", { className: "erase", onsubmit: erase },
    h("div", { className: "field grow" }, h("label", { htmlFor: "cascade" }, "Erase"), cascade),
    button, said);
}

/** The receipt contains no user id, so this list shows none. */
async function watch(id) {
  const state = h("span", { className: "status pending" }, "pending");
  const said = h("span", {}, "gone from lists, being purged from every store");
  const item = h("li", { className: "receipt" }, state, h("code", {}, id), said);
  $("receipt-list").prepend(item);
  $("receipts").hidden = false;
  for (;;) {
    const answer = await read(`/v1/deletions/${id}`);
    if (answer.status !== 200) {
      state.replaceWith(statusTag(answer.status));
      said.textContent = faultOf(answer);
      return;
    }
    const receipt = JSON.parse(answer.text);
    if (receipt.status === "completed") {
      const took = (Date.parse(receipt.completed_at) - Date.parse(receipt.requested_at)) / 1000;
      const { records, relationships, moods } = receipt.erased;
      state.className = "status ok";
      state.textContent = "completed";
      said.textContent = `in ${took.toFixed(1)} s: ${records} records, ${relationships} relationships, ${moods} moods`;
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (!item.isConnected) return;
  }
}
