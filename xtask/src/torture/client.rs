//! A client that changes its keys and the shared counters without pause.

use std::{
    collections::VecDeque,
    io::{self, BufReader, Write},
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use fastrand::Rng;

use super::{
    model::{Effect, GROUP, KEYS, Model, SHARED, Violation, shared_counter, value},
    reply::{Reply, put_command},
};
use crate::soak::connect;

/// The most changes that a client sends before it waits for replies.
const BATCH: u64 = 16;

/// The errors of a call whose process has ended, or is not there.
const EXPECTED: [&str; 2] = ["CRASHED ", "UNAVAILABLE "];

/// The result of a client.
pub struct Outcome {
    /// Its knowledge.
    pub model: Model,
    /// The number of calls that were answered by an error.
    pub refused: u64,
    /// A reply that must not be.
    pub violation: Option<Violation>,
}

/// A change, and the commands that make it.
struct Change {
    effects: Vec<Effect>,
    commands: Vec<Vec<Vec<u8>>>,
}

/// Sends changes until `stop` is set or the connection ends.
pub fn run(
    address: SocketAddr,
    model: Model,
    stop: &AtomicBool,
    mut random: Rng,
    has_transactions: bool,
) -> Outcome {
    let mut outcome = Outcome { model, refused: 0, violation: None };
    // A host that was killed ends the connection, at any point.
    let _ = send(address, stop, &mut random, has_transactions, &mut outcome);
    outcome
}

fn send(
    address: SocketAddr,
    stop: &AtomicBool,
    random: &mut Rng,
    has_transactions: bool,
    outcome: &mut Outcome,
) -> io::Result<()> {
    let mut stream = connect(address)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let most = if outcome.model.number().is_multiple_of(2) { 1 } else { BATCH };
    let (mut bytes, mut counts) = (Vec::new(), VecDeque::new());
    while !stop.load(Ordering::Relaxed) {
        bytes.clear();
        for _ in 0..=random.u64(..most) {
            let change = Change::choose(&mut outcome.model, random, has_transactions);
            change.commands.iter().for_each(|command| put_command(&mut bytes, command));
            counts.push_back(change.commands.len());
            outcome.model.note_sent(change.effects);
        }
        stream.write_all(&bytes)?;
        while let Some(count) = counts.pop_front() {
            let mut all = Vec::new();
            for _ in 0..count {
                all.push(Reply::read(&mut replies)?);
            }
            if let Err(violation) = outcome.take(&Reply::Array(all)) {
                outcome.violation.get_or_insert(violation);
                return Ok(());
            }
        }
    }
    Ok(())
}

impl Outcome {
    /// Takes the replies to one change.
    fn take(&mut self, replies: &Reply) -> Result<(), Violation> {
        let Some(error) = replies.error() else {
            return self.model.note_acknowledged(last_integer(replies));
        };
        self.refused += 1;
        self.model.note_refused();
        if EXPECTED.iter().any(|start| error.starts_with(start)) {
            return Ok(());
        }
        Err(Violation {
            key: format!("(a reply to client {})", self.model.number()),
            expected: "no error but CRASHED and UNAVAILABLE".into(),
            found: error.to_owned(),
        })
    }
}

impl Change {
    fn choose(model: &mut Model, random: &mut Rng, has_transactions: bool) -> Self {
        let key = random.u64(..KEYS as u64) as usize;
        match random.u64(..100) {
            0..30 => Self::one(Effect::AddToOwn, &["incr", &model.own_counter()]),
            30..50 => {
                let counter = random.u64(..SHARED as u64) as usize;
                Self::one(Effect::AddToShared(counter), &["incr", &shared_counter(counter)])
            }
            50..75 => {
                let number = model.number_value();
                let parts = [b"set".to_vec(), model.key(key).into_bytes(), value(number)];
                Self { effects: vec![Effect::Set(key, number)], commands: vec![parts.into()] }
            }
            75..88 => {
                Self::one(Effect::Remove(key, model.number_value()), &["del", &model.key(key)])
            }
            88..92 => {
                let group = KEYS..KEYS + GROUP;
                let mut parts = vec![b"del".to_vec()];
                parts.extend(group.clone().map(|key| model.key(key).into_bytes()));
                let number = model.number_value();
                let effects = group.map(|key| Effect::Remove(key, number)).collect();
                Self { effects, commands: vec![parts] }
            }
            _ if has_transactions && random.u64(..100) < 50 => Self::transaction(model),
            _ => {
                let (number, group) = (model.number_value(), KEYS..KEYS + GROUP);
                let mut parts = vec![b"mset".to_vec()];
                for key in group.clone() {
                    parts.extend([model.key(key).into_bytes(), value(number)]);
                }
                let effects = group.map(|key| Effect::Set(key, number)).collect();
                Self { effects, commands: vec![parts] }
            }
        }
    }

    fn one(effect: Effect, parts: &[&str]) -> Self {
        let parts = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        Self { effects: vec![effect], commands: vec![parts] }
    }

    /// Sets each key of the group by a command of its own, and counts.
    fn transaction(model: &mut Model) -> Self {
        let (number, group) = (model.number_value(), KEYS..KEYS + GROUP);
        let mut commands = vec![vec![b"multi".to_vec()]];
        for key in group.clone() {
            commands.push(vec![b"set".to_vec(), model.key(key).into_bytes(), value(number)]);
        }
        commands.push(vec![b"incr".to_vec(), model.own_counter().into_bytes()]);
        commands.push(vec![b"exec".to_vec()]);
        let mut effects: Vec<_> = group.map(|key| Effect::Set(key, number)).collect();
        effects.push(Effect::AddToOwn);
        Self { effects, commands }
    }
}

/// Returns the last integer in replies: the sum of an `incr`, also in a transaction.
fn last_integer(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Integer(number) => Some(*number),
        Reply::Array(all) => all.iter().rev().find_map(last_integer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let mut model = Model::new(0);
        model.note_sent(vec![Effect::AddToOwn]);
        Outcome { model, refused: 0, violation: None }
    }

    #[test]
    fn only_errors_of_crashes_are_expected() {
        assert!(outcome().take(&Reply::Error("CRASHED plugin 'store' ...".into())).is_ok());
        assert!(outcome().take(&Reply::Error("UNAVAILABLE plugin".into())).is_ok());
        assert!(outcome().take(&Reply::Error("ERR internal error".into())).is_err());
        assert!(outcome().take(&Reply::Integer(1)).is_ok());
        assert!(outcome().take(&Reply::Integer(2)).is_err(), "counted twice");
    }

    #[test]
    fn transaction_is_one_change() {
        let change = Change::transaction(&mut Model::new(0));
        assert_eq!((change.effects.len(), change.commands.len()), (GROUP + 1, GROUP + 3));
        let replies = [Reply::Text(b"OK".to_vec()), Reply::Array(vec![Reply::Integer(7)])];
        assert_eq!(last_integer(&Reply::Array(replies.into())), Some(7));
    }
}
