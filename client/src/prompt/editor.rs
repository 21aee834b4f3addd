//! The prompt: a thread that edits lines, so that the server can be heard meanwhile.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use crossbeam_channel::{Sender, bounded, unbounded};
use rustyline::{
    ColorMode, Config, Editor, ExternalPrinter, config::CompletionType, error::ReadlineError,
    history::FileHistory,
};

use crate::{
    conversation::{
        event::{Event, Input},
        signals::Signals,
    },
    error::Error,
    output::{colour, terminal},
    prompt::{assistant::Assistant, history, host_state::HostState},
};

type LineEditor = Editor<Assistant, FileHistory>;

/// How often a prompt is asked to end, and how many times.
const WITHDRAW_STEP: Duration = Duration::from_millis(20);
const WITHDRAW_STEPS: usize = 25;

/// How long the editor may need for what is printed last; it takes nothing during a search.
const LAST_PRINT: Duration = Duration::from_millis(500);

/// Has the editor draw its line anew. It does so after it has printed a text above the line, and
/// ends that text's line where the text does not: this one goes up a line before.
const NOTHING_ABOVE: &str = "\x1b[A\n";

/// What is asked of the person.
#[derive(Debug)]
pub enum Question {
    /// A command, behind this prompt; the line begins with this text.
    Command(String, String),
    /// An answer, behind this prompt.
    Answer(String),
}

/// A text to print above the prompt, and who is told when it is on its way.
type Above = (String, Option<Sender<()>>);

/// Asks for lines at a terminal.
#[derive(Debug)]
pub struct Prompter {
    questions: Sender<Question>,
    /// To the thread that prints above the prompt; none where the terminal cannot do that.
    printer: Option<Sender<Above>>,
    host_state: Arc<HostState>,
    signals: Signals,
    terminal: terminal::Saved,
}

impl Prompter {
    /// Prepares the terminal. No prompt is shown before the first question. `tell` is told why there
    /// is no history, if there is none.
    pub fn start(
        host_state: Arc<HostState>,
        events: Sender<Event>,
        signals: Signals,
        tell: impl FnOnce(String),
    ) -> Result<Self, Error> {
        let terminal = terminal::Saved::new();
        let unusable = |error| Error::Local { doing: "use the terminal", source: io_error(error) };
        let config = Config::builder()
            .max_history_size(history::LINES)
            .map_err(unusable)?
            .history_ignore_dups(true)
            .map_err(unusable)?
            // What the assistant draws it draws also without colours, which it leaves out by itself.
            .color_mode(ColorMode::Forced)
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .build();
        let history = FileHistory::with_config(&config);
        let mut editor: LineEditor = Editor::with_history(config, history).map_err(unusable)?;
        editor.set_helper(Some(Assistant::new(
            Arc::clone(&host_state),
            colour::wanted(io::stdout().is_terminal()),
        )));
        let file = history::file();
        let file = file.and_then(|file| match load(&mut editor, &file) {
            Ok(is_kept) => is_kept.then_some(file),
            Err(error) => {
                tell(format!("no history is kept in {}: {error}", file.display()));
                None
            }
        });
        let printer = match editor.create_external_printer() {
            Ok(printer) => Some(print_above(printer)?),
            Err(_) => None,
        };
        let (questions, asked) = unbounded::<Question>();
        spawn("prompt", move || {
            for question in asked {
                let input = read_line(&mut editor, question, file.as_ref());
                if events.send(Event::Input(input)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, printer, host_state, signals, terminal })
    }

    /// Shows the prompt; what becomes of it is an [`Event::Input`].
    pub fn ask(&self, question: Question) {
        let _ = self.questions.send(question);
    }

    /// Prints a line above the prompt that is up and keeps what is typed; false when that is not
    /// possible.
    pub fn print(&self, text: String) -> bool {
        self.printer.as_ref().is_some_and(|printer| printer.send((text, None)).is_ok())
    }

    /// Draws the prompt that is up as it must look now.
    pub fn refresh(&self) {
        self.print(NOTHING_ABOVE.to_owned());
    }

    /// Ends the prompt that is up, so that the terminal is again as it was. `is_over` waits for the
    /// prompt's input that long and tells whether it came.
    ///
    /// Only the editor knows how to undo what it did to the terminal, and it waits for a key. A
    /// signal makes it return: the handler that it sets up for the time of a prompt sees to
    /// that. The signal is repeated because the prompt may not have come that far.
    pub fn withdraw(&self, mut is_over: impl FnMut(Duration) -> bool) {
        self.signals.set_deaf(true);
        let Some(printer) = &self.printer else { return };
        // Two more texts, for which the editor has to take what was to be printed before them: it has
        // room for one. They leave the line without its hint.
        self.host_state.set_quiet();
        let (sender, sent) = bounded(1);
        self.refresh();
        let _ = printer.send((NOTHING_ABOVE.to_owned(), Some(sender)));
        let _ = sent.recv_timeout(LAST_PRINT);
        for _ in 0..WITHDRAW_STEPS {
            terminal::interrupt_self();
            if is_over(WITHDRAW_STEP) {
                return;
            }
        }
        // It searches the history, and hears keys only. The process ends before it can do more.
        self.terminal.restore();
    }
}

/// Whether lines are kept there. The editor gets no file that is none: it would change its mode.
fn load(editor: &mut LineEditor, file: &Path) -> io::Result<bool> {
    if !history::prepare(file)? {
        return Ok(false);
    }
    editor.load_history(file).map_err(io_error)?;
    Ok(true)
}

fn read_line(editor: &mut LineEditor, question: Question, file: Option<&PathBuf>) -> Input {
    let (prompt, initial, is_command) = match question {
        Question::Command(prompt, initial) => (prompt, initial, true),
        Question::Answer(prompt) => (prompt, String::new(), false),
    };
    if let Some(assistant) = editor.helper() {
        assistant.begin(&prompt, is_command);
    }
    let line = match editor.readline_with_initial(&prompt, (&initial, "")) {
        Ok(line) => line,
        Err(ReadlineError::Interrupted) => return Input::Forget,
        Err(ReadlineError::Eof) => return Input::End,
        Err(error) => return Input::Failed(io_error(error)),
    };
    if is_command && history::may_keep(&line) {
        let _ = editor.add_history_entry(&line);
        // A full disk is no reason to stop, and was told of at the start where it was full then.
        let _ = file.map(|file| editor.append_history(file));
    }
    Input::Line(line.into_bytes())
}

/// Printing waits while the editor is busy, so it has a thread of its own.
fn print_above(mut printer: impl ExternalPrinter + Send + 'static) -> Result<Sender<Above>, Error> {
    let (sender, texts) = unbounded::<Above>();
    spawn("printer", move || {
        for (text, told) in texts {
            if printer.print(text).is_err() {
                return;
            }
            let _ = told.map(|told| told.send(()));
        }
    })?;
    Ok(sender)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread
        .map(drop)
        .map_err(|source| Error::Local { doing: "start a thread for the terminal", source })
}

fn io_error(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
