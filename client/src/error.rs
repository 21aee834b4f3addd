//! Failures of the client, with messages for the person who runs it.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use crate::program;

/// Any error whose type the message does not need.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the client; an error reply of the host is a [`Reply`](crate::reply::Reply).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unusable arguments, variables or answers; the message names a usable one.
    #[error("{0}")]
    Usage(String),
    /// No connection type was given, and no terminal is there to ask at.
    #[error(
        "no connection type, and no terminal to ask at: give s (same machine), l (same LAN), i \
         (internet) or the name of a place, as in `{own} s`; see `{own} --help`",
        own = program::own()
    )]
    NoConnectionType,
    /// No option, variable or setting has the address; the hint lists all of them.
    #[error("{hint}")]
    NoAddress { hint: String },
    /// The first word of the command line is no connection type, no place and no task.
    #[error("{}", unknown_place(word, nearest.as_deref(), places))]
    UnknownPlace { word: String, nearest: Option<String>, places: Vec<String> },
    /// A file that an option or the settings name cannot be read.
    #[error(
        "cannot read {content} in {}: {source}; make the file readable, or name another with \
         {option} FILE",
        file.display()
    )]
    ReadFile { content: &'static str, option: &'static str, file: PathBuf, source: io::Error },
    /// A plugin's file or its signature cannot be read.
    #[error("cannot read {}: {source}; name the plugin's file", file.display())]
    ReadPlugin { file: PathBuf, source: io::Error },
    /// The settings file cannot be written.
    #[error(
        "cannot write the settings to {}: {source}; make the folder writable, or name another \
         file with --config FILE",
        file.display()
    )]
    WriteSettings { file: PathBuf, source: io::Error },
    /// The settings file has a mistake in this line.
    #[error("{}, line {line}: {message}; correct that line", file.display())]
    InvalidSettings { file: PathBuf, line: usize, message: String },
    /// The host's name has no address.
    #[error(
        "cannot find the address of '{host}': {source}; check the name, or give an IP address \
         with --address"
    )]
    Resolve { host: String, source: io::Error },
    /// No address of the host accepted the connection.
    #[error("{}", connect_failed(name, attempts, *timeout))]
    Connect { name: String, attempts: Vec<ConnectAttempt>, timeout: Duration },
    /// The host answered the greeting with an error.
    #[error("{name} refuses this client: {message}")]
    Refused { name: String, message: String },
    /// The TLS handshake failed, or the certificate was not accepted.
    #[error(
        "no TLS with {name}: {source}; check that a Dropin host listens on that port, and --ca \
         where you gave it"
    )]
    Tls { name: String, source: io::Error },
    /// The host's fingerprint is new, and nobody has confirmed it.
    #[error(
        "the fingerprint {fingerprint} of {name} was not confirmed, and nothing was sent; ask the \
         host's owner for what `{} fingerprint` says",
        program::host()
    )]
    UnconfirmedFingerprint { name: String, fingerprint: String, file: PathBuf },
    /// The host's fingerprint is not the expected one; `file` has the expected one, if any has.
    #[error(
        "WARNING: THE HOST'S IDENTIFICATION HAS CHANGED. Somebody may be between you and {name}, \
         or the host has a new certificate. Nothing was sent. Its fingerprint is {fingerprint}, \
         and must be {expected}. Ask the host's owner for what `{} fingerprint` says{}",
        program::host(),
        known_hosts_advice(name, file.as_ref())
    )]
    FingerprintChanged {
        name: String,
        fingerprint: String,
        expected: String,
        file: Option<PathBuf>,
    },
    /// The host accepted the connection, but did not answer the greeting.
    #[error(
        "{name} accepts connections but did not answer the greeting within {} s; check that a \
         Dropin host listens on that port, or allow more with --connect-timeout",
        timeout.as_secs_f64()
    )]
    NoGreeting { name: String, timeout: Duration },
    /// The received bytes are not RESP3.
    #[error(
        "cannot understand what {name} sends: {source}; check that a Dropin host listens on that \
         port"
    )]
    Protocol { name: String, source: AnyError },
    /// The connection ended without an explanation of the host.
    #[error("connection to {name} lost: {source}{}{ADVICE}", uncertain(unanswered.as_deref()))]
    Lost { name: String, source: LossCause, unanswered: Option<String> },
    /// The host sent a notice and closed the connection.
    #[error("{name} closed the connection: {notice}{}", without_reply(unanswered.as_deref()))]
    ClosedWithNotice { name: String, notice: String, unanswered: Option<String> },
    /// The host sent an error that no command caused, and closed the connection.
    #[error(
        "{name} closed the connection: {message}{}{ADVICE}",
        uncertain(unanswered.as_deref())
    )]
    Evicted { name: String, message: String, unanswered: Option<String> },
    /// The reply did not arrive within `--timeout`.
    #[error(
        "no reply to '{command}' from {name} within {} s; allow more with --timeout",
        timeout.as_secs_f64()
    )]
    Timeout { name: String, command: String, timeout: Duration },
    /// Ctrl-C, or a request of the system to end.
    #[error("interrupted")]
    Interrupted,
    /// Input or output of the client itself failed.
    #[error("cannot {operation}: {source}")]
    Io { operation: &'static str, source: io::Error },
}

/// The cause of a lost connection.
#[derive(Debug, thiserror::Error)]
pub enum LossCause {
    /// The host closed it and said nothing.
    #[error("the server closed it without a notice")]
    Eof,
    /// The network failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The person interrupted the command twice.
    #[error("given up")]
    Abandoned,
}

/// A failed attempt to connect to one address.
#[derive(Debug)]
pub struct ConnectAttempt {
    /// The address.
    pub address: SocketAddr,
    /// The failure.
    pub error: io::Error,
}

/// The advice in an error after which the client does not reconnect.
const ADVICE: &str = "; start the client again to reconnect";

/// The start of the notice of a host that may be restarting.
const RESTARTING: &str = "the server is stopping, perhaps for a restart";

/// The message of a host that closes a session on request of an admin.
const KILLED: &str = "this session was ended by an admin";

impl Error {
    /// Returns the message for a client that reconnects by itself.
    pub fn without_advice(&self) -> String {
        let text = self.to_string();
        text.strip_suffix(ADVICE).map(str::to_owned).unwrap_or(text)
    }

    /// Returns true when a new connection may succeed soon and is wanted.
    pub fn can_reconnect(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::ClosedWithNotice { notice, .. } => notice.starts_with(RESTARTING),
            Self::Evicted { message, .. } => {
                !message.starts_with("NOAUTH") && !message.ends_with(KILLED)
            }
            _ => false,
        }
    }

    /// Returns the exit code for a script.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ClosedWithNotice { unanswered: None, .. } => 0,
            // A shell reports the same for a program that SIGINT has ended.
            Self::Interrupted => 130,
            _ => 2,
        }
    }
}

fn uncertain(unanswered: Option<&str>) -> String {
    let text = |command| format!("; '{command}' has no reply and may or may not have been done");
    unanswered.map(text).unwrap_or_default()
}

fn without_reply(unanswered: Option<&str>) -> String {
    unanswered.map(|command| format!("; '{command}' has no reply")).unwrap_or_default()
}

fn known_hosts_advice(name: &str, file: Option<&PathBuf>) -> String {
    let text = |file: &PathBuf| {
        format!("; if it is the new one, remove the line of {name} from {}", file.display())
    };
    file.map(text).unwrap_or_default()
}

fn unknown_place(word: &str, nearest: Option<&str>, places: &[String]) -> String {
    let hint = match nearest {
        Some(nearest) => format!("did you mean '{nearest}'? There are"),
        None => "there are".to_owned(),
    };
    let places: String = places.iter().map(|place| format!(", {place}")).collect();
    format!(
        "'{}' is no connection type and no place; {hint} s (same machine), l (same LAN), i \
         (internet){places}; `{own} add NAME` makes a place, and a command comes behind it: \
         `{own} s echo`",
        word.escape_debug(),
        own = program::own()
    )
}

fn connect_failed(name: &str, attempts: &[ConnectAttempt], timeout: Duration) -> String {
    let failure = |attempt: &ConnectAttempt| {
        let cause = match attempt.error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::TimedOut => format!("no answer within {} s", timeout.as_secs_f64()),
            _ => attempt.error.to_string(),
        };
        // The name often is the only address already.
        match attempts.len() > 1 || attempt.address.to_string() != name {
            true => format!("{}: {cause}", attempt.address),
            false => cause,
        }
    };
    let failures: Vec<_> = attempts.iter().map(failure).collect();
    let is_refusal =
        |attempt: &ConnectAttempt| attempt.error.kind() == io::ErrorKind::ConnectionRefused;
    let advice = match attempts.iter().any(is_refusal) {
        true => "check that the host runs there, and on that port (--address, --port)",
        false => "check the address (--address) and any firewall on the way",
    };
    format!("cannot connect to {name}: {}; {advice}", failures.join(", "))
}
