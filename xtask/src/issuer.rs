//! Signs the demo person in, in place of Clerk. Uses a key of our own, which is created on the first run and
//! published on this machine only.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::demo::{PERSON, PERSON_EMAIL, PERSON_ORGANIZATION};
use crate::secrets;
use crate::session::{SigningKey, key_set};
use crate::{Result, root, step};

/// The value of `CLERK_ISSUER` in `.dev.vars`, unless a developer has set another.
const ISSUER: &str = "https://clerk.rollcall.localhost";
/// Lifetime of a token: a day of work. Clerk's tokens last one minute.
const TOKEN_LIFETIME_S: u64 = 24 * 60 * 60;
/// Longest wait for the rest of a request.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// The issuer of the demo.
#[derive(Debug)]
pub struct Issuer {
    key: SigningKey,
}

/// The file of the private key. It lies next to `.dev.vars`, which holds the public key; git ignores both.
fn key_file() -> PathBuf {
    root().join(".dev.session-key.pem")
}

impl Issuer {
    /// Returns the issuer with its key, which is created if there is none. `CLERK_JWT_KEY` holds the public key, so
    /// `wrangler dev` alone accepts the tokens too. `None` when `.dev.vars` names another issuer, whose key is not
    /// ours.
    pub fn ensure() -> Result<Option<Self>> {
        // Development has one app.
        secrets::ensure("CLERK_AUTHORIZED_PARTIES", || Ok("*".to_owned()))?;
        if secrets::ensure("CLERK_ISSUER", || Ok(ISSUER.to_owned()))? != ISSUER {
            return Ok(None);
        }
        let held = fs::read_to_string(key_file()).ok().and_then(|pem| SigningKey::read(&pem).ok());
        let key = if let Some(key) = held {
            key
        } else {
            step("Making a key for session tokens in .dev.session-key.pem");
            let key = SigningKey::generate()?;
            secrets::write_private(&key_file(), &key.private_pem()?)?;
            key
        };
        secrets::set("CLERK_JWT_KEY", &key.public_pem()?.trim().replace('\n', "\\n"))?;
        Ok(Some(Self { key }))
    }

    /// Publishes the key for as long as this process lives, and returns the URL.
    pub fn publish(&self) -> Result<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let url = format!("http://{}/.well-known/jwks.json", listener.local_addr()?);
        let body = key_set(&[self.key.jwk()]);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        thread::spawn(move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                let answer = answer.clone();
                // A client that hangs up needs no answer.
                thread::spawn(move || drop(serve(&stream, &answer)));
            }
        });
        Ok(url)
    }

    /// A token of the demo person.
    pub fn sign_in(&self, url: &str) -> Result<String> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (id, slug, role) = PERSON_ORGANIZATION;
        Ok(self.key.sign(&json!({
            "iss": ISSUER, "sub": PERSON, "sid": "sess_demo", "azp": url, "sts": "active", "v": 2, "email": PERSON_EMAIL,
            "o": { "id": id, "slg": slug, "rol": role },
            "iat": now_s, "nbf": now_s, "exp": now_s.saturating_add(TOKEN_LIFETIME_S),
        })))
    }
}

/// Answers any request as soon as its head has arrived.
fn serve(stream: &TcpStream, answer: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(READ_LIMIT))?;
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let mut stream = stream;
    stream.write_all(answer.as_bytes())
}

/// Variables for `wrangler dev` besides `.dev.vars`: the URL of the published key. They clear the key in
/// `.dev.vars`, which would be used instead.
pub fn variables(url: &str) -> [String; 2] {
    [format!("CLERK_JWKS_URL:{url}"), "CLERK_JWT_KEY:".to_owned()]
}
