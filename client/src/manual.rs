//! The manual page, from the definition of the command line.

use crate::command_line::definition;
use crate::help::SECTIONS;
use clap::{Arg, Command};
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};
use std::io;

/// The whole page, for section 1, of the program of this name.
pub fn page(program: &str) -> io::Result<Vec<u8>> {
    let mut definition = definition();
    definition.build();
    let mut page = Vec::new();
    let man = Man::new(definition.clone()).manual("Dropin");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    tasks(&definition).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    sections().to_writer(&mut page)?;
    Ok(renamed(&String::from_utf8_lossy(&page), program).into_bytes())
}

/// The page with the name that the program was started by, wherever it is a word to be typed: so it is
/// before a blank, and in bold. Elsewhere it says what the program is.
fn renamed(page: &str, program: &str) -> String {
    page.replace("client ", &format!("{program} ")).replace("client\\fR", &format!("{program}\\fR"))
}

/// Types and tasks. `Man` would refer to a page for each of them.
fn tasks(definition: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["TYPES AND TASKS"]);
    for task in definition.get_subcommands().filter(|task| !task.is_hide_set()) {
        roff.control("TP", []);
        let mut heading = vec![bold(format!("client {}", task.get_name()))];
        for alias in task.get_visible_aliases() {
            heading.extend([roman(", "), bold(format!("client {alias}"))]);
        }
        for argument in task.get_positionals() {
            heading.extend([roman(" "), italic(value_names(argument))]);
        }
        roff.text(heading);
        let about = task.get_long_about().or(task.get_about());
        roff.text([roman(
            about.map(ToString::to_string).unwrap_or_default().replace("\n\n", ". "),
        )]);
        let own = task
            .get_arguments()
            .filter(|argument| !argument.is_positional() && !argument.is_global_set())
            .filter(|argument| argument.get_id() != "help" && !argument.is_hide_set());
        for argument in own {
            roff.control("RS", []);
            roff.control("TP", []);
            roff.text(option(argument));
            roff.text([roman(argument.get_help().map(ToString::to_string).unwrap_or_default())]);
            roff.control("RE", []);
        }
    }
    roff
}

fn option(argument: &Arg) -> Vec<Inline> {
    let mut text = vec![bold(format!("--{}", argument.get_long().unwrap_or_default()))];
    if argument.get_action().takes_values() {
        text.extend([roman(" "), italic(value_names(argument))]);
    }
    text
}

fn value_names(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
}

/// The sections as they are set: examples and files must not be filled to lines.
fn sections() -> Roff {
    let mut roff = Roff::new();
    for (heading, lines) in SECTIONS {
        roff.control("SH", [heading.to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_option_task_and_section() {
        let page = String::from_utf8(page("client").unwrap()).unwrap();
        assert!(page.contains(".TH client 1"), "{page}");
        let mut definition = definition();
        definition.build();
        for option in definition.get_arguments().filter_map(Arg::get_long) {
            let escaped = option.replace('-', "\\-");
            assert!(page.contains(&format!("\\-\\-{escaped}")), "{option}: {page}");
        }
        for task in definition.get_subcommands() {
            assert!(page.contains(&format!("client {}", task.get_name())), "{page}");
        }
        for (heading, _) in SECTIONS {
            assert!(page.contains(&heading.to_uppercase()), "{page}");
        }
    }

    #[test]
    fn a_program_of_another_name_is_called_so() {
        let page = String::from_utf8(page("dropin").unwrap()).unwrap();
        for part in [".TH dropin 1", "dropin \\- Sends", "dropin s echo hello", "\\fBdropin\\fR ["]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        let left: Vec<_> = page.lines().filter(|line| line.contains("client ")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
