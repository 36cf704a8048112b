// A conversation with an agent: each message one metered turn, streamed.

import { $, calm, h, statusTag } from "./dom.js";
import { call, faultOf, read } from "./api.js";
import { createParser } from "./eventsource-parser.js";
import * as mood from "./mood.js";
import * as overview from "./overview.js";

const AFFECTS = [["Delighted", 0.8, 0.6], ["Calm", 0.6, -0.5], ["Bored", -0.3, -0.7], ["Frustrated", -0.7, 0.6]];
/** The agent that the page creates when there is none. */
const FIRST_AGENT = "Concierge";
/** Time between two reads of a shown mood, which decays on the server. */
const MOOD_MS = 15_000;

async function loadAgents() {
  const answer = await read("/api/v1/agents?page_size=100");
  let agents = answer.status === 200 ? JSON.parse(answer.text).items : [];
  if (answer.status === 200 && agents.length === 0) {
    const made = await call("POST", "/api/v1/agents", { body: JSON.stringify({ name: FIRST_AGENT }) });
    if (made.status < 300 && made.status) agents = [JSON.parse(made.text)];
  }
  $("talk-agent").replaceChildren(...agents.map((agent) => h("option", { value: agent.agent_id }, agent.name)));
  $("send").disabled = agents.length === 0;
  if (agents.length === 0) say("note", answer.status === 200 ? "This key may not make an agent." : faultOf(answer));
}

async function refreshMood() {
  const [user, agent] = [$("talk-user").value, $("talk-agent").value];
  if (!user || !agent) return mood.forget();
  const parameters = new URLSearchParams({ user_id: user, personality_id: agent, limit: 1 });
  const answer = await read(`/v1/relationships?${parameters}`);
  if (answer.status !== 200 || user !== $("talk-user").value || agent !== $("talk-agent").value) return;
  mood.show(JSON.parse(answer.text).data[0]?.mood ?? null);
}

function say(kind, ...content) {
  const message = h("div", { className: `message ${kind}` }, ...content);
  $("messages").append(message);
  follow();
  return message;
}

const follow = () => $("messages").scrollTo({ top: $("messages").scrollHeight, behavior: calm.matches ? "auto" : "smooth" });

const affect = () => ({ valence: $("valence").valueAsNumber, arousal: $("arousal").valueAsNumber });

/** A separate key for each message, so that a retry is safe. Works over http too. */
const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

async function send() {
  const message = $("message").value.trim();
  if (!message) return;
  $("message").value = "";
  $("send").disabled = true;
  say("mine", h("p", {}, message));
  const text = h("p", { className: "typing" });
  const meta = h("p", { className: "meta" });
  say("theirs", text, meta);
  const events = [];
  const parser = createParser({ onEvent: ({ data }) => events.push(JSON.parse(data)) });
  const show = (piece) => {
    parser.feed(piece);
    text.textContent = events.filter((event) => event.type === "text").map((event) => event.delta).join("");
    text.classList.toggle("typing", text.textContent === "");
    follow();
  };
  const body = JSON.stringify({
    message, personality_id: $("talk-agent").value, user_id: $("talk-user").value, stream: true, affect: affect(),
  });
  const answer = await call("POST", "/v1/respond", { body, headers: { "Idempotency-Key": fresh() }, onPiece: show });
  text.className = "";
  $("send").disabled = false;
  finish(answer, events, text, meta);
  await Promise.all([refreshMood(), overview.refresh()]);
}

function finish(answer, events, text, meta) {
  const done = events.find((event) => event.type === "completion");
  if (done) {
    const { usage, latency_ms: latency } = done;
    const active = usage.active_relationship_counted ? ", 1 relationship more" : "";
    meta.textContent = `${usage.turns_consumed} turn${active} · ${usage.llm_provider} · ${latency} ms`;
    return;
  }
  const failed = events.find((event) => event.type === "error");
  text.parentElement.classList.add("bad");
  text.append(statusTag(failed ? 502 : answer.status), ` ${failed?.message ?? faultOf(answer)}`);
  meta.textContent = "Not counted.";
}

function showAffect() {
  const { valence, arousal } = affect();
  $("valence-said").textContent = valence.toFixed(2);
  $("arousal-said").textContent = arousal.toFixed(2);
  mood.aim(valence, arousal);
  for (const chip of $("affects").children) {
    chip.setAttribute("aria-pressed", chip.dataset.affect === `${valence},${arousal}`);
  }
}

export function prepare() {
  mood.prepare();
  $("affects").append(...AFFECTS.map(([name, valence, arousal]) => {
    const chip = h("button", { type: "button", onclick: () => {
      $("valence").value = valence;
      $("arousal").value = arousal;
      showAffect();
    } }, name);
    chip.dataset.affect = `${valence},${arousal}`;
    return chip;
  }));
  for (const name of ["valence", "arousal"]) $(name).addEventListener("input", showAffect);
  showAffect();
  $("compose").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  $("message").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("compose").requestSubmit();
  });
  for (const name of ["talk-user", "talk-agent"]) {
    $(name).addEventListener("change", () => {
      mood.forget();
      $("messages").replaceChildren();
      refreshMood();
    });
  }
  $("ahead").addEventListener("input", () => {
    const hours = $("ahead").valueAsNumber;
    $("ahead-said").textContent = hours ? `in ${hours} h` : "now";
    mood.lookAhead(hours);
  });
  let seen = false;
  new IntersectionObserver(([entry]) => (seen = entry.isIntersecting)).observe($("circumplex"));
  setInterval(() => {
    if (seen && !document.hidden && !$("signed-in").hidden && !$("mood-dot").classList.contains("absent")) refreshMood();
  }, MOOD_MS);
}

export async function open() {
  mood.forget();
  $("messages").replaceChildren();
  $("talk-agent").replaceChildren();
  await loadAgents();
  await refreshMood();
}
