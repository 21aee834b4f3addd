//! The interactive loop at a terminal.

mod events;
mod exchange;

use std::{fmt::Display, sync::Arc};

use crate::{
    conversation::{
        cancel_request::CancelRequest,
        event::{Input, LocalEvent},
        internal_request::InternalRequest,
        session::{Session, SessionEvent},
        signals::Signals,
    },
    error::Error,
    output::screen::Screen,
    prompt::{
        editor::{Prompter, Question},
        host_state::HostState,
    },
    reply::Reply,
};

/// The exit code of a client that ends without a connection.
const NOT_CONNECTED: u8 = 2;

/// The requests for the data that a prompt shows.
const PROMPT_DATA: [InternalRequest; 3] =
    [InternalRequest::Info, InternalRequest::Watch, InternalRequest::Docs];

/// Runs typed commands until the person or the host ends the session; returns the exit code.
///
/// With `reconnects`, a lost connection is replaced by a new one.
pub fn run(session: Session, screen: Screen, reconnects: bool) -> Result<u8, Error> {
    screen.show_notice(&format_args!(
        "connected to {}; close or Ctrl-D ends the session",
        session.name()
    ));
    let host_state = Arc::new(HostState::new(session.name()));
    let signals = Signals::watch(session.sender())?;
    let prompter =
        Prompter::start(Arc::clone(&host_state), session.sender(), signals.clone(), |warning| {
            screen.show_message(&warning)
        })?;
    let mut repl = Repl {
        session,
        screen,
        reconnects,
        prompter,
        host_state,
        signals,
        is_asking: false,
        is_interrupted: false,
        cancel_request: None,
        requires_login: false,
    };
    match repl.run() {
        Ok(()) if repl.host_state.is_down() => Ok(NOT_CONNECTED),
        Ok(()) => {
            repl.session.close();
            Ok(0)
        }
        // A host that says goodbye ends the session in an orderly way.
        Err(error @ Error::ClosedWithNotice { .. }) => {
            screen.show_message(&error);
            Ok(0)
        }
        Err(other) => Err(other),
    }
}

struct Repl {
    session: Session,
    screen: Screen,
    reconnects: bool,
    prompter: Prompter,
    host_state: Arc<HostState>,
    signals: Signals,
    /// A prompt is on the screen.
    is_asking: bool,
    /// Ctrl-C was pressed since the person entered the current lines.
    is_interrupted: bool,
    /// The request that the host has not answered yet.
    cancel_request: Option<CancelRequest>,
    /// The host serves this session only after a login.
    requires_login: bool,
}

/// The result of a line.
enum LineOutcome {
    /// The line has run.
    Completed,
    /// The line was not sent, and the next prompt shows it again.
    NotSent,
    /// The connection was lost while the line ran.
    ConnectionLost,
    /// The person ends the session.
    Leave,
}

impl Repl {
    /// Runs lines until the person leaves.
    fn run(&mut self) -> Result<(), Error> {
        self.query_host(&PROMPT_DATA)?;
        let mut initial = String::new();
        loop {
            let prompt = self.host_state.prompt();
            let question = Question::Command { prompt, initial: std::mem::take(&mut initial) };
            match self.ask(question)? {
                Input::Line(lines) => match self.run_lines(&String::from_utf8_lossy(&lines))? {
                    Some(rest) => initial = rest,
                    None => return Ok(()),
                },
                Input::Discarded => {}
                Input::End => return Ok(()),
                Input::Failed(source) => {
                    return Err(Error::Io { operation: "read from the terminal", source });
                }
            }
        }
    }

    /// Runs the lines of one input and returns those to enter again; `None` when the person leaves.
    fn run_lines(&mut self, lines: &str) -> Result<Option<String>, Error> {
        let lines: Vec<_> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
        self.is_interrupted = false;
        for (index, line) in lines.iter().enumerate() {
            // Ctrl-C between two lines keeps the rest from being sent.
            while let Some(event) = self.session.try_local_event() {
                self.handle_local(event)?;
            }
            if self.is_interrupted {
                return Ok(Some(lines[index..].join("\n")));
            }
            if lines.len() > 1 {
                self.screen.show_running_line(line);
            }
            match self.run_line(line)? {
                LineOutcome::Completed => {}
                LineOutcome::NotSent => return Ok(Some(lines[index..].join("\n"))),
                LineOutcome::ConnectionLost => return Ok(Some(lines[index + 1..].join("\n"))),
                LineOutcome::Leave => return Ok(None),
            }
        }
        Ok(Some(String::new()))
    }

    /// Asks the person and handles events until the answer.
    fn ask(&mut self, question: Question) -> Result<Input, Error> {
        self.prompter.ask(question);
        self.is_asking = true;
        let answer = self.wait_for_answer();
        self.is_asking = false;
        if answer.is_err() {
            let session = &self.session;
            self.prompter.cancel(|limit| session.input_within(limit).is_some());
        }
        answer
    }

    fn wait_for_answer(&mut self) -> Result<Input, Error> {
        loop {
            match self.session.next_event(None) {
                Ok(Some(SessionEvent::Local(LocalEvent::Input(input)))) => return Ok(input),
                Ok(Some(event)) => self.handle_event(event)?,
                Ok(None) => {}
                Err(error) => self.handle_loss(error)?,
            }
        }
    }

    /// Notes a Ctrl-C: lines that are not sent yet wait for a new Enter.
    fn note_interrupt(&mut self) {
        self.signals.acknowledge();
        self.is_interrupted = true;
    }

    /// Shows a message, above the prompt while one is on the screen.
    fn show_message(&self, message: &dyn Display) {
        if !(self.is_asking && self.prompter.print(self.screen.format_message(message))) {
            self.screen.show_message(message);
        }
    }

    fn show_push(&self, values: &[Reply]) {
        if !(self.is_asking && self.prompter.print(self.screen.format_push(values))) {
            self.screen.show_push(values);
        }
    }

    fn redraw_prompt(&self) {
        if self.is_asking {
            self.prompter.redraw();
        }
    }
}

/// Returns the kind of a push message.
fn push_kind(values: &[Reply]) -> Option<&[u8]> {
    if let Some(Reply::Text(kind)) = values.first() { Some(kind) } else { None }
}
