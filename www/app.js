// The demo page: registers and lists end users with the key that is typed in,
// and shows each answer with the headers that matter.

const element = (id) => document.getElementById(id);
const SHOWN = [
  "x-request-id", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "location", "etag",
];

let key = "";
let nextCursor = null;

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${key}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const started = performance.now();
  const response = await fetch(path, { method, headers, body });
  const text = await response.text();
  const lines = SHOWN.filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}`);
  const elapsed = Math.round(performance.now() - started);
  element("last").textContent = [`${method} ${path} → ${response.status} in ${elapsed} ms`, ...lines, "", text].join("\n");
  return { status: response.status, text };
}

function row(user) {
  const line = document.createElement("tr");
  for (const value of [user.user_id, JSON.stringify(user.metadata), user.created_at]) {
    const cell = document.createElement("td");
    cell.textContent = value;
    line.append(cell);
  }
  return line;
}

async function list(cursor) {
  const query = cursor ? `?limit=10&cursor=${cursor}` : "?limit=10";
  const { status, text } = await call("GET", `/v1/end-users${query}`);
  if (status !== 200) return;
  const page = JSON.parse(text);
  element("users").replaceChildren(...page.data.map(row));
  nextCursor = page.next_cursor;
  element("next").disabled = !page.has_more;
}

element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  key = element("key").value.trim();
  list(null);
});

element("register").addEventListener("submit", async (event) => {
  event.preventDefault();
  // The metadata goes out as it was typed, so that a number keeps its digits.
  const metadata = element("metadata").value.trim() || "{}";
  const body = `{"user_id":${JSON.stringify(element("user-id").value)},"metadata":${metadata}}`;
  const { status } = await call("POST", "/v1/end-users", body);
  const said = { 201: "Registered: this request made the user.", 200: "Already there: this is the stored record." };
  element("registered").textContent = said[status] ?? `Refused with ${status}; see the answer below.`;
  const answer = element("last").textContent;
  if (status < 300) await list(null);
  element("last").textContent = answer;
});

element("first").addEventListener("click", () => list(null));
element("next").addEventListener("click", () => list(nextCursor));
