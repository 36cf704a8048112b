//! Credentials that carry a tag: first words + ULID (26) + secret (32 base62) + tag (8 base62),
//! where tag = HMAC-SHA256(`KEY_SECRET`, everything before it), truncated.
//!
//! The tag shields the stores from noise, as its 8 characters have 47 bits. What a store holds for the digest of the
//! credential is what grants access.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::identifiers::ULID_LENGTH;
use super::secret::{KeyRing, Secret};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_LENGTH: usize = 32;
const TAG_LENGTH: usize = 8;

/// Makes a credential from its head and 32 random bytes. One of another purpose is none of this.
pub fn seal(head: String, random: [u8; 32], purpose: &str, secret: &Secret) -> String {
    let mut text = head;
    let (high, low) = random.split_at(16);
    for half in [high, low] {
        // 128 random bits give 95 bits of output, so the bias is below 2^-32.
        push_base62(&mut text, to_u128(half), SECRET_LENGTH / 2);
    }
    let tag = tag(&text, purpose, secret);
    text.push_str(&tag);
    text
}

/// Whether the tag at the end of a text is right.
pub fn is_genuine(text: &str, purpose: &str, ring: &KeyRing) -> bool {
    let parts = text.len().checked_sub(TAG_LENGTH).and_then(|length| text.split_at_checked(length));
    parts.is_some_and(|(signed, given)| {
        ring.any(|secret| tag(signed, purpose, secret).as_bytes().ct_eq(given.as_bytes()).into())
    })
}

/// The ULID at the beginning of what follows a credential's first words, if as much follows as must.
pub fn ulid(body: &str) -> Option<&str> {
    let is_whole = body.len() == ULID_LENGTH + SECRET_LENGTH + TAG_LENGTH;
    if is_whole && body.bytes().all(|byte| byte.is_ascii_alphanumeric()) { body.get(..ULID_LENGTH) } else { None }
}

/// SHA-256 of a whole credential in URL-safe base64. Stores hold it and look credentials up by it. A credential has 190
/// random bits, so a salt or a slow hash is needless.
pub fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}

fn tag(signed: &str, purpose: &str, secret: &Secret) -> String {
    let code = secret.authenticate(purpose, signed.as_bytes());
    let mut tag = String::with_capacity(TAG_LENGTH);
    push_base62(&mut tag, to_u128(&code), TAG_LENGTH);
    tag
}

/// The first 16 bytes as a big-endian number.
fn to_u128(bytes: &[u8]) -> u128 {
    bytes.first_chunk().copied().map_or(0, u128::from_be_bytes)
}

fn push_base62(out: &mut String, mut number: u128, digits: usize) {
    for _ in 0..digits {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        out.push(BASE62.get(digit).copied().map_or('0', char::from));
        number /= 62;
    }
}
