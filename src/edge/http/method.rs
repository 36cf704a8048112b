//! The methods of routes.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// `HEAD` is answered as `GET`, without the body (RFC 9110, section 9.3.2).
    pub fn serves(self, method: &str) -> bool {
        self.as_str() == method || (self == Self::Get && method == "HEAD")
    }
}
