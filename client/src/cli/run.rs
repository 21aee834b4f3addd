//! Runs the client from its arguments to an exit code.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap_complete::Shell;

use crate::{
    cli::{
        args::ScriptArgs,
        command_line::{Action, Args, ParseError, parse},
        completion, manual,
    },
    conversation::{connection::ConnectOptions, session::Session},
    error::Error,
    output::{format::Format, screen::Screen},
    places::{
        args::{ConnectionArgs, NewPlace},
        environment::Environment,
        known_hosts, named_places,
        place::{Place, Sources},
        settings::Settings,
        settings_file::SettingsFile,
    },
    program,
    prompt::{questions, repl},
    reply::Reply,
    script::{
        batch, latency,
        push::{PluginFile, push},
        repeat::{Pace, Repeat},
        source::{self, CommandSource},
    },
};

/// Performs the action of the command line and returns the exit code; stderr gets failures.
pub fn run(words: &[OsString]) -> u8 {
    program::started_by(words.first());
    let args = match parse(words) {
        Ok(args) => args,
        Err(ParseError::Clap(help_or_error)) => {
            // The reader may be gone before all of the help is written.
            let _ = help_or_error.print();
            return u8::try_from(help_or_error.exit_code()).unwrap_or(2);
        }
        Err(ParseError::Usage(error)) => {
            return report(&Screen::new(Format::Text, false), &error);
        }
    };
    let screen = Screen::new(args.output.format(), args.output.quiet);
    perform(args, screen).unwrap_or_else(|error| report(&screen, &error))
}

fn report(screen: &Screen, error: &Error) -> u8 {
    screen.show_message(error);
    error.exit_code()
}

fn perform(args: Args, screen: Screen) -> Result<u8, Error> {
    let environment = Environment::read();
    if !matches!(args.action, Action::Completion(_) | Action::Man) {
        environment.misspelt().iter().for_each(|warning| screen.show_notice(warning));
    }
    let file = SettingsFile::find(&args.connection, &environment);
    let file = file.as_ref();
    match args.action {
        Action::Connect { place, command } => {
            let command = command.into_iter().map(OsString::into_encoded_bytes).collect();
            let flags = args.connection;
            Connect { place, command, flags, script: args.script, screen }.run(&environment, file)
        }
        Action::Push { file: path, place } => {
            let (flags, command) = (args.connection, Vec::new());
            Connect { place, command, flags, script: args.script, screen }.push(
                &path,
                &environment,
                file,
            )
        }
        Action::Add(place) => add_place(&place, &args.connection, file, screen),
        Action::Remove(name) => {
            named_places::remove(SettingsFile::writable(file)?, &name)?;
            screen.show_notice(&format_args!("there is no place {name} any more"));
            Ok(0)
        }
        Action::Places => list_places(&load_settings(file)?, screen),
        Action::Completion(shell) => print_completion(shell, file, screen),
        Action::Man => exit_code(manual::page().and_then(|page| screen.write_stdout(&page))),
    }
}

fn load_settings(file: Option<&SettingsFile>) -> Result<Settings, Error> {
    file.map_or(Ok(Settings::default()), SettingsFile::load)
}

fn add_place(
    place: &NewPlace,
    flags: &ConnectionArgs,
    file: Option<&SettingsFile>,
    screen: Screen,
) -> Result<u8, Error> {
    named_places::add(SettingsFile::writable(file)?, place, flags)?;
    screen.show_notice(&format_args!(
        "`{} {}` talks to that host from now on",
        program::own(),
        place.name
    ));
    Ok(0)
}

fn list_places(settings: &Settings, screen: Screen) -> Result<u8, Error> {
    let places = named_places::list(settings);
    if places.is_empty() {
        screen.show_notice(&format_args!(
            "there are no places yet; `{} add NAME --lan HOST` makes one",
            program::own()
        ));
    }
    if places.is_empty() && !screen.format().has_errors() {
        return Ok(0);
    }
    exit_code(screen.show_reply(&Reply::List(places)))
}

fn print_completion(
    shell: Shell,
    file: Option<&SettingsFile>,
    screen: Screen,
) -> Result<u8, Error> {
    // A mistake in the settings must not break the start of a shell.
    let settings = load_settings(file).unwrap_or_else(|error| {
        screen.show_message(&error);
        Settings::default()
    });
    let names = settings.places().map(|place| place.name);
    exit_code(screen.write_stdout(&completion::script(shell, program::own(), names)))
}

/// Returns the exit code after output; a reader that is gone is no failure.
fn exit_code(result: io::Result<()>) -> Result<u8, Error> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(source) => Err(Error::Io { operation: "write to stdout", source }),
        Ok(()) => Ok(0),
    }
}

/// The action of connecting to a host.
struct Connect {
    place: Option<String>,
    command: Vec<Vec<u8>>,
    flags: ConnectionArgs,
    script: ScriptArgs,
    screen: Screen,
}

impl Connect {
    fn run(mut self, environment: &Environment, file: Option<&SettingsFile>) -> Result<u8, Error> {
        let options = self.connect_options(environment, file)?;
        // Input is read before connecting, since the host does not wait for a slow pipe.
        if self.script.last_argument {
            self.command.push(source::read_stdin()?);
        }
        let source = self.script.file.as_deref().map(CommandSource::open).transpose()?;
        let session = open_session(&options, self.screen)?;
        self.talk(session, source)
    }

    /// Pushes a plugin's file, which is read before connecting.
    fn push(
        mut self,
        path: &Path,
        environment: &Environment,
        file: Option<&SettingsFile>,
    ) -> Result<u8, Error> {
        let plugin = PluginFile::read(path)?;
        let options = self.connect_options(environment, file)?;
        push(open_session(&options, self.screen)?, self.screen, &plugin)
    }

    /// Collects the options of the connection and asks the person for missing ones.
    fn connect_options(
        &mut self,
        environment: &Environment,
        file: Option<&SettingsFile>,
    ) -> Result<ConnectOptions, Error> {
        let has_person = io::stdin().is_terminal();
        let settings = load_settings(file)?;
        let word = match self.place.take() {
            Some(word) => word,
            // The question goes to stderr, since stdout can be a file.
            None if has_person => {
                let names: Vec<_> = settings.places().map(|place| place.name).collect();
                questions::ask_place(&mut io::stdin().lock(), &mut io::stderr(), &names)?
            }
            None => return Err(Error::NoConnectionType),
        };
        let place = Place::find(&word, &settings)?;
        let mut target = place.target(self.sources(environment, &settings, file));
        if matches!(target, Err(Error::NoAddress { .. })) && has_person {
            let address = questions::ask_address(&mut io::stdin().lock(), &mut io::stderr())?;
            self.flags.address = Some(address);
            target = place.target(self.sources(environment, &settings, file));
        }
        let can_ask = has_person && io::stderr().is_terminal();
        Ok(ConnectOptions {
            target: target?,
            security: place.security(self.sources(environment, &settings, file), can_ask)?,
            connect_timeout: self.flags.connect_timeout,
            timeout: self.flags.timeout,
            login: None,
        })
    }

    fn sources<'a>(
        &'a self,
        environment: &'a Environment,
        settings: &'a Settings,
        file: Option<&'a SettingsFile>,
    ) -> Sources<'a> {
        Sources { flags: &self.flags, environment, settings, file }
    }

    /// Uses the session in the way that the options select.
    fn talk(self, session: Session, source: Option<CommandSource>) -> Result<u8, Error> {
        let pace = |repeat, interval| Pace {
            repeat: self.script.repeat.unwrap_or(repeat),
            interval: self.script.interval.unwrap_or(interval),
        };
        let screen = self.screen;
        if self.script.latency {
            let pace = pace(Repeat::Forever, latency::DEFAULT_INTERVAL);
            latency::measure(session, screen, pace)
        } else if !self.command.is_empty() {
            let pace = pace(Repeat::Times(1), Duration::ZERO);
            batch::run_command(session, screen, &self.command, pace)
        } else if let Some(source) = source {
            batch::run_lines(session, screen, source)
        } else if io::stdin().is_terminal() && screen.is_terminal() {
            repl::run(session, screen, !self.flags.no_reconnect)
        } else {
            batch::run_lines(session, screen, CommandSource::stdin())
        }
    }
}

/// Opens a session; a person confirms the fingerprint of a new host.
fn open_session(options: &ConnectOptions, screen: Screen) -> Result<Session, Error> {
    let mut show_push = |values: &[_]| screen.show_push(values);
    match Session::open(options.clone(), &mut show_push) {
        Err(Error::UnconfirmedFingerprint { name, fingerprint, file }) => {
            confirm_fingerprint(name, fingerprint, file)?;
            // The first connection is closed, since a host does not wait for a person.
            Session::open(options.clone(), &mut show_push)
        }
        session => session,
    }
}

/// Asks a person to confirm a fingerprint and stores it.
fn confirm_fingerprint(name: String, fingerprint: String, file: PathBuf) -> Result<(), Error> {
    let (mut input, mut output) = (io::stdin().lock(), io::stderr());
    if !questions::confirm_fingerprint(&mut input, &mut output, &name, &fingerprint)? {
        return Err(Error::UnconfirmedFingerprint { name, fingerprint, file });
    }
    known_hosts::add(&file, &name, &fingerprint)
}
