//! The error of reading JSON of another form than expected.

/// JSON that is not of the form that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("it is not JSON of the expected form")
    }
}

impl std::error::Error for Unreadable {}
