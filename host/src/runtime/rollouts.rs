//! Answers the requests of sessions about the rollouts of a fleet.

use fleet::{RolloutError, RolloutFacts, Rollouts};
use protocol::Encoder;

use super::rollout_request::RolloutRequest;

/// Answers a request.
pub fn answer(rollouts: &Rollouts<'_>, request: RolloutRequest<'_>, reply: &mut Encoder) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let answer = match request {
        RolloutRequest::Begin { session, file, size, signature } => {
            let Some(size) = number(size).and_then(|size| usize::try_from(size).ok()) else {
                return reply.error("ERR", b"the size is not a number of bytes");
            };
            match rollouts.begin(session, &text(file), size, text(signature)) {
                Ok(upload) => return reply.integer(i64::try_from(upload).unwrap_or(i64::MAX)),
                Err(error) => Err(error),
            }
        }
        RolloutRequest::Part { session, upload, piece } => {
            let Some(upload) = number(upload) else { return refuse_number(reply) };
            match rollouts.add(session, upload, piece) {
                Ok(()) => return reply.ok(),
                Err(error) => Err(error),
            }
        }
        RolloutRequest::End { session, upload } => {
            let Some(upload) = number(upload) else { return refuse_number(reply) };
            rollouts.end(session, upload)
        }
        RolloutRequest::List => return write_all(rollouts.facts(), reply),
        RolloutRequest::RollBack(plugin) => rollouts.roll_back(&text(plugin)),
        RolloutRequest::Forget(plugin) => rollouts.forget(&text(plugin)),
    };
    match answer {
        Ok(text) => reply.text(text.as_bytes()),
        Err(error) => write_error(&error, reply),
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn refuse_number(reply: &mut Encoder) {
    reply.error("ERR", b"the upload is not a number; use the one that `fleet push begin` replied");
}

fn write_error(error: &RolloutError, reply: &mut Encoder) {
    reply.error("ERR", error.to_string().as_bytes());
}

fn write_all(facts: Result<Vec<RolloutFacts>, RolloutError>, reply: &mut Encoder) {
    match facts {
        Ok(all) => {
            reply.list(all.len());
            all.iter().for_each(|facts| write(facts, reply));
        }
        Err(error) => write_error(&error, reply),
    }
}

fn write(facts: &RolloutFacts, reply: &mut Encoder) {
    let hosts = facts.hosts.join(" ");
    let fields = [
        ("plugin", Some(facts.plugin.as_str())),
        ("target", Some(&facts.target)),
        ("version", Some(&facts.version)),
        ("phase", Some(facts.phase)),
        ("host", facts.host.as_deref()),
        ("reason", facts.reason.as_deref()),
        ("hosts", Some(&hosts)),
        ("before", facts.before.as_deref()),
        ("file", Some(&facts.file)),
        ("pushed-to", Some(&facts.by)),
    ];
    reply.map(fields.len());
    for (key, value) in fields {
        reply.text(key.as_bytes());
        match value {
            Some(value) => reply.text(value.as_bytes()),
            None => reply.null(),
        }
    }
}
