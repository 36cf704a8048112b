//! The Durable Object around the core. Each file keeps its own part of the work on [`state`].

mod alarm;
mod auditing;
mod calls;
mod class;
mod clearing;
mod flushes;
mod flushing;
mod state;
