//! A host that the client contacts for the first time, over TLS, with a user at the terminal.

use dropin_tests::{
    Setup,
    open_metrics::Page,
    terminal::{Finished, Terminal},
};

use super::{Person, client};

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn first_contact_asks_once_before_sending() {
    let setup = Setup::new().plugins(&["text"]);
    let host = setup.flags(&["--metrics", "127.0.0.1:0"]).start();
    let commands = || Page::of(&host).sum("dropin_command_calls_total");
    let home = tempfile::tempdir().unwrap();
    let command = client(&host, home.path(), &["--tls"]);
    let fingerprint = host.fingerprint();
    for answer in ["no", "yes"] {
        let mut terminal = Terminal::start(&command);
        terminal.sees_that("the question", |screen| {
            let whole = screen.replace('\n', "");
            whole.contains(&fingerprint) && whole.trim_end().ends_with("there? (yes/no)")
        });
        terminal.press("well\r");
        terminal.sees("Please answer yes or no.");
        terminal.press(format!("{answer}\r"));
        if answer == "no" {
            let Finished { status, screen } = terminal.finish();
            assert_eq!(status, Some(2), "{screen}");
            assert!(screen.replace('\n', "").contains("was not confirmed"), "{screen}");
            // By then the host has read everything that the client sent.
            host.wait_for_log(" ended: ");
            assert_eq!(commands(), 0.0);
        } else {
            terminal.sees_last(&format!("dropin 127.0.0.1:{} admin> ", host.port()));
            terminal.press("\x04");
            assert_eq!(terminal.finish().status, Some(0));
            assert!(commands() > 0.0);
        }
    }
    Person::with(&host, home, &command, "admin").leaves();
}
