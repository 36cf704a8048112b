// The inspector of a contender's isolate.

/** Connects to it, and returns a function that calls a method of its protocol. */
export async function connect(port) {
  const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
  const target = targets.find(({ id, title }) => `${id} ${title}`.includes("contender"));
  if (!target) throw new Error(`no isolate of a contender among ${JSON.stringify(targets)}`);
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((opened, failed) => Object.assign(socket, { onopen: opened, onerror: failed }));
  const waiting = new Map();
  let calls = 0;
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const settle = waiting.get(id);
    waiting.delete(id);
    if (settle) error ? settle.fail(new Error(error.message)) : settle.done(result);
  };
  return (method, params = {}) =>
    new Promise((done, fail) => {
      const id = ++calls;
      waiting.set(id, { done, fail });
      socket.send(JSON.stringify({ id, method, params }));
    });
}
