//! A walk through the pages of a list must end.

/// More pages than the list of any test has.
const PAGES_MAX: usize = 10_000;

/// The pages of a walk so far.
#[derive(Debug, Default)]
pub struct PageCount(usize);

impl PageCount {
    /// Counts one more page. Fails when the walk does not end.
    #[track_caller]
    pub fn add(&mut self) {
        self.0 += 1;
        assert!(self.0 <= PAGES_MAX, "there is no end to the pages");
    }
}
