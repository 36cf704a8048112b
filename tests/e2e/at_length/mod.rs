//! The tests that take longest. Tests start in the order of their names: these are named to start early, so that
//! none of them runs at the end while other processors have nothing to do.

mod agent_scale;
mod deliveries_in_no_order;
mod import;
mod kills;
mod mass_erasure;
mod metering_by_kill;
mod moving;
mod scale;
