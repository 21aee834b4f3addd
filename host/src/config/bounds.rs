//! The flags that say how much clients may ask for.

use std::time::Duration;

use protocol::Limits;

use super::units::{Share, seconds, share, size};

/// The longest argument and line, in bytes, and the most arguments of somebody who is not let in
/// yet; as in Redis.
const STRANGER_ARGUMENT: usize = 16 << 10;
const STRANGER_ARGUMENTS: usize = 10;

/// How much clients may ask for.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Bounds {
    /// The most sessions at once; who comes on top is turned away with a message. A tenth is kept for
    /// clients that are trusted for where they are, if there can be any.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sessions: u32,

    /// The most sessions at once from one IPv4 address or IPv6 network (/64) that is not trusted.
    #[arg(long, value_name = "COUNT", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sessions_per_address: u32,

    /// The longest argument, and the longest line, in bytes (K, M and G are understood).
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = size)]
    pub max_argument: usize,

    /// The most arguments of one request, its command's name included.
    #[arg(long, value_name = "COUNT", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_arguments: u32,

    /// The longest request, in bytes (K, M and G are understood).
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = size)]
    pub max_request: usize,

    /// The largest reply to one command, in bytes (K, M and G are understood), at least 1K; a larger one is
    /// replaced with an error.
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = size)]
    pub max_reply: usize,

    /// How much memory the requests and replies of all sessions may take together, in bytes (K, M and
    /// G are understood) or in percent of the machine's memory, or of the control group's limit where
    /// that is lower. Above it the sessions that take most are closed. 0: no limit.
    #[arg(long, value_name = "BYTES", default_value = "25%", value_parser = share)]
    pub max_memory_clients: Share,

    /// How many bytes of replies may wait for a client before it has to read some, for more of its
    /// requests to be answered (K, M and G are understood).
    #[arg(long, value_name = "BYTES", default_value = "256K", value_parser = size)]
    pub max_backlog: usize,

    /// How long a client may be silent before the system asks whether it is still there, in
    /// seconds; 0 never asks.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub keepalive: Duration,

    /// How long a client may leave its replies unread before its session is closed, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub write_timeout: Duration,

    /// How long a client may send nothing before its session is closed, in seconds; 0 lets it. One
    /// that waits for events of plugins is not closed.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub idle_timeout: Duration,

    /// How long a client may take to send the rest of a request or line that it has begun, in seconds;
    /// 0 lets it. A larger request over a slow link needs more.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub request_timeout: Duration,

    /// How long a command may run before the log tells of it, in seconds; 0 never tells.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub slow_call: Duration,
}

impl Bounds {
    /// The bounds of a request.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            argument: self.max_argument,
            arguments: self.max_arguments as usize,
            request: self.max_request,
        }
    }

    /// The bounds of a request from somebody who is not let in yet.
    #[must_use]
    pub fn stranger_limits(&self) -> Limits {
        let Limits { argument, arguments, request } = self.limits();
        Limits {
            argument: argument.min(STRANGER_ARGUMENT),
            arguments: arguments.min(STRANGER_ARGUMENTS),
            request: request.min(STRANGER_ARGUMENT * STRANGER_ARGUMENTS),
        }
    }
}
