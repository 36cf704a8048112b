//! `cargo xtask export ORGANIZATION FILE`: writes the export of an organization into a file, and what an import needs to
//! know of such a file.
//!
//! Invariant: the file holds whole lines up to a place of the export, and perhaps a part that follows. So the command,
//! run again, cuts the file back to the last place and goes on from there.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::admin::Admin;
use crate::served::Server;
use crate::{Result, interrupt, step};

/// The first line is short. A file whose first line is longer is no export.
const HEADING_BYTES_MAX: u64 = 64 * 1024;
/// Attempts at an answer while the network fails. The pause grows by one second each time.
const ATTEMPTS_MAX: u64 = 8;

#[derive(Debug, Clone)]
pub struct Options {
    pub organization: String,
    pub file: PathBuf,
    pub server: Server,
    pub mode: String,
}

/// The first line of an export.
#[derive(Debug, Deserialize)]
pub struct Heading {
    r#type: String,
    format: u32,
    name: String,
    limits: Value,
    pub mode: String,
}

impl Heading {
    /// Makes an organization with the name and the limits of the exported one. Returns its id.
    pub fn create(&self, admin: &Admin) -> Result<String> {
        let id = admin.create_organization(&self.name, &self.limits)?;
        step(format!("Made the organization {id}, \"{}\"; its keys are not exported: issue new ones", self.name));
        Ok(id)
    }
}

/// The heading of an organization's export; `None` for another file.
pub fn heading(file: &Path) -> Result<Option<Heading>> {
    let mut line = String::new();
    let read = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if BufReader::new(read.take(HEADING_BYTES_MAX)).read_line(&mut line).is_err() {
        return Ok(None);
    }
    let Ok(heading) = serde_json::from_str::<Heading>(&line) else { return Ok(None) };
    match (heading.r#type.as_str(), heading.format) {
        ("organization", 1) => Ok(Some(heading)),
        ("organization", format) => Err(format!("the export has the format {format}; this build reads 1").into()),
        _ => Ok(None),
    }
}

/// Whether a line of an export is a record, and not what stands around the records.
pub fn is_record(line: &str) -> bool {
    !matches!(kind(line).as_deref(), Some("organization" | "place" | "end"))
}

fn kind(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    serde_json::from_str(line).ok().map(|Typed { r#type }| r#type)
}

/// How far an export is.
enum Reached {
    Beginning,
    Place(String),
    End,
}

/// Exports the organization, from where the file ends.
pub fn export(options: &Options) -> Result<()> {
    let (url, token) = (options.server.url()?, options.server.operator()?);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&options.file)?;
    let (mut reached, mut length) = last_place(&file, Reached::Beginning, 0)?;
    let mut attempt = 0;
    loop {
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        let cursor = match &reached {
            Reached::Beginning => String::new(),
            Reached::Place(cursor) => format!("&cursor={cursor}"),
            Reached::End => {
                step(format!("Exported {length} bytes into {}", options.file.display()));
                return Ok(());
            }
        };
        let path = format!("/admin/v1/organizations/{}/export?mode={}{cursor}", options.organization, options.mode);
        let answer = agent.get(format!("{url}{path}")).header("Authorization", format!("Bearer {token}")).call();
        let failed = match answer {
            Ok(response) if response.status() == 200 => copy(response, &mut file).err(),
            Ok(response) if response.status() == 503 => Some("the server answered 503".into()),
            Ok(mut response) => {
                let said = response.body_mut().read_to_string().unwrap_or_default();
                return Err(format!("the server answered {}: {said}", response.status()).into());
            }
            Err(error) => Some(error.into()),
        };
        let before = length;
        (reached, length) = last_place(&file, reached, length)?;
        step(format!("{length} bytes"));
        if interrupt::happened() {
            return Err("interrupted; the same command goes on from here".into());
        }
        attempt = if length > before { 0 } else { attempt + 1 };
        match failed {
            Some(error) if attempt > ATTEMPTS_MAX => {
                return Err(format!("{error}; the same command goes on from here").into());
            }
            Some(_) => thread::sleep(Duration::from_secs(attempt.max(1))),
            None if attempt > 0 => return Err("the server's answer has no place to go on from".into()),
            None => {}
        }
    }
}

/// Writes the lines of an answer.
fn copy(response: ureq::http::Response<ureq::Body>, file: &mut File) -> Result<()> {
    let mut lines = BufReader::new(response.into_body().into_reader());
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 && !interrupt::happened() {
        file.write_all(&line)?;
        line.clear();
    }
    Ok(file.sync_data()?)
}

/// The last place of an export in a file, and the length of the file up to there. It looks behind the place that is known.
fn last_place(file: &File, known: Reached, known_bytes: u64) -> Result<(Reached, u64)> {
    let mut lines = BufReader::new(file);
    lines.seek(SeekFrom::Start(known_bytes))?;
    let (mut reached, mut reached_bytes, mut read) = (known, known_bytes, known_bytes);
    let mut line = String::new();
    loop {
        line.clear();
        let Ok(length) = lines.read_line(&mut line) else { break };
        if length == 0 || !line.ends_with('\n') {
            break;
        }
        read += length as u64;
        match kind(&line).as_deref() {
            Some("place") => {
                let place: Value = serde_json::from_str(&line)?;
                reached = Reached::Place(place["cursor"].as_str().ok_or("a place has no cursor")?.to_owned());
                reached_bytes = read;
            }
            Some("end") => return Ok((Reached::End, read)),
            _ => {}
        }
    }
    Ok((reached, reached_bytes))
}
