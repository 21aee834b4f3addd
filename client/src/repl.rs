//! The interactive loop: a person at a terminal.

use crate::batch::is_end;
use crate::editor::Prompter;
use crate::error::Error;
use crate::quoting;
use crate::render;
use crate::reply::Reply;
use crate::screen::Screen;
use crate::session::{Input, Session};
use crate::text::Escape;

/// Takes commands until the person or the server ends the session; the result is the exit code.
pub fn run(mut session: Session, screen: Screen) -> Result<u8, Error> {
    screen
        .notice(&format_args!("connected to {}; close or Ctrl-D ends the session", session.name()));
    let prompter = Prompter::start(format!("dropin {}> ", session.name()), session.sender())?;
    loop {
        prompter.request();
        let line = match session.input(&mut |values| print(&prompter, screen, values)) {
            Ok(Input::Line(line)) => line,
            Ok(Input::Forget) => continue,
            Ok(Input::End) => break,
            Ok(Input::Failed(source)) => {
                return Err(Error::Local { doing: "read from the terminal", source });
            }
            Err(end) => {
                prompter.withdraw(|limit| session.input_within(limit).is_some());
                return over(end, screen);
            }
        };
        let command = match quoting::split(&line) {
            Ok(command) if command.is_empty() => continue,
            Ok(command) if is_end(&command) => break,
            Ok(command) => command,
            Err(bad) => {
                screen.error(&bad);
                continue;
            }
        };
        match session.ask(&command, &mut |values| screen.push(values)) {
            Ok(reply) => screen
                .reply(&reply)
                .map_err(|source| Error::Local { doing: "write to the terminal", source })?,
            // The reply is thrown away when it comes; other commands can be tried.
            Err(error @ Error::Timeout { .. }) => screen.say(&error),
            Err(end) => return over(end, screen),
        }
    }
    session.close();
    Ok(0)
}

/// A server that says goodbye ends the session as properly as the person can.
fn over(end: Error, screen: Screen) -> Result<u8, Error> {
    match end {
        Error::Ended { .. } => {
            screen.say(&end);
            Ok(0)
        }
        other => Err(other),
    }
}

fn print(prompter: &Prompter, screen: Screen, values: &[Reply]) {
    let mut text = Vec::new();
    let rendered = render::push(&mut text, values, Escape::Controls);
    let printed = rendered.is_ok() && prompter.print(String::from_utf8_lossy(&text).into_owned());
    if !printed {
        screen.push(values);
    }
}
