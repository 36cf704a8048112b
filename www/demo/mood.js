// A mood on the circumplex: valence from left to right, arousal upwards.

import { $, svg } from "./dom.js";

const HOUR_MS = 3_600_000;
const AROUND = [["happy", 0], ["excited", 45], ["alert", 90], ["distressed", 135], ["unhappy", 180], ["sad", 225], ["tired", 270], ["content", 315]];

/** Time in which a mood loses half its distance to its baseline: a day, unless the server sets another. */
let halfLifeMs = 24 * HOUR_MS;
let mood = null;
/** The mood's path since this pair was chosen. */
let trail = [];
let ahead = 0;

export function prepare() {
  const plot = $("circumplex");
  plot.append(
    svg("circle", { r: 1, class: "rim" }), svg("circle", { r: 0.5, class: "rim faint" }),
    svg("path", { d: "M-1 0H1M0 -1V1", class: "axis" }));
  for (const [label, degrees] of AROUND) {
    const angle = (degrees * Math.PI) / 180;
    const anchor = Math.abs(Math.cos(angle)) < 0.1 ? "middle" : Math.cos(angle) > 0 ? "end" : "start";
    const [x, y] = anchor === "middle" ? [0, -Math.sin(angle) * 1.1 + 0.03] : [Math.cos(angle) * 1.16, -Math.sin(angle) * 1.08 - 0.04];
    plot.append(svg("text", { x: x.toFixed(3), y: y.toFixed(3), "text-anchor": anchor }, label));
  }
  plot.append(
    svg("path", { class: "trail", id: "mood-trail" }), svg("path", { class: "decay", id: "mood-decay" }),
    svg("circle", { class: "affect", id: "mood-affect", r: 0.05 }), svg("circle", { class: "dot", id: "mood-dot", r: 0.065 }));
  draw();
}

export function forget() {
  mood = null;
  trail = [];
  draw();
}

/** Sets a mood in the API's form, or null. */
export function show(next) {
  mood = next;
  if (mood) {
    const last = trail.at(-1);
    if (!last || Math.hypot(last[0] - mood.valence, last[1] - mood.arousal) > 0.0005) trail.push([mood.valence, mood.arousal]);
  }
  draw();
}

export function aim(valence, arousal) {
  $("mood-affect").setAttribute("cx", valence);
  $("mood-affect").setAttribute("cy", -arousal);
}

/** Shows the mood in some hours, if no message changes it. */
export function lookAhead(hours) {
  ahead = hours;
  draw();
}

export function setHalfLife(milliseconds) {
  halfLifeMs = Math.max(milliseconds, 1);
  draw();
}

function decayed(hours) {
  const factor = 2 ** ((-hours * HOUR_MS) / halfLifeMs);
  return [
    mood.baseline_valence + (mood.valence - mood.baseline_valence) * factor,
    mood.baseline_arousal + (mood.arousal - mood.baseline_arousal) * factor,
  ];
}

const line = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x} ${-y}`).join("");

function draw() {
  $("mood-dot").classList.toggle("absent", !mood);
  $("mood-trail").setAttribute("d", line(trail));
  $("mood-decay").setAttribute("d", mood ? line([[mood.valence, mood.arousal], [mood.baseline_valence, mood.baseline_arousal]]) : "");
  if (!mood) {
    $("mood-said").textContent = "No mood yet: the first message makes one.";
    return;
  }
  const [valence, arousal] = decayed(ahead);
  $("mood-dot").setAttribute("cx", valence.toFixed(4));
  $("mood-dot").setAttribute("cy", (-arousal).toFixed(4));
  const levels = `valence ${valence.toFixed(2)}, arousal ${arousal.toFixed(2)}`;
  $("mood-said").textContent = ahead ? `In ${ahead} h: ${levels}` : `${mood.label}: ${levels}`;
}
