import { ulid } from "ulid";

// `ulid` asks for a byte at a time, and asking takes longer than what is done with it.
const pool = new Uint8Array(4096);
let position = pool.length;

function random(): number {
  if (position === pool.length) {
    crypto.getRandomValues(pool);
    position = 0;
  }
  const byte = pool[position] ?? 0;
  position += 1;
  return byte / 256;
}

/** A ULID. */
export function newId(now: number): string {
  return ulid(now, random);
}

/** RFC 9562, section 5.7: ids sort by the time they were made. */
export function uuidV7(now: number): string {
  const time = now.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}
