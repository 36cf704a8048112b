//! The tests that take longest. Tests start in the order of their names: these are named to start early, so that
//! none of them runs at the end while other processors have nothing to do.

use std::process::{Child, Command, Stdio};

use crate::server::Server;

mod agent_scale;
mod deliveries_in_no_order;
mod import;
mod kills;
mod mass_erasure;
mod metering_by_kill;
mod moving;
mod scale;

/// A running command, which is killed when this value is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The command may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `cargo xtask` with these arguments, a server and the variable that holds a credential for it.
fn start(server: &Server, arguments: &[&str], (variable, credential): (&str, &str)) -> Running {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(xtask::root()).args(["run", "--quiet", "--package", "xtask", "--"]).args(arguments);
    command.args(["--url", server.url()]).env(variable, credential);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command"))
}
