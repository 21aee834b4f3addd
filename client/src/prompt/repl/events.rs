//! Events of either side, at the prompt and while a command runs.

use std::time::Instant;

use super::{PROMPT_DATA, Repl, push_kind};
use crate::{
    conversation::{
        cancel_request::CancelRequest,
        connection::{Connection, Received},
        event::LocalEvent,
        internal_request::InternalRequest,
        session::SessionEvent,
    },
    error::Error,
    prompt::commands::Commands,
    reply::Reply,
};

impl Repl {
    /// Handles an event that can come at any time.
    pub(super) fn handle_event(&mut self, event: SessionEvent) -> Result<(), Error> {
        match event {
            SessionEvent::Local(event) => self.handle_local(event)?,
            SessionEvent::Received(Received::Push(values)) => match push_kind(&values) {
                Some(b"commands") => self.session.send_internal(InternalRequest::Docs),
                Some(b"progress") => {}
                _ => self.show_push(&values),
            },
            SessionEvent::Received(Received::Unrequested(reply)) => self.show_push(&[reply]),
            SessionEvent::Received(Received::InternalReply(request, reply)) => {
                self.apply_internal_reply(request, &reply);
            }
            // Only a running command waits for a reply.
            SessionEvent::Received(Received::Reply(_)) => {}
        }
        Ok(())
    }

    pub(super) fn handle_local(&mut self, event: LocalEvent) -> Result<(), Error> {
        match event {
            LocalEvent::Interrupt => self.note_interrupt(),
            LocalEvent::Terminate => return Err(Error::Interrupted),
            LocalEvent::Reconnected(result) => self.handle_reconnected(*result),
            LocalEvent::Cancelled(request, _) => {
                self.end_cancel_request(&request);
            }
            // Only a prompt waits for input.
            LocalEvent::Input(_) => {}
        }
        Ok(())
    }

    /// Sends requests for the data of the prompt; only a Dropin host knows them.
    ///
    /// Without a prompt on the screen, this waits for the reply to [`InternalRequest::Info`].
    pub(super) fn query_host(&mut self, requests: &[InternalRequest]) -> Result<(), Error> {
        if !matches!(self.session.greeting("server"), Some(Reply::Text(name)) if name == "dropin") {
            return Ok(());
        }
        requests.iter().for_each(|request| self.session.send_internal(*request));
        let deadline = Instant::now().checked_add(self.session.connect_timeout());
        while !self.is_asking && !self.host_state.is_down() {
            match self.session.next_event(deadline) {
                Ok(Some(SessionEvent::Received(Received::InternalReply(request, reply)))) => {
                    self.apply_internal_reply(request, &reply);
                    if request == InternalRequest::Info {
                        break;
                    }
                }
                Ok(Some(event)) => self.handle_event(event)?,
                Ok(None) => break,
                Err(error) => self.handle_loss(error)?,
            }
        }
        Ok(())
    }

    fn apply_internal_reply(&mut self, request: InternalRequest, reply: &Reply) {
        match request {
            InternalRequest::Info => {
                self.requires_login =
                    matches!(reply, Reply::Error(error) if error.starts_with(b"NOAUTH"));
                self.host_state.set_role(parse_role(reply));
            }
            // A session without the permission gets no hints.
            InternalRequest::Docs => {
                self.host_state.set_commands(Commands::from_reply(reply).unwrap_or_default());
            }
            InternalRequest::Hello | InternalRequest::Watch => {}
        }
        self.redraw_prompt();
    }

    /// Starts to reconnect, or returns the error where that is not possible or not wanted.
    pub(super) fn handle_loss(&mut self, error: Error) -> Result<(), Error> {
        // A host closes sessions that do not log in: reconnecting would not end.
        if !self.reconnects || self.requires_login || !error.can_reconnect() {
            return Err(error);
        }
        self.host_state.set_down(true);
        // After a restart of the host, another session can have the number of this one.
        if let Some(request) = self.cancel_request.take() {
            request.revoke();
        }
        self.show_message(&format_args!("{}; connecting again", error.without_advice()));
        self.session.reconnect()?;
        self.redraw_prompt();
        Ok(())
    }

    fn handle_reconnected(&mut self, result: Result<Connection, Error>) {
        match result {
            Ok(connection) => {
                self.session.replace_connection(connection);
                self.host_state.set_down(false);
                let name = self.session.name();
                self.show_message(&format_args!("connected to {name} again, as a new session"));
                // A failure comes again as an event of the new connection.
                let _ = self.query_host(&PROMPT_DATA);
            }
            Err(error) => {
                self.show_message(&error);
                self.show_message(
                    &"not connected, and not trying any longer; Ctrl-D ends the client",
                );
            }
        }
        self.redraw_prompt();
    }

    /// Notes that the host has answered; false for the request of an earlier command.
    pub(super) fn end_cancel_request(&mut self, request: &CancelRequest) -> bool {
        self.cancel_request.take_if(|current| current.is_same(request)).is_some()
    }
}

/// Returns the role in a reply to `CLIENT INFO`.
fn parse_role(reply: &Reply) -> Option<String> {
    let Reply::Text(line) = reply else { return None };
    let line = String::from_utf8_lossy(line);
    let role = line.split_whitespace().find_map(|field| field.strip_prefix("role="))?;
    let is_plain = !role.is_empty() && role.chars().all(|c| c.is_ascii_alphanumeric());
    is_plain.then(|| role.to_owned())
}
