// Creates and finds elements. Text is only ever set as text, so a user's name is never parsed as markup.

export const $ = (id) => document.getElementById(id);

/** An element with properties and children; `on…` are listeners, names with `-` attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const statusTag = (status) => h("span", { className: `status ${statusKind(status)}` }, status === 0 ? "–" : `${status}`);

export function statusKind(status) {
  if (status === 201) return "created";
  if (status === 202) return "pending";
  if (status >= 200 && status < 400) return "ok";
  return status === 429 ? "limited" : "bad";
}

/** Copies a text, and shows that on the button for a moment. */
export async function copy(button, text) {
  const label = (button.dataset.label ??= button.textContent);
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = label), 1500);
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** An instant as a time ago or a time ahead. */
export function ago(instant) {
  const seconds = (Date.parse(instant) - Date.now()) / 1000;
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= length) return relative.format(Math.round(seconds / length), unit);
  }
  return Math.abs(seconds) < 5 ? "now" : relative.format(Math.round(seconds), "second");
}

/** Runs `frame` on every frame until it returns false. For readers who want no motion: four times a second. */
export function animate(frame) {
  let running = false;
  const step = () => {
    running = frame();
    if (!running) return;
    if (calm.matches) setTimeout(step, 250);
    else requestAnimationFrame(step);
  };
  return () => {
    if (running) return;
    running = true;
    requestAnimationFrame(step);
  };
}
