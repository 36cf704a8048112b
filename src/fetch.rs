//! Asking a service outside: the port that the platform implements.

/// Takes the next piece of a body and says whether more is wanted.
pub type OnChunk<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

/// What a service outside is asked, in JSON.
pub enum Outgoing<'a> {
    /// Redirects are not followed.
    Get { url: &'a str },
    /// Nor are they here. `bearer` is the credential in `Authorization`.
    Post { url: &'a str, bearer: Option<&'a str>, body: &'a str },
    /// By the binding `AI`.
    WorkersAi { model: &'a str, inputs: &'a str },
}

/// A request to a service outside.
pub struct Fetch<'a> {
    pub outgoing: Outgoing<'a>,
    /// Largest answer that is read.
    pub bytes_max: usize,
    /// Longest time until all of the answer is there.
    pub limit_ms: u32,
    /// Is given the answer's body as it comes, if the status is one of success.
    pub on_chunk: OnChunk<'a>,
}

/// Why there is no answer from outside, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    TimedOut,
    TooLarge,
    /// The connection could not be made, or broke.
    Broken(String),
}

#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Fetcher {
    /// Asks a service outside and gives the status of its answer.
    async fn fetch(&self, request: Fetch<'_>) -> Result<u16, FetchError>;
}
