//! The built-in `client`, which shows, names, cancels and ends sessions.

use std::{fmt::Write, net::SocketAddr, sync::Arc};

use auth::keys::{Key, Role};
use plugin_engine::call::Call;
use protocol::Encoder;

use super::subcommands::{self, Subcommand};
use crate::{
    commands::{caller::Caller, flow::Flow},
    runtime::client_handle::{ClientHandle, Dismissal},
};

const BAD_NAME: &str = "Client names cannot contain spaces, newlines or special characters.";

/// The longest name that a client may give itself or its library, in bytes. `CLIENT LIST` shows
/// the names of all clients.
const LONGEST_NAME: usize = 256;

const LONG_NAME: &str = "Client names cannot be longer than 256 bytes.";

/// The subcommands.
pub(super) const SUBCOMMANDS: [Subcommand; 8] = [
    Subcommand {
        name: "cancel",
        usage: "ID",
        help: "Has the command that a session runs end early.",
    },
    Subcommand { name: "getname", usage: "", help: "Shows this session's name." },
    Subcommand { name: "id", usage: "", help: "Shows this session's number." },
    Subcommand { name: "info", usage: "", help: "Shows this session in one line." },
    Subcommand {
        name: "kill",
        usage: "SESSION",
        help: "Ends a session, named by its number or its address.",
    },
    Subcommand {
        name: "list",
        usage: "",
        help: "Shows the sessions that you may see, one a line.",
    },
    Subcommand {
        name: "setinfo",
        usage: "OPTION VALUE",
        help: "Names this client's library: LIB-NAME or LIB-VER.",
    },
    Subcommand { name: "setname", usage: "NAME", help: "Names this session." },
];

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    answer(call, caller, reply);
    Flow::Next
}

fn answer(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) {
    let session = caller.session;
    let (subcommand, count) = (call.argument(0).unwrap_or_default(), call.spans.len() - 1);
    match (subcommand.to_ascii_uppercase().as_slice(), count) {
        (b"ID", 1) => reply.integer(i64::try_from(session.id).unwrap_or(i64::MAX)),
        (b"GETNAME", 1) => match session.names().session.as_str() {
            "" => reply.null(),
            name => reply.text(name.as_bytes()),
        },
        (b"SETNAME", 2) => match call.argument(1) {
            Some(name) => match check_name(name) {
                Ok(name) => {
                    session.rename(|names| names.session = name);
                    reply.ok();
                }
                Err(problem) => reply.error("ERR", problem.as_bytes()),
            },
            None => reply.error("ERR", BAD_NAME.as_bytes()),
        },
        (b"SETINFO", 3) => set_info(call, caller, reply),
        (b"INFO", 1) => reply.text(format_session(session, caller).as_bytes()),
        (b"LIST", 1) => {
            let sessions = caller.visible_sessions();
            let lines: String = sessions.iter().map(|one| format_session(one, caller)).collect();
            reply.text(lines.as_bytes());
        }
        (b"CANCEL", 2) => cancel(call, caller, reply),
        (b"KILL", 2 | 3) => kill(call, caller, reply),
        _ => subcommands::refuse("client", &SUBCOMMANDS, subcommand, reply),
    }
}

/// Cancels the command that a session runs. The reply is 1 if one was running, else 0.
fn cancel(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) {
    let id = call.argument(1).and_then(|id| str::from_utf8(id).ok()?.parse::<u64>().ok());
    let Some(id) = id else {
        return reply.error("ERR", b"a session is named by its number, see CLIENT LIST or HELLO");
    };
    let session = caller.shared.sessions.list().into_iter().find(|session| session.id == id);
    // A session out of reach gets the same error as a missing one, so numbers reveal nothing.
    let Some(session) = session.filter(|session| is_within_reach(caller, session)) else {
        return reply.error("ERR", format!("there is no session {id}").as_bytes());
    };
    reply.integer(session.cancel_running().into());
}

/// Ends a session, which is named by its number or its address (`ip:port`). With `ID number`, as in
/// Redis since 2.8.12, the reply is the number of ended sessions, and the own session stays.
fn kill(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) {
    if !caller.identity.is_admin() {
        return reply.error("NOPERM", b"ending a session takes the role admin");
    }
    let word = |index| call.argument(index).and_then(|word| str::from_utf8(word).ok());
    let (name, is_filter) = match (word(1), word(2)) {
        (Some(name), None) => (name, false),
        (Some(filter), Some(id)) if filter.eq_ignore_ascii_case("id") => (id, true),
        _ => return reply.error("ERR", b"syntax error, usage: client kill [ID] SESSION"),
    };
    let (id, peer) = (name.parse::<u64>().ok(), name.parse::<SocketAddr>().ok());
    if id.is_none() && (peer.is_none() || is_filter) {
        return reply.error("ERR", b"a session is named by its number, see CLIENT LIST or HELLO");
    }
    let is_meant = |one: &Arc<ClientHandle>| id == Some(one.id) || peer == Some(one.peer);
    let mut sessions = caller.shared.sessions.list();
    sessions.retain(|one| is_meant(one) && !(is_filter && one.id == caller.session.id));
    let is_ended = !sessions.is_empty();
    sessions.retain(|one| one.dismissal() != Some(Dismissal::Killed));
    for session in &sessions {
        let (by, from) = (caller.session.id, session.peer);
        log::info!("session {} from {from}: ended by session {by} (client kill)", session.id);
        session.kill();
    }
    match sessions.len() {
        count if is_filter => reply.integer(i64::try_from(count).unwrap_or(i64::MAX)),
        0 if is_ended => {
            let message = format!("session {name} is ended already, its worker has not returned");
            reply.error("ERR", message.as_bytes());
        }
        0 => reply.error("ERR", format!("there is no session {name}").as_bytes()),
        _ => reply.ok(),
    }
}

/// Returns whether the caller may cancel commands of this session: as an admin, or with the same
/// key.
fn is_within_reach(caller: &Caller<'_>, session: &ClientHandle) -> bool {
    let same_key = |own: &Arc<Key>| session.key().is_some_and(|others| others.name == own.name);
    caller.identity.is_admin() || caller.identity.key().is_some_and(same_key)
}

/// Checks a session's name: visible ASCII, as in Redis, and at most [`LONGEST_NAME`] bytes. An
/// empty name removes the name.
pub(super) fn check_name(name: &[u8]) -> Result<String, &'static str> {
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(BAD_NAME);
    }
    if name.len() > LONGEST_NAME {
        return Err(LONG_NAME);
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn set_info(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) {
    let (option, value) =
        (call.argument(1).unwrap_or_default(), call.argument(2).unwrap_or_default());
    let shown = String::from_utf8_lossy(option.get(..128).unwrap_or(option));
    let value = match check_name(value) {
        Ok(value) => value,
        Err(LONG_NAME) => {
            let message = format!("{shown} cannot be longer than {LONGEST_NAME} bytes.");
            return reply.error("ERR", message.as_bytes());
        }
        Err(_) => {
            let message = format!("{shown} cannot contain spaces, newlines or special characters.");
            return reply.error("ERR", message.as_bytes());
        }
    };
    if option.eq_ignore_ascii_case(b"LIB-NAME") {
        caller.session.rename(|names| names.library = value);
    } else if option.eq_ignore_ascii_case(b"LIB-VER") {
        caller.session.rename(|names| names.library_version = value);
    } else {
        return reply.error("ERR", format!("Unrecognized option '{shown}'").as_bytes());
    }
    reply.ok();
}

/// Formats a session as one line, in Redis's format. The role, which Redis does not have, is last.
fn format_session(session: &ClientHandle, caller: &Caller<'_>) -> String {
    let (names, age, idle) = (session.names(), session.age().as_secs(), session.idle().as_secs());
    let key = session.key();
    let role = match &key {
        Some(key) => key.role.name(),
        None if caller.shared.config.access.trust.covers(session.peer.ip()) => Role::Admin.name(),
        None => "none",
    };
    let mut line = format!("id={} addr={} name={}", session.id, session.peer, names.session);
    // Writing to a string cannot fail.
    let _ = writeln!(
        line,
        " age={age} idle={idle} flags=N db=0 tot-cmds={} user={} lib-name={} lib-ver={} role={}",
        session.commands(),
        key.as_ref().map_or("default", |key| key.name.as_str()),
        names.library,
        names.library_version,
        role
    );
    line
}
