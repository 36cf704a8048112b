// The Worker as it ships, but that a signature is of the message in a header (in
// hexadecimal) instead of the token's: test vectors have messages of their own.
// All else about a signature is the Worker's: the key, its parameters, what follows.
// One request at a time.
import Edge, { Organization } from "./front.mjs";

let message = null;
const prototype = Object.getPrototypeOf(crypto.subtle);
const { verify } = prototype;
let verified = 0;
prototype.verify = function (algorithm, key, signature, signed) {
  verified += 1;
  return verify.call(this, algorithm, key, signature, message ?? signed);
};

export { Organization };

export default {
  ...Edge,
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/__verified") return Response.json({ verified });
    const hex = request.headers.get("X-Message");
    message = hex === null ? null : Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
    return Edge.fetch(request, env, ctx);
  },
};
