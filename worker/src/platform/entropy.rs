//! Random bytes.

use rollcall::refusal::Refusal;

/// Random bytes from `crypto.getRandomValues`.
pub fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::new(format!("no entropy: {error}")))?;
    Ok(bytes)
}
