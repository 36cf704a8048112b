// The same read both ways: strong, by the object, and at the edge, from a copy in KV.

import { $, statusTag } from "./dom.js";
import { encode, faultOf, parse, read } from "./api.js";

/** Reads of a run, each way. */
const READS = 20;
/** Time between two pairs of reads. The object writes a copy within a second or so, and a run shows it come. */
const PACE_MS = 120;
/** What each way sends. An answer at the edge may be so many seconds old. */
const WAYS = { strong: {}, edge: { "Cache-Control": "max-stale=5" } };
const IDLE = "The first reads at the edge still go to the object, until it has written a copy.";
const [WIDTH, HEIGHT] = [200, 60];
/** The time of a bar of full height, at least. */
const FULL_MS = 20;

/** Answers of the run that is shown, by way. */
let answers = { strong: [], edge: [] };
let distanceMs = 0;
/** Stops the run that goes on. */
let running = null;

const sourceOf = (answer) => answer.headers.get("x-rollcall-source") ?? "object";

function median(numbers) {
  const sorted = numbers.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The record alone, and its version. Relationships are in the object only, so a copy shows none. */
function recordOf(answer) {
  const { relationships, relationships_has_more: more, ...record } = parse(answer.text);
  return { text: JSON.stringify(record), version: record.version };
}

function show() {
  const full = Math.max(FULL_MS, ...Object.values(answers).flat().map(({ ms }) => ms));
  for (const way of Object.keys(WAYS)) {
    const own = answers[way];
    const last = own.at(-1);
    const age = last?.headers.get("age");
    $(`${way}-median`).textContent = last ? median(own.map(({ ms }) => ms)).toFixed(1) : "–";
    $(`${way}-source`).textContent = last ? sourceOf(last) : "–";
    $(`${way}-source`).className = `status ${last && sourceOf(last) === "edge" ? "created" : "ok"}`;
    $(`${way}-age`).textContent = last ? (age === null ? "current" : `up to ${age} s`) : "–";
    $(`${way}-last`).textContent = last ? `${last.ms.toFixed(1)} ms` : "–";
    for (const source of ["object", "edge"]) {
      $(`${way}-by-${source}`).setAttribute("d", bars(own, source, full));
    }
    const byEdge = own.filter((answer) => sourceOf(answer) === "edge").length;
    $(`${way}-chart`).setAttribute("aria-label", `${own.length} reads: ${own.length - byEdge} from the object, ${byEdge} from KV`);
  }
  const [strong, edge] = [answers.strong.at(-1), answers.edge.at(-1)].map((answer) => answer && recordOf(answer));
  $("strong-record").textContent = strong ? `version ${strong.version}` : "–";
  $("edge-record").textContent = edge ? (edge.text === strong.text ? "the same" : `version ${edge.version}`) : "–";
}

/** A bar for each answer from this source, in the order of the answers. */
function bars(own, source, full) {
  const width = WIDTH / READS;
  return own.map((answer, index) => {
    if (sourceOf(answer) !== source) return "";
    const height = Math.max(1.5, (answer.ms / full) * (HEIGHT - 4)).toFixed(1);
    return `M${index * width + 1} ${HEIGHT}v-${height}h${width - 2}v${height}z`;
  }).join("");
}

async function run() {
  const aborter = new AbortController();
  running = aborter;
  answers = { strong: [], edge: [] };
  show();
  $("edge-read").textContent = "Stop";
  $("edge-said").textContent = `Reading ${READS} times each way…`;
  const path = `/v1/end-users/${encode($("edge-user").value)}`;
  const far = distanceMs ? { "X-Rollcall-Distance": `${distanceMs}` } : {};
  for (let count = 0; count < READS; count += 1) {
    if (count) await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    for (const [way, own] of Object.entries(WAYS)) {
      if (running !== aborter) return;
      const answer = await read(path, { headers: { ...own, ...far }, signal: aborter.signal });
      if (running !== aborter) return;
      if (answer.status !== 200) return end(statusTag(answer.status), ` ${faultOf(answer)}`);
      answers[way].push(answer);
    }
    show();
  }
  const byEdge = answers.edge.filter((answer) => sourceOf(answer) === "edge").length;
  end(byEdge
    ? `At the edge KV answered ${byEdge} of ${READS} reads, and the object the others.`
    : "At the edge the object answered every read. Its copy comes soon: read again.");
}

function end(...said) {
  running = null;
  $("edge-read").textContent = "Read both ways";
  $("edge-said").replaceChildren(...said);
}

export function prepare() {
  $("edge-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running) return run();
    running.abort();
    end("Stopped.");
  });
  const choices = [...$("edge-distance").querySelectorAll("button")];
  for (const button of choices) {
    button.addEventListener("click", () => {
      distanceMs = Number(button.value);
      for (const other of choices) other.setAttribute("aria-pressed", other === button);
    });
  }
}

/** Shows the choice of a distance where the server allows it, which only a developer's own machine does. */
export function allowDistance(maxMs) {
  for (const button of $("edge-distance").querySelectorAll("button")) button.hidden = Number(button.value) > maxMs;
  $("edge-distance").hidden = maxMs === 0;
}

/** Offers a user to be read, unless one is chosen already. */
export const offer = (userId) => ($("edge-user").value ||= userId ?? "");

/** Chooses a user to be read. */
export const choose = (userId) => ($("edge-user").value = userId);

/** Starts again for another key, which has another organization. */
export function forget() {
  running?.abort();
  answers = { strong: [], edge: [] };
  end(IDLE);
  show();
  $("edge-user").value = "";
}
