//! The prompt: a thread edits lines, so that the main thread can show messages of the host.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{Sender, bounded, unbounded};
use rustyline::{
    ColorMode, Config, Editor, ExternalPrinter, config::CompletionType, error::ReadlineError,
    history::FileHistory,
};

use crate::{
    conversation::{
        background::spawn,
        event::{Input, LocalEvent},
        signals::Signals,
    },
    error::Error,
    output::{colour, terminal},
    prompt::{assistant::Assistant, history, host_state::HostState},
};

type LineEditor = Editor<Assistant, FileHistory>;

/// The time between two signals that end a prompt.
const CANCEL_INTERVAL: Duration = Duration::from_millis(20);
/// The number of signals that try to end a prompt.
const CANCEL_ATTEMPTS: usize = 25;

/// The time for the editor to print the last text; it prints nothing during a search.
const LAST_PRINT_TIMEOUT: Duration = Duration::from_millis(500);

/// Makes the editor redraw its line.
///
/// The editor prints a text above its line, ends that text's line and redraws its own. This text
/// moves the cursor up by one line first, so that nothing appears above.
const REDRAW: &str = "\x1b[A\n";

/// A question to the person.
#[derive(Debug)]
pub enum Question {
    /// A command.
    Command {
        /// The prompt.
        prompt: String,
        /// The initial text of the line.
        initial: String,
    },
    /// An answer.
    Answer {
        /// The prompt.
        prompt: String,
    },
}

/// A text to print above the prompt.
struct PrintJob {
    text: String,
    /// Gets a message when the editor has accepted the text.
    accepted: Option<Sender<()>>,
}

/// The prompt at a terminal.
pub struct Prompter {
    questions: Sender<Question>,
    /// The thread that prints above the prompt; `None` where the terminal cannot do that.
    printer: Option<Sender<PrintJob>>,
    host_state: Arc<HostState>,
    signals: Signals,
    saved_modes: terminal::SavedModes,
}

impl Prompter {
    /// Prepares the terminal; the first question shows the prompt.
    ///
    /// `warn` gets a message when there can be no history.
    pub fn start(
        host_state: Arc<HostState>,
        events: Sender<LocalEvent>,
        signals: Signals,
        warn: impl FnOnce(String),
    ) -> Result<Self, Error> {
        let saved_modes = terminal::SavedModes::new();
        let mut editor = new_editor(&host_state).map_err(|error| Error::Io {
            operation: "use the terminal",
            source: io_error(error),
        })?;
        let history = open_history(&mut editor, warn);
        let printer = match editor.create_external_printer() {
            Ok(printer) => Some(start_printer(printer)?),
            Err(_) => None,
        };
        let (questions, asked) = unbounded::<Question>();
        spawn("prompt", move || {
            for question in asked {
                let input = read_line(&mut editor, question, history.as_deref());
                if events.send(LocalEvent::Input(input)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, printer, host_state, signals, saved_modes })
    }

    /// Shows the prompt; [`LocalEvent::Input`] reports the answer.
    pub fn ask(&self, question: Question) {
        let _ = self.questions.send(question);
    }

    /// Prints a line above the prompt; false when the terminal cannot do that.
    pub fn print(&self, text: String) -> bool {
        let job = PrintJob { text, accepted: None };
        self.printer.as_ref().is_some_and(|printer| printer.send(job).is_ok())
    }

    /// Redraws the prompt.
    pub fn redraw(&self) {
        self.print(REDRAW.to_owned());
    }

    /// Ends the prompt, so that the terminal has its earlier modes again.
    ///
    /// `has_ended` waits for the prompt's input and returns true when it has come.
    ///
    /// Only the editor can restore the terminal, and it waits for a key. A signal makes it return,
    /// through the handler that it installs for the time of a prompt. The signal is repeated, since
    /// the editor may not have installed its handler yet.
    pub fn cancel(&self, mut has_ended: impl FnMut(Duration) -> bool) {
        self.signals.set_interrupt_ignored(true);
        let Some(printer) = &self.printer else { return };
        // The editor has room for one text. After these two it has printed all earlier ones. They
        // also redraw the line without its hint.
        self.host_state.hide_hints();
        let (sender, accepted) = bounded(1);
        self.redraw();
        let _ = printer.send(PrintJob { text: REDRAW.to_owned(), accepted: Some(sender) });
        let _ = accepted.recv_timeout(LAST_PRINT_TIMEOUT);
        for _ in 0..CANCEL_ATTEMPTS {
            terminal::interrupt_self();
            if has_ended(CANCEL_INTERVAL) {
                return;
            }
        }
        // The editor searches the history and reacts to keys only. The process ends soon.
        self.saved_modes.restore();
    }
}

fn new_editor(host_state: &Arc<HostState>) -> rustyline::Result<LineEditor> {
    let config = Config::builder()
        .max_history_size(history::MAX_LINES)?
        .history_ignore_dups(true)?
        // The assistant also draws without colours, which it leaves out itself.
        .color_mode(ColorMode::Forced)
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .build();
    let history = FileHistory::with_config(&config);
    let mut editor: LineEditor = Editor::with_history(config, history)?;
    let is_coloured = colour::is_enabled(io::stdout().is_terminal());
    editor.set_helper(Some(Assistant::new(Arc::clone(host_state), is_coloured)));
    Ok(editor)
}

/// Loads the history and returns its file; `None` when no lines can be stored.
fn open_history(editor: &mut LineEditor, warn: impl FnOnce(String)) -> Option<PathBuf> {
    let file = history::path()?;
    match load_history(editor, &file) {
        Ok(is_usable) => is_usable.then_some(file),
        Err(error) => {
            warn(format!("no history is kept in {}: {error}", file.display()));
            None
        }
    }
}

/// Loads the history; false for a file that stores no lines, whose mode the editor would change.
fn load_history(editor: &mut LineEditor, file: &Path) -> io::Result<bool> {
    if !history::prepare(file)? {
        return Ok(false);
    }
    editor.load_history(file).map_err(io_error)?;
    Ok(true)
}

fn read_line(editor: &mut LineEditor, question: Question, history: Option<&Path>) -> Input {
    let (prompt, initial, is_command) = match question {
        Question::Command { prompt, initial } => (prompt, initial, true),
        Question::Answer { prompt } => (prompt, String::new(), false),
    };
    if let Some(assistant) = editor.helper() {
        assistant.begin_line(&prompt, is_command);
    }
    let line = match editor.readline_with_initial(&prompt, (&initial, "")) {
        Ok(line) => line,
        Err(ReadlineError::Interrupted) => return Input::Discarded,
        Err(ReadlineError::Eof) => return Input::End,
        Err(error) => return Input::Failed(io_error(error)),
    };
    if is_command && history::can_store(&line) {
        let _ = editor.add_history_entry(&line);
        // A disk that fills up later is no reason to stop.
        let _ = history.map(|file| editor.append_history(file));
    }
    Input::Line(line.into_bytes())
}

/// Starts the thread that prints above the prompt, since printing blocks while the editor is busy.
fn start_printer(
    mut printer: impl ExternalPrinter + Send + 'static,
) -> Result<Sender<PrintJob>, Error> {
    let (sender, jobs) = unbounded::<PrintJob>();
    spawn("printer", move || {
        for PrintJob { text, accepted } in jobs {
            if printer.print(text).is_err() {
                return;
            }
            let _ = accepted.map(|accepted| accepted.send(()));
        }
    })?;
    Ok(sender)
}

fn io_error(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other),
    }
}
