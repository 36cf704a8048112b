// `{prefix}_{mode}_` + organization ULID (26) + secret (32 base62) + tag (8 base62), where the tag is an HMAC-SHA256 of
// everything before it, truncated: a forged key is refused at the edge, and a key says which object knows it.
//
// `node:crypto` rather than WebCrypto: both are native, and this one answers without a promise.

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Mode, Tenant } from "./environment";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const TAG_LENGTH = 8;
const SHAPE = /^[a-z]{2,12}_(live|test)_([0-9A-HJKMNP-TV-Z]{26})[A-Za-z0-9]{40}$/;

export interface ApiKey {
  tenant: Tenant;
  /** What the object knows the key by. */
  digest: string;
}

export function mint(prefix: string, { organizationId, mode }: Tenant, secret: string): string {
  const random = randomBytes(32);
  const signed = `${prefix}_${mode}_${organizationId}${base62(random.subarray(0, 16), 16)}${base62(random.subarray(16), 16)}`;
  return signed + tag(signed, secret);
}

export function parse(key: string, secret: string): ApiKey | undefined {
  const match = SHAPE.exec(key);
  if (!match) return undefined;
  const given = key.slice(-TAG_LENGTH);
  const expected = tag(key.slice(0, -TAG_LENGTH), secret);
  if (!timingSafeEqual(Buffer.from(given, "latin1"), Buffer.from(expected, "latin1"))) return undefined;
  return { tenant: { mode: match[1] as Mode, organizationId: match[2] as string }, digest: digest(key) };
}

export function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

/** Compares two secrets in a time that does not tell where they differ. */
export function equals(left: string, right: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(left), hash(right));
}

function tag(signed: string, secret: string): string {
  const code = createHmac("sha256", secret).update("twin api key v1\0").update(signed).digest();
  return base62(code.subarray(0, 8), TAG_LENGTH);
}

function base62(bytes: Buffer, digits: number): string {
  let number = BigInt(`0x${bytes.toString("hex")}`);
  let text = "";
  for (let index = 0; index < digits; index += 1) {
    text += BASE62[Number(number % 62n)];
    number /= 62n;
  }
  return text;
}
