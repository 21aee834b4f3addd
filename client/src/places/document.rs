//! The settings file as a document whose comments, order and blank lines survive a change.

use std::fmt;

use toml_edit::{DocumentMut, Item, RawString, Table};

/// The text of the file with its structure.
pub struct Document(DocumentMut);

impl Document {
    /// Parses the text; the error is a message.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: toml_edit::TomlError| error.to_string())
    }

    /// Inserts a place, or replaces the one of this name.
    pub fn insert(&mut self, name: &str, mut table: Table) {
        let first = self.0.is_empty() && self.0.trailing().as_str().unwrap_or_default().is_empty();
        let places = self.0.entry("places").or_insert_with(|| {
            let mut places = Table::new();
            // A header without lines of its own has no use.
            places.set_implicit(true);
            Item::Table(places)
        });
        // The settings have been parsed before: this is a table of one kind or another.
        let Some(places) = places.as_table_like_mut() else { return };
        match places.get_mut(name).and_then(Item::as_table_like_mut) {
            Some(old) => {
                let old_keys: Vec<_> = old.iter().map(|(key, _)| key.to_owned()).collect();
                for key in old_keys.iter().filter(|key| !table.contains_key(key)) {
                    old.remove(key);
                }
                for (key, mut item) in table {
                    // The comment behind a value stays.
                    if let (Some(old), Some(new)) =
                        (old.get(&key).and_then(Item::as_value), item.as_value_mut())
                    {
                        *new.decor_mut() = old.decor().clone();
                    }
                    old.insert(&key, item);
                }
            }
            None => {
                if !first {
                    table.decor_mut().set_prefix("\n");
                }
                places.insert(name, Item::Table(table));
            }
        }
    }

    /// Removes a place, together with the comment right above its header.
    pub fn remove(&mut self, name: &str) {
        let Some(places) = self.0.get_mut("places").and_then(Item::as_table_like_mut) else {
            return;
        };
        let Some(Item::Table(removed)) = places.remove(name) else { return };
        let prefix = raw(removed.decor().prefix()).to_owned();
        let kept = match prefix.rfind("\n\n") {
            Some(end) => &prefix[..end + 1],
            None => return,
        };
        if kept.trim().is_empty() {
            return;
        }
        let position = removed.position();
        let mut next: Option<&mut Table> = None;
        for (_, item) in self.0.iter_mut() {
            let Some(table) = item.as_table_mut() else { continue };
            if table.is_implicit() {
                for (_, item) in table.iter_mut() {
                    next = item
                        .as_table_mut()
                        .map_or(next.take(), |table| nearer(next.take(), table, position));
                }
            } else {
                next = nearer(next.take(), table, position);
            }
        }
        match next {
            Some(table) => {
                let prefix = format!("{kept}{}", raw(table.decor().prefix()));
                table.decor_mut().set_prefix(prefix);
            }
            None => {
                let trailing = format!("{kept}{}", raw(Some(self.0.trailing())));
                self.0.set_trailing(trailing);
            }
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn raw(text: Option<&RawString>) -> &str {
    text.and_then(RawString::as_str).unwrap_or_default()
}

/// Returns the first of two tables behind this position.
fn nearer<'a>(
    best: Option<&'a mut Table>,
    table: &'a mut Table,
    behind: Option<isize>,
) -> Option<&'a mut Table> {
    let position = table.position();
    if position <= behind || best.as_ref().is_some_and(|best| best.position() <= position) {
        return best;
    }
    Some(table)
}
