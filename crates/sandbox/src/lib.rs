//! Limits what a worker process may take and do.

mod limits;

pub use self::limits::{Limits, Sandbox, describe};
