//! A request: the arguments of one command, and facts about the session that sent it.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str,
    time::{Duration, SystemTime},
};

use crate::{
    CancelCheck,
    abi::{RawPeer, RawRequest, Span},
    error::{Error, Result},
    facts::{CommandInfo, PluginInfo, SessionInfo},
    host::Host,
};

/// One command as a client has sent it. Lent to a worker for the duration of the call.
///
/// The host has checked the number of arguments against the usage line, so every mandatory argument
/// is present. Arguments count from 0, without the command's name.
pub struct Request {
    // 'static is not the real lifetime. Only this crate sees it: `export` creates a Request on its
    // stack for one call, and every method here returns at most a borrow of `self`.
    pub(crate) raw: RawRequest<'static>,
    pub(crate) host: &'static Host,
}

impl Request {
    /// Returns the command's name as the client typed it.
    #[must_use]
    pub fn command(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.raw.spans.first().map_or(&[], |span| self.slice(*span)))
    }

    /// Returns the number of arguments.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.spans.len().saturating_sub(1)
    }

    /// Returns whether there are no arguments.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an argument, or `None` where the client sent fewer.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.raw.spans.as_slice().get(index + 1).map(|span| self.slice(*span))
    }

    /// Returns an argument as bytes.
    ///
    /// # Errors
    /// The client sent fewer arguments.
    pub fn bytes(&self, index: usize) -> Result<&[u8]> {
        self.get(index).ok_or_else(|| Error::new(format!("argument {} is missing", index + 1)))
    }

    /// Returns an argument as text.
    ///
    /// # Errors
    /// The argument is missing or not UTF-8.
    pub fn text(&self, index: usize) -> Result<&str> {
        str::from_utf8(self.bytes(index)?)
            .map_err(|_| Error::new(format!("argument {} is not valid UTF-8", index + 1)))
    }

    /// Returns an argument as an integer.
    ///
    /// # Errors
    /// The argument is missing, not a decimal integer, or beyond 64 bits.
    pub fn integer(&self, index: usize) -> Result<i64> {
        let bytes = self.bytes(index)?;
        str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.starts_with('+'))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::new("value is not an integer or out of range"))
    }

    /// Returns an argument as a floating-point number.
    ///
    /// # Errors
    /// The argument is missing or not a finite decimal number.
    pub fn float(&self, index: usize) -> Result<f64> {
        let bytes = self.bytes(index)?;
        str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(|| Error::new("value is not a valid float"))
    }

    /// Returns all arguments, as bytes.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.raw.spans.as_slice().get(1..).unwrap_or_default().iter().map(|span| self.slice(*span))
    }

    /// Returns all arguments joined by spaces, for commands that take a text of several words.
    /// Borrowed where there is only one.
    #[must_use]
    pub fn joined(&self) -> Cow<'_, [u8]> {
        match self.raw.spans.as_slice() {
            [] | [_] => Cow::Borrowed(&[]),
            [_, only] => Cow::Borrowed(self.slice(*only)),
            _ => Cow::Owned(self.arguments().collect::<Vec<_>>().join(&b' ')),
        }
    }

    /// Returns [`joined`](Self::joined) as text.
    ///
    /// # Errors
    /// The text is not UTF-8.
    pub fn joined_text(&self) -> Result<Cow<'_, str>> {
        let invalid = || Error::new("the text is not valid UTF-8");
        match self.joined() {
            Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| invalid()),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| invalid()),
        }
    }

    /// Returns the client's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.raw.session.peer().into()
    }

    /// Returns the session's number, never reused while the host runs.
    #[must_use]
    pub fn session_id(&self) -> u64 {
        self.raw.session.id()
    }

    /// Returns the name that the client has set, if any.
    #[must_use]
    pub fn session_name(&self) -> Option<String> {
        Some(self.raw.session.name().into_string()).filter(|name| !name.is_empty())
    }

    /// Returns the name of the key that the session logged in with; `None` where the host trusts
    /// its address.
    #[must_use]
    pub fn key_name(&self) -> Option<String> {
        Some(self.raw.session.key().into_string()).filter(|name| !name.is_empty())
    }

    /// Returns the session's role: `user` or `admin`. `None` where the host is older than plugin
    /// API 1.3.
    #[must_use]
    pub fn role(&self) -> Option<String> {
        Some(self.raw.session.role().into_string()).filter(|role| !role.is_empty())
    }

    /// Returns whether the result is no longer needed: the command was cancelled, the client is
    /// gone, or the host is shutting down. A worker that may take long checks this from time to
    /// time and returns early.
    ///
    /// A client that has closed its sending side counts as gone one second later. A call costs
    /// about as much as a system call.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.raw.session.cancelled()
    }

    /// Returns an error once the request is [`cancelled`](Self::cancelled), for `?` between two
    /// pieces of work that take more than a few microseconds each. For shorter ones see
    /// [`cancel_check`](Self::cancel_check).
    ///
    /// # Errors
    /// An error of the kind `CANCELLED`.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.cancelled() {
            return Err(Error::cancelled("the command was cancelled"));
        }
        Ok(())
    }

    /// Returns a check for loops of many short steps, which call [`step`](CancelCheck::step) in
    /// each. It asks the host every 10 ms, not at each step.
    #[must_use]
    pub fn cancel_check(&self) -> CancelCheck<'_> {
        CancelCheck::new(self)
    }

    /// Waits for `time`. Returns true as soon as the request is [`cancelled`](Self::cancelled), and
    /// false when the time is over.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        // Rounded up: a wait must not end early.
        let millis = time.as_nanos().div_ceil(1_000_000);
        self.raw.session.wait(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Reports the progress of this command to the client: `done` of `total`, and a short text. A
    /// `total` of 0 means that the total is unknown.
    ///
    /// Clients that speak RESP3 get it at once, as a push `progress DONE TOTAL TEXT`; others get
    /// nothing. A worker may call it as often as it likes: the host forwards a few reports a
    /// second, and always the first one that is complete. The text is cut after 256 bytes. Reports
    /// that a slow reader has no room for are dropped.
    pub fn progress(&self, done: u64, total: u64, text: &str) {
        self.raw.session.progress(done, total, text.into());
    }

    /// Returns the time of this call. A command with the attribute `writes` uses it in place of the
    /// system's clock: when a journal is replayed, it is the time of the first call, so that the
    /// same state results. It has milliseconds, and may go back when the clock is set.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        match self.raw.session.time_millis() {
            0 => SystemTime::now(),
            millis => SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
        }
    }

    /// Returns the host: its facts and its services for the plugin.
    #[must_use]
    pub fn host(&self) -> &Host {
        self.host
    }

    /// Returns the commands that this session may run, the host's own included, by name.
    #[must_use]
    pub fn commands(&self) -> Vec<CommandInfo> {
        self.raw.session.commands().into_iter().map(Into::into).collect()
    }

    /// Returns the live sessions that this session may see, by address.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.raw.session.sessions().into_iter().map(Into::into).collect()
    }

    /// Returns the served plugins, by name.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.raw.session.plugins().into_iter().map(Into::into).collect()
    }

    fn slice(&self, span: Span) -> &[u8] {
        span.part_of(self.raw.input.as_slice())
    }
}

impl From<RawPeer> for SocketAddr {
    fn from(peer: RawPeer) -> Self {
        if peer.ipv6 {
            SocketAddrV6::new(Ipv6Addr::from(peer.octets), peer.port, 0, peer.scope).into()
        } else {
            let [a, b, c, d, ..] = peer.octets;
            (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), peer.port).into()
        }
    }
}

impl From<SocketAddr> for RawPeer {
    fn from(address: SocketAddr) -> Self {
        let (mut octets, scope) = ([0; 16], 0);
        match address {
            SocketAddr::V4(v4) => {
                octets[..4].copy_from_slice(&v4.ip().octets());
                Self { octets, ipv6: false, port: v4.port(), scope }
            }
            SocketAddr::V6(v6) => {
                Self { octets: v6.ip().octets(), ipv6: true, port: v6.port(), scope: v6.scope_id() }
            }
        }
    }
}
