//! The commands of a host, for hints and completions.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    output::text::escaped_line,
    prompt::line::{self, PartialLine},
    reply::Reply,
};

/// The commands of a session.
#[derive(Debug, Default)]
pub struct Commands {
    /// The commands by their names in lower case; empty until the host has sent them.
    by_name: BTreeMap<String, CommandDoc>,
}

#[derive(Debug, Default)]
struct CommandDoc {
    summary: String,
    group: String,
    arguments: Vec<Argument>,
    /// The subcommands by name.
    subcommands: BTreeMap<String, CommandDoc>,
}

#[derive(Debug)]
struct Argument {
    name: String,
    is_optional: bool,
    is_repeated: bool,
}

/// The completions of a word.
#[derive(Debug, PartialEq, Eq)]
pub struct Completions {
    /// The start of the word in the text before the cursor.
    pub start: usize,
    /// The possible words.
    pub words: Vec<String>,
}

impl Commands {
    /// Parses the reply to `COMMAND DOCS`; `None` for any other reply.
    pub fn from_reply(reply: &Reply) -> Option<Self> {
        Some(Self { by_name: parse_docs(reply)? })
    }

    /// Returns true when no command is known.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Returns true for the name of a command.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(&name.to_ascii_lowercase()) || line::is_local(name)
    }

    /// Returns the hint behind a line that is not complete yet: the missing arguments.
    pub fn hint(&self, line: &str) -> Option<String> {
        let line = line::last_line(line);
        if self.is_empty() || line::has_pipe(line) {
            return None;
        }
        let PartialLine { words, is_last_word_complete } = line::parse_partial(line);
        let name = words.first()?;
        let Some(doc) = self.by_name.get(&name.to_ascii_lowercase()) else {
            let is_unknown = (is_last_word_complete || words.len() > 1) && !line::is_local(name);
            return is_unknown.then(|| "  (unknown command)".to_owned());
        };
        let second = words.get(1).filter(|_| is_last_word_complete || words.len() > 2);
        let subcommand = second.and_then(|word| doc.subcommands.get(&word.to_ascii_lowercase()));
        let (doc, count) = match subcommand {
            Some(subcommand) => (subcommand, words.len() - 2),
            None => (doc, words.len() - 1),
        };
        let Some(mut hint) = doc.missing_arguments(count) else {
            return Some("  (too many arguments)".to_owned());
        };
        if !hint.is_empty() && !is_last_word_complete {
            hint.insert(0, ' ');
        }
        if count == 0 && !doc.summary.is_empty() {
            hint.push_str(&format!("  ({})", doc.summary));
        }
        Some(hint)
    }

    /// Returns the completions of the word before the cursor.
    pub fn complete(&self, before: &str) -> Completions {
        let line = line::last_line(before);
        let start = line.rfind([' ', '\t']).map_or(0, |blank| blank + 1);
        let (head, word) = line.split_at(start);
        let start = before.len() - word.len();
        if line::has_pipe(line) {
            return Completions { start, words: Vec::new() };
        }
        let words = line::parse_partial(head).words;
        let candidates: BTreeSet<&str> = match words.first() {
            None => self.by_name.keys().map(String::as_str).collect(),
            Some(name) => match self.by_name.get(&name.to_ascii_lowercase()) {
                Some(doc) => self.candidates(doc, &words[1..]),
                None => BTreeSet::new(),
            },
        };
        let prefix = word.to_ascii_lowercase();
        let fitting = candidates.into_iter().filter(|candidate| candidate.starts_with(&prefix));
        Completions { start, words: fitting.map(str::to_owned).collect() }
    }

    fn candidates<'a>(&'a self, doc: &'a CommandDoc, before: &[String]) -> BTreeSet<&'a str> {
        if let Some((first, rest)) = before.split_first()
            && let Some(subcommand) = doc.subcommands.get(&first.to_ascii_lowercase())
        {
            return self.candidates(subcommand, rest);
        }
        if before.is_empty() && !doc.subcommands.is_empty() {
            return doc.subcommands.keys().map(String::as_str).collect();
        }
        let last = doc.arguments.last().filter(|last| last.is_repeated);
        let argument = doc.arguments.get(before.len()).or(last);
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

impl CommandDoc {
    fn from_reply(reply: &Reply) -> Self {
        let Reply::Map(pairs) = reply else { return Self::default() };
        let mut doc = Self::default();
        for (key, value) in pairs {
            match (text_of(key).as_str(), value) {
                ("summary", value) => doc.summary = text_of(value),
                ("group", value) => doc.group = text_of(value),
                ("arguments", Reply::List(items)) => {
                    doc.arguments = items.iter().filter_map(Argument::from_reply).collect();
                }
                ("subcommands", value) => doc.subcommands = parse_docs(value).unwrap_or_default(),
                _ => {}
            }
        }
        doc
    }

    /// Returns the arguments behind the first `count`; `None` when there cannot be so many.
    fn missing_arguments(&self, count: usize) -> Option<String> {
        let last_repeats = self.arguments.last().is_some_and(|argument| argument.is_repeated);
        if count > self.arguments.len() && !last_repeats {
            return None;
        }
        let mut shown = Vec::new();
        for (index, argument) in self.arguments.iter().enumerate() {
            let is_present = index < count;
            if is_present && !argument.is_repeated {
                continue;
            }
            let dots = if argument.is_repeated { ".." } else { "" };
            shown.push(match argument.is_optional || is_present {
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
        let value =
            |wanted| pairs.iter().find(|(key, _)| text_of(key) == wanted).map(|pair| &pair.1);
        let flags = match value("flags") {
            Some(Reply::List(flags)) => flags.iter().map(text_of).collect(),
            _ => Vec::new(),
        };
        let has = |wanted: &str| flags.iter().any(|flag| flag == wanted);
        let name = text_of(value("name")?);
        Some(Self { name, is_optional: has("optional"), is_repeated: has("multiple") })
    }
}

fn parse_docs(reply: &Reply) -> Option<BTreeMap<String, CommandDoc>> {
    let Reply::Map(pairs) = reply else { return None };
    let named = |(name, doc): &(Reply, Reply)| {
        let name = text_of(name).to_ascii_lowercase();
        // The name of a subcommand has the command's name before it.
        let name = name.rsplit('|').next().unwrap_or_default().to_owned();
        (name, CommandDoc::from_reply(doc))
    };
    Some(pairs.iter().map(named).collect())
}

/// Returns a text of the host without control characters; empty for other replies.
fn text_of(reply: &Reply) -> String {
    if let Reply::Text(bytes) = reply { escaped_line(bytes) } else { String::new() }
}

#[cfg(test)]
mod tests;
