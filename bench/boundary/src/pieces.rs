//! The pieces of a request, each by itself.

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use dropin_host::{
    commands::{caller::Caller, flow::Flow, progress::Progress},
    net::stream::ClientStream,
};
use plugin_engine::{call::Call, registry::Target};
use protocol::{Encoder, Parsed, Parser, Protocol};

use crate::{
    counted::counted,
    error::BoundaryError,
    fixture::{self, Fixture, NOP, of},
    served,
};

/// `echo` with 16 bytes, as clients send it.
const ECHO: &[u8] = b"*2\r\n$4\r\necho\r\n$16\r\n0123456789abcdef\r\n";

/// A piece of the host's work on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Piece {
    /// Parse `nop` at the start of the received bytes.
    ParseNop,
    /// Parse `echo` with 16 bytes there.
    ParseEcho,
    /// Look up a name among 10 commands.
    LookUp10,
    /// Look up a name among 1,000 commands.
    LookUp1000,
    /// Look up a name among 10,000 commands.
    LookUp10000,
    /// Encode the reply `OK`.
    EncodeOk,
    /// Encode a reply of 16 bytes.
    EncodeText,
    /// Call a function of the host by its pointer, which replies `OK`.
    DirectCall,
    /// Call the plugin's `nop`, which replies `OK`.
    PluginCall,
    /// Call the plugin's `echo` with 16 bytes.
    PluginEcho,
    /// Serve one `nop` at a time over a socket, all work of the session's thread.
    Session1,
    /// The same for batches of 16, per request.
    Session16,
    /// The same for batches of 64, per request.
    Session64,
}

impl Piece {
    /// Returns its name in arguments, files and reports.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Returns the number of requests in one run.
    pub fn requests(self) -> u64 {
        match self {
            Self::Session16 => 16,
            Self::Session64 => 64,
            _ => 1,
        }
    }

    /// Returns the number of runs that gives a stable result without taking long under valgrind.
    pub fn times(self) -> u64 {
        match self {
            Self::Session1 | Self::Session16 | Self::Session64 => 500,
            _ => 20_000,
        }
    }
}

/// Runs a piece this many times. Returns the elapsed time.
pub fn run(piece: Piece, fixture: &Fixture, times: u64) -> Result<Duration, BoundaryError> {
    let encoder = &mut Encoder::new(Protocol::Resp2);
    Ok(match piece {
        Piece::ParseNop => parse(fixture, times, NOP)?,
        Piece::ParseEcho => parse(fixture, times, ECHO)?,
        Piece::LookUp10 => look_up(times, 10),
        Piece::LookUp1000 => look_up(times, 1000),
        Piece::LookUp10000 => look_up(times, 10_000),
        Piece::EncodeOk => repeat(times, || reply(encoder, Encoder::ok)),
        Piece::EncodeText => {
            repeat(times, || reply(encoder, |reply| reply.text(black_box(b"0123456789abcdef"))))
        }
        Piece::DirectCall => call(fixture, times, NOP, true)?,
        Piece::PluginCall => call(fixture, times, NOP, false)?,
        Piece::PluginEcho => call(fixture, times, ECHO, false)?,
        Piece::Session1 | Piece::Session16 | Piece::Session64 => {
            served::batches(fixture, times, piece.requests())?
        }
    })
}

/// Returns the time of each piece, per request, in nanoseconds: the smallest of several
/// measurements, since any disturbance only adds time.
pub fn time_all(fixture: &Fixture) -> Result<BTreeMap<String, f64>, BoundaryError> {
    let mut all = BTreeMap::new();
    for piece in Piece::value_variants() {
        let times = piece.times() * 10;
        let mut least = f64::INFINITY;
        for _ in 0..9 {
            let took = run(*piece, fixture, times)?.as_nanos() as f64;
            least = least.min(took / (times * piece.requests()) as f64);
        }
        all.insert(piece.name(), least);
    }
    Ok(all)
}

fn repeat(times: u64, mut work: impl FnMut()) -> Duration {
    counted(|| {
        let started = Instant::now();
        for _ in 0..times {
            work();
        }
        started.elapsed()
    })
}

fn parse(fixture: &Fixture, times: u64, input: &[u8]) -> Result<Duration, BoundaryError> {
    let mut parser = Parser::new(fixture.shared.config.bounds.limits());
    found(parser.parse(input))?;
    Ok(repeat(times, || {
        black_box(parser.parse(black_box(input)));
        black_box(parser.request(input));
    }))
}

fn look_up(times: u64, commands: usize) -> Duration {
    let (registry, names) = fixture::registry_of(commands);
    let mut names = names.iter().cycle();
    repeat(times, || {
        let name = names.next().map(String::as_bytes).unwrap_or_default();
        black_box(registry.get(black_box(name)));
    })
}

fn reply(encoder: &mut Encoder, write: impl FnOnce(&mut Encoder)) {
    encoder.begin();
    write(encoder);
    encoder.finish();
    encoder.advance(black_box(encoder.len()));
}

/// Calls the function that answers this request: the plugin's, or a similar one of the host.
fn call(
    fixture: &Fixture,
    times: u64,
    input: &[u8],
    direct: bool,
) -> Result<Duration, BoundaryError> {
    let Fixture { shared, registry, identity, .. } = fixture;
    let (session, _client) = fixture.connect()?;
    let mut transport = ClientStream::new(session.clone(), &shared.config.bounds, false)
        .map_err(of("set a socket up"))?;
    let mut parser = Parser::new(shared.config.bounds.limits());
    found(parser.parse(input))?;
    let request = parser.request(input);
    let registry = &registry.load_full();
    let command = registry.get(request.name());
    let Some(Target::Worker(worker)) = command.map(|command| &command.target) else {
        return Err(BoundaryError::Host("find the command", "the plugin has none".into()));
    };
    let encoder = &mut Encoder::new(Protocol::Resp2);
    let (input, spans, session) = (request.bytes, request.spans, &*session);
    let progress = Progress::new(&mut transport, Protocol::Resp2);
    let caller = Caller { session, identity, registry, shared, progress };
    let call = Call { input, spans, context: &caller };
    let function: fn(&Call<'_>, &mut Encoder) -> Flow = |_, reply| {
        reply.ok();
        Flow::Next
    };
    Ok(if direct {
        repeat(times, || reply(encoder, |reply| drop(black_box(function)(&call, reply))))
    } else {
        repeat(times, || {
            reply(encoder, |reply| {
                black_box(worker.call(&call, reply));
            });
        })
    })
}

fn found(parsed: Parsed) -> Result<(), BoundaryError> {
    match parsed {
        Parsed::Request { .. } => Ok(()),
        other => Err(BoundaryError::Host("parse a request", format!("{other:?}").into())),
    }
}
