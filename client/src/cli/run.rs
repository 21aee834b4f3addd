//! From arguments to an exit code.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    path::PathBuf,
    time::Duration,
};

use crate::{
    cli::{
        command_line::{Action, Args, Stop, parse},
        completion, manual,
    },
    conversation::session::Session,
    error::Error,
    output::{format::Format, screen::Screen},
    places::{
        config::{Environment, Place, SettingsFile},
        known_hosts, list as places,
        settings::Settings,
    },
    program,
    prompt::{question, repl},
    reply::Reply,
    script::{
        batch::{self, Pace, Source},
        latency,
    },
    units::Repeat,
};

/// Does what the words of the command line ask for. Failures are told on stderr.
pub fn run(words: &[OsString]) -> u8 {
    program::started_by(words.first());
    let args = match parse(words) {
        Ok(args) => args,
        Err(Stop::Clap(help_or_error)) => {
            // A reader that does not want all of the help is no failure.
            let _ = help_or_error.print();
            return u8::try_from(help_or_error.exit_code()).unwrap_or(2);
        }
        Err(Stop::Usage(error)) => return failed(&Screen::new(Format::Text, false), &error),
    };
    let screen = Screen::new(Format::of(&args.output), args.output.quiet);
    attempt(args, screen).unwrap_or_else(|error| failed(&screen, &error))
}

fn failed(screen: &Screen, error: &Error) -> u8 {
    screen.say(error);
    error.exit_code()
}

fn attempt(args: Args, screen: Screen) -> Result<u8, Error> {
    let environment = Environment::read();
    if !matches!(args.action, Action::Completion(_) | Action::Man) {
        environment.misspelt().iter().for_each(|warning| screen.notice(warning));
    }
    let file = SettingsFile::find(&args.connection, &environment);
    let settings = || file.as_ref().map_or(Ok(Settings::default()), SettingsFile::load);
    match &args.action {
        Action::Talk { .. } => talk(args, screen, &environment, file.as_ref()),
        Action::Add(place) => {
            let file = places::writable(file.as_ref())?;
            places::add(file, place, &args.connection)?;
            screen.notice(&format_args!(
                "`{} {}` talks to that host from now on",
                program::own(),
                place.name
            ));
            Ok(0)
        }
        Action::Remove(name) => {
            places::remove(places::writable(file.as_ref())?, name)?;
            screen.notice(&format_args!("there is no place {name} any more"));
            Ok(0)
        }
        Action::Places => {
            let settings = settings()?;
            let Reply::List(places) = places::list(&settings) else { return Ok(0) };
            if places.is_empty() {
                screen.notice(&format_args!(
                    "there are no places yet; `{} add NAME --lan HOST` makes one",
                    program::own()
                ));
            }
            if places.is_empty() && !screen.format().has_errors() {
                return Ok(0);
            }
            written(screen.reply(&Reply::List(places)))
        }
        Action::Completion(shell) => {
            // A shell that starts gets its completion, whatever is in that file.
            let settings = settings().unwrap_or_else(|error| {
                screen.say(&error);
                Settings::default()
            });
            let names = settings.places().map(|(name, ..)| name);
            written(screen.document(&completion::script(*shell, program::own(), names)))
        }
        Action::Man => {
            let page = manual::page();
            written(page.and_then(|page| screen.document(&page)))
        }
    }
}

fn talk(
    mut args: Args,
    screen: Screen,
    environment: &Environment,
    file: Option<&SettingsFile>,
) -> Result<u8, Error> {
    let Action::Talk { place, command } = args.action else { return Ok(0) };
    let person = io::stdin().is_terminal();
    let settings = file.map_or(Ok(Settings::default()), SettingsFile::load)?;
    let word = match place {
        Some(word) => word,
        // Asked on stderr: stdout is for replies, and may be a file.
        None if person => {
            let names: Vec<_> = settings.places().map(|(name, ..)| name).collect();
            question::place(&mut io::stdin().lock(), &mut io::stderr(), &names)?
        }
        None => return Err(Error::NoType),
    };
    let place = Place::find(&word, &settings)?;
    let target = match place.target(&settings, file, &args.connection, environment) {
        Err(Error::NoAddress { .. }) if person => {
            let address = question::address(&mut io::stdin().lock(), &mut io::stderr())?;
            args.connection.address = Some(address);
            place.target(&settings, file, &args.connection, environment)?
        }
        other => other?,
    };
    let asks = person && io::stderr().is_terminal();
    let access = place.access(file, &args.connection, environment, asks)?;
    let mut command: Vec<_> = command.into_iter().map(OsString::into_encoded_bytes).collect();
    // Before there is a session: the host does not wait for a slow pipe.
    if args.script.last_argument {
        command.push(batch::last_argument()?);
    }
    let source = args.script.file.as_deref().map(Source::file).transpose()?;
    let mut show = |values: &[_]| screen.push(values);
    let (connect_timeout, timeout) = (args.connection.connect_timeout, args.connection.timeout);
    let mut open = || Session::open(&target, &access, connect_timeout, timeout, &mut show);
    let session = match open() {
        // Anew, since the host does not wait for as long as a person may take.
        Err(Error::FirstContact { name, shown, file }) => {
            confirm(name, shown, file)?;
            open()?
        }
        opened => opened?,
    };
    if args.script.latency {
        let repeat = args.script.repeat.unwrap_or(Repeat::Forever);
        let interval = args.script.interval.unwrap_or(latency::INTERVAL);
        latency::measure(session, screen, Pace { repeat, interval })
    } else if !command.is_empty() {
        let repeat = args.script.repeat.unwrap_or(Repeat::Times(1));
        let interval = args.script.interval.unwrap_or(Duration::ZERO);
        batch::one(session, screen, &command, Pace { repeat, interval })
    } else if let Some(source) = source {
        batch::lines(session, screen, source)
    } else if person && screen.is_terminal() {
        repl::run(session, screen, !args.connection.no_reconnect)
    } else {
        batch::lines(session, screen, Source::stdin())
    }
}

/// Has a person confirm the fingerprint of a host that is seen for the first time, and keeps it.
fn confirm(name: String, shown: String, file: PathBuf) -> Result<(), Error> {
    let (mut input, mut output) = (io::stdin().lock(), io::stderr());
    if !question::first_contact(&mut input, &mut output, &name, &shown)? {
        return Err(Error::FirstContact { name, shown, file });
    }
    known_hosts::add(&file, &name, &shown)
}

/// The exit code of what only writes. A reader that wants no more is no failure.
fn written(result: io::Result<()>) -> Result<u8, Error> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(source) => Err(Error::Local { doing: "write to stdout", source }),
        Ok(()) => Ok(0),
    }
}
