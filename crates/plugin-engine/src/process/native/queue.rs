//! Queues calls in the form in which they are sent to a worker process.

use super::message::{CallHead, level};
use crate::call::{Call, CallQueue};

/// Appends a call to a queue.
pub fn push(command: u32, call: &Call<'_>, queue: &mut CallQueue) {
    let (session, peer) = (call.context.session_id(), call.context.peer().into());
    let time = call.context.time_millis();
    let head = CallHead { command, session, level: level(), peer, time };
    let start = queue.bytes.len();
    queue.bytes.extend_from_slice(&[0; 4]);
    head.write(&mut queue.bytes, call.input, call.spans);
    // A request is far shorter than 4 GiB.
    let length = (queue.bytes.len() - start - 4) as u32;
    queue.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    queue.commands.push(command);
}
