//! Who signs the demo person in, in place of Clerk: a key of our own, made on first run,
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

/// `CLERK_ISSUER` of `.dev.vars`, unless a developer has set that to one of their own.
const ISSUER: &str = "https://clerk.rollcall.localhost";
/// How long a token is good for: a day of work. Clerk's last a minute.
const TOKEN_LIFETIME_S: u64 = 24 * 60 * 60;
/// Longest wait for a request that has been begun.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// The issuer of the demo.
#[derive(Debug)]
pub struct Issuer {
    key: SigningKey,
}

/// Next to `.dev.vars`, which holds its other half; ignored by git as well.
fn key_file() -> PathBuf {
    root().join(".dev.session-key.pem")
}

impl Issuer {
    /// The issuer with its key, made if there is none, and known to the Worker: by
    /// `CLERK_JWT_KEY`, so that `wrangler dev` alone knows it as well. `None` when `.dev.vars`
    /// names another issuer: then the tokens are theirs to make.
    pub fn ensure() -> Result<Option<Self>> {
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

    /// Publishes the key for as long as this process lives; gives the URL.
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
                // Whoever hangs up wants no answer.
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

/// Answers a request, whatever it is, once its head is there.
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

/// What `wrangler dev` is told besides `.dev.vars`: where the key is published. The key that
/// is there is taken out, as it would be used instead.
pub fn variables(url: &str) -> [String; 2] {
    [format!("CLERK_JWKS_URL:{url}"), "CLERK_JWT_KEY:".to_owned()]
}
