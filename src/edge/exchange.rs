//! One request on its way through the edge: its credential, its body, and what is known of it so far.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::configuration::Configuration;
use super::http::body::{Body, BodyKind};
use super::http::dialect::Dialect;
use super::http::headers::{self, Charged};
use super::http::reader::Reader;
use super::http::request::{BodyError, Incoming, Target};
use super::leases::LeaseKey;
use super::public_limiter::Client;
use super::runtime::Runtime;
use super::waits::Waits;
use crate::directory::api_key::{ApiKey, KeyDigest, KeyKind, Scope};
use crate::directory::identifiers::{OperatorId, OrganizationId, RequestId, Tenant};
use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;
use crate::fault::{CredentialFault, Fault};
use crate::json;
use crate::organization::limiter::Rate;
use crate::organization::protocol::{Admission, Caller, IdempotencyKey, Lease};
use crate::refusal::Refusal;

/// The header that carries a service key.
const SERVICE_KEY: &str = "X-Assistant-Service-Key";

/// A request, and what is known of it so far. The response's headers and the log line are made from this.
pub struct Exchange<'a, R: Runtime> {
    pub runtime: &'a R,
    pub incoming: &'a R::Incoming,
    pub target: Target<'a>,
    pub request_id: RequestId,
    pub received_at: Timestamp,
    pub organization_id: Option<OrganizationId>,
    /// The named operator who asks.
    pub operator_id: Option<OperatorId>,
    pub charged: Option<Charged>,
    /// What the organization has used of its quotas, where the answer says so.
    pub quota: Option<Quota>,
    pub rows_read: Option<u64>,
    pub waits: Waits,
    /// The object has answered with what it kept for the `Idempotency-Key`.
    pub is_replayed: bool,
    /// The object has said that the listing holds every change up to its call.
    pub listing_is_current: bool,
    /// The lease that the object has given.
    pub lease: Option<Lease>,
    /// The answer comes from KV.
    pub is_from_edge: bool,
}

/// A caller with a genuine key. Only the object knows whether the key is in force.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    pub tenant: Tenant,
    digest: KeyDigest,
    kind: KeyKind,
    scope: Scope,
}

impl KeyHolder {
    /// What the key's leases are held under.
    pub fn lease_key(&self) -> LeaseKey {
        (self.digest.clone(), self.kind)
    }

    /// The caller as the object knows it, for a call that takes `cost` tokens.
    pub fn caller(&self, cost: u32) -> Caller {
        Caller::Key { digest: self.digest.clone(), kind: self.kind, scope: self.scope, cost }
    }
}

/// An operator: the one who has `ADMIN_TOKEN`, or a named one. Only [`super::operators::authenticate`] makes one, so code
/// that has one may ask any object.
#[derive(Debug, Clone, Copy)]
pub struct Operator(Option<OperatorId>);

impl Operator {
    /// The operator who has `ADMIN_TOKEN`.
    pub(super) const fn root() -> Self {
        Self(None)
    }

    pub(super) const fn named(id: OperatorId) -> Self {
        Self(Some(id))
    }

    /// The operator as the object knows them.
    pub const fn caller(self) -> Caller {
        Caller::Operator(self.0)
    }

    /// Whether this is the operator who has `ADMIN_TOKEN`.
    pub const fn is_root(self) -> bool {
        self.0.is_none()
    }
}

impl<'a, R: Runtime> Exchange<'a, R> {
    /// How the caller reads the bodies of dialect 2.
    pub fn reader(&self) -> Reader<'a> {
        if Dialect::of_path(self.target.path) != Dialect::Agents {
            return Reader::Any;
        }
        Reader::of(self.incoming.header("User-Agent").as_deref(), self.target.origin)
    }

    /// The state of the organization's bucket, if the object asked it.
    pub const fn admission(&self) -> Option<Admission> {
        if let Some(Charged::Organization(admission)) = self.charged { Some(admission) } else { None }
    }

    pub fn configuration(&self) -> Result<Rc<Configuration>, Fault> {
        self.runtime
            .configuration()
            .map_err(|refusal| Fault::Internal { reason: format!("the configuration is not usable: {refusal}") })
    }

    pub fn random<const N: usize>(&self) -> Result<[u8; N], Fault> {
        self.runtime.random().map_err(|refusal| Fault::Internal { reason: refusal.0 })
    }

    /// The client of this request.
    pub fn client(&self) -> Client {
        Client::of_header(self.incoming.header("CF-Connecting-IP").as_deref())
    }

    /// The rate of client addresses, and the client of this request.
    fn client_rate(&self) -> Result<(Rate, Client), Fault> {
        Ok((self.configuration()?.public_rate, self.client()))
    }

    /// Whether the client address's bucket holds a token.
    pub fn has_public_token(&self) -> Result<bool, Fault> {
        let (rate, client) = self.client_rate()?;
        Ok(self.runtime.public_limiter().borrow().has_token(rate, client, self.received_at))
    }

    /// Takes a token from the client address's bucket: one of now, as a refusal may come long after its request. By then
    /// other requests of the client have taken theirs.
    pub fn take_public_token(&mut self) -> Result<(), Fault> {
        let (rate, client) = self.client_rate()?;
        let now = self.runtime.now();
        let decision = self.runtime.public_limiter().borrow_mut().take(rate, client, now);
        self.charged = Some(Charged::Client(Admission::new(rate, &decision, now)));
        if decision.allowed {
            Ok(())
        } else {
            Err(Fault::RateLimited { retry_after_ms: decision.retry_after_ms(), quota: None })
        }
    }

    /// Refuses a credential.
    pub fn refuse_credential(&mut self, fault: CredentialFault) -> Fault {
        self.refuse_caller(Fault::Credential(fault))
    }

    /// Refuses a caller for a missing, wrong or too weak credential. Each refusal costs a token of the client address's
    /// bucket, so that guessing is slow and no refusal is free.
    pub fn refuse_caller(&mut self, fault: Fault) -> Fault {
        self.quota = headers::quota(&fault).or(self.quota);
        match self.take_public_token() {
            Ok(()) => fault,
            Err(limited) => limited,
        }
    }

    /// The credential in `Authorization`.
    pub fn bearer(&self) -> Option<String> {
        let header = self.incoming.header("Authorization")?;
        let (scheme, token) = header.split_once(' ')?;
        // The scheme is case-insensitive (RFC 9110, section 11.1).
        scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
    }

    /// Reads the caller's key and checks what can be checked without a store.
    pub fn key(&mut self, kind: KeyKind, scope: Scope) -> Result<KeyHolder, Fault> {
        let token = match kind {
            KeyKind::Api => self.bearer(),
            KeyKind::Service => self.incoming.header(SERVICE_KEY).filter(|token| !token.is_empty()),
        };
        let Some(token) = token else { return Err(self.refuse_credential(CredentialFault::Missing)) };
        let configuration = self.configuration()?;
        let Some(key) = ApiKey::parse(&token, &configuration.key_ring) else {
            return Err(self.refuse_credential(CredentialFault::Invalid));
        };
        let tenant = key.tenant();
        self.organization_id = Some(tenant.organization);
        Ok(KeyHolder { tenant, digest: key.digest(), kind, scope })
    }

    /// Reads a body. The caller of this function reports a fault only after key, scope and bucket are checked.
    pub async fn read_body(&self, kind: BodyKind) -> Result<Body, Fault> {
        let (bytes_max, optional) = match kind {
            BodyKind::None => return Ok(Body::Empty),
            BodyKind::Json { bytes_max } | BodyKind::Batch { bytes_max } => (bytes_max, false),
            BodyKind::Optional { bytes_max } => (bytes_max, true),
        };
        let body = self.body(bytes_max).await?;
        match self.content_type().as_deref() {
            _ if optional && body.is_empty() => Ok(Body::Empty),
            Some("application/json") => Ok(Body::Json(body)),
            Some("application/merge-patch+json") if optional => Ok(Body::MergePatch(body)),
            _ => Err(Fault::UnsupportedMediaType),
        }
    }

    /// The media type without its parameters, in lower case.
    pub fn content_type(&self) -> Option<String> {
        let header = self.incoming.header("Content-Type")?;
        let essence = header.split(';').next().unwrap_or_default();
        Some(essence.trim().to_ascii_lowercase())
    }

    /// Reads a body as it comes, whatever its type.
    pub async fn body(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        self.incoming.body(bytes_max).await.map_err(|error| match error {
            BodyError::TooLarge => Fault::PayloadTooLarge { bytes_max },
            BodyError::Broken(reason) => {
                Fault::Malformed(Refusal::new(format!("the body could not be read: {reason}")))
            }
        })
    }

    /// Reads `Idempotency-Key`: 1–255 visible ASCII characters, bare or quoted. The fingerprint covers everything
    /// that two equal requests have in common. What a body asks for counts, and not its spelling.
    pub fn idempotency_key(&self, body: &[u8]) -> Result<Option<IdempotencyKey>, Fault> {
        let Some(header) = self.incoming.header("Idempotency-Key") else { return Ok(None) };
        let key = header.trim();
        let key = key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(key);
        if !(1..=255).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let rule = "the Idempotency-Key header must hold 1 to 255 visible ASCII characters";
            return Err(Fault::Malformed(Refusal::new(rule)));
        }
        let body = json::canonical(json::check(body).map_err(Fault::Malformed)?);
        let mut digest = Sha256::new();
        for part in [self.incoming.method(), self.target.path, self.target.query, &body] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        let fingerprint = URL_SAFE_NO_PAD.encode(digest.finalize());
        // Callers make keys from ids, and an index keeps a key longer than the person's record.
        let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(key.as_bytes()));
        Ok(Some(IdempotencyKey { digest, fingerprint }))
    }
}
