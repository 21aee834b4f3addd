//! What can go wrong between a person and the host, worded for that person.

use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use crate::program;

/// A failure of the client itself; an error that the server replies is a
/// [`Reply`](crate::reply::Reply).
#[derive(Debug)]
pub enum Error {
    /// Arguments, variables or answers that cannot be used; the text says what to give instead.
    Usage(String),
    /// No connection type, and nobody at a terminal to ask for one.
    NoType,
    /// An address is needed, and nothing gives one; the text lists what would.
    NoAddress { hint: String },
    /// The first word of the command line is no connection type, no place and no task.
    UnknownPlace { word: String, nearest: Option<String>, places: Vec<String> },
    /// A file that an option or the settings name cannot be read.
    ReadFile { what: &'static str, option: &'static str, file: PathBuf, source: io::Error },
    /// The settings file cannot be written.
    WriteFile { file: PathBuf, source: io::Error },
    /// The settings file is not what it should be.
    BadFile { file: PathBuf, line: usize, message: String },
    /// A host name that no one knows.
    Resolve { host: String, source: io::Error },
    /// No address of the host took the connection.
    Connect { name: String, tried: Vec<(SocketAddr, io::Error)>, timeout: Duration },
    /// The host answered the greeting with an error: it turns this client away.
    Refused { name: String, message: String },
    /// What answers there does not speak TLS, or not such that the host is proved.
    NoTls { name: String, cause: String },
    /// The host's certificate has never been seen, and a person is to say whether it is right.
    FirstContact { name: String, shown: String, file: PathBuf },
    /// The host's certificate is not the one that it must be.
    Changed { name: String, shown: String, expected: String, file: Option<PathBuf> },
    /// Something accepts connections there, but it never answered the greeting.
    Silent { name: String, timeout: Duration },
    /// What arrives is not the protocol.
    Protocol { name: String, message: String },
    /// The connection ended without a notice, or with a command still unanswered.
    Lost { name: String, cause: String, unanswered: Option<String> },
    /// The server said goodbye and closed the connection.
    Ended { name: String, notice: String, unanswered: Option<String> },
    /// No reply in the time that the person allowed.
    Timeout { name: String, command: String, timeout: Duration },
    /// Ctrl-C, or the system's wish that the client ends.
    Interrupted,
    /// Input or output of the client itself failed.
    Local { doing: &'static str, source: io::Error },
}

/// What to do where the client itself does nothing more.
const ADVICE: &str = "; start the client again to reconnect";

/// How the notice of a host begins that may be restarting.
const RESTARTING: &str = "the server is stopping, perhaps for a restart";

impl Error {
    /// The text of the error for a client that reconnects by itself.
    pub fn without_advice(&self) -> String {
        let text = self.to_string();
        text.strip_suffix(ADVICE).map(str::to_owned).unwrap_or(text)
    }

    /// Whether the host can be there again soon: the connection was lost, or the host said that it may be
    /// restarting.
    pub fn may_come_back(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Ended { notice, .. } => notice.starts_with(RESTARTING),
            _ => false,
        }
    }

    /// The exit code that tells a script what happened.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Ended { unanswered: None, .. } => 0,
            // What a shell reports for a program ended by SIGINT.
            Self::Interrupted => 130,
            _ => 2,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::NoType => write!(
                f,
                "no connection type, and no terminal to ask at: give s (same machine), l (same \
                 LAN), i (internet) or the name of a place, as in `{program} s`; see `{program} \
                 --help`",
                program = program::own()
            ),
            Self::NoAddress { hint } => f.write_str(hint),
            Self::UnknownPlace { word, nearest, places } => unknown(f, word, nearest, places),
            Self::ReadFile { what, option, file, source } => write!(
                f,
                "cannot read {what} in {}: {source}; make the file readable, or name another with \
                 {option} FILE",
                file.display()
            ),
            Self::WriteFile { file, source } => write!(
                f,
                "cannot write the settings to {}: {source}; see to it that you may write there, or \
                 name another file with --config FILE",
                file.display()
            ),
            Self::BadFile { file, line, message } => {
                write!(f, "{}, line {line}: {message}; correct that line", file.display())
            }
            Self::Resolve { host, source } => write!(
                f,
                "cannot find the address of '{host}': {source}; check the name, or give an IP \
                 address with --address"
            ),
            Self::Connect { name, tried, timeout } => connect(f, name, tried, *timeout),
            Self::Refused { name, message } => write!(f, "{name} refuses this client: {message}"),
            Self::NoTls { name, cause } => write!(
                f,
                "no TLS with {name}: {cause}; check that a Dropin host listens on that port, and \
                 --ca where you gave it"
            ),
            Self::FirstContact { name, shown, .. } => write!(
                f,
                "the fingerprint {shown} of {name} was not confirmed, and nothing was sent; ask the \
                 host's owner for what `{} fingerprint` says",
                program::host()
            ),
            Self::Changed { name, shown, expected, file } => {
                write!(
                    f,
                    "WARNING: THE HOST'S IDENTIFICATION HAS CHANGED. Somebody may be between you \
                     and {name}, or the host has a new certificate. Nothing was sent. Its \
                     fingerprint is {shown}, and must be {expected}. Ask the host's owner for what \
                     `{} fingerprint` says",
                    program::host()
                )?;
                match file {
                    Some(file) => write!(
                        f,
                        "; if it is the new one, remove the line of {name} from {}",
                        file.display()
                    ),
                    None => Ok(()),
                }
            }
            Self::Silent { name, timeout } => write!(
                f,
                "{name} accepts connections but did not answer the greeting within {} s; check \
                 that a Dropin host listens on that port, or allow more with --connect-timeout",
                timeout.as_secs_f64()
            ),
            Self::Protocol { name, message } => write!(
                f,
                "cannot understand what {name} sends: {message}; check that a Dropin host listens \
                 on that port"
            ),
            Self::Lost { name, cause, unanswered } => {
                write!(f, "connection to {name} lost: {cause}")?;
                if let Some(command) = unanswered {
                    write!(f, "; '{command}' has no reply and may or may not have been done")?;
                }
                f.write_str(ADVICE)
            }
            Self::Ended { name, notice, unanswered } => {
                write!(f, "{name} closed the connection: {notice}")?;
                match unanswered {
                    Some(command) => write!(f, "; '{command}' has no reply"),
                    None => Ok(()),
                }
            }
            Self::Timeout { name, command, timeout } => write!(
                f,
                "no reply to '{command}' from {name} within {} s; allow more with --timeout",
                timeout.as_secs_f64()
            ),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Local { doing, source } => write!(f, "cannot {doing}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ReadFile { source, .. }
            | Self::WriteFile { source, .. }
            | Self::Resolve { source, .. }
            | Self::Local { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn unknown(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    nearest: &Option<String>,
    places: &[String],
) -> fmt::Result {
    write!(f, "'{}' is no connection type and no place", word.escape_debug())?;
    if let Some(nearest) = nearest {
        write!(f, "; did you mean '{nearest}'? There are")?;
    } else {
        f.write_str("; there are")?;
    }
    f.write_str(" s (same machine), l (same LAN), i (internet)")?;
    for place in places {
        write!(f, ", {place}")?;
    }
    let program = program::own();
    write!(
        f,
        "; `{program} add NAME` makes a place, and a command comes behind it: `{program} s echo`"
    )
}

fn connect(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    tried: &[(SocketAddr, io::Error)],
    timeout: Duration,
) -> fmt::Result {
    write!(f, "cannot connect to {name}: ")?;
    for (index, (address, error)) in tried.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        // The name usually is the one address already.
        if tried.len() > 1 || address.to_string() != name {
            write!(f, "{separator}{address}: ")?;
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => f.write_str("connection refused")?,
            io::ErrorKind::TimedOut => write!(f, "no answer within {} s", timeout.as_secs_f64())?,
            _ => write!(f, "{error}")?,
        }
    }
    let refused = tried.iter().any(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused);
    f.write_str(match refused {
        true => "; check that the host runs there, and on that port (--address, --port)",
        false => "; check the address (--address) and any firewall on the way",
    })
}
