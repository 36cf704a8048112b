//! A walk through the pages of a list must come to an end.

/// More pages than any list of a test has.
const PAGES_MAX: usize = 10_000;

/// The pages of a walk so far.
#[derive(Debug, Default)]
pub struct PageCount(usize);

impl PageCount {
    /// Counts one more. Fails when there is no end to them.
    #[track_caller]
    pub fn add(&mut self) {
        self.0 += 1;
        assert!(self.0 <= PAGES_MAX, "there is no end to the pages");
    }
}
