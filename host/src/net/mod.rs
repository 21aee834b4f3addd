//! The network: listeners, streams, read buffers, and the sessions' threads.

mod held;
mod joiner;
pub mod lease;
pub mod listener;
pub mod proxy_header;
pub mod read_buffer;
pub mod stream;
pub(crate) mod thread_pool;
pub(crate) mod thread_tracker;
mod tls;
