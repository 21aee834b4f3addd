//! What the line editor asks while somebody types: hints, completion, colours.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    sync::Arc,
};

use rustyline::{
    Context, Helper,
    completion::{Completer, Pair},
    highlight::Highlighter,
    hint::Hinter,
    validate::Validator,
};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    output::{
        colour::{self, paint},
        progress::cut,
        terminal,
    },
    prompt::{host_state::HostState, line},
};

/// A hint that shows nothing: the editor draws anew only lines that have one.
const NOTHING: &str = " ";

/// Answers the line editor from what is known at this moment.
pub struct Assistant {
    host_state: Arc<HostState>,
    coloured: bool,
    /// The line as it was when a hint was last asked for. When the commands change, the editor draws
    /// the old hint again, and the new one is put in its place.
    line: RefCell<String>,
    prompt_width: Cell<usize>,
    /// Whether a command is typed, and not the answer to a question.
    commands: Cell<bool>,
}

impl Assistant {
    /// An assistant that knows what `host_state` knows.
    pub fn new(host_state: Arc<HostState>, coloured: bool) -> Self {
        Self {
            host_state,
            coloured,
            line: RefCell::default(),
            prompt_width: Cell::new(0),
            commands: Cell::new(true),
        }
    }

    /// Prepares for a line behind this prompt, a command or an answer.
    pub fn begin(&self, prompt: &str, is_command: bool) {
        self.prompt_width.set(prompt.width());
        self.commands.set(is_command);
    }

    /// The hint for the line, as much of it as fits behind the line.
    fn fresh_hint(&self) -> String {
        if self.host_state.is_quiet() {
            return String::new();
        }
        let line = self.line.borrow();
        let hint = self.host_state.commands().hint(&line).unwrap_or_default();
        let Some((_, columns)) = terminal::size() else { return hint };
        let lead = if line.contains('\n') { 0 } else { self.prompt_width.get() };
        let used = (lead + line::last(&line).width()) % columns.max(1);
        cut(&hint, columns.saturating_sub(used + 1)).to_owned()
    }
}

impl Helper for Assistant {}

impl Validator for Assistant {}

impl Hinter for Assistant {
    type Hint = Shown;

    fn hint(&self, line: &str, _pos: usize, _: &Context<'_>) -> Option<Shown> {
        line.clone_into(&mut self.line.borrow_mut());
        if !self.commands.get() || line.is_empty() {
            return None;
        }
        let hint = self.fresh_hint();
        Some(Shown(if hint.is_empty() { NOTHING.to_owned() } else { hint }))
    }
}

/// A hint that is shown and cannot be taken over: it names arguments, it is none.
pub struct Shown(String);

impl rustyline::hint::Hint for Shown {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        if !self.commands.get() {
            return Ok((pos, Vec::new()));
        }
        let before = line.get(..pos).unwrap_or(line);
        let (start, words) = self.host_state.commands().complete(before);
        let pair = |word: String| Pair { replacement: format!("{word} "), display: word };
        Ok((start, words.into_iter().map(pair).collect()))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        let blank = |c: char| c == ' ' || c == '\t' || c == '\n';
        let start = line.len() - line.trim_start_matches(blank).len();
        let end = line[start..].find(blank).map_or(line.len(), |end| start + end);
        let (name, commands) = (&line[start..end], self.host_state.commands());
        if !self.coloured || !self.commands.get() || commands.is_empty() || name.is_empty() {
            return Cow::Borrowed(line);
        }
        let style = if commands.has(name) {
            colour::KNOWN
        } else if end < line.len() && !line::has_pipe(&line[..end]) {
            colour::BAD
        } else {
            return Cow::Borrowed(line);
        };
        let name = paint(name, style, true);
        Cow::Owned(format!("{}{name}{}", &line[..start], &line[end..]))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        default: bool,
    ) -> Cow<'b, str> {
        // Not that of a search in the history.
        if !default || !self.commands.get() {
            return Cow::Borrowed(prompt);
        }
        let style = if self.host_state.is_down() { colour::BAD } else { colour::PROMPT };
        Cow::Owned(paint(&self.host_state.refreshed(prompt), style, self.coloured))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if !self.commands.get() {
            return Cow::Borrowed(hint);
        }
        // Whatever the hint was when the line was edited, it is shown as it is now.
        Cow::Owned(paint(&self.fresh_hint(), colour::HINT, self.coloured))
    }
}
