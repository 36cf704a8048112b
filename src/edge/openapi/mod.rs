//! The `OpenAPI` document. The host makes it from the route table and from the types that the Worker sends; the
//! Worker holds none of this code.
//!
//! Invariant: an operation is in the document if and only if it is in the route table. Method, path, credential and
//! the kinds of body come from the table. [`operations`] adds the text. [`document`] fails on a route without text
//! and on text without a route.

mod components;
mod composed_schemas;
mod derived_schemas;
mod document;
mod errors;
mod headers;
mod operation;
mod operations;
mod parts;
mod path_parameters;
mod route_table;
mod schema_files;
mod schemas;
mod types;

pub use document::document;
pub use schema_files::schema_files;
