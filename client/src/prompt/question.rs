//! What is asked at a terminal before there is a connection.

use std::io::{self, BufRead, Write};

use crate::{
    error::Error,
    places::{config::parse_host, kind::Kind},
    program,
};

/// Asks for the connection type or one of these places until the answer is one; gives that word.
pub fn place(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    places: &[&str],
) -> Result<String, Error> {
    let question = match places {
        [] => "Connection type, s (same machine), l (same LAN) or i (internet): ".to_owned(),
        names => format!(
            "Connection type, s (same machine), l (same LAN) or i (internet), or a place ({}): ",
            names.join(", ")
        ),
    };
    loop {
        let answer = ask(input, output, &question)?;
        let kind = Kind::from_word(&answer.to_ascii_lowercase()).map(Kind::letter);
        match kind.or(places.iter().copied().find(|name| *name == answer)) {
            Some(word) => return Ok(word.to_owned()),
            None if places.is_empty() => tell(output, "Please answer s, l or i."),
            None => tell(output, "Please answer s, l, i or the name of a place."),
        }
    }
}

/// Asks for the address of the host until the answer can be one.
pub fn address(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<String, Error> {
    loop {
        let answer = ask(input, output, "Address of the host (name or IP address): ")?;
        match parse_host(&answer) {
            Ok(host) => return Ok(host),
            Err(error) => tell(output, &error.to_string()),
        }
    }
}

/// Asks whether a host that is seen for the first time is the right one, until the answer is yes or
/// no.
pub fn first_contact(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    name: &str,
    shown: &str,
) -> Result<bool, Error> {
    tell(output, &format!("First contact with {name}; its fingerprint is\n{shown}"));
    loop {
        let question = program::spelled("Is that what `host fingerprint` says there? (yes/no) ");
        match ask(input, output, &question)?.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => tell(output, "Please answer yes or no."),
        }
    }
}

fn ask(input: &mut dyn BufRead, output: &mut dyn Write, question: &str) -> Result<String, Error> {
    let _ = output.write_all(question.as_bytes()).and_then(|()| output.flush());
    let mut answer = String::new();
    match input.read_line(&mut answer) {
        Ok(0) => {
            tell(output, "");
            Err(Error::Usage(program::spelled("the question has no answer; see `client --help`")))
        }
        Ok(_) => Ok(answer.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(String::new()),
        Err(source) => Err(Error::Local { doing: "read the answer", source }),
    }
}

fn tell(output: &mut dyn Write, text: &str) {
    let _ = writeln!(output, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_asked_again() {
        let asked = |answers: &str, places: &[&str]| {
            place(&mut answers.as_bytes(), &mut io::sink(), places).unwrap()
        };
        assert_eq!(asked("x\n\nlan please\n L \n", &[]), "l");
        assert_eq!(asked("internet\n", &["home"]), "i");
        assert_eq!(asked("office\nhome\n", &["home"]), "home");
        assert_eq!(address(&mut &b"\na b\nhost:1\n[::1]\n"[..], &mut io::sink()).unwrap(), "::1");
    }

    #[test]
    fn only_yes_is_yes() {
        let asked = |answers: &str| {
            first_contact(&mut answers.as_bytes(), &mut io::sink(), "x", "SHA256:00")
        };
        assert!(asked("\nsure\nYes\n").unwrap());
        assert!(!asked("no\nyes\n").unwrap());
        assert!(asked("").is_err());
    }

    #[test]
    fn no_answer_is_an_error() {
        assert!(place(&mut &b"x\n"[..], &mut io::sink(), &[]).is_err());
        assert!(address(&mut &b""[..], &mut io::sink()).is_err());
    }
}
