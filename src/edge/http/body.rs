//! The body of a request, by its media type.

use crate::fault::Fault;
use crate::input::Fields;

/// What a route takes as its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Not read.
    None,
    /// `application/json`, at most this many bytes.
    Json { bytes_max: usize },
    /// Either type of a `PATCH`, or none.
    Optional { bytes_max: usize },
}

/// A body, by what its type makes of it.
#[derive(Debug)]
pub enum Body {
    Empty,
    /// `application/json`.
    Json(Vec<u8>),
    /// `application/merge-patch+json` (RFC 7396).
    MergePatch(Vec<u8>),
}

impl Body {
    /// What was sent, whatever its type makes of it.
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
