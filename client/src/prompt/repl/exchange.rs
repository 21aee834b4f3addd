//! One line that a person has typed: what is sent, heard meanwhile, and shown.

use std::time::Instant;

use super::{Done, Repl, is_change};
use crate::{
    conversation::{
        cancelling::Cancelling,
        event::{Heard, Input, InternalRequest},
    },
    error::Error,
    output::progress::Bar,
    prompt::{confirm, editor::Question, line::Line, shell},
    reply::Reply,
    script::batch::is_end,
};

impl Repl {
    /// Does what a line says.
    pub(super) fn run_line(&mut self, line: &str) -> Result<Done, Error> {
        let Line { command, pipe } = match Line::parse(line) {
            Ok(line) => line,
            Err(bad) => {
                self.screen.error(&bad);
                return Ok(Done::Yes);
            }
        };
        if command.is_empty() {
            if let Some(pipe) = pipe {
                self.pipe(&pipe, b"");
            }
            return Ok(Done::Yes);
        }
        if is_end(&command) {
            return Ok(Done::Leave);
        }
        // Asked about before the connection is looked at: it may go while the person thinks.
        if let Some(warning) = confirm::warning(&command)
            && !self.host_state.is_down()
        {
            let question = Question::Answer(format!("{warning}; go on? y or n: "));
            match self.ask(question)? {
                Input::Line(answer) if confirm::is_confirmed(&answer) => {}
                refused => {
                    self.is_interrupted |= matches!(refused, Input::Forget);
                    self.screen.say(&"not sent");
                    return Ok(Done::Yes);
                }
            }
        }
        self.await_cancelling()?;
        if self.is_interrupted {
            return Ok(Done::Kept);
        }
        if self.host_state.is_down() {
            self.screen.say(&format_args!(
                "not connected to {}; the line is kept: Enter sends it once there is a connection",
                self.session.name()
            ));
            return Ok(Done::Kept);
        }
        let Some(reply) = self.converse(&command)? else {
            return Ok(if self.host_state.is_down() { Done::CutOff } else { Done::Yes });
        };
        self.show(&reply, pipe.as_deref())?;
        if !reply.is_error() {
            self.note_login(&command)?;
        }
        Ok(Done::Yes)
    }

    /// Sends a command and waits for its reply; none where it was given up, or the connection lost.
    fn converse(&mut self, command: &[Vec<u8>]) -> Result<Option<Reply>, Error> {
        let deadline = self.session.send(command);
        let mut bar = Bar::new();
        let mut interrupts = 0;
        loop {
            let heard = match self.session.hear(deadline) {
                Ok(Some(heard)) => heard,
                Ok(None) => {
                    bar.erase();
                    match self.session.give_up() {
                        // The reply is thrown away when it comes; other commands can be tried.
                        late @ Error::Timeout { .. } => self.screen.say(&late),
                        end => self.lost(end)?,
                    }
                    return Ok(None);
                }
                Err(end) => {
                    bar.erase();
                    self.lost(end)?;
                    return Ok(None);
                }
            };
            match heard {
                Heard::Reply(reply) => return Ok(Some(reply)),
                Heard::Push(values) if !is_change(&values) => {
                    bar.take_or(&values, |values| self.screen.push(values));
                }
                Heard::Interrupt => {
                    bar.erase();
                    self.note_interrupt();
                    interrupts += 1;
                    if interrupts == 1 {
                        self.cancel()?;
                    } else {
                        self.abandon(command)?;
                        return Ok(None);
                    }
                }
                // What came of an earlier one says nothing of this command.
                Heard::Cancelled(wish, outcome) if self.end_cancelling(&wish) => {
                    bar.erase();
                    match outcome {
                        Ok(true) => {}
                        Ok(false) => self.screen.say(&"the host says that nothing was running"),
                        Err(error) => self.screen.say(&format_args!("cannot cancel: {error}")),
                    }
                }
                other => self.take(other)?,
            }
        }
    }

    /// Asks the host to end the running command early.
    fn cancel(&mut self) -> Result<(), Error> {
        let Some(Reply::Integer(id)) = self.session.greeting("id") else {
            self.screen.say(&"this host cannot cancel a command; Ctrl-C again gives it up");
            return Ok(());
        };
        self.screen.say(&"asking the host to cancel; Ctrl-C again gives the command up");
        self.cancelling = Some(self.session.route().cancel(*id, self.session.sender())?);
        Ok(())
    }

    /// Notes that the host has been asked; false where that was for an earlier command.
    pub(super) fn end_cancelling(&mut self, wish: &Cancelling) -> bool {
        self.cancelling.take_if(|current| current.is(wish)).is_some()
    }

    /// What cancels one command must not reach the host during the next.
    fn await_cancelling(&mut self) -> Result<(), Error> {
        let timeout = self.session.route().connect_timeout;
        let mut deadline = Instant::now().checked_add(timeout);
        while let Some(wish) = &self.cancelling {
            match self.session.hear(deadline) {
                Ok(Some(heard)) => self.take(heard)?,
                Ok(None) if wish.call_off() => self.cancelling = None,
                // It is on its way: its answer comes, or its own wait for one ends, in that time.
                Ok(None) => deadline = Instant::now().checked_add(timeout),
                Err(end) => self.lost(end)?,
            }
        }
        Ok(())
    }

    /// Gives up a command, and the connection that will carry nothing else.
    fn abandon(&mut self, command: &[Vec<u8>]) -> Result<(), Error> {
        if !self.reconnect {
            return Err(Error::Interrupted);
        }
        let name = self.session.name().to_owned();
        let command = command.first().map(|name| String::from_utf8_lossy(name).into_owned());
        self.session.abandon();
        self.lost(Error::Lost { name, cause: "given up".to_owned(), unanswered: command })
    }

    fn show(&self, reply: &Reply, pipe: Option<&str>) -> Result<(), Error> {
        let local = |source| Error::Local { doing: "write to the terminal", source };
        if reply.is_error() {
            return self.screen.reply(reply).map_err(local);
        }
        let mut text = Vec::new();
        // What comes out of a pipe is shown on the terminal, too.
        self.screen.format().write(&mut text, reply, true).map_err(local)?;
        match pipe {
            Some(pipe) => self.pipe(pipe, &text),
            None if shell::page(&text, &self.signals) => {}
            None => self.screen.text(&text).map_err(local)?,
        }
        Ok(())
    }

    fn pipe(&self, line: &str, text: &[u8]) {
        if let Err(error) = shell::pipe(line, text, &self.signals) {
            self.screen.say(&format_args!("cannot run the shell: {error}"));
        }
    }

    /// Notes who the person is from now on, for further connections and for the prompt.
    fn note_login(&mut self, command: &[Vec<u8>]) -> Result<(), Error> {
        let is = |word: &Vec<u8>, name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let Some(name) = command.first() else { return Ok(()) };
        if is(name, "auth") {
            self.session.set_login(Some(command.to_vec()));
            return self.introduce(&[
                InternalRequest::Info,
                InternalRequest::Watch,
                InternalRequest::Docs,
            ]);
        }
        if is(name, "hello") {
            if let Some(auth) = command.iter().position(|word| is(word, "auth")) {
                self.session.set_login(Some(command[auth..].iter().take(3).cloned().collect()));
            }
        } else if is(name, "reset") {
            self.session.set_login(None);
        } else {
            return Ok(());
        }
        // Both can leave another protocol than the client reads.
        self.introduce(&[
            InternalRequest::Hello,
            InternalRequest::Watch,
            InternalRequest::Info,
            InternalRequest::Docs,
        ])
    }
}
