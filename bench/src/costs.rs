//! The counts of a counting run as tables, with their prices.

use std::fmt::Write;

use crate::bills;
use crate::counts::{Counted, Counts};
use crate::options::CLIENTS;
use crate::prices;

/// The heads of the columns that both tables have.
const COLUMNS: &str = "calls to objects | alarms run | alarms set | object: rows read | written | D1: rows read | \
                       written | KV: reads | writes | $ a million |";
/// Characters of a statement that are shown.
const SHOWN: usize = 100;

/// The whole report in Markdown.
pub fn markdown(all: &[Counted]) -> String {
    let mut out = format!(
        "# What a request costs\n\nMade by `cargo bench-edge --counts`: do not edit. \
         [How to read it](../benchmarks.md#what-a-request-costs).\n\n\
         What Cloudflare bills for one request, and the price of a million such requests by the prices of {}. Every request \
         is also one request to the Worker. CPU adds ${} for each ms that a request takes of it.\n",
        prices::AS_OF,
        prices::CPU_MS,
    );
    out.push_str("\n## Alone\n\nEach request waits until the work of the one before it is done.\n\n");
    let _ = writeln!(out, "| | | {COLUMNS} ms awake | and for them |\n|---|---|{}", "--:|".repeat(12));
    for counted in all {
        let awake = format!("{:.0} | {:.2} |", counted.awake_ms, prices::awake(counted.awake_ms));
        let _ = writeln!(out, "{} {awake}", row(counted, &counted.alone));
    }
    let _ = write!(out, "\n## Under load\n\n{CLIENTS} connections, each with one request at a time.\n\n");
    let _ = writeln!(out, "| | | {COLUMNS}\n|---|---|{}", "--:|".repeat(10));
    for counted in all {
        let _ = writeln!(out, "{}", row(counted, &counted.under_load));
    }
    out.push_str(&copies(all));
    out.push_str(&bills::markdown(all).unwrap_or_default());
    out.push_str("\n## What writes the rows of a request alone\n\n| | | rows | statement |\n|---|---|--:|---|\n");
    for counted in all {
        for (statement, rows) in &counted.written {
            let shown: String = statement.chars().take(SHOWN).collect();
            let _ = writeln!(out, "| {} | {} | {rows} | `{shown}` |", counted.line.title(), counted.contender.name());
        }
    }
    out
}

/// What a copy in KV costs.
fn copies(all: &[Counted]) -> String {
    let mut out = String::new();
    for counted in all {
        let Some(copy) = &counted.copy else { continue };
        if out.is_empty() {
            out.push_str(
                "\n## A user who is copied to KV\n\nWhat one user costs whom readers at the edge have missed twice: once a day, \
                 and KV and the rows again after a change of the user, at most once a minute.\n\n\
                 | | KV: writes | object: rows written | alarms set | alarms run | $ a million users |\n\
                 |---|--:|--:|--:|--:|--:|\n",
            );
        }
        let figures =
            [copy.kv_writes, copy.object_rows_written, copy.alarms_set, copy.alarms_run].map(short).join(" | ");
        let _ = writeln!(out, "| {} | {figures} | **{:.2}** |", counted.contender.name(), prices::operations(copy));
    }
    out
}

fn row(counted: &Counted, each: &Counts) -> String {
    let figures = [
        each.calls,
        each.alarms_run,
        each.alarms_set,
        each.object_rows_read,
        each.object_rows_written,
        each.d1_rows_read,
        each.d1_rows_written,
        each.kv_reads,
        each.kv_writes,
    ];
    let figures = figures.map(short).join(" | ");
    let price = prices::operations(each);
    format!("| {} | {} | {figures} | **{price:.2}** |", counted.line.title(), counted.contender.name())
}

/// At most two decimals, and none that is 0.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_no_zeros_at_its_end() {
        let figures = [0.0, 0.004, 0.5, 1.0, 10.0, 100.25].map(short);
        assert_eq!(figures, ["0", "0", "0.5", "1", "10", "100.25"]);
    }
}
