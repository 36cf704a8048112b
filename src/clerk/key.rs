//! An RSA key that checks signatures, and the forms in which it is written.
//!
//! Invariant: a [`PublicKey`] is as strong as RS256 demands. `WebCrypto` imports keys of 1,024 bits and of
//! any exponent, so the constructor checks both.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pkcs1::RsaPublicKeyRef;
use spki::SubjectPublicKeyInfoRef;

use crate::refusal::Refusal;

/// The fewest bits of a modulus (RFC 7518, section 3.3).
const MODULUS_BITS_MIN: usize = 2_048;
/// The most bits of a modulus. The time to check a signature grows with the square of the bits.
const MODULUS_BITS_MAX: usize = 8_192;
/// 65,537, the only exponent that is accepted. Small exponents have a history of forged signatures, and
/// large ones are slow.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// The primes by which ROCA moduli are recognized: see [`is_roca`].
const FINGERPRINT_PRIMES: [u8; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// An issuer's public key. Its exponent is 65,537.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Big-endian, without leading zeros.
    modulus: Vec<u8>,
}

impl PublicKey {
    /// Makes a key from big-endian numbers without leading zeros.
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, Refusal> {
        let leading = modulus.first().map_or(8, |byte| byte.leading_zeros());
        let bits = modulus.len().saturating_mul(8).saturating_sub(usize::try_from(leading).unwrap_or(8));
        let odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
        if leading == 8
            || !odd
            || exponent != EXPONENT
            || is_roca(modulus)
            || !(MODULUS_BITS_MIN..=MODULUS_BITS_MAX).contains(&bits)
        {
            return Err(Refusal::new("must be an RSA public key (SPKI) of 2048 to 8192 bits with the exponent 65537"));
        }
        Ok(Self { modulus: modulus.to_vec() })
    }

    /// The modulus in the encoding of JSON Web Keys.
    pub fn modulus(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.modulus)
    }

    /// Whether a signature is as long as the modulus (RFC 8017, section 8.2.2). The key made no other signature.
    pub fn may_have_made(&self, signature: &[u8]) -> bool {
        signature.len() == self.modulus.len()
    }

    /// Reads the modulus and the exponent of a JSON Web Key (RFC 7518, section 6.3.1).
    pub fn of_jwk(n: &str, e: &str) -> Option<Self> {
        Self::new(&URL_SAFE_NO_PAD.decode(n).ok()?, &URL_SAFE_NO_PAD.decode(e).ok()?).ok()
    }

    /// Reads a `SubjectPublicKeyInfo` in PEM (RFC 7468, section 13).
    ///
    /// The text may have one line or many, and line breaks may be written as `\n`, since operators copy the
    /// key from a dashboard into files and forms that change line breaks.
    pub fn of_pem(text: &str) -> Result<Self, Refusal> {
        let text = text.replace("\\n", "\n");
        let body = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----");
        let body = body.and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"));
        let body = body.map(|body| body.split_ascii_whitespace().collect::<String>());
        let der = body.and_then(|body| STANDARD.decode(body).ok());
        let (modulus, exponent) = der.as_deref().and_then(read_der).unwrap_or_default();
        Self::new(modulus, exponent)
    }
}

/// Whether a key is vulnerable to ROCA (CVE-2017-15361): its modulus is a power of 65,537 modulo each of the
/// primes. One in 2^27 other moduli is too.
fn is_roca(modulus: &[u8]) -> bool {
    FINGERPRINT_PRIMES.iter().all(|prime| {
        let reduce = |number: u32| number.checked_rem(u32::from(*prime)).unwrap_or_default();
        let residue = modulus.iter().fold(0, |residue, byte| reduce(residue << 8 | u32::from(*byte)));
        let mut power = 1_u32;
        (0..*prime).any(|_| {
            power = reduce(power.saturating_mul(65_537));
            power == residue
        })
    })
}

/// The modulus and the exponent of a `SubjectPublicKeyInfo` (RFC 5280, section 4.1) of an RSA key, whose
/// algorithm is `rsaEncryption` with null parameters (RFC 3279, section 2.3.1).
fn read_der(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let info = SubjectPublicKeyInfoRef::try_from(der).ok()?;
    if info.algorithm != pkcs1::ALGORITHM_ID {
        return None;
    }
    let key = RsaPublicKeyRef::try_from(info.subject_public_key.as_bytes()?).ok()?;
    Some((key.modulus.as_bytes(), key.public_exponent.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modulus(bits: usize) -> Vec<u8> {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        modulus
    }

    #[test]
    fn a_key_is_as_strong_as_rs256_demands() {
        let accepted = |modulus: &[u8], exponent: &[u8]| PublicKey::new(modulus, exponent).is_ok();
        for bits in [2_048, 3_072, 4_096, 8_192] {
            assert!(accepted(&modulus(bits), &EXPONENT), "{bits}");
        }
        for bits in [8, 512, 1_024, 2_040, 8_200, 16_384] {
            assert!(!accepted(&modulus(bits), &EXPONENT), "{bits}");
        }
        // 2,047 bits in as many bytes as 2,048 have.
        let mut short = modulus(2_048);
        short[0] = 0x7f;
        assert!(!accepted(&short, &EXPONENT));
        let mut even = modulus(2_048);
        even[255] = 0xfe;
        assert!(!accepted(&even, &EXPONENT));
        assert!(!accepted(&[&[0], modulus(2_048).as_slice()].concat(), &EXPONENT));
        assert!(!accepted(&[], &EXPONENT));
        for exponent in [&[3][..], &[17], &[], &[0], &[1], &[1, 0, 0], &[0, 1, 0, 1], &[1, 0, 1, 1], &[2, 0, 1]] {
            assert!(!accepted(&modulus(2_048), exponent), "{exponent:?}");
        }
    }

    #[test]
    fn a_key_that_is_vulnerable_to_roca_is_refused() {
        // Their product, and so any multiple, plus one is 1 to each of them.
        let mut product = vec![1_u8];
        for prime in FINGERPRINT_PRIMES {
            let mut carry = 0;
            for digit in product.iter_mut().rev() {
                carry += u32::from(*digit) * u32::from(prime);
                *digit = u8::try_from(carry & 0xff).unwrap();
                carry >>= 8;
            }
            product.insert(0, u8::try_from(carry).unwrap());
        }
        let first = product.iter().position(|digit| *digit != 0).unwrap();
        let mut modulus = product.split_off(first);
        modulus.resize(300, 0);
        modulus[299] = 1;
        assert!(is_roca(&modulus) && PublicKey::new(&modulus, &EXPONENT).is_err());
        modulus[298] = 1;
        assert!(!is_roca(&modulus) && PublicKey::new(&modulus, &EXPONENT).is_ok());
    }

    /// `rsaEncryption` with null parameters, as an `AlgorithmIdentifier`.
    const RSA_ENCRYPTION: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        let length = match content.len() {
            0..0x80 => vec![length[1]],
            0x80..0x100 => vec![0x81, length[1]],
            _ => vec![0x82, length[0], length[1]],
        };
        [&[tag], length.as_slice(), content].concat()
    }

    fn der(algorithm: &[u8], modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let numbers = [tlv(2, &[&[0], modulus].concat()), tlv(2, exponent)].concat();
        let key = tlv(3, &[&[0], tlv(0x30, &numbers).as_slice()].concat());
        tlv(0x30, &[algorithm, &key].concat())
    }

    fn pem(der: &[u8], line_break: &str) -> String {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        ["-----BEGIN PUBLIC KEY-----", &lines.join(line_break), "-----END PUBLIC KEY-----"].join(line_break)
    }

    #[test]
    fn a_pem_reads_however_its_lines_are_broken() {
        let expected = PublicKey::new(&modulus(2_048), &EXPONENT).unwrap();
        let der = der(&RSA_ENCRYPTION, &modulus(2_048), &EXPONENT);
        for line_break in ["\n", "\r\n", "", "\\n", " "] {
            let text = pem(&der, line_break);
            assert_eq!(PublicKey::of_pem(&text), Ok(expected.clone()), "{line_break:?}");
            assert_eq!(PublicKey::of_pem(&[line_break, &text, line_break].concat()), Ok(expected.clone()));
        }
    }

    #[test]
    fn anything_but_a_public_rsa_key_is_refused() {
        let good = der(&RSA_ENCRYPTION, &modulus(2_048), &EXPONENT);
        for length in 0..good.len() {
            assert!(PublicKey::of_pem(&pem(&good[..length], "\n")).is_err(), "{length}");
        }
        assert!(PublicKey::of_pem(&pem(&[good.as_slice(), &[0]].concat(), "\n")).is_err());
        let mut other = RSA_ENCRYPTION;
        other[12] = 10;
        for bad in [
            der(&other, &modulus(2_048), &EXPONENT),
            der(&RSA_ENCRYPTION[..13], &modulus(2_048), &EXPONENT),
            der(&RSA_ENCRYPTION, &modulus(1_024), &EXPONENT),
            der(&RSA_ENCRYPTION, &modulus(2_048), &[3]),
        ] {
            assert!(PublicKey::of_pem(&pem(&bad, "\n")).is_err());
        }
        for text in ["", "x", "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----", &STANDARD.encode(&good)] {
            assert!(PublicKey::of_pem(text).is_err(), "{text}");
        }
        let private = pem(&good, "\n").replace("PUBLIC", "PRIVATE");
        assert!(PublicKey::of_pem(&private).is_err());
    }

    #[test]
    fn a_signature_is_as_long_as_the_modulus() {
        let key = PublicKey::new(&modulus(2_048), &EXPONENT).unwrap();
        assert!(key.may_have_made(&[0; 256]));
        assert!(!key.may_have_made(&[0; 255]) && !key.may_have_made(&[0; 257]) && !key.may_have_made(&[]));
        assert_eq!(key.modulus().len(), 342);
    }
}
