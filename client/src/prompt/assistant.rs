//! Hints, completion and colours for the line editor.

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
        terminal,
        text::truncate,
    },
    prompt::{commands::Completions, host_state::HostState, line},
};

/// A hint without text: the editor redraws only lines that have a hint.
const EMPTY_HINT: &str = " ";

/// The helper of the line editor. It reads the current state of the host.
pub struct Assistant {
    host_state: Arc<HostState>,
    is_coloured: bool,
    /// The line of the last hint. When the commands change, the editor draws the old hint again,
    /// and the assistant replaces it by a new one for this line.
    line: RefCell<String>,
    prompt_width: Cell<usize>,
    /// The line is a command and not the answer to a question.
    is_command: Cell<bool>,
}

impl Assistant {
    /// Returns an assistant with this state of the host.
    pub fn new(host_state: Arc<HostState>, is_coloured: bool) -> Self {
        Self {
            host_state,
            is_coloured,
            line: RefCell::default(),
            prompt_width: Cell::new(0),
            is_command: Cell::new(true),
        }
    }

    /// Prepares for a line behind this prompt: a command or an answer.
    pub fn begin_line(&self, prompt: &str, is_command: bool) {
        self.prompt_width.set(prompt.width());
        self.is_command.set(is_command);
    }

    /// Returns the hint for the line, as much of it as fits behind the line.
    fn current_hint(&self) -> String {
        if self.host_state.has_hidden_hints() {
            return String::new();
        }
        let line = self.line.borrow();
        let hint = self.host_state.commands().hint(&line).unwrap_or_default();
        let Some((_, columns)) = terminal::size() else { return hint };
        let lead = if line.contains('\n') { 0 } else { self.prompt_width.get() };
        let used = (lead + line::last_line(&line).width()) % columns.max(1);
        truncate(&hint, columns.saturating_sub(used + 1)).to_owned()
    }
}

impl Helper for Assistant {}

impl Validator for Assistant {}

impl Hinter for Assistant {
    type Hint = DisplayHint;

    fn hint(&self, line: &str, _pos: usize, _: &Context<'_>) -> Option<DisplayHint> {
        line.clone_into(&mut self.line.borrow_mut());
        if !self.is_command.get() || line.is_empty() {
            return None;
        }
        let hint = self.current_hint();
        Some(DisplayHint(if hint.is_empty() { EMPTY_HINT.to_owned() } else { hint }))
    }
}

/// A hint that cannot be accepted as input, since it names arguments.
pub struct DisplayHint(String);

impl rustyline::hint::Hint for DisplayHint {
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
        if !self.is_command.get() {
            return Ok((pos, Vec::new()));
        }
        let before = line.get(..pos).unwrap_or(line);
        let Completions { start, words } = self.host_state.commands().complete(before);
        let pair = |word: String| Pair { replacement: format!("{word} "), display: word };
        Ok((start, words.into_iter().map(pair).collect()))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        let is_blank = |c: char| c == ' ' || c == '\t' || c == '\n';
        let start = line.len() - line.trim_start_matches(is_blank).len();
        let end = line[start..].find(is_blank).map_or(line.len(), |end| start + end);
        let (name, commands) = (&line[start..end], self.host_state.commands());
        if !self.is_coloured || !self.is_command.get() || commands.is_empty() || name.is_empty() {
            return Cow::Borrowed(line);
        }
        let style = if commands.has(name) {
            colour::KNOWN_COMMAND
        } else if end < line.len() && !line::has_pipe(&line[..end]) {
            colour::ERROR
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
        // A search in the history has a prompt of its own.
        if !default || !self.is_command.get() {
            return Cow::Borrowed(prompt);
        }
        let style = if self.host_state.is_down() { colour::ERROR } else { colour::PROMPT };
        Cow::Owned(paint(&self.host_state.updated_prompt(prompt), style, self.is_coloured))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if !self.is_command.get() {
            return Cow::Borrowed(hint);
        }
        // The hint can have changed since the line was edited.
        Cow::Owned(paint(&self.current_hint(), colour::HINT, self.is_coloured))
    }
}
