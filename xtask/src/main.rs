//! `cargo dev` and `cargo xtask …`.

use std::path::PathBuf;
use std::process::ExitCode;

use xtask::{Result, dev, fuzz, import, interrupt, openapi, prepare, screenshots, simulate};

const USAGE: &str = "usage:
  cargo dev [--port N] [--state DIR]   build everything and serve locally
  cargo xtask build                    build the Worker if anything changed
  cargo xtask fuzz [CASES]             send a fresh server what the OpenAPI document allows and what it
                                       does not, in at least so many cases, 10,000 unless told;
                                       ROLLCALL_SEED repeats a run
  cargo xtask import FILE [--url URL]  register the users of an NDJSON file, one JSON object a line;
                                       the key is read from ROLLCALL_API_KEY. Without --url, into a
                                       running cargo dev. Cut off, the same command goes on.
  cargo xtask openapi                  write www/openapi.json and the JSON Schemas anew
  cargo xtask screenshots              make the README's pictures of the demo page
  cargo xtask simulate [SEEDS]         run the simulation of the core, with a million seeds unless told
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (command, options) = arguments.split_first().ok_or(USAGE)?;
    match command.as_str() {
        "dev" => dev::run(&dev_options(options)?),
        "build" if options.is_empty() => prepare().map(drop),
        "openapi" if options.is_empty() => openapi::run(),
        "fuzz" => fuzz::run(match options {
            [] => fuzz::CASES_DEFAULT,
            [cases] => cases.parse().map_err(|_| "fuzz takes a number of cases")?,
            _ => return Err(USAGE.into()),
        }),
        "import" => {
            interrupt::watch()?;
            import::run(&import_options(options)?).map(drop)
        }
        "screenshots" if options.is_empty() => screenshots::run(),
        "simulate" => {
            interrupt::watch()?;
            simulate::run(match options {
                [] => simulate::SEEDS_DEFAULT,
                [seeds] => seeds.parse().map_err(|_| "simulate takes a number of seeds")?,
                _ => return Err(USAGE.into()),
            })
        }
        _ => Err(USAGE.into()),
    }
}

fn import_options(arguments: &[String]) -> Result<import::Options> {
    let key = std::env::var("ROLLCALL_API_KEY").ok().filter(|key| !key.is_empty());
    match arguments {
        [file] => import::Options::new(PathBuf::from(file), None, key),
        [file, flag, url] if flag == "--url" => import::Options::new(PathBuf::from(file), Some(url.clone()), key),
        _ => Err(USAGE.into()),
    }
}

fn dev_options(arguments: &[String]) -> Result<dev::Options> {
    let mut options = dev::Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut value = || inline.clone().or_else(|| rest.next().cloned()).ok_or(USAGE);
        match name {
            "--port" => options.port = value()?.parse().map_err(|_| "--port takes a number from 0 to 65535")?,
            "--state" => options.state = Some(PathBuf::from(value()?)),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}
