//! Session tokens like Clerk's, signed with a key of our own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use rsa::pkcs1v15;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::signature::{SignatureEncoding, Signer, Verifier};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Result;

/// Largest modulus, in bits, that signatures are checked with.
const MODULUS_BITS_MAX: usize = 8_192;

/// A key that signs by RS256.
#[derive(Debug, Clone)]
pub struct SigningKey(RsaPrivateKey);

impl SigningKey {
    /// A key like Clerk's: 2,048 bits, and the exponent 65,537.
    pub fn generate() -> Result<Self> {
        Self::generate_with(2_048, 65_537)
    }

    pub fn generate_with(bits: usize, exponent: u64) -> Result<Self> {
        let key = RsaPrivateKey::new_with_exp(&mut UnwrapErr(SysRng), bits, BoxedUint::from(exponent));
        Ok(Self(key?))
    }

    /// Reads a key from PKCS #8 in PEM.
    pub fn read(pem: &str) -> Result<Self> {
        Ok(Self(RsaPrivateKey::from_pkcs8_pem(pem)?))
    }

    pub fn private_pem(&self) -> Result<String> {
        Ok(self.0.to_pkcs8_pem(LineEnding::LF)?.to_string())
    }

    /// The value of `CLERK_JWT_KEY`.
    pub fn public_pem(&self) -> Result<String> {
        Ok(self.0.to_public_key().to_public_key_pem(LineEnding::LF)?)
    }

    fn parameters(&self) -> (String, String) {
        let encode = |number: Box<[u8]>| URL_SAFE_NO_PAD.encode(number);
        (encode(self.0.n_bytes()), encode(self.0.e_bytes()))
    }

    /// The key's name: its thumbprint (RFC 7638).
    pub fn id(&self) -> String {
        let (n, e) = self.parameters();
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{\"e\":\"{e}\",\"kty\":\"RSA\",\"n\":\"{n}\"}}")))
    }

    /// The public key as an element of a key set.
    pub fn jwk(&self) -> Value {
        let (n, e) = self.parameters();
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id(), "n": n, "e": e })
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_parts(&json!({ "alg": "RS256", "typ": "JWT", "kid": self.id() }).to_string(), &claims.to_string())
    }

    /// A token with this header and this payload. Neither is checked.
    pub fn sign_parts(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = pkcs1v15::SigningKey::<Sha256>::new(self.0.clone()).sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

/// Whether the key with this modulus and the exponent 65,537 made this RS256 signature.
pub fn verifies(modulus: &str, signed: &[u8], signature: &[u8]) -> Result<bool> {
    let modulus = BoxedUint::from_be_slice_vartime(&URL_SAFE_NO_PAD.decode(modulus)?);
    let key = RsaPublicKey::new_with_size_limits(modulus, BoxedUint::from(65_537_u64), 2_048..=MODULUS_BITS_MAX)?;
    let signature = pkcs1v15::Signature::try_from(signature)?;
    Ok(pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(signed, &signature).is_ok())
}

/// A key set of these keys.
pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}
