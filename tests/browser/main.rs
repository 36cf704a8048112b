//! The pages in a real browser, served as `cargo dev` serves them.
//!
//! One server and one browser serve all tests; each test has an organization of its own and
//! a profile of its own. What a page shows is compared with what the API says.

mod accessibility;
mod bucket;
mod conversation;
mod directory;
mod inspector;
mod looks;
mod reference;
mod session;
mod site;
#[path = "../wait/mod.rs"]
mod wait;
