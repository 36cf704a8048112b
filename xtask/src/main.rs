//! `cargo dev` and `cargo xtask …`.

use std::path::PathBuf;
use std::process::ExitCode;

use xtask::{Result, dev, prepare};

const USAGE: &str = "usage:
  cargo dev [--port N] [--state DIR]   build everything and serve locally
  cargo xtask build                    build the Worker if anything changed
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
