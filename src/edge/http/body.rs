//! The body of a request, by its media type.

use crate::fault::Fault;
use crate::input::Fields;

/// The body that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// The route reads no body.
    None,
    /// `application/json`, at most this many bytes.
    Json { bytes_max: usize },
    /// The same. What the request costs depends on it.
    Batch { bytes_max: usize },
    /// Either media type of a `PATCH`, or no body.
    Optional { bytes_max: usize },
}

/// A body, by its media type.
#[derive(Debug)]
pub enum Body {
    Empty,
    /// `application/json`.
    Json(Vec<u8>),
    /// `application/merge-patch+json` (RFC 7396).
    MergePatch(Vec<u8>),
}

impl Body {
    /// The bytes of the body, whatever its media type.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Json(bytes) | Self::MergePatch(bytes) => bytes,
        }
    }

    pub fn fields(&self) -> Result<Fields<'_>, Fault> {
        Fields::of_body(self.bytes())
    }
}
