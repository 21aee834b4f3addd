//! The exchange of one typed line: confirmation, sending, messages meanwhile, and the reply.

use std::time::Instant;

use super::{LineOutcome, PROMPT_DATA, Repl, push_kind};
use crate::{
    conversation::{
        connection::Received,
        event::{Input, LocalEvent},
        internal_request::InternalRequest,
        session::{SessionEvent, is_close_command},
    },
    error::{Error, LossCause},
    output::progress::ProgressBar,
    prompt::{confirm, editor::Question, line::PromptLine, shell},
    reply::Reply,
};

impl Repl {
    /// Runs a line.
    pub(super) fn run_line(&mut self, line: &str) -> Result<LineOutcome, Error> {
        let PromptLine { command, pipe } = match PromptLine::parse(line) {
            Ok(line) => line,
            Err(error) => {
                self.screen.show_error(&error);
                return Ok(LineOutcome::Completed);
            }
        };
        if command.is_empty() {
            if let Some(pipe) = pipe {
                self.run_pipe(&pipe, b"");
            }
            return Ok(LineOutcome::Completed);
        }
        if is_close_command(&command) {
            return Ok(LineOutcome::Leave);
        }
        // The connection is checked afterwards, since it can be lost while the person thinks.
        if !self.confirm(&command)? {
            return Ok(LineOutcome::Completed);
        }
        self.finish_cancelling()?;
        if self.is_interrupted {
            return Ok(LineOutcome::NotSent);
        }
        if self.host_state.is_down() {
            self.screen.show_message(&format_args!(
                "not connected to {}; the line is kept: Enter sends it once there is a connection",
                self.session.name()
            ));
            return Ok(LineOutcome::NotSent);
        }
        let Some(reply) = self.call(&command)? else {
            return Ok(match self.host_state.is_down() {
                true => LineOutcome::ConnectionLost,
                false => LineOutcome::Completed,
            });
        };
        self.show_reply(&reply, pipe.as_deref())?;
        if !reply.is_error() {
            self.apply_login(&command)?;
        }
        Ok(LineOutcome::Completed)
    }

    /// Asks about a command that affects others; false when it is not to be sent.
    fn confirm(&mut self, command: &[Vec<u8>]) -> Result<bool, Error> {
        let Some(warning) = confirm::warning(command) else { return Ok(true) };
        if self.host_state.is_down() {
            return Ok(true);
        }
        let prompt = format!("{warning}; go on? y or n: ");
        match self.ask(Question::Answer { prompt })? {
            Input::Line(answer) if confirm::is_confirmed(&answer) => Ok(true),
            answer => {
                self.is_interrupted |= matches!(answer, Input::Discarded);
                self.screen.show_message(&"not sent");
                Ok(false)
            }
        }
    }

    /// Sends a command and waits for its reply; `None` when it was given up or the connection lost.
    fn call(&mut self, command: &[Vec<u8>]) -> Result<Option<Reply>, Error> {
        let deadline = self.session.send(command);
        let mut bar = ProgressBar::new();
        let mut interrupts = 0;
        loop {
            let event = match self.session.next_event(deadline) {
                Ok(Some(event)) => event,
                Ok(None) => {
                    bar.erase();
                    match self.session.expire_command() {
                        // The session drops the late reply; other commands can follow.
                        error @ Error::Timeout { .. } => self.screen.show_message(&error),
                        error => self.handle_loss(error)?,
                    }
                    return Ok(None);
                }
                Err(error) => {
                    bar.erase();
                    self.handle_loss(error)?;
                    return Ok(None);
                }
            };
            match event {
                SessionEvent::Received(Received::Reply(reply)) => return Ok(Some(reply)),
                SessionEvent::Received(Received::Push(values))
                    if push_kind(&values) != Some(b"commands") =>
                {
                    bar.draw_or(&values, |values| self.screen.show_push(values));
                }
                SessionEvent::Local(LocalEvent::Interrupt) => {
                    bar.erase();
                    self.note_interrupt();
                    interrupts += 1;
                    if interrupts > 1 {
                        self.abandon(command)?;
                        return Ok(None);
                    }
                    self.request_cancel()?;
                }
                // The result of an earlier request does not concern this command.
                SessionEvent::Local(LocalEvent::Cancelled(request, result))
                    if self.end_cancel_request(&request) =>
                {
                    bar.erase();
                    self.show_cancel_result(&result);
                }
                other => self.handle_event(other)?,
            }
        }
    }

    /// Asks the host to cancel the running command.
    fn request_cancel(&mut self) -> Result<(), Error> {
        let Some(Reply::Integer(id)) = self.session.greeting("id") else {
            let message = "this host cannot cancel a command; Ctrl-C again gives it up";
            self.screen.show_message(&message);
            return Ok(());
        };
        let message = "asking the host to cancel; Ctrl-C again gives the command up";
        self.screen.show_message(&message);
        self.cancel_request = Some(self.session.cancel(*id)?);
        Ok(())
    }

    fn show_cancel_result(&self, result: &Result<bool, Error>) {
        match result {
            Ok(true) => {}
            Ok(false) => self.screen.show_message(&"the host says that nothing was running"),
            Err(error) => self.screen.show_message(&format_args!("cannot cancel: {error}")),
        }
    }

    /// Waits until the last cancel request can no longer hit the next command.
    fn finish_cancelling(&mut self) -> Result<(), Error> {
        let timeout = self.session.connect_timeout();
        let mut deadline = Instant::now().checked_add(timeout);
        while let Some(request) = &self.cancel_request {
            match self.session.next_event(deadline) {
                Ok(Some(event)) => self.handle_event(event)?,
                Ok(None) if request.revoke() => self.cancel_request = None,
                // The request is sent: its reply or its own timeout comes within this time.
                Ok(None) => deadline = Instant::now().checked_add(timeout),
                Err(error) => self.handle_loss(error)?,
            }
        }
        Ok(())
    }

    /// Gives up a command together with the connection, on which nothing can follow it.
    fn abandon(&mut self, command: &[Vec<u8>]) -> Result<(), Error> {
        if !self.reconnects {
            return Err(Error::Interrupted);
        }
        let name = self.session.name().to_owned();
        let unanswered = command.first().map(|name| String::from_utf8_lossy(name).into_owned());
        self.session.abandon();
        self.handle_loss(Error::Lost { name, source: LossCause::Abandoned, unanswered })
    }

    fn show_reply(&self, reply: &Reply, pipe: Option<&str>) -> Result<(), Error> {
        let io_error = |source| Error::Io { operation: "write to the terminal", source };
        if reply.is_error() {
            return self.screen.show_reply(reply).map_err(io_error);
        }
        let mut text = Vec::new();
        // The output of a pipe appears on the terminal, too.
        self.screen.format().write(&mut text, reply, true).map_err(io_error)?;
        match pipe {
            Some(pipe) => self.run_pipe(pipe, &text),
            None if shell::show_in_pager(&text, &self.signals) => {}
            None => self.screen.write_stdout(&text).map_err(io_error)?,
        }
        Ok(())
    }

    fn run_pipe(&self, line: &str, text: &[u8]) {
        if let Err(error) = shell::run_pipe(line, text, &self.signals) {
            self.screen.show_message(&format_args!("cannot run the shell: {error}"));
        }
    }

    /// Stores a login for further connections and updates the prompt.
    fn apply_login(&mut self, command: &[Vec<u8>]) -> Result<(), Error> {
        let is_word = |word: &Vec<u8>, name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let Some(name) = command.first() else { return Ok(()) };
        if is_word(name, "auth") {
            self.session.set_login(Some(command.to_vec()));
            return self.query_host(&PROMPT_DATA);
        }
        if is_word(name, "hello") {
            if let Some(auth) = command.iter().position(|word| is_word(word, "auth")) {
                self.session.set_login(Some(command[auth..].iter().take(3).cloned().collect()));
            }
        } else if is_word(name, "reset") {
            self.session.set_login(None);
        } else {
            return Ok(());
        }
        // Both commands can select another protocol than the client reads.
        self.query_host(&[
            InternalRequest::Hello,
            InternalRequest::Watch,
            InternalRequest::Info,
            InternalRequest::Docs,
        ])
    }
}
