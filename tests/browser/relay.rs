//! A relay between the browser and the server, which can cut what goes through it.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use xtask::Result;

/// What goes through it, while it is open.
#[derive(Default)]
struct Through {
    is_cut: bool,
    connections: Vec<TcpStream>,
}

pub struct Relay {
    address: SocketAddr,
    through: Arc<Mutex<Through>>,
}

impl Relay {
    /// Relays to a server from a free port, until the process ends.
    pub fn start(url: &str) -> Result<Self> {
        let server = url.strip_prefix("http://").ok_or("not http")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, through) = (listener.local_addr()?, Arc::<Mutex<Through>>::default());
        let held = Arc::clone(&through);
        thread::spawn(move || {
            for browser in listener.incoming().flatten() {
                // A connection that is dropped here is refused.
                drop(relay(browser, &server, &held));
            }
        });
        Ok(Self { address, through })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets connections through, or cuts all of them and lets none through.
    pub fn set_open(&self, is_open: bool) {
        let mut through = self.through.lock().unwrap_or_else(PoisonError::into_inner);
        through.is_cut = !is_open;
        for connection in through.connections.drain(..) {
            // It may have ended already.
            drop(connection.shutdown(Shutdown::Both));
        }
    }
}

/// Relays a connection in both directions, each in a thread of its own.
fn relay(browser: TcpStream, server: &str, through: &Mutex<Through>) -> Result<()> {
    let mut through = through.lock().unwrap_or_else(PoisonError::into_inner);
    if through.is_cut {
        return Ok(());
    }
    let server = TcpStream::connect(server)?;
    for (from, to) in [(&browser, &server), (&server, &browser)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            // A connection that is cut ends with an error.
            drop(copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        });
    }
    through.connections.extend([browser, server]);
    Ok(())
}
