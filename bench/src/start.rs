//! The time from a contender's start to its first answer.
//!
//! The runtime starts with the contender's modules and without stores. The time covers the start of the process,
//! compiling, instantiating, and one answer. An empty Worker measures the start of the process alone, which is the
//! same for all.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use xtask::tools::Tools;
use xtask::{Result, root};

use crate::contender::{Artefact, Contender};
use crate::host::{ADMIN_TOKEN, KEY_SECRET};
use crate::measure::median;

const ROUNDS: usize = 15;
const LIMIT: Duration = Duration::from_secs(20);

/// Milliseconds from the start of the process to the first answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    pub contender: String,
    pub milliseconds: Vec<f64>,
    /// Bytes of all modules, raw and compressed.
    pub raw: u64,
    pub gzip: u64,
}

impl Start {
    pub fn median(&self) -> f64 {
        median(self.milliseconds.clone())
    }
}

/// Starts every contender in turn, and then an empty Worker.
pub fn all(tools: &Tools, artefacts: &[Artefact]) -> Result<Vec<Start>> {
    let folder = root().join("target/bench/start");
    fs::create_dir_all(&folder)?;
    let empty = folder.join("empty.js");
    fs::write(&empty, "export default { fetch() { return new Response(\"\") } };\n")?;
    let nothing = Artefact { contender: Contender::Floor, main: empty, wasm: None, schema: Vec::new() };
    let mut starts = Vec::new();
    let mut contenders = Vec::new();
    for (artefact, name) in
        artefacts.iter().map(|artefact| (artefact, artefact.contender.name())).chain([(&nothing, "an empty Worker")])
    {
        let config = configure(&folder, name, artefact)?;
        let files = [Some(&artefact.main), artefact.wasm.as_ref()];
        let (mut raw, mut gzip) = (0, 0);
        for file in files.into_iter().flatten() {
            raw += fs::metadata(file)?.len();
            let compressed = tools.command("gzip").args(["-9", "-c"]).arg(file).output()?;
            gzip += u64::try_from(compressed.stdout.len())?;
        }
        starts.push(Start { contender: name.to_owned(), milliseconds: Vec::new(), raw, gzip });
        contenders.push(config);
    }
    for _ in 0..ROUNDS {
        for (start, config) in starts.iter_mut().zip(&contenders) {
            start.milliseconds.push(once(tools, config)?);
        }
    }
    Ok(starts)
}

/// Writes a configuration of the runtime. It may embed only files next to it.
fn configure(folder: &Path, name: &str, artefact: &Artefact) -> Result<std::path::PathBuf> {
    let folder = folder.join(name.replace(' ', "-"));
    fs::create_dir_all(&folder)?;
    fs::copy(&artefact.main, folder.join("main.js"))?;
    let mut modules = "(name = \"main.js\", esModule = embed \"main.js\")".to_owned();
    if let Some(wasm) = &artefact.wasm {
        let name = wasm.file_name().unwrap_or_default().to_string_lossy();
        fs::copy(wasm, folder.join(&*name))?;
        modules.extend([", (name = \"", &*name, "\", wasm = embed \"", &*name, "\")"]);
    }
    let flags: Vec<String> = artefact.contender.flags().iter().map(|flag| format!("\"{flag}\"")).collect();
    let config = format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (\n\
         services = [(name = \"main\", worker = .contender)],\n\
         sockets = [(name = \"http\", address = \"127.0.0.1:0\", http = (), service = \"main\")]);\n\
         const contender :Workerd.Worker = (\n\
         modules = [{modules}], compatibilityDate = \"2026-10-01\", compatibilityFlags = [{}],\n\
         bindings = [(name = \"ADMIN_TOKEN\", text = \"{ADMIN_TOKEN}\"), (name = \"KEY_SECRET\", text = \"{KEY_SECRET}\")]);\n",
        flags.join(", ")
    );
    let path = folder.join("config.capnp");
    fs::write(&path, config)?;
    Ok(path)
}

fn once(tools: &Tools, config: &Path) -> Result<f64> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let workerd = tools.package("@cloudflare/workerd-linux-64").join("bin/workerd");
    let began = Instant::now();
    let mut child = Command::new(workerd)
        .arg("serve")
        .arg(config)
        .arg(format!("--socket-addr=http=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let answered = loop {
        if answers(port) {
            break Some(began.elapsed());
        }
        if began.elapsed() > LIMIT || child.try_wait()?.is_some() {
            break None;
        }
        std::thread::sleep(Duration::from_micros(500));
    };
    child.kill()?;
    child.wait()?;
    let answered = answered.ok_or_else(|| format!("{} does not start", config.display()))?;
    Ok(answered.as_secs_f64() * 1_000.0)
}

/// Whether the server answers a path without a route.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1"))
    };
    ask().unwrap_or(false)
}
