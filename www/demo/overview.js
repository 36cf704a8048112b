// The four figures at the top: the bucket, both quotas, and the end of the period.

import { $, ago } from "./dom.js";
import { onExchange, read } from "./api.js";

const whole = new Intl.NumberFormat("en");
const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

/** Even a small use of a quota is visible. */
export function bar(element, share) {
  const percent = Math.min(100, share > 0 ? Math.max(1.5, share * 100) : 0);
  element.firstElementChild.style.width = `${percent}%`;
  element.classList.toggle("low", share >= 0.9);
}

function show(name, used, limit) {
  $(`over-${name}`).textContent = `${whole.format(used)} of ${whole.format(limit)}`;
  bar($(`over-${name}-bar`), limit === 0 ? 1 : used / limit);
}

function showReset(instant) {
  $("over-reset").textContent = day.format(new Date(instant));
  $("over-reset").title = instant;
  $("over-reset-in").textContent = ago(instant);
}

export function prepare() {
  // Some answers carry the quotas in their headers.
  onExchange((exchange) => {
    const header = (name) => exchange.headers.get(`x-quota-${name}`);
    if (exchange.ms === null || header("reset") === null) return;
    for (const name of ["turns", "relationships"]) {
      show(name, Number(header(`${name}-used`)), Number(header(`${name}-limit`)));
    }
    showReset(header("reset"));
  });
}

/** Clears the figures for another key, which has another organization. */
export function forget() {
  for (const name of ["tokens", "turns", "relationships", "reset"]) $(`over-${name}`).textContent = "–";
}

export async function refresh() {
  const paths = { turns: "/v1/usage/turns", relationships: "/v1/usage/active-relationships" };
  await Promise.all(Object.entries(paths).map(async ([name, path]) => {
    const { status, text } = await read(path);
    if (status !== 200) return;
    const usage = JSON.parse(text);
    show(name, usage.used, usage.limit);
    showReset(usage.resets_at);
  }));
}
