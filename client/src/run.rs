//! From arguments to an exit code.

use crate::args::Args;
use crate::config::{self, Environment};
use crate::error::Error;
use crate::screen::Screen;
use crate::session::Session;
use crate::{batch, question, repl};
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};

/// Does what the arguments ask for. Failures are told on stderr.
pub fn run(args: Args) -> u8 {
    let screen = Screen::new();
    attempt(args, screen).unwrap_or_else(|error| {
        screen.say(&error);
        error.exit_code()
    })
}

fn attempt(mut args: Args, screen: Screen) -> Result<u8, Error> {
    let person = io::stdin().is_terminal();
    let environment = Environment::read();
    let place = match args.place {
        Some(place) => place,
        // Asked on stderr: stdout is for replies, and may be a file.
        None if person => question::place(&mut io::stdin().lock(), &mut io::stderr())?,
        None => return Err(Error::NoType),
    };
    let target = match config::resolve(place, &args, &environment) {
        Err(Error::NoAddress { .. }) if person => {
            args.address = Some(question::address(&mut io::stdin().lock(), &mut io::stderr())?);
            config::resolve(place, &args, &environment)?
        }
        other => other?,
    };
    let mut show = |values: &[_]| screen.push(values);
    let access = config::access(place, &args, &environment)?;
    let session = Session::open(&target, &access, args.connect_timeout, args.timeout, &mut show)?;
    if !args.command.is_empty() {
        let command = args.command.into_iter().map(OsString::into_encoded_bytes);
        batch::one(session, screen, &command.collect::<Vec<_>>())
    } else if person && screen.is_terminal() {
        repl::run(session, screen, !args.no_reconnect)
    } else {
        batch::lines(session, screen)
    }
}
