//! How far the object is from here, and the stores from the Worker.

use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::life::Life;
use super::people::{ADA, END_USERS};
use super::report::{Checked, Fault};
use super::wait;

const READS: usize = 9;
/// How long a copy may take until it is there. The object writes it a second after it was missed.
const COPY_LIMIT: Duration = Duration::from_secs(6);

/// Measures, and says it in sentences.
pub fn measure(life: &Life<'_>) -> Checked<Vec<String>> {
    let reader = &life.organization.reader;
    let health_ms = median_ms(&life.anonymous.clone(), "/health")?;
    let read_ms = median_ms(reader, ADA)?;
    let away_ms = read_ms.saturating_sub(health_ms);
    let ready = life.anonymous.get("/ready")?.json();
    let latency = |store: &str| ready["checks"][store]["latency_ms"].as_i64().unwrap_or_default();
    Ok(vec![
        format!(
            "The object is {away_ms} ms away from the Worker: a strong read takes {read_ms} ms, and /health {health_ms} ms \
             (medians of {READS})."
        ),
        format!("The Worker reaches KV in {} ms and D1 in {} ms.", latency("kv"), latency("d1")),
        read_at_edge(life)?,
    ])
}

fn median_ms(client: &Client, path: &str) -> Checked<u128> {
    let mut taken = Vec::with_capacity(READS);
    for _ in 0..READS {
        let answer = client.get(path)?;
        answer.expect_status(200)?;
        taken.push(answer.took.as_millis());
    }
    taken.sort_unstable();
    Ok(taken.get(READS / 2).copied().unwrap_or_default())
}

/// Reads a user until an answer comes from nearby, and holds that answer against the contract. Which isolate answers is up
/// to the platform, so there may be none in time.
fn read_at_edge(life: &Life<'_>) -> Checked<String> {
    let reader = life.organization.reader.with("Cache-Control", "max-stale=5");
    life.organization.writer.post(END_USERS, &serde_json::json!({ "user_id": "edge" }))?;
    let mut faulty = None;
    let look = || -> Option<u128> {
        let answer = reader.get(&format!("{END_USERS}/edge")).map_err(|fault| faulty = Some(fault)).ok()?;
        let source = answer.find_header("x-rollcall-source").unwrap_or_default().to_owned();
        let is_weak = answer.find_header("etag").is_some_and(|tag| tag.starts_with("W/"));
        let has_age = answer.find_header("age").is_some_and(|age| age.parse::<u64>().is_ok_and(|age| age <= 5));
        let is_as_promised = match source.as_str() {
            "edge" => answer.status == 200 && is_weak && has_age && answer.json()["relationships"] == Value::Null,
            "object" => answer.status == 200,
            _ => false,
        };
        if !is_as_promised {
            let what = format!("{answer} from {source:?} lacks Age, X-Rollcall-Source or a weak tag");
            faulty = Some(Fault::new(what, "let nothing in front of the Worker remove its headers"));
        }
        (source == "edge").then_some(answer.took.as_millis())
    };
    let seen = wait::until(COPY_LIMIT, look, |seen: &Option<u128>| seen.is_some());
    match (faulty, seen) {
        (Some(fault), _) => Err(fault),
        (None, Some(ms)) => Ok(format!("A read at the edge takes {ms} ms.")),
        (None, None) if life.setting("JURISDICTION").is_some() => {
            Ok("Nothing is read at the edge, because JURISDICTION is set.".to_owned())
        }
        (None, None) => Ok("No read was answered at the edge in six seconds. Busy isolates answer more.".to_owned()),
    }
}
