//! The state that a client may find after a crash, by what it has sent and what was acknowledged.
//!
//! A client alone writes its keys and its own counter; all clients add to the shared counters. A
//! change that was sent and not acknowledged may have happened or not, but not in part, and not
//! without those that the same session sent before it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// Number of keys that a client sets and removes one by one.
pub const KEYS: usize = 100;

/// Number of keys behind them that a client changes only all at once.
pub const GROUP: usize = 3;

/// Number of counters that all clients share.
pub const SHARED: usize = 2;

/// The values that were found, by key; an absent key has none.
pub type Found = BTreeMap<String, Vec<u8>>;

/// One effect of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Gives a key the value of this number.
    Set(usize, u64),
    /// Removes a key. The number identifies the removal.
    Remove(usize, u64),
    /// Adds 1 to the client's own counter.
    AddToOwn,
    /// Adds 1 to a shared counter.
    AddToShared(usize),
}

/// A difference between what must be there and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// A description of what must be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// A key of one client.
#[derive(Clone, Default)]
struct Key {
    /// The number of its last acknowledged value; `None` if it is absent.
    settled: Option<u64>,
    /// Changes that were sent since and not acknowledged: the number, and the value.
    unsettled: Vec<(u64, Option<u64>)>,
}

/// A counter, as one client knows it.
#[derive(Clone, Copy, Default)]
struct Counter {
    sent: i64,
    acknowledged: i64,
    /// The highest acknowledged sum.
    highest: i64,
}

/// The knowledge of one client.
#[derive(Clone)]
pub struct Model {
    number: usize,
    keys: Vec<Key>,
    /// The client's own counter at the last check.
    base: i64,
    own: Counter,
    shared: [Counter; SHARED],
    /// The acknowledged sums of the shared counters since the last check.
    sums: [Vec<i64>; SHARED],
    /// The changes that were sent and not answered, in order.
    pending: VecDeque<Vec<Effect>>,
    /// True if a change was answered by an error, so that it may have happened or not.
    has_refused: bool,
    /// The number of the next value or removal.
    next: u64,
    /// The number of acknowledged effects, in all.
    pub acknowledged: u64,
}

/// The shared counters at the last check.
pub type SharedBase = [i64; SHARED];

impl Model {
    /// Returns the knowledge of a client before its first command.
    pub fn new(number: usize) -> Self {
        Self {
            number,
            keys: vec![Key::default(); KEYS + GROUP],
            base: 0,
            own: Counter::default(),
            shared: [Counter::default(); SHARED],
            sums: Default::default(),
            pending: VecDeque::new(),
            has_refused: false,
            next: 1,
            acknowledged: 0,
        }
    }

    /// Returns the client's number.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Returns a number for a value or a removal, which no other one has.
    pub fn number_value(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Returns the name of one of the client's keys.
    pub fn key(&self, key: usize) -> String {
        format!("client:{}:{key}", self.number)
    }

    /// Returns the name of the client's own counter.
    pub fn own_counter(&self) -> String {
        format!("client:{}:count", self.number)
    }

    /// Returns the names of all keys that the client writes alone.
    pub fn names(&self) -> Vec<String> {
        let keys = (0..self.keys.len()).map(|key| self.key(key));
        keys.chain([self.own_counter()]).collect()
    }

    /// Notes a change that is about to be sent.
    pub fn note_sent(&mut self, change: Vec<Effect>) {
        for effect in &change {
            match *effect {
                Effect::Set(key, number) => {
                    self.keys[key].unsettled.push((number, Some(number)));
                }
                Effect::Remove(key, number) => self.keys[key].unsettled.push((number, None)),
                Effect::AddToOwn => self.own.sent += 1,
                Effect::AddToShared(counter) => self.shared[counter].sent += 1,
            }
        }
        self.pending.push_back(change);
    }

    /// Notes that the first change without an answer was acknowledged, with this sum if it adds.
    ///
    /// # Errors
    /// The sum shows that an effect is lost or there twice.
    pub fn note_acknowledged(&mut self, sum: Option<i64>) -> Result<(), Violation> {
        let change = self.pending.pop_front().unwrap_or_default();
        for effect in change {
            self.acknowledged += 1;
            match effect {
                Effect::Set(key, number) | Effect::Remove(key, number) => {
                    let key = &mut self.keys[key];
                    // The session's earlier changes are over.
                    while !key.unsettled.is_empty() {
                        let (first, value) = key.unsettled.remove(0);
                        if first == number {
                            key.settled = value;
                            break;
                        }
                    }
                }
                Effect::AddToOwn => {
                    self.own.acknowledged += 1;
                    let Some(sum) = sum else { continue };
                    let least = (self.base + self.own.acknowledged).max(self.own.highest + 1);
                    let most = match self.has_refused {
                        true => self.base + self.own.sent,
                        false => least,
                    };
                    self.own.highest = sum;
                    in_range(&self.own_counter(), sum, least, most)?;
                }
                Effect::AddToShared(counter) => {
                    let known = &mut self.shared[counter];
                    known.acknowledged += 1;
                    let Some(sum) = sum else { continue };
                    let before = known.highest;
                    known.highest = sum;
                    self.sums[counter].push(sum);
                    in_range(&shared_counter(counter), sum, before + 1, i64::MAX)?;
                }
            }
        }
        Ok(())
    }

    /// Notes that the first change without an answer was answered by an error: it may have
    /// happened.
    pub fn note_refused(&mut self) {
        self.pending.pop_front();
        self.has_refused = true;
    }

    /// Compares what was found with what may be there.
    pub fn check(&self, found: &Found) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            let name = self.key(index);
            let is_there = found.get(&name).map(Vec::as_slice);
            let is_value = |number: Option<u64>| number.map(value).as_deref() == is_there;
            let later = key.unsettled.iter().map(|(_, value)| *value);
            if !is_value(key.settled) && !later.clone().any(is_value) {
                let mut expected = shown(key.settled.map(value).as_deref());
                for value_of in later {
                    expected.push_str(" or ");
                    expected.push_str(&shown(value_of.map(value).as_deref()));
                }
                violations.push(Violation { key: name, expected, found: shown(is_there) });
            }
        }
        let least = (self.base + self.own.acknowledged).max(self.own.highest);
        let own = self.own_counter();
        if let Err(violation) =
            in_range(&own, count_in(found, &own), least, self.base + self.own.sent)
        {
            violations.push(violation);
        }
        if violations.is_empty() {
            violations.extend(self.check_whole(found).err());
        }
        violations
    }

    /// Checks that no change is there in part, or without those before it.
    fn check_whole(&self, found: &Found) -> Result<(), Violation> {
        let value_of = |key: usize| found.get(&self.key(key)).cloned();
        let first = value_of(KEYS);
        for key in KEYS + 1..KEYS + GROUP {
            if value_of(key) != first {
                return Err(Violation {
                    key: self.key(key),
                    expected: format!("that of {}, {}", self.key(KEYS), shown(first.as_deref())),
                    found: shown(value_of(key).as_deref()),
                });
            }
        }
        if self.has_refused {
            // A change that failed may be missing before one that happened.
            return Ok(());
        }
        let mut state: BTreeMap<usize, Option<u64>> = BTreeMap::new();
        for effect in self.pending.iter().flatten() {
            if let Effect::Set(key, _) | Effect::Remove(key, _) = *effect {
                state.insert(key, self.keys[key].settled);
            }
        }
        let own = count_in(found, &self.own_counter());
        let mut sum = self.base + self.own.acknowledged;
        let is_found = |state: &BTreeMap<usize, Option<u64>>, sum: i64| {
            sum == own && state.iter().all(|(key, number)| number.map(value) == value_of(*key))
        };
        if is_found(&state, sum) {
            return Ok(());
        }
        for change in &self.pending {
            for effect in change {
                match *effect {
                    Effect::Set(key, number) => drop(state.insert(key, Some(number))),
                    Effect::Remove(key, _) => drop(state.insert(key, None)),
                    Effect::AddToOwn => sum += 1,
                    Effect::AddToShared(_) => {}
                }
            }
            if is_found(&state, sum) {
                return Ok(());
            }
        }
        let shown_keys = state
            .keys()
            .map(|key| format!("{} = {}", self.key(*key), shown(value_of(*key).as_deref())));
        Err(Violation {
            key: self.names().pop().unwrap_or_default(),
            expected: format!("the first of these changes, in order: {:?}", self.pending),
            found: format!("{own}; {}", shown_keys.collect::<Vec<_>>().join(", ")),
        })
    }

    /// Goes on from what was found.
    pub fn settle(&mut self, found: &Found, shared: &SharedBase) {
        for index in 0..self.keys.len() {
            let there = found.get(&self.key(index)).and_then(|value| number_of(value));
            self.keys[index] = Key { settled: there, unsettled: Vec::new() };
        }
        self.base = count_in(found, &self.own_counter());
        self.own = Counter { highest: self.base, ..Counter::default() };
        for (counter, base) in self.shared.iter_mut().zip(shared) {
            *counter = Counter { highest: *base, ..Counter::default() };
        }
        self.sums.iter_mut().for_each(Vec::clear);
        self.pending.clear();
        self.has_refused = false;
    }
}

/// Returns the name of a shared counter.
pub fn shared_counter(counter: usize) -> String {
    format!("shared:{counter}")
}

/// Compares the shared counters with what all clients know together. Returns the counters that were
/// found.
pub fn check_shared(
    models: &[Model],
    before: &SharedBase,
    found: &Found,
) -> (SharedBase, Vec<Violation>) {
    let (mut now, mut violations) = (*before, Vec::new());
    for (counter, base) in before.iter().enumerate() {
        let name = shared_counter(counter);
        let known = || models.iter().map(|model| model.shared[counter]);
        let acknowledged: i64 = known().map(|counter| counter.acknowledged).sum();
        let sent: i64 = known().map(|counter| counter.sent).sum();
        let highest = known().map(|counter| counter.highest).max().unwrap_or_default();
        now[counter] = count_in(found, &name);
        let least = (base + acknowledged).max(highest);
        violations.extend(in_range(&name, now[counter], least, base + sent).err());
        let mut sums: Vec<i64> = models.iter().flat_map(|it| it.sums[counter].clone()).collect();
        sums.sort_unstable();
        if let Some(pair) = sums.windows(2).find(|pair| pair[0] == pair[1]) {
            let expected = "a sum of its own for each acknowledged addition".into();
            let found = format!("{} twice", pair[0]);
            violations.push(Violation { key: name, expected, found });
        }
    }
    (now, violations)
}

/// Returns the text of a value: its number, and as many other bytes as that says.
pub fn value(number: u64) -> Vec<u8> {
    let more = match number % 97 {
        0 => 4096,
        rest => rest as usize,
    };
    let mut text = format!("{number}:").into_bytes();
    text.resize(text.len() + more, b'a' + (number % 26) as u8);
    text
}

fn number_of(value: &[u8]) -> Option<u64> {
    let digits = value.split(|byte| *byte == b':').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Returns a counter; 0 for an absent one, and -1 for one that is no number.
fn count_in(found: &Found, key: &str) -> i64 {
    found.get(key).map_or(0, |text| {
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(-1)
    })
}

fn in_range(key: &str, is: i64, least: i64, most: i64) -> Result<(), Violation> {
    if (least..=most).contains(&is) {
        return Ok(());
    }
    let expected = match most {
        _ if least == most => least.to_string(),
        i64::MAX => format!("{least} or more"),
        _ => format!("{least} to {most}"),
    };
    Err(Violation { key: key.to_owned(), expected, found: is.to_string() })
}

fn shown(value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "nothing".into() };
    let start = value.get(..24).unwrap_or(value);
    format!("'{}' ({} bytes)", String::from_utf8_lossy(start), value.len())
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, expected, found } = self;
        write!(out, "key {key}: expected {expected}; found {found}")
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
