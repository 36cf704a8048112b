//! The methods of routes.

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE", const_into_str)]
pub enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    /// `HEAD` is answered as `GET`, without the body (RFC 9110, section 9.3.2).
    pub fn serves(self, method: &str) -> bool {
        self.into_str() == method || (self == Self::Get && method == "HEAD")
    }
}
