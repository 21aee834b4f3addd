//! The interactive loop: a person at a terminal.

mod exchange;

use std::{fmt::Display, sync::Arc, time::Instant};

use crate::{
    conversation::{
        cancelling::Cancelling,
        event::{Heard, Input, InternalRequest},
        session::Session,
        signals::Signals,
    },
    error::Error,
    output::screen::Screen,
    prompt::{
        commands::Commands,
        editor::{Prompter, Question},
        host_state::HostState,
    },
    reply::Reply,
};

/// The exit code where there is no connection at the end.
const NOT_CONNECTED: u8 = 2;

/// Takes commands until the person or the server ends the session; the result is the exit code.
/// With `reconnect` a lost connection is made again.
pub fn run(session: Session, screen: Screen, reconnect: bool) -> Result<u8, Error> {
    screen
        .notice(&format_args!("connected to {}; close or Ctrl-D ends the session", session.name()));
    let host_state = Arc::new(HostState::new(session.name()));
    let signals = Signals::watch(session.sender())?;
    let prompter =
        Prompter::start(Arc::clone(&host_state), session.sender(), signals.clone(), |problem| {
            screen.say(&problem);
        })?;
    let mut repl = Repl {
        session,
        screen,
        reconnect,
        prompter,
        host_state,
        signals,
        is_asking: false,
        is_interrupted: false,
        cancelling: None,
        is_stranger: false,
    };
    match repl.run() {
        Ok(true) => {
            repl.session.close();
            Ok(0)
        }
        Ok(false) => Ok(NOT_CONNECTED),
        // A server that says goodbye ends the session as properly as the person can.
        Err(end @ Error::Ended { .. }) => {
            screen.say(&end);
            Ok(0)
        }
        Err(other) => Err(other),
    }
}

struct Repl {
    session: Session,
    screen: Screen,
    reconnect: bool,
    prompter: Prompter,
    host_state: Arc<HostState>,
    signals: Signals,
    /// Whether a prompt is up.
    is_asking: bool,
    /// Whether there was a Ctrl-C since the person entered the present lines.
    is_interrupted: bool,
    /// While the host is still being asked to cancel a command.
    cancelling: Option<Cancelling>,
    /// Whether the host wants a key before it serves.
    is_stranger: bool,
}

/// What became of a line.
enum Done {
    /// It is through.
    Yes,
    /// It was not sent, and the person may want it again.
    Kept,
    /// The connection is gone.
    CutOff,
    /// The person has had enough.
    Leave,
}

impl Repl {
    /// Takes commands; the result is whether there is a connection to close.
    fn run(&mut self) -> Result<bool, Error> {
        self.introduce(&[InternalRequest::Info, InternalRequest::Watch, InternalRequest::Docs])?;
        let mut kept = String::new();
        loop {
            let question = Question::Command(self.host_state.prompt(), std::mem::take(&mut kept));
            let lines = match self.ask(question)? {
                Input::Line(lines) => String::from_utf8_lossy(&lines).into_owned(),
                Input::Forget => continue,
                Input::End => break,
                Input::Failed(source) => {
                    return Err(Error::Local { doing: "read from the terminal", source });
                }
            };
            let lines: Vec<_> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
            self.is_interrupted = false;
            for (index, line) in lines.iter().enumerate() {
                // One that came between two lines is for neither, but for the rest of them.
                while let Some(heard) = self.session.hear_event() {
                    self.take(heard)?;
                }
                if self.is_interrupted {
                    kept = lines[index..].join("\n");
                    break;
                }
                if lines.len() > 1 {
                    self.screen.echo(line);
                }
                let rest = match self.run_line(line)? {
                    Done::Yes => continue,
                    Done::Kept => index,
                    Done::CutOff => index + 1,
                    Done::Leave => return Ok(!self.host_state.is_down()),
                };
                kept = lines[rest..].join("\n");
                break;
            }
        }
        Ok(!self.host_state.is_down())
    }

    /// Asks the person, and hears the server meanwhile.
    fn ask(&mut self, question: Question) -> Result<Input, Error> {
        self.prompter.ask(question);
        self.is_asking = true;
        let asked = self.hear_at_prompt();
        self.is_asking = false;
        if asked.is_err() {
            let session = &self.session;
            self.prompter.withdraw(|limit| session.input_within(limit).is_some());
        }
        asked
    }

    fn hear_at_prompt(&mut self) -> Result<Input, Error> {
        loop {
            match self.session.hear(None) {
                Ok(Some(Heard::Input(input))) => return Ok(input),
                Ok(Some(heard)) => self.take(heard)?,
                Ok(None) => {}
                Err(end) => self.lost(end)?,
            }
        }
    }

    /// Takes what is heard at any time.
    fn take(&mut self, heard: Heard) -> Result<(), Error> {
        match heard {
            Heard::Push(values) if is_change(&values) => {
                self.session.send_internal(InternalRequest::Docs)
            }
            Heard::Push(values) if is_progress(&values) => {}
            Heard::Push(values) => self.print(&values),
            Heard::Stray(reply) => self.print(&[reply]),
            Heard::InternalReply(request, reply) => self.learn(request, &reply),
            Heard::Interrupt => self.note_interrupt(),
            Heard::Terminate => return Err(Error::Interrupted),
            Heard::Back(back) => self.back(*back),
            Heard::Cancelled(wish, _) => {
                self.end_cancelling(&wish);
            }
            // Nobody has asked for them.
            Heard::Reply(_) | Heard::Input(_) => {}
        }
        Ok(())
    }

    /// Asks the host what a prompt needs to know. Only a Dropin host knows the questions.
    ///
    /// Where no prompt is up, this waits until the host has said who it takes this session for.
    fn introduce(&mut self, requests: &[InternalRequest]) -> Result<(), Error> {
        if !matches!(self.session.greeting("server"), Some(Reply::Text(name)) if name == "dropin") {
            return Ok(());
        }
        requests.iter().for_each(|request| self.session.send_internal(*request));
        let deadline = Instant::now().checked_add(self.session.route().connect_timeout);
        while !self.is_asking && !self.host_state.is_down() {
            match self.session.hear(deadline) {
                Ok(Some(Heard::InternalReply(InternalRequest::Info, reply))) => {
                    self.learn(InternalRequest::Info, &reply);
                    break;
                }
                Ok(Some(heard)) => self.take(heard)?,
                Ok(None) => break,
                Err(end) => self.lost(end)?,
            }
        }
        Ok(())
    }

    fn learn(&mut self, request: InternalRequest, reply: &Reply) {
        match request {
            InternalRequest::Info => {
                self.is_stranger = matches!(reply, Reply::Error(why) if why.starts_with(b"NOAUTH"));
                self.host_state.set_role(role(reply));
            }
            // Who may not ask has no hints.
            InternalRequest::Docs => {
                self.host_state.set_commands(Commands::from_reply(reply).unwrap_or_default());
            }
            InternalRequest::Hello | InternalRequest::Watch => {}
        }
        self.refresh();
    }

    /// Connects again, where that may help and is wanted.
    fn lost(&mut self, end: Error) -> Result<(), Error> {
        // A host sends those away who do not log in: they would come back again and again.
        if !self.reconnect || self.is_stranger || !end.may_come_back() {
            return Err(end);
        }
        self.host_state.set_down(true);
        // The number of this session may be another's, once the host has been started again.
        if let Some(wish) = self.cancelling.take() {
            wish.call_off();
        }
        self.tell(&format_args!("{}; connecting again", end.without_advice()));
        self.session.route().retry(self.session.sender())?;
        self.refresh();
        Ok(())
    }

    fn back(&mut self, back: Result<Session, Error>) {
        match back {
            Ok(session) => {
                self.session.adopt(session);
                self.host_state.set_down(false);
                let name = self.session.name();
                self.tell(&format_args!("connected to {name} again, as a new session"));
                // The answers come when they come: a prompt may be up, or a question.
                let requests =
                    [InternalRequest::Info, InternalRequest::Watch, InternalRequest::Docs];
                // Nothing is waited for here that could fail.
                let _ = self.introduce(&requests);
            }
            Err(error) => {
                self.tell(&error);
                self.tell(&"not connected, and not trying any longer; Ctrl-D ends the client");
            }
        }
        self.refresh();
    }

    /// Notes a Ctrl-C: what the person has entered and what is not sent yet waits for a new Enter.
    fn note_interrupt(&mut self) {
        self.signals.heard();
        self.is_interrupted = true;
    }

    /// Says something, above the prompt where one is up.
    fn tell(&self, message: &dyn Display) {
        if !(self.is_asking && self.prompter.print(self.screen.say_text(message))) {
            self.screen.say(message);
        }
    }

    fn print(&self, values: &[Reply]) {
        if !(self.is_asking && self.prompter.print(self.screen.push_text(values))) {
            self.screen.push(values);
        }
    }

    fn refresh(&self) {
        if self.is_asking {
            self.prompter.refresh();
        }
    }
}

/// Whether this tells that the commands may be others than before.
fn is_change(values: &[Reply]) -> bool {
    matches!(values, [Reply::Text(kind), ..] if &kind[..] == b"commands")
}

/// Whether this tells how far a command is.
fn is_progress(values: &[Reply]) -> bool {
    matches!(values, [Reply::Text(kind), ..] if &kind[..] == b"progress")
}

/// What `CLIENT INFO` says of the role.
fn role(reply: &Reply) -> Option<String> {
    let Reply::Text(line) = reply else { return None };
    let line = String::from_utf8_lossy(line);
    let role = line.split_whitespace().find_map(|field| field.strip_prefix("role="))?;
    let plain = !role.is_empty() && role.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| role.to_owned())
}
