//! The manual page, made from the definition of the command line.

use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};

use crate::{
    cli::{command_line::definition, help::SECTIONS},
    program,
};

/// Returns the page for section 1, under the installed name of the program.
pub fn page() -> io::Result<Vec<u8>> {
    let mut definition = definition();
    definition.build();
    let mut page = Vec::new();
    let man = Man::new(definition.clone()).manual("Dropin");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    subcommands_section(&definition).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    help_sections().to_writer(&mut page)?;
    Ok(page)
}

/// Returns the section of types and tasks; `Man` would refer to a page for each of them.
fn subcommands_section(definition: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["TYPES AND TASKS"]);
    for task in definition.get_subcommands().filter(|task| !task.is_hide_set()) {
        roff.control("TP", []);
        let mut heading = vec![bold(format!("{} {}", program::own(), task.get_name()))];
        for alias in task.get_visible_aliases() {
            heading.extend([roman(", "), bold(format!("{} {alias}", program::own()))]);
        }
        for argument in task.get_positionals() {
            heading.extend([roman(" "), italic(value_names(argument))]);
        }
        roff.text(heading);
        let about = task.get_long_about().or(task.get_about());
        roff.text([roman(
            about.map(ToString::to_string).unwrap_or_default().replace("\n\n", ". "),
        )]);
        let options = task
            .get_arguments()
            .filter(|argument| !argument.is_positional() && !argument.is_global_set())
            .filter(|argument| argument.get_id() != "help" && !argument.is_hide_set());
        for argument in options {
            roff.control("RS", []);
            roff.control("TP", []);
            roff.text(option_heading(argument));
            roff.text([roman(argument.get_help().map(ToString::to_string).unwrap_or_default())]);
            roff.control("RE", []);
        }
    }
    roff
}

fn option_heading(argument: &Arg) -> Vec<Inline> {
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

/// Returns the other sections with their line breaks, which examples and files need.
fn help_sections() -> Roff {
    let mut roff = Roff::new();
    for section in SECTIONS {
        roff.control("SH", [section.heading.to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in section.text().lines() {
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
    fn page_has_every_option_task_and_section() {
        let page = String::from_utf8(page().unwrap()).unwrap();
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
        for section in SECTIONS {
            assert!(page.contains(&section.heading.to_uppercase()), "{page}");
        }
    }
}
