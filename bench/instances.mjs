// The memory of a contender's module of wasm. It has to be imported before the contender, which makes an instance of its
// module as it is evaluated, and another one after a trap.
const { Instance } = WebAssembly;
let memory;

WebAssembly.Instance = class extends Instance {
  constructor(...args) {
    super(...args);
    memory = this.exports.memory;
  }
};

/** Bytes of the newest instance. */
export const wasmBytes = () => memory?.buffer.byteLength ?? 0;
