//! The commands of a host, as it tells them: what a line may go on with, and what it lacks.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    output::text::{Escape, clean},
    prompt::line,
    reply::Reply,
};

/// The commands that a session may run.
#[derive(Debug, Default)]
pub struct Commands {
    /// By name, in lower case; empty while the host has not told.
    by_name: BTreeMap<String, Doc>,
}

#[derive(Debug, Default)]
struct Doc {
    summary: String,
    group: String,
    arguments: Vec<Argument>,
    /// The subcommands, by name.
    parts: BTreeMap<String, Doc>,
}

#[derive(Debug)]
struct Argument {
    name: String,
    optional: bool,
    repeated: bool,
}

impl Commands {
    /// From the reply to `COMMAND DOCS`; `None` where it is not that.
    pub fn from_reply(reply: &Reply) -> Option<Self> {
        let by_name = docs(reply)?;
        Some(Self { by_name })
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether there is such a command.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(&name.to_ascii_lowercase()) || line::is_local(name)
    }

    /// What a half-typed line lacks, to be shown behind it.
    pub fn hint(&self, line: &str) -> Option<String> {
        let line = line::last(line);
        if self.is_empty() || line::has_pipe(line) {
            return None;
        }
        let (words, ended) = line::words(line);
        let name = words.first()?;
        let Some(doc) = self.by_name.get(&name.to_ascii_lowercase()) else {
            let done = (ended || words.len() > 1) && !line::is_local(name);
            return done.then(|| "  (unknown command)".to_owned());
        };
        let part = words.get(1).filter(|_| ended || words.len() > 2);
        let part = part.and_then(|part| doc.parts.get(&part.to_ascii_lowercase()));
        let (doc, given) = match part {
            Some(part) => (part, words.len() - 2),
            None => (doc, words.len() - 1),
        };
        let mut hint = match doc.lacks(given) {
            Some(lacks) => lacks,
            None => return Some("  (too many arguments)".to_owned()),
        };
        if !hint.is_empty() && !ended {
            hint.insert(0, ' ');
        }
        if given == 0 && !doc.summary.is_empty() {
            hint.push_str(&format!("  ({})", doc.summary));
        }
        Some(hint)
    }

    /// What the word before the cursor can become: where that word starts, and the words.
    pub fn complete(&self, before: &str) -> (usize, Vec<String>) {
        let line = line::last(before);
        let start = line.rfind([' ', '\t']).map_or(0, |blank| blank + 1);
        let (head, word) = line.split_at(start);
        let start = before.len() - word.len();
        if line::has_pipe(line) {
            return (start, Vec::new());
        }
        let words = line::words(head).0;
        let candidates: BTreeSet<&str> = match words.first() {
            None => self.by_name.keys().map(String::as_str).collect(),
            Some(name) => match self.by_name.get(&name.to_ascii_lowercase()) {
                Some(doc) => self.candidates(doc, &words[1..]),
                None => BTreeSet::new(),
            },
        };
        let wanted = word.to_ascii_lowercase();
        let fit = candidates.into_iter().filter(|candidate| candidate.starts_with(&wanted));
        (start, fit.map(str::to_owned).collect())
    }

    fn candidates<'a>(&'a self, doc: &'a Doc, given: &[String]) -> BTreeSet<&'a str> {
        if let Some((first, rest)) = given.split_first()
            && let Some(part) = doc.parts.get(&first.to_ascii_lowercase())
        {
            return self.candidates(part, rest);
        }
        if given.is_empty() && !doc.parts.is_empty() {
            return doc.parts.keys().map(String::as_str).collect();
        }
        let last = doc.arguments.last().filter(|last| last.repeated);
        let argument = doc.arguments.get(given.len()).or(last);
        match argument.map(|argument| argument.name.as_str()) {
            Some("COMMAND") => self.by_name.keys().map(String::as_str).collect(),
            Some("PLUGIN") => {
                let groups = self.by_name.values().map(|doc| doc.group.as_str());
                groups.filter(|group| *group != "host").collect()
            }
            _ => BTreeSet::new(),
        }
    }
}

impl Doc {
    fn from_reply(reply: &Reply) -> Self {
        let Reply::Map(pairs) = reply else { return Self::default() };
        let mut doc = Self::default();
        for (key, value) in pairs {
            match (text(key).as_str(), value) {
                ("summary", value) => doc.summary = text(value),
                ("group", value) => doc.group = text(value),
                ("arguments", Reply::List(items)) => {
                    doc.arguments = items.iter().filter_map(Argument::from_reply).collect();
                }
                ("subcommands", value) => doc.parts = docs(value).unwrap_or_default(),
                _ => {}
            }
        }
        doc
    }

    /// The arguments behind the first `given`; `None` where that are more than there can be.
    fn lacks(&self, given: usize) -> Option<String> {
        let last_repeats = self.arguments.last().is_some_and(|argument| argument.repeated);
        if given > self.arguments.len() && !last_repeats {
            return None;
        }
        let mut shown = Vec::new();
        for (index, argument) in self.arguments.iter().enumerate() {
            let there = index < given;
            if there && !argument.repeated {
                continue;
            }
            let dots = if argument.repeated { ".." } else { "" };
            shown.push(match argument.optional || there {
                true => format!("[{}{dots}]", argument.name),
                false => format!("{}{dots}", argument.name),
            });
        }
        Some(shown.join(" "))
    }
}

impl Argument {
    fn from_reply(reply: &Reply) -> Option<Self> {
        let Reply::Map(pairs) = reply else { return None };
        let value = |wanted| pairs.iter().find(|(key, _)| text(key) == wanted).map(|pair| &pair.1);
        let flags = match value("flags") {
            Some(Reply::List(flags)) => flags.iter().map(text).collect(),
            _ => Vec::new(),
        };
        let has = |wanted: &str| flags.iter().any(|flag| flag == wanted);
        let name = text(value("name")?);
        Some(Self { name, optional: has("optional"), repeated: has("multiple") })
    }
}

fn docs(reply: &Reply) -> Option<BTreeMap<String, Doc>> {
    let Reply::Map(pairs) = reply else { return None };
    let named = |(name, doc): &(Reply, Reply)| {
        let name = text(name).to_ascii_lowercase();
        // A subcommand has its command's name before it.
        let name = name.rsplit('|').next().unwrap_or_default().to_owned();
        (name, Doc::from_reply(doc))
    };
    Some(pairs.iter().map(named).collect())
}

/// A text of the host's without what a terminal would obey.
fn text(reply: &Reply) -> String {
    let Reply::Text(bytes) = reply else { return String::new() };
    let mut shown = Vec::new();
    // Writing to a vector cannot fail.
    let _ = clean(&mut shown, bytes, Escape::AllControls);
    String::from_utf8_lossy(&shown).into_owned()
}

#[cfg(test)]
mod tests;
