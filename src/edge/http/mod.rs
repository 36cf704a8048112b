//! HTTP as the edge sees it: requests, responses, and what their headers mean.

pub mod body;
pub mod cache_control;
pub mod conditional;
pub mod dialect;
pub mod distance;
pub mod headers;
pub mod method;
pub mod pages;
pub mod parts;
pub mod reader;
pub mod request;
pub mod response;
pub mod schema;
