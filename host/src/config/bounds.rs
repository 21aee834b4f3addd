//! The flags that limit what clients may ask for.

use std::time::Duration;

use protocol::Limits;

use super::units::{Share, seconds, share, size};

/// The longest argument and line, in bytes, and the most arguments of a client that has not logged
/// in; as in Redis.
const STRANGER_ARGUMENT: usize = 16 << 10;
const STRANGER_ARGUMENTS: usize = 10;

/// The limits of what clients may ask for.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Bounds {
    /// The most sessions at once; a further client is rejected with an error. A tenth is reserved
    /// for clients that are trusted by their address, if --trust allows any.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sessions: u32,

    /// The most sessions at once from one IPv4 address or IPv6 network (/64) that is not trusted.
    #[arg(long, value_name = "COUNT", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sessions_per_address: u32,

    /// The longest argument, and the longest line, in bytes (with K, M or G as a unit).
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = size)]
    pub max_argument: usize,

    /// The most arguments of one request, with the command's name.
    #[arg(long, value_name = "COUNT", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_arguments: u32,

    /// The longest request, in bytes (with K, M or G as a unit).
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = size)]
    pub max_request: usize,

    /// The largest reply to one command, in bytes (with K, M or G as a unit), at least 1K. A larger
    /// one is replaced with an error.
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = size)]
    pub max_reply: usize,

    /// The most memory for the requests and replies of all sessions together, in bytes (with K, M
    /// or G as a unit) or in percent of the machine's memory, or of the control group's limit if
    /// that is lower. Above it, the sessions that take the most are closed. 0 for no limit.
    #[arg(long, value_name = "BYTES", default_value = "25%", value_parser = share)]
    pub max_memory_clients: Share,

    /// The bytes of unread replies above which a client's further requests wait until it reads
    /// (with K, M or G as a unit).
    #[arg(long, value_name = "BYTES", default_value = "256K", value_parser = size)]
    pub max_backlog: usize,

    /// The time without data after which TCP keepalive checks that the client is still there, in
    /// seconds; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub keepalive: Duration,

    /// The time for which a client may leave its replies unread before its session is closed, in
    /// seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub write_timeout: Duration,

    /// The time for which a client may send nothing before its session is closed, in seconds; 0 for
    /// no limit. A session that watches plugins is not closed.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub idle_timeout: Duration,

    /// The time in which a client must send the rest of a request or line that it has begun, in
    /// seconds; 0 for no limit. A larger request over a slow link needs more.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub request_timeout: Duration,

    /// The time after which a running command is logged as slow, in seconds; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub slow_call: Duration,
}

impl Bounds {
    /// Returns the limits of a request.
    pub fn limits(&self) -> Limits {
        Limits {
            argument: self.max_argument,
            arguments: self.max_arguments as usize,
            request: self.max_request,
        }
    }

    /// Returns the limits of a request from a client that has not logged in.
    pub fn stranger_limits(&self) -> Limits {
        let Limits { argument, arguments, request } = self.limits();
        Limits {
            argument: argument.min(STRANGER_ARGUMENT),
            arguments: arguments.min(STRANGER_ARGUMENTS),
            request: request.min(STRANGER_ARGUMENT * STRANGER_ARGUMENTS),
        }
    }
}
