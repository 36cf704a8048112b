//! What the command found, as a table for the operator.

use std::fmt;

/// Something that is not as it should be, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub what: String,
    pub remedy: String,
}

impl Fault {
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// What a check returns.
pub type Checked<T = ()> = Result<T, Fault>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Good,
    /// Good, and there is something to know.
    Note(String),
    Wrong(Fault),
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    pub check: String,
    pub finding: Finding,
}

/// The table, and how far things are.
#[derive(Debug, Default)]
pub struct Report {
    pub rows: Vec<Row>,
    pub distances: Vec<String>,
}

/// Two more than the longest name of a check.
const NAME_WIDTH: usize = 24;

impl Report {
    pub fn add(&mut self, check: impl Into<String>, finding: Finding) {
        self.rows.push(Row { check: check.into(), finding });
    }

    /// Adds what a check returned, and says whether it is good.
    pub fn note(&mut self, check: impl Into<String>, checked: Checked) -> bool {
        let is_good = checked.is_ok();
        self.add(check, checked.map_or_else(Finding::Wrong, |()| Finding::Good));
        is_good
    }

    pub fn faults(&self) -> impl Iterator<Item = (&str, &Fault)> {
        self.rows.iter().filter_map(|row| match &row.finding {
            Finding::Wrong(fault) => Some((row.check.as_str(), fault)),
            Finding::Good | Finding::Note(_) => None,
        })
    }

    pub fn is_good(&self) -> bool {
        self.faults().next().is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { check, finding } in &self.rows {
            match finding {
                Finding::Good => writeln!(formatter, "{check:NAME_WIDTH$}ok")?,
                Finding::Note(note) => writeln!(formatter, "{check:NAME_WIDTH$}ok: {note}")?,
                Finding::Wrong(Fault { what, remedy }) => {
                    writeln!(formatter, "{check:NAME_WIDTH$}WRONG: {what}")?;
                    writeln!(formatter, "{:NAME_WIDTH$}  do: {remedy}", "")?;
                }
            }
        }
        if !self.distances.is_empty() {
            writeln!(formatter)?;
        }
        self.distances.iter().try_for_each(|distance| writeln!(formatter, "{distance}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_wrong_and_what_to_do() {
        let mut report = Report::default();
        assert!(report.note("address", Ok(())));
        report.add("cron trigger", Finding::Note("it has not run yet".to_owned()));
        assert!(report.is_good());
        assert!(!report.note("KV", Err(Fault::new("it is not bound", "bind it"))));
        report.distances.push("The object is 3 ms away.".to_owned());
        assert!(!report.is_good());
        let expected = "\
address                 ok
cron trigger            ok: it has not run yet
KV                      WRONG: it is not bound
                          do: bind it

The object is 3 ms away.
";
        assert_eq!(report.to_string(), expected);
    }
}
