//! The prompt: a thread that edits lines, so that the server can be heard meanwhile.

use crate::error::Error;
use crate::session::{Event, Input};
use crate::terminal;
use crossbeam_channel::{Sender, unbounded};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

type LineEditor = Editor<(), MemHistory>;

/// How often a prompt is asked to end, and how many times.
const WITHDRAW_STEP: Duration = Duration::from_millis(20);
const WITHDRAW_STEPS: usize = 25;

/// Asks for lines at a terminal.
#[derive(Debug)]
pub struct Prompter {
    requests: Sender<()>,
    /// To the thread that prints above the prompt; none where the terminal cannot do that.
    printer: Option<Sender<String>>,
    /// From here on, signals are this process ending its own prompt.
    ending: Arc<AtomicBool>,
    terminal: terminal::Saved,
}

impl Prompter {
    /// Prepares the terminal. No prompt is shown before the first request.
    pub fn start(prompt: String, events: Sender<Event>) -> Result<Self, Error> {
        let terminal = terminal::Saved::new();
        let config = Config::builder().auto_add_history(true).build();
        let mut editor: LineEditor = Editor::with_history(config, MemHistory::new())
            .map_err(|error| Error::Local { doing: "use the terminal", source: io_error(error) })?;
        let printer = match editor.create_external_printer() {
            Ok(printer) => Some(print_above(printer)?),
            Err(_) => None,
        };
        let ending = Arc::new(AtomicBool::new(false));
        watch_signals(events.clone(), Arc::clone(&ending))?;
        let (requests, requested) = unbounded::<()>();
        spawn("prompt", move || {
            while requested.recv().is_ok() {
                let input = read_line(&mut editor, &prompt);
                if events.send(Event::Input(input)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, printer, ending, terminal })
    }

    /// Shows the prompt; what becomes of it is an [`Event::Input`].
    pub fn request(&self) {
        let _ = self.requests.send(());
    }

    /// Prints a line above the prompt that is up and keeps what is typed; false when that is not
    /// possible.
    pub fn print(&self, text: String) -> bool {
        self.printer.as_ref().is_some_and(|printer| printer.send(text).is_ok())
    }

    /// Ends the prompt that is up, so that the terminal is again as it was. `is_over` waits for the
    /// prompt's input that long and tells whether it came.
    ///
    /// Only the editor knows how to undo what it did to the terminal, and it waits for a key. A
    /// signal makes it return: the handler that it sets up for the time of a prompt sees to
    /// that. The signal is repeated because the prompt may not have come that far.
    pub fn withdraw(&self, mut is_over: impl FnMut(Duration) -> bool) {
        self.ending.store(true, Ordering::SeqCst);
        if self.printer.is_none() {
            return;
        }
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

fn read_line(editor: &mut LineEditor, prompt: &str) -> Input {
    match editor.readline(prompt) {
        Ok(line) => Input::Line(line.into_bytes()),
        Err(ReadlineError::Interrupted) => Input::Forget,
        Err(ReadlineError::Eof) => Input::End,
        Err(error) => Input::Failed(io_error(error)),
    }
}

/// Printing waits while the editor is busy, so it has a thread of its own.
fn print_above(
    mut printer: impl ExternalPrinter + Send + 'static,
) -> Result<Sender<String>, Error> {
    let (sender, texts) = unbounded::<String>();
    spawn("printer", move || {
        for text in texts {
            if printer.print(text).is_err() {
                return;
            }
        }
    })?;
    Ok(sender)
}

/// Between prompts Ctrl-C ends the client, and so does the system's wish at any time.
fn watch_signals(events: Sender<Event>, ending: Arc<AtomicBool>) -> Result<(), Error> {
    let mut told = false;
    let handler = move || {
        if ending.load(Ordering::SeqCst) {
            return;
        }
        if told {
            // Whatever keeps the client, such as a reply of a million lines, is not wanted.
            std::process::exit(i32::from(Error::Interrupted.exit_code()));
        }
        told = true;
        let _ = events.send(Event::Interrupt);
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Local {
        doing: "watch for Ctrl-C",
        source: io::Error::other(error.to_string()),
    })
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
