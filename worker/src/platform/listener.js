// The JavaScript half of listener.rs. An edge and an object have a WebSocket between them, over which the object says that
// there is an event. The object sleeps meanwhile (/durable-objects/best-practices/websockets/).

/** Connects to an object. `heard` is fulfilled when it says that there is an event, or when the connection ends. */
export async function listen(stub) {
  const { webSocket } = await stub.fetch("https://object/", { headers: { Upgrade: "websocket" } });
  if (!webSocket) throw new Error("the object has as many readers as it may");
  const { promise: heard, resolve } = Promise.withResolvers();
  for (const type of ["message", "close", "error"]) webSocket.addEventListener(type, () => resolve(), { once: true });
  webSocket.accept();
  return { heard, close: () => webSocket.close(1000) };
}

/** Tells every reader of an object that there is an event. The runtime holds it back until the event is durable. */
export function announce(context) {
  for (const socket of context.getWebSockets()) {
    try {
      socket.send("");
    } catch {
      // It ends just now.
    }
  }
}
