//! The Durable Object: the class that the runtime knows, and the platform around [`rollcall::object`].

mod class;
mod surroundings;
