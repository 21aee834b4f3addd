//! The messages between the host and the worker process of a library.

use std::path::PathBuf;

use plugin_api::abi::{RawPeer, Span};
use sandbox::Limits;
use serde::{Deserialize, Serialize};

use crate::{live::manifest::Manifest, load_error::Refusal};

/// The kinds of messages; the first group goes to the process, the second to the host.
pub mod kind {
    /// Opens the library: an [`Init`](super::Init) in JSON.
    pub const INIT: u8 = 1;
    /// Calls commands, one after the other: for each its length in 4 bytes, a
    /// [`CallHead`](super::CallHead) and its arguments.
    pub const CALLS: u8 = 2;
    /// Asks for the state.
    pub const SAVE: u8 = 3;
    /// Ends the parts of a state to restore.
    pub const RESTORE: u8 = 4;
    /// Hands over the text of the configuration.
    pub const CONFIGURE: u8 = 5;
    /// Asks the process to end the plugin and itself.
    pub const STOP: u8 = 6;
    /// Cancels the call of this connection.
    pub const CANCEL: u8 = 7;
    /// Answers [`QUERY`], in JSON.
    pub const FACTS: u8 = 8;
    /// Begins a stream of the state.
    pub const STREAM_BEGIN: u8 = 9;
    /// Asks for the next commands of the stream.
    pub const STREAM_NEXT: u8 = 10;
    /// Ends the stream.
    pub const STREAM_END: u8 = 11;

    /// A part of a long payload, in either direction.
    pub const PART: u8 = 32;
    /// Ends the parts of a state, or of commands.
    pub const DONE: u8 = 33;
    /// The operation failed: a text.
    pub const FAILED: u8 = 34;
    /// The plugin keeps no state, or its stream has nothing to send now.
    pub const NONE: u8 = 35;
    /// Asks for facts that are not sent with each call: a [`Query`](super::Query).
    pub const QUERY: u8 = 36;
    /// Reports progress: two numbers of 8 bytes and a text.
    pub const PROGRESS: u8 = 37;
    /// The library is open: a [`Ready`](super::Ready) or a refusal, in JSON.
    pub const READY: u8 = 38;
    /// Complete replies: for each the length of its last pieces in 4 bytes, and these.
    pub const REPLIES: u8 = 40;
    /// Gives the calls back that have not begun, so that the host can look around: their number in
    /// 4 bytes.
    pub const BACK: u8 = 41;
    /// A line for the log: its level in one byte, and its text.
    pub const LOG: u8 = 39;
}

/// The length of a part, in bytes; a message to the host is at most this and [`SLACK`] long.
pub const PART: usize = 64 << 10;

/// The room beside a part for a text or a piece that does not fit.
pub const SLACK: usize = 1 << 20;

/// The facts that a worker process needs to open its library.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Init {
    /// The library.
    pub file: PathBuf,
    /// The directory of all plugins' data directories.
    pub data: PathBuf,
    /// The time since the host's start, in milliseconds.
    pub uptime_millis: u64,
    /// The host's log level: 1 is error, 5 is trace.
    pub level: u8,
    /// The plugin's name, if it is known: its data directory is all that it may write to.
    pub name: String,
    /// The limits, in force before the library is opened.
    pub limits: Limits,
}

/// A library that a worker process has opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// Its manifest.
    pub manifest: Manifest,
    /// True if it hands its state over.
    pub saves: bool,
    /// True if its state travels as commands.
    #[serde(default)]
    pub streams: bool,
    /// True if it accepts a configuration.
    pub configures: bool,
}

/// The result of opening a library.
pub type Opened = Result<Ready, Refusal>;

impl Ready {
    /// Reads the payload of a [`READY`](kind::READY) and checks it: the process is not trusted.
    ///
    /// # Errors
    /// The library's refusal, or the rule that the payload breaks.
    pub fn read(payload: &[u8]) -> Opened {
        let bad = |problem: String| Refusal::BadProbeReport { problem };
        match serde_json::from_slice::<Opened>(payload) {
            Ok(Ok(ready)) => {
                ready.manifest.check()?;
                Ok(ready)
            }
            Ok(Err(refusal)) if refusal.is_of_the_library() => Err(refusal),
            Ok(Err(_)) => Err(bad("only the host may give that reason".into())),
            Err(error) => Err(bad(error.to_string())),
        }
    }
}

/// Facts that a worker may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Query {
    /// The session's name.
    Name = 0,
    /// The name of its key.
    Key = 1,
    /// Its role.
    Role = 2,
    /// The commands that it may run.
    Commands = 3,
    /// The sessions that it may know of.
    Sessions = 4,
    /// The plugins that it may know of.
    Plugins = 5,
}

impl Query {
    /// Returns the query of this number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        let all =
            [Self::Name, Self::Key, Self::Role, Self::Commands, Self::Sessions, Self::Plugins];
        all.get(usize::from(number)).copied()
    }
}

/// The facts that travel with every call, before its arguments.
#[derive(Clone, Copy)]
pub struct CallHead {
    /// The command's index in the manifest.
    pub command: u32,
    /// The session's number.
    pub session: u64,
    /// The host's log level.
    pub level: u8,
    /// The client's address.
    pub peer: RawPeer,
    /// The time of the call, in milliseconds since 1970; 0 for the present time.
    pub time: u64,
}

impl CallHead {
    /// Appends the payload of a call: the head, the command's name and its arguments.
    pub fn write(&self, out: &mut Vec<u8>, input: &[u8], spans: &[Span]) {
        let Self { command, session, level, peer, time } = self;
        let RawPeer { octets, ipv6, port, scope } = peer;
        out.extend_from_slice(&command.to_le_bytes());
        out.extend_from_slice(&session.to_le_bytes());
        out.extend_from_slice(&[*level, u8::from(*ipv6)]);
        out.extend_from_slice(&port.to_le_bytes());
        out.extend_from_slice(&scope.to_le_bytes());
        out.extend_from_slice(octets);
        out.extend_from_slice(&time.to_le_bytes());
        out.extend_from_slice(&(spans.len() as u32).to_le_bytes());
        for span in spans {
            out.extend_from_slice(&span.length.to_le_bytes());
        }
        spans.iter().for_each(|span| out.extend_from_slice(span.part_of(input)));
    }

    /// Reads the payload of a call, and returns its arguments' bytes; `spans` are replaced.
    #[must_use]
    pub fn read<'a>(mut payload: &'a [u8], spans: &mut Vec<Span>) -> Option<(Self, &'a [u8])> {
        let head = Self {
            command: u32::from_le_bytes(take(&mut payload)?),
            session: u64::from_le_bytes(take(&mut payload)?),
            level: take::<1>(&mut payload)?[0],
            peer: {
                let ipv6 = take::<1>(&mut payload)?[0] != 0;
                let port = u16::from_le_bytes(take(&mut payload)?);
                let scope = u32::from_le_bytes(take(&mut payload)?);
                RawPeer { octets: take(&mut payload)?, ipv6, port, scope }
            },
            time: u64::from_le_bytes(take(&mut payload)?),
        };
        let count = u32::from_le_bytes(take(&mut payload)?);
        spans.clear();
        let mut start = 0_u32;
        for _ in 0..count {
            let length = u32::from_le_bytes(take(&mut payload)?);
            spans.push(Span { start, length });
            start = start.checked_add(length)?;
        }
        (payload.len() == start as usize).then_some((head, payload))
    }
}

/// Returns the host's log level: 1 is error, 5 is trace.
#[must_use]
pub fn level() -> u8 {
    // There are six levels.
    log::max_level() as u8
}

/// Takes the next bytes of a payload.
pub fn take<const N: usize>(payload: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = payload.split_first_chunk::<N>()?;
    *payload = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> CallHead {
        let peer = RawPeer { octets: [7; 16], ipv6: true, port: 5000, scope: 3 };
        CallHead { command: 2, session: u64::MAX, level: 3, peer, time: 5 }
    }

    #[test]
    fn a_call_arrives_with_its_arguments() {
        let input = b"xx set \x00\xff key";
        let spans = [(3, 3), (7, 2), (0, 0), (10, 3)].map(|(start, length)| Span { start, length });
        let (mut out, mut read) = (Vec::new(), Vec::new());
        head().write(&mut out, input, &spans);
        let (found, bytes) = CallHead::read(&out, &mut read).unwrap();
        assert_eq!((found.command, found.session, found.level), (2, u64::MAX, 3));
        assert_eq!(found.time, 5);
        assert_eq!((found.peer.octets, found.peer.port, found.peer.scope), ([7; 16], 5000, 3));
        let arguments: Vec<_> = read
            .iter()
            .map(|span| &bytes[span.start as usize..(span.start + span.length) as usize])
            .collect();
        assert_eq!(arguments, [&b"set"[..], b"\x00\xff", b"", b"key"]);
    }

    #[test]
    fn a_call_that_is_cut_is_refused() {
        let mut out = Vec::new();
        head().write(&mut out, b"abc", &[Span { start: 0, length: 3 }]);
        for length in 0..out.len() {
            assert!(CallHead::read(&out[..length], &mut Vec::new()).is_none(), "{length}");
        }
        out.push(0);
        assert!(CallHead::read(&out, &mut Vec::new()).is_none(), "it is longer");
    }

    fn ready(name: &str) -> Ready {
        let manifest = Manifest {
            name: name.into(),
            version: "1".into(),
            api_version: "1".into(),
            commands: Vec::new(),
            untracked_threads: false,
        };
        Ready { manifest, saves: true, streams: true, configures: false }
    }

    #[test]
    fn description_of_a_library_is_checked() {
        let read = |opened: Opened| Ready::read(&serde_json::to_vec(&opened).unwrap());
        assert_eq!(read(Ok(ready("text"))), Ok(ready("text")));
        assert!(matches!(read(Ok(ready("../x"))), Err(Refusal::Manifest { .. })));
        let refusal = Refusal::Create { error: "no luck".into() };
        assert_eq!(read(Err(refusal.clone())), Err(refusal));
        let of_host = Refusal::Died { how: "signal 9".into() };
        assert!(matches!(read(Err(of_host)), Err(Refusal::BadProbeReport { .. })));
        assert!(matches!(Ready::read(b"{}"), Err(Refusal::BadProbeReport { .. })));
    }

    #[test]
    fn each_query_has_its_number() {
        for number in 0..6 {
            assert_eq!(Query::of(number).map(|query| query as u8), Some(number));
        }
        assert_eq!(Query::of(6), None);
    }
}
