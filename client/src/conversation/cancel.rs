//! Cancelling a running command over a second connection.

use crossbeam_channel::Sender;

use crate::{
    conversation::{
        background::spawn,
        cancel_request::CancelRequest,
        connection::{ConnectOptions, Connection},
        event::LocalEvent,
    },
    error::Error,
    reply::Reply,
};

/// Asks the host to cancel the running command of the session with this number.
///
/// [`LocalEvent::Cancelled`] reports the result. A revoked request is not sent.
pub fn cancel(
    options: ConnectOptions,
    session: i64,
    events: Sender<LocalEvent>,
) -> Result<CancelRequest, Error> {
    let request = CancelRequest::new();
    let carried = request.clone();
    spawn("cancel", move || {
        let result = send(options, session, &carried);
        let _ = events.send(LocalEvent::Cancelled(carried, result));
    })?;
    Ok(request)
}

fn send(options: ConnectOptions, session: i64, request: &CancelRequest) -> Result<bool, Error> {
    let timeout = Some(options.connect_timeout);
    let mut connection = Connection::open(&ConnectOptions { timeout, ..options }, &mut |_| {})?;
    // Meanwhile the session can run another command, or its number can be another client's.
    if !request.begin_sending() {
        return Ok(false);
    }
    let words = [b"CLIENT".to_vec(), b"CANCEL".to_vec(), session.to_string().into_bytes()];
    match connection.call(&words, &mut |_| {})? {
        Reply::Integer(number) => Ok(number > 0),
        Reply::Error(message) => Err(Error::Refused {
            name: connection.name().to_owned(),
            message: String::from_utf8_lossy(&message).into_owned(),
        }),
        _ => Ok(false),
    }
}
