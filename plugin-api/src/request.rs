//! A request: the arguments of one command, and facts about the session that sent it.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str,
    time::Duration,
};

use crate::{
    CancelCheck,
    abi::{RawPeer, RawRequest, Span},
    error::{Error, Result},
    facts::{CommandInfo, PluginInfo, SessionInfo},
    host::Host,
};

/// One command as a client sent it. Lent to a worker for the time of the call.
///
/// The host has checked the number of arguments against the usage line, so an argument that the
/// line demands is there. Arguments count from 0, without the command's name.
pub struct Request {
    // 'static is a lie told only inside this crate: `export` makes a Request on its stack for one
    // call, and no method here gives out more than a borrow of `self`.
    pub(crate) raw: RawRequest<'static>,
    pub(crate) host: &'static Host,
}

impl Request {
    /// The command's name as the client typed it.
    #[must_use]
    pub fn command(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.raw.spans.first().map_or(&[], |span| self.slice(*span)))
    }

    /// How many arguments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.spans.len().saturating_sub(1)
    }

    /// Whether there are no arguments.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The argument, or `None` where the client gave fewer.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.raw.spans.as_slice().get(index + 1).map(|span| self.slice(*span))
    }

    /// The argument as bytes.
    ///
    /// # Errors
    /// Where the client gave fewer arguments.
    pub fn bytes(&self, index: usize) -> Result<&[u8]> {
        self.get(index).ok_or_else(|| Error::new(format!("argument {} is missing", index + 1)))
    }

    /// The argument as text.
    ///
    /// # Errors
    /// Where it is missing or not UTF-8.
    pub fn text(&self, index: usize) -> Result<&str> {
        str::from_utf8(self.bytes(index)?)
            .map_err(|_| Error::new(format!("argument {} is not valid UTF-8", index + 1)))
    }

    /// The argument as a whole number.
    ///
    /// # Errors
    /// Where it is missing, not a decimal integer, or beyond 64 bits.
    pub fn integer(&self, index: usize) -> Result<i64> {
        let bytes = self.bytes(index)?;
        str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.starts_with('+'))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::new("value is not an integer or out of range"))
    }

    /// The argument as a number.
    ///
    /// # Errors
    /// Where it is missing or not a finite decimal number.
    pub fn float(&self, index: usize) -> Result<f64> {
        let bytes = self.bytes(index)?;
        str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(|| Error::new("value is not a valid float"))
    }

    /// All arguments, as bytes.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.raw.spans.as_slice().get(1..).unwrap_or_default().iter().map(|span| self.slice(*span))
    }

    /// All arguments with a space between them, as a person meant who typed several words.
    /// Borrowed where there is only one.
    #[must_use]
    pub fn joined(&self) -> Cow<'_, [u8]> {
        match self.raw.spans.as_slice() {
            [] | [_] => Cow::Borrowed(&[]),
            [_, only] => Cow::Borrowed(self.slice(*only)),
            _ => Cow::Owned(self.arguments().collect::<Vec<_>>().join(&b' ')),
        }
    }

    /// [`joined`](Self::joined), as text.
    ///
    /// # Errors
    /// Where it is not UTF-8.
    pub fn joined_text(&self) -> Result<Cow<'_, str>> {
        let invalid = || Error::new("the text is not valid UTF-8");
        match self.joined() {
            Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| invalid()),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| invalid()),
        }
    }

    /// Where the client is.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.raw.session.peer().into()
    }

    /// The session's number, never used twice while the host runs.
    #[must_use]
    pub fn session_id(&self) -> u64 {
        self.raw.session.id()
    }

    /// The name that the client gave itself, if it did.
    #[must_use]
    pub fn session_name(&self) -> Option<String> {
        Some(self.raw.session.name().into_string()).filter(|name| !name.is_empty())
    }

    /// The name of the key that let the session in; `None` where the host trusts it for its address.
    #[must_use]
    pub fn key_name(&self) -> Option<String> {
        Some(self.raw.session.key().into_string()).filter(|name| !name.is_empty())
    }

    /// What the session may do: `user` or `admin`. `None` where the host is older than plugin API 1.3.
    #[must_use]
    pub fn role(&self) -> Option<String> {
        Some(self.raw.session.role().into_string()).filter(|role| !role.is_empty())
    }

    /// Whether the work is in vain: the client is gone or the host is stopping. A worker that
    /// takes longer than a moment asks this from time to time and returns early.
    ///
    /// A client that has ended its sending side counts as gone a second later. Costs about a
    /// system call.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.raw.session.cancelled()
    }

    /// Returns an error where the request is [`cancelled`](Self::cancelled), for `?` between two
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

    /// Watches for cancellation in a loop of many short steps, which calls
    /// [`step`](CancelCheck::step) in each. The host is asked every 10 ms, not at each step.
    #[must_use]
    pub fn cancel_check(&self) -> CancelCheck<'_> {
        CancelCheck::new(self)
    }

    /// Waits, and returns true as soon as the request is [`cancelled`](Self::cancelled), false
    /// when the time is over.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        // Rounded up: a wait must not end early.
        let millis = time.as_nanos().div_ceil(1_000_000);
        self.raw.session.wait(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Tells the client how far this command is: `done` of `total`, and a few words. A `total` of 0
    /// says that nobody knows how much there is.
    ///
    /// Clients that speak RESP3 get it at once, as a push `progress DONE TOTAL TEXT`; the others
    /// get none. It may be called as often as there is something to tell: the host passes on a few
    /// a second, and the first that says that all is done, of the text 256 bytes. What a client
    /// that reads slowly does not take at once, it does not get.
    pub fn progress(&self, done: u64, total: u64, text: &str) {
        self.raw.session.progress(done, total, text.into());
    }

    /// The host: its facts, and what it does for the plugin.
    #[must_use]
    pub fn host(&self) -> &Host {
        self.host
    }

    /// The commands that this session may run, the host's own included, by name.
    #[must_use]
    pub fn commands(&self) -> Vec<CommandInfo> {
        self.raw.session.commands().into_iter().map(Into::into).collect()
    }

    /// The live sessions that this session may see, by address.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.raw.session.sessions().into_iter().map(Into::into).collect()
    }

    /// The plugins that are being served, by name.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.raw.session.plugins().into_iter().map(Into::into).collect()
    }

    fn slice(&self, span: Span) -> &[u8] {
        let (start, length) = (span.start as usize, span.length as usize);
        let input = self.raw.input.as_slice();
        input.get(start..).and_then(|rest| rest.get(..length)).unwrap_or_default()
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
