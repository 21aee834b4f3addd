//! The stream: the whole store as commands, in pieces, while calls go on.
//!
//! It goes through the map by position. A key that changes behind the present position is noted by
//! the part and sent again; one that changes before it needs no note.

use std::{iter, mem};

use plugin_api::Commands;

use crate::{
    clock::NEVER,
    map::{Map, lock},
    part::{Entry, Key},
    position::{self, PARTS},
    record::Record,
};

/// Size at which a piece ends, in bytes.
const PIECE: usize = 128 << 10;
/// Number of keys that are collected while a part is locked. They become one command.
const BATCH: usize = 512;

/// The progress of a stream.
#[derive(Default)]
pub(crate) struct Stream {
    /// Whether the first command has been sent.
    begun: bool,
    /// The position of the entries to send next.
    position: u64,
    /// The number of the part whose changes are sent next.
    part: usize,
    /// Keys of that part that have changed, with their hashes.
    changed: Vec<(u64, Record)>,
}

impl Map {
    pub(crate) fn begin_stream(&self) {
        let mut stream = lock(&self.stream);
        self.set_streams(true);
        *stream = Some(Stream::default());
    }

    pub(crate) fn end_stream(&self) {
        let mut stream = lock(&self.stream);
        self.set_streams(false);
        *stream = None;
    }

    /// Appends the next commands. Returns false if there are none now.
    pub(crate) fn next_of_stream(&self, commands: &mut Commands) -> bool {
        let mut stream = lock(&self.stream);
        let Some(stream) = stream.as_mut() else { return false };
        if !mem::replace(&mut stream.begun, true) {
            clear(commands);
        }
        while commands.len() < PIECE && stream.position < position::END {
            stream.send_entries(self, commands);
        }
        if stream.position >= position::END {
            stream.send_changes(self, commands);
        }
        !commands.is_empty()
    }
}

impl Stream {
    fn send_entries(&mut self, map: &Map, commands: &mut Commands) {
        let room = PIECE - commands.len();
        let Some((mut entries, next)) = map.send(self.position, BATCH, room) else {
            return self.restart(commands);
        };
        self.position = next;
        // A key that has expired by the noted time never comes back.
        let noted = map.clock.noted();
        entries.retain(|entry| entry.expiry > noted);
        set(commands, &entries);
    }

    /// Sends what has changed in all parts, or as much as a piece has room for.
    fn send_changes(&mut self, map: &Map, commands: &mut Commands) {
        let mut parts = PARTS;
        while commands.len() < PIECE {
            if !self.changed.is_empty() {
                self.send_changed(map, commands);
            } else if parts > 0 {
                parts -= 1;
                self.part = (self.part + 1) % PARTS;
                self.changed = map.take_changes(self.part);
            } else {
                break;
            }
        }
        if map.take_cleared() {
            self.restart(commands);
        }
    }

    fn send_changed(&mut self, map: &Map, commands: &mut Commands) {
        let noted = map.clock.noted();
        let (mut present, mut gone, mut size) = (Vec::new(), Vec::new(), commands.len());
        let Some((hash, first)) = self.changed.last() else { return };
        let part = map.read(Key { hash: *hash, bytes: first.key() });
        if map.take_cleared() {
            drop(part);
            return self.restart(commands);
        }
        while size < PIECE
            && present.len() + gone.len() < BATCH
            && let Some((hash, record)) = self.changed.pop()
        {
            let found = part.find(Key { hash, bytes: record.key() });
            match found.filter(|entry| entry.expiry > noted) {
                Some(entry) => {
                    size += entry.record.len();
                    present.push(entry.clone());
                }
                None => gone.push(record),
            }
        }
        drop(part);
        set(commands, &present);
        if !gone.is_empty() {
            commands.push(iter::once(&b"del"[..]).chain(gone.iter().map(Record::key)));
        }
    }

    /// The map was cleared: all that is in it now is a change. Some of it may be in `changed`.
    fn restart(&mut self, commands: &mut Commands) {
        self.position = position::END;
        clear(commands);
    }
}

fn clear(commands: &mut Commands) {
    commands.push([&b"flushall"[..]]);
}

/// Appends commands that set these entries, whose keys differ.
fn set(commands: &mut Commands, entries: &[Entry]) {
    let lasting = || entries.iter().filter(|entry| entry.expiry == NEVER);
    if lasting().next().is_some() {
        let words = lasting().flat_map(|entry| [entry.record.key(), entry.record.value()]);
        commands.push(iter::once(&b"mset"[..]).chain(words));
    }
    for entry in entries.iter().filter(|entry| entry.expiry != NEVER) {
        let (mut expiry, record) = (itoa::Buffer::new(), &entry.record);
        let expiry = expiry.format(entry.expiry).as_bytes();
        commands.push([b"set", record.key(), record.value(), b"PXAT", expiry]);
    }
}
