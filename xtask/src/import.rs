//! `cargo xtask import FILE.ndjson`: imports a file of one JSON object a line: users, through `POST /v1/end-users/batch`,
//! or the export of an organization, through the operator's API.
//!
//! Invariants:
//!
//! - Memory is bounded by one batch, however long the file is.
//! - The progress file is replaced, in one step, only after a batch was answered and its refused rows are in the
//!   report. So an interrupted import can resume: at worst it sends one batch again, whose users the server finds
//!   existing, and cuts the report back to the recorded length.
//! - The report names every refused line once, with its number.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::organizations;
use crate::served::{ADMIN_TOKEN, API_KEY, Server};
use crate::{Result, interrupt, step};

/// What the process ends with when every line was sent and some were refused, so that a script notices. 1 is a
/// failure, after which the same command goes on, and 2 is what shells take for wrong usage.
pub const REFUSED_CODE: u8 = 3;

/// The API's limit for one batch.
const ROWS_MAX: usize = 500;
/// With the rest of the body this stays below the API's 1 MiB.
const BATCH_BYTES_MAX: usize = 1_000_000;
/// Attempts at a batch while the network fails. The pause grows by one second each time.
const ATTEMPTS_MAX: u64 = 8;

#[derive(Debug, Clone)]
pub struct Options {
    pub file: PathBuf,
    pub server: Server,
    /// The organization that an export goes into; a new one unless told.
    pub organization: Option<String>,
}

/// Where the rows of a file go.
struct Destination {
    url: String,
    credential: String,
    /// The variable that the credential was read from.
    variable: &'static str,
    /// A body up to its first row.
    beginning: String,
    /// Whether the file is an export, which has lines that are no records.
    is_export: bool,
}

/// The progress of an import.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Finished bytes of the file.
    offset: u64,
    /// Finished lines of the file.
    line: u64,
    /// Bytes of the report for these lines.
    report_bytes: u64,
    /// The organization that an export goes into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    pub created: u64,
    pub existing: u64,
    pub refused: u64,
}

/// One line of the file.
struct Row {
    line: u64,
    text: Box<RawValue>,
}

/// A line of the report, and the line of the file that it describes.
struct Refusal {
    line: u64,
    text: String,
}

/// A refused line, in the form of the report.
#[derive(Serialize)]
struct Refused<'a> {
    line: u64,
    user_id: Option<&'a str>,
    status: u16,
    error: Value,
}

/// Imports the file from the recorded progress on, and returns the new progress.
pub fn run(options: &Options) -> Result<Progress> {
    let mut import = Import::open(options)?;
    while import.step()? {
        if interrupt::happened() {
            import.bar.abandon();
            return Err("interrupted; the same command goes on from here".into());
        }
    }
    import.finish()
}

struct Import<'a> {
    options: &'a Options,
    destination: Destination,
    agent: ureq::Agent,
    file: BufReader<File>,
    report: File,
    progress: Progress,
    bar: ProgressBar,
}

/// Replaces the progress file in one step.
fn save(file: &Path, progress: &Progress) -> Result<()> {
    let written = beside(file, ".progress.new");
    fs::write(&written, serde_json::to_string(progress)?)?;
    Ok(fs::rename(written, beside(file, ".progress"))?)
}

/// Says where the rows of the file go. The export of an organization makes a new organization, unless an interrupted
/// import has made it or the options name one.
fn destination(options: &Options, progress: &mut Progress) -> Result<Destination> {
    let Options { file, server, organization } = options;
    let url = server.url()?;
    let Some(heading) = organizations::heading(file)? else {
        if organization.is_some() {
            return Err("--organization is for the export of an organization".into());
        }
        let (variable, beginning) = (API_KEY, "{\"users\":[".to_owned());
        let credential = server.credential(variable, "api_key", "a key with scope read_write")?;
        return Ok(Destination {
            url: format!("{url}/v1/end-users/batch"),
            credential,
            variable,
            beginning,
            is_export: false,
        });
    };
    let credential = server.operator()?;
    let id = match organization.clone().or_else(|| progress.organization.clone()) {
        Some(id) => id,
        None => heading.create(&Admin::new(&url, &credential))?,
    };
    progress.organization = Some(id.clone());
    save(file, progress)?;
    Ok(Destination {
        url: format!("{url}/admin/v1/organizations/{id}/import"),
        credential,
        variable: ADMIN_TOKEN,
        beginning: format!("{{\"mode\":{},\"records\":[", json!(heading.mode)),
        is_export: true,
    })
}

/// A file beside the imported one.
fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(extension);
    PathBuf::from(name)
}

impl<'a> Import<'a> {
    fn open(options: &'a Options) -> Result<Self> {
        let mut file = File::open(&options.file).map_err(|error| format!("{}: {error}", options.file.display()))?;
        let size = file.metadata()?.len();
        let mut progress: Progress = match fs::read_to_string(beside(&options.file, ".progress")) {
            Ok(text) => serde_json::from_str(&text)?,
            Err(_) => Progress::default(),
        };
        if progress.offset > size {
            return Err("the progress file belongs to a longer file; remove it to begin anew".into());
        }
        if progress != Progress::default() {
            step(format!("Going on after line {}", progress.line));
        }
        file.seek(SeekFrom::Start(progress.offset))?;
        let report = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(&options.file, ".refused.ndjson"))?;
        report.set_len(progress.report_bytes)?;
        let bar = ProgressBar::new(size).with_position(progress.offset);
        let style = "{bar:40} {percent}% of {total_bytes}, {bytes_per_sec}, {eta} left {msg}";
        bar.set_style(ProgressStyle::with_template(style)?);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let destination = destination(options, &mut progress)?;
        Ok(Self { options, destination, agent, file: BufReader::new(file), report, progress, bar })
    }

    /// Imports one batch; false when the file is at its end.
    fn step(&mut self) -> Result<bool> {
        let mut next = self.progress.clone();
        let (mut rows, mut bytes, mut refused) = (Vec::new(), 0, Vec::new());
        let mut ended = false;
        while rows.len() < ROWS_MAX && refused.len() < ROWS_MAX && bytes < BATCH_BYTES_MAX / 2 {
            let Some((length, line)) = read_line(&mut self.file)? else {
                ended = true;
                break;
            };
            next.offset += length;
            next.line += 1;
            match line {
                Line::Blank => {}
                Line::Row(text) if self.destination.is_export && !organizations::is_record(text.get()) => {}
                Line::Row(text) => {
                    bytes += text.get().len();
                    rows.push(Row { line: next.line, text });
                }
                Line::Refused(message) => refused.push(refusal(next.line, None, 400, "invalid_request", &message)?),
            }
        }
        if ended && next == self.progress {
            return Ok(false);
        }
        self.send(&rows, &mut next, &mut refused)?;
        self.commit(next, refused)?;
        Ok(!ended)
    }

    /// Sends rows. When the server cannot read a batch, this halves it until it finds the rows that are to blame.
    fn send(&self, rows: &[Row], next: &mut Progress, refused: &mut Vec<Refusal>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let body = self.body(rows);
        let (status, answer) = self.post(&body)?;
        match status {
            200 => note(rows, &answer, next, refused),
            400 | 413 if rows.len() > 1 => {
                let (first, second) = rows.split_at(rows.len() / 2);
                self.send(first, next, refused)?;
                self.send(second, next, refused)
            }
            400 | 413 | 422 => {
                let error = &answer["error"];
                let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
                for row in rows {
                    refused.push(refusal(row.line, None, status, &text("code"), &text("message"))?);
                }
                Ok(())
            }
            401 => Err(format!(
                "the server answered {status}: {answer}\nSet {} to a credential that is in force and may write; the same \
                 command goes on from here.",
                self.destination.variable
            )
            .into()),
            _ => Err(format!("the server answered {status}: {answer}; the same command goes on from here").into()),
        }
    }

    /// Sends one batch and retries it. The server says how long to wait.
    fn post(&self, body: &str) -> Result<(u16, Value)> {
        let mut attempt = 0;
        loop {
            let request = self
                .agent
                .post(&self.destination.url)
                .header("Authorization", format!("Bearer {}", self.destination.credential))
                .header("Content-Type", "application/json");
            let wait_s = match request.send(body) {
                Ok(mut response) => {
                    let status = response.status().as_u16();
                    if status != 429 && status != 503 {
                        return Ok((status, response.body_mut().read_json()?));
                    }
                    let header = response.headers().get("Retry-After").and_then(|value| value.to_str().ok());
                    header.and_then(|seconds| seconds.parse().ok()).unwrap_or(1)
                }
                Err(error) if attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    self.bar.set_message(format!("({error}; trying again)"));
                    attempt
                }
                Err(error) => return Err(format!("{error}; the same command goes on from here").into()),
            };
            if interrupt::happened() {
                return Err("interrupted; the same command goes on from here".into());
            }
            self.bar.set_message(format!("(waiting {wait_s} s)"));
            thread::sleep(Duration::from_secs(wait_s));
            self.bar.set_message("");
        }
    }

    fn body(&self, rows: &[Row]) -> String {
        let rows: Vec<&str> = rows.iter().map(|row| row.text.get()).collect();
        format!("{}{}]}}", self.destination.beginning, rows.join(","))
    }

    /// Writes the report first and then the progress that refers to it.
    fn commit(&mut self, mut next: Progress, mut refused: Vec<Refusal>) -> Result<()> {
        self.report.seek(SeekFrom::Start(next.report_bytes))?;
        refused.sort_by_key(|refusal| refusal.line);
        for Refusal { text, .. } in &refused {
            self.report.write_all(text.as_bytes())?;
            next.report_bytes += text.len() as u64;
        }
        self.report.sync_data()?;
        next.refused += refused.len() as u64;
        save(&self.options.file, &next)?;
        self.bar.set_position(next.offset);
        self.progress = next;
        Ok(())
    }

    fn finish(self) -> Result<Progress> {
        self.bar.finish_and_clear();
        fs::remove_file(beside(&self.options.file, ".progress")).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let report = beside(&self.options.file, ".refused.ndjson");
        let Progress { created, existing, refused, line, .. } = &self.progress;
        println!("{line} lines: {created} created, {existing} existing, {refused} refused");
        if *refused == 0 {
            fs::remove_file(report)?;
        } else {
            println!("refused lines are in {}", report.display());
        }
        Ok(self.progress)
    }
}

/// Records the result of each row.
fn note(rows: &[Row], answer: &Value, next: &mut Progress, refused: &mut Vec<Refusal>) -> Result<()> {
    let results = answer["results"].as_array().filter(|results| results.len() == rows.len());
    let results = results.ok_or("the server's answer does not fit the batch")?;
    for (row, result) in rows.iter().zip(results) {
        match result["status"].as_u64() {
            Some(201) => next.created += 1,
            Some(200) => next.existing += 1,
            status => {
                let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
                let error = &result["error"];
                let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
                let user_id = result["user_id"].as_str();
                refused.push(refusal(row.line, user_id, status, &text("code"), &text("message"))?);
            }
        }
    }
    Ok(())
}

fn refusal(line: u64, user_id: Option<&str>, status: u16, code: &str, message: &str) -> Result<Refusal> {
    let error = json!({ "code": code, "message": message });
    let text = format!("{}\n", serde_json::to_string(&Refused { line, user_id, status, error })?);
    Ok(Refusal { line, text })
}

enum Line {
    Blank,
    Row(Box<RawValue>),
    Refused(String),
}

/// Reads one line and keeps at most a batch's limit of it. Also returns the line's length in the file.
fn read_line(file: &mut BufReader<File>) -> Result<Option<(u64, Line)>> {
    let mut line = Vec::new();
    let mut length = file.by_ref().take(BATCH_BYTES_MAX as u64 / 2).read_until(b'\n', &mut line)? as u64;
    if length == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && length == BATCH_BYTES_MAX as u64 / 2 {
        length += skip_line(file)?;
        return Ok(Some((length, Line::Refused(format!("the line is longer than {} bytes", BATCH_BYTES_MAX / 2)))));
    }
    if line.trim_ascii().is_empty() {
        return Ok(Some((length, Line::Blank)));
    }
    let row = serde_json::from_slice::<Box<RawValue>>(line.trim_ascii());
    Ok(Some((length, row.map_or_else(|error| Line::Refused(format!("not valid JSON: {error}")), Line::Row))))
}

/// Skips to the end of a line, piece by piece.
fn skip_line(file: &mut BufReader<File>) -> Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = file.fill_buf()?;
        let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(index) => (index + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        file.consume(length);
        skipped += length as u64;
        if ended {
            return Ok(skipped);
        }
    }
}
