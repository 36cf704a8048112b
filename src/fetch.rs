//! Requests to services outside. The platform implements [`Fetcher`].

/// Takes the next piece of a body and says whether more is needed.
pub type OnChunk<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

/// The target of a request and its JSON body.
pub enum Outgoing<'a> {
    /// A `GET` request. Redirects are not followed.
    Get { url: &'a str },
    /// A `POST` request. Redirects are not followed. `bearer` is the credential in `Authorization`.
    Post { url: &'a str, bearer: Option<&'a str>, body: &'a str },
    /// A model of Workers AI, by the binding `AI`.
    WorkersAi { model: &'a str, inputs: &'a str },
}

/// A request to a service outside.
pub struct Fetch<'a> {
    pub outgoing: Outgoing<'a>,
    /// The largest answer that is read, in bytes.
    pub bytes_max: usize,
    /// The longest time until the whole answer is there, in milliseconds.
    pub limit_ms: u32,
    /// Receives the answer's body as it comes, if the status is a success.
    pub on_chunk: OnChunk<'a>,
}

/// The reason why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    TimedOut,
    TooLarge,
    /// The connection failed.
    Broken(String),
}

#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Fetcher {
    /// Sends a request and returns the status of the answer.
    async fn fetch(&self, request: Fetch<'_>) -> Result<u16, FetchError>;
}
