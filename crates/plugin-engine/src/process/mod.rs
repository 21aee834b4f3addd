//! Runs plugins in processes of their own.

pub mod call_timer;
pub mod cause;
pub mod core;
pub mod crashed;
pub mod executable;
pub mod lines;
pub mod native;
pub mod output;
pub mod plugin;
pub mod protocol;
pub mod restarts;
mod revived_worker;
pub mod running;
pub mod script;
pub mod serving;
pub mod settings;
pub mod status;
pub mod supervisor;
mod turns;
