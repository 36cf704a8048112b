//! The pages in a real browser, served as `cargo dev` serves them.
//!
//! One server and one browser serve all tests. Each test has its own organization and its own browser profile. The
//! tests compare the page with the API.

mod accessibility;
mod bucket;
mod conversation;
mod directory;
mod edge;
mod inspector;
mod log;
mod looks;
mod reference;
mod relay;
mod session;
mod site;
#[path = "../wait/mod.rs"]
mod wait;
