//! `cargo dev`, `cargo deploy` and `cargo xtask …`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use xtask::served::{Server, operators_token};
use xtask::{
    Error, Result, clients, deploy, dev, former, fuzz, import, interrupt, mutants, openapi, organizations, parsers,
    prepare_with, root, screenshots, simulate, verify, wasm,
};

const USAGE: &str = "\
usage:
  cargo dev [--port N] [--state DIR]   build everything and serve locally, on port 8787 unless told; on a free
                                       one if that is taken, or 0
  cargo deploy [--url URL] [--state DIR] [--verify yes|no]
                                       build, migrate and deploy to the account that wrangler is logged in to,
                                       the first time with new secrets, an organization and keys, which are
                                       shown once; ROLLCALL_ADMIN_TOKEN is the token of an earlier
                                       deployment. URL is where it serves, if not on workers.dev; DIR
                                       keeps what is not shown yet, .deploy unless told. Then verifies it,
                                       unless told not to
  cargo xtask build [--out FOLDER] [--opt-level L]
                                       build the Worker if anything changed, into build/ unless told;
                                       L is one of 0, 1, 2, 3, s, z, that of Cargo.toml unless told
  cargo xtask clients                  drive a fresh server with the published Python clients
  cargo xtask dev                      the same as cargo dev
  cargo xtask fuzz [CASES]             send a fresh server what the OpenAPI document allows and what it
                                       does not, in at least so many cases, 10,000 unless told;
                                       ROLLCALL_SEED repeats a run
  cargo xtask export ORGANIZATION FILE [--url URL] [--mode live|test]
                                       write the people, agents and relationships of an organization into an
                                       NDJSON file; the operator's token is read from ROLLCALL_ADMIN_TOKEN.
                                       Cut off, the same command goes on.
  cargo xtask import FILE [--url URL] [--organization ID]
                                       register the users of an NDJSON file, one JSON object a line;
                                       the key is read from ROLLCALL_API_KEY. Without --url, into a
                                       running cargo dev. Cut off, the same command goes on.
                                       Ends with 3 when lines were refused. The export of an organization
                                       makes a new one, unless told; it takes ROLLCALL_ADMIN_TOKEN.
  cargo xtask keep-build [CHECKOUT]    keep the build of this or another checkout in tests/upgrade/former, where
                                       the tests roll the present build out over it
  cargo xtask mutants [--shard K/N]    change the core in small ways, one at a time, and say which changes
                                       no test notices; of all changes, or of the Kth of N parts, counted
                                       from 0. Ends with 3 when there are some.
  cargo xtask openapi                  write www/openapi.json and the JSON Schemas anew
  cargo xtask parsers [SECONDS]        look for bytes that a parser takes amiss (libFuzzer), for so long with
                                       each, 600 unless told
  cargo xtask screenshots              make the README's pictures of the demo page
  cargo xtask simulate [SEEDS]         run the simulation of the core, with a million seeds unless told
  cargo xtask verify URL               hold a running deployment against the contract, and say what is not as
                                       it should be; the operator's token is read from ROLLCALL_ADMIN_TOKEN,
                                       or asked for. It makes an organization and deletes it again.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| matches!(argument.as_str(), "--help" | "-h")) || arguments == ["help"] {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match interrupt::watch().and_then(|()| run(&arguments)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command's process ends with. A failure is 1.
fn run(arguments: &[String]) -> Result<ExitCode> {
    let (command, options) = arguments.split_first().ok_or(USAGE)?;
    let done = match command.as_str() {
        "dev" => dev::run(&dev_options(options)?),
        "deploy" => deploy::run(&deploy_options(options)?),
        "build" => prepare_with(&build_options(options)?).map(drop),
        "clients" if options.is_empty() => clients::run(),
        "export" => organizations::export(&export_options(options)?),
        "fuzz" => fuzz::run(match options {
            [] => fuzz::CASES_DEFAULT,
            [cases] => cases.parse().map_err(|_| "fuzz takes a number of cases")?,
            _ => return Err(USAGE.into()),
        }),
        "import" => {
            let imported = import::run(&import_options(options)?)?;
            return Ok(if imported.refused > 0 { ExitCode::from(import::REFUSED_CODE) } else { ExitCode::SUCCESS });
        }
        "keep-build" => match options {
            [] => former::keep(&root()),
            [checkout] => former::keep(Path::new(checkout)),
            _ => return Err(USAGE.into()),
        },
        "mutants" => {
            let shard = match options {
                [] => None,
                [flag, shard] if flag == "--shard" => Some(shard.as_str()),
                _ => return Err(USAGE.into()),
            };
            return Ok(if mutants::run(shard)? { ExitCode::SUCCESS } else { ExitCode::from(mutants::MISSED_CODE) });
        }
        "openapi" if options.is_empty() => openapi::run(),
        "parsers" => parsers::run(match options {
            [] => parsers::SECONDS_DEFAULT,
            [seconds] => seconds.parse().map_err(|_| "parsers takes a number of seconds")?,
            _ => return Err(USAGE.into()),
        }),
        "screenshots" if options.is_empty() => screenshots::run(),
        "simulate" => simulate::run(match options {
            [] => simulate::SEEDS_DEFAULT,
            [seeds] => seeds.parse().map_err(|_| "simulate takes a number of seeds")?,
            _ => return Err(USAGE.into()),
        }),
        "verify" => match options {
            [url] => operators_token().and_then(|token| verify::run(url, &token)),
            _ => Err(format!("verify takes the URL of a deployment\n{USAGE}").into()),
        },
        "clients" | "openapi" | "screenshots" => Err(format!("{command} takes no options\n{USAGE}").into()),
        _ => Err(format!("there is no command {command}\n{USAGE}").into()),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn export_options(arguments: &[String]) -> Result<organizations::Options> {
    let [organization, file, rest @ ..] = arguments else { return Err(USAGE.into()) };
    let (mut url, mut mode) = (None, "live".to_owned());
    for (name, value) in pairs(rest)? {
        match name {
            "--url" => url = Some(value.to_owned()),
            "--mode" if ["live", "test"].contains(&value) => value.clone_into(&mut mode),
            "--mode" => return Err("--mode takes live or test".into()),
            _ => return Err(unknown(name)),
        }
    }
    Ok(organizations::Options {
        organization: organization.clone(),
        file: PathBuf::from(file),
        server: Server { url },
        mode,
    })
}

fn import_options(arguments: &[String]) -> Result<import::Options> {
    let [file, rest @ ..] = arguments else { return Err(USAGE.into()) };
    let (mut url, mut organization) = (None, None);
    for (name, value) in pairs(rest)? {
        match name {
            "--url" => url = Some(value.to_owned()),
            "--organization" => organization = Some(value.to_owned()),
            _ => return Err(unknown(name)),
        }
    }
    Ok(import::Options { file: PathBuf::from(file), server: Server { url }, organization })
}

fn dev_options(arguments: &[String]) -> Result<dev::Options> {
    let mut options = dev::Options::default();
    for (name, value) in pairs(arguments)? {
        match name {
            "--port" => options.port = value.parse().map_err(|_| "--port takes a number from 0 to 65535")?,
            "--state" => options.state = Some(PathBuf::from(value)),
            _ => return Err(unknown(name)),
        }
    }
    Ok(options)
}

fn deploy_options(arguments: &[String]) -> Result<deploy::Options> {
    let mut options = deploy::Options::default();
    for (name, value) in pairs(arguments)? {
        match name {
            "--url" => options.url = Some(value.to_owned()),
            "--state" => options.state = Some(PathBuf::from(value)),
            "--verify" if ["yes", "no"].contains(&value) => options.skips_verification = value == "no",
            "--verify" => return Err("--verify takes yes or no".into()),
            _ => return Err(unknown(name)),
        }
    }
    Ok(options)
}

fn build_options(arguments: &[String]) -> Result<wasm::Build> {
    let mut build = wasm::Build::default();
    for (name, value) in pairs(arguments)? {
        match name {
            "--out" => build.folder = std::env::current_dir()?.join(value),
            "--opt-level" if wasm::OPT_LEVELS.contains(&value) => build.opt_level = Some(value.to_owned()),
            "--opt-level" => return Err(format!("--opt-level takes one of {}", wasm::OPT_LEVELS.join(", ")).into()),
            _ => return Err(unknown(name)),
        }
    }
    Ok(build)
}

fn unknown(option: &str) -> Error {
    format!("there is no option {option}\n{USAGE}").into()
}

/// Options and their values, written as `--name value` or `--name=value`.
fn pairs(arguments: &[String]) -> Result<Vec<(&str, &str)>> {
    let mut rest = arguments.iter().map(String::as_str);
    let mut pairs = Vec::new();
    while let Some(argument) = rest.next() {
        let pair = argument.split_once('=').or_else(|| Some((argument, rest.next()?)));
        pairs.push(pair.ok_or_else(|| format!("{argument} lacks a value\n{USAGE}"))?);
    }
    Ok(pairs)
}
