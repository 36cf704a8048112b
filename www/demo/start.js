// The quick start: the same request in three languages, with this page's origin.

import { $, copy } from "./dom.js";

const SAMPLES = {
  "tab-curl": `curl -i ${location.origin}/v1/end-users \\
  -H "Authorization: Bearer $ROLLCALL_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"user_id":"ada","metadata":{"plan":"pro"}}'`,
  "tab-javascript": `const response = await fetch("${location.origin}/v1/end-users", {
  method: "POST",
  headers: {
    Authorization: \`Bearer \${process.env.ROLLCALL_API_KEY}\`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({ user_id: "ada", metadata: { plan: "pro" } }),
});
console.log(response.status, await response.json());`,
  "tab-python": `import os, requests

response = requests.post(
    "${location.origin}/v1/end-users",
    headers={"Authorization": f"Bearer {os.environ['ROLLCALL_API_KEY']}"},
    json={"user_id": "ada", "metadata": {"plan": "pro"}},
)
print(response.status_code, response.json())`,
};

export function prepare() {
  const tabs = [...$("start-tabs").children];
  const shown = $("start-code").firstElementChild;
  const select = (tab) => {
    for (const other of tabs) {
      other.setAttribute("aria-selected", other === tab);
      other.tabIndex = other === tab ? 0 : -1;
    }
    $("start-code").setAttribute("aria-labelledby", tab.id);
    shown.textContent = SAMPLES[tab.id];
  };
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs.at((index + step) % tabs.length);
      next.focus();
      select(next);
    });
  }
  $("start-copy").addEventListener("click", () => copy($("start-copy"), shown.textContent));
  select(tabs[0]);
}
