//! The sections of `client --help` and of the manual page behind the options.

use crate::program;

/// A section of the help.
#[derive(Clone, Copy)]
pub struct Section {
    /// The heading.
    pub heading: &'static str,
    text: &'static str,
}

impl Section {
    /// Returns the text with the installed names of the programs.
    pub fn text(&self) -> String {
        program::spelled(self.text)
    }
}

/// The sections, with the built names of the programs.
pub const SECTIONS: [Section; 7] = [
    Section {
        heading: "Examples",
        text: "\
client                                 ask for the connection type, then take commands
client s                               take commands for the host on this machine
client s echo hello                    run one command and exit
client l --address 192.168.1.20        the host at that address of the LAN
client add home --lan 192.168.1.20     name it; from then on `client home` will do
client home --json plugins | jq .      a reply for another program
client s -f commands.txt               run the commands of a file, one a line
client s -x set page < page.html       a file as the last argument
client s -r 10 -i 0.5 incr ticks       ten times, half a second apart
client s --latency                     how fast the host answers
source <(client completion bash)       in ~/.bashrc: completion with the Tab key",
    },
    Section {
        heading: "At a prompt",
        text: "\
Tab completes, Ctrl-R searches the history, Ctrl-C cancels the running command,
COMMAND | PROGRAM pipes the reply. Long replies go through PAGER, else less.
NO_COLOR switches colours off. DROPIN_HISTORY names the history file; when it
is empty, no history is kept.",
    },
    Section {
        heading: "Address and port",
        text: "\
The address comes from --address, else DROPIN_LAN_ADDRESS (l) or
DROPIN_INTERNET_ADDRESS (i), else DROPIN_ADDRESS, else the settings file,
else the client asks for it at a terminal. Type s is this machine, unless
--address or the settings file says otherwise. The port comes from --port,
else DROPIN_PORT, else the settings file. A named place has its address, and
its port if one was saved, from the settings file; only options override
them. DROPIN_CONFIG names a settings file as --config does.",
    },
    Section {
        heading: "Keys and fingerprints",
        text: "\
The key comes from --key or --key-file, else DROPIN_KEY, else the settings
file; for a named place the settings file comes before DROPIN_KEY. At the
first connection a person confirms the host's fingerprint at a terminal; a
script prints it. It is stored in known_hosts beside the settings file, and
a changed one is rejected.",
    },
    Section {
        heading: "Output",
        text: "\
Replies go to standard output, errors and notices to standard error; with
--json errors are on standard output too, as {\"error\":{\"kind\",\"message\"}}.
Bytes that are not UTF-8 are {\"base64\":\"..\"} in JSON. In CSV a list is one
row, a map is a header and a row, a list of maps is a header and rows.",
    },
    Section {
        heading: "Settings file",
        text: "\
Every line is optional. `client add` and `client remove` write the places.
  port = 5000
  [same]
  port = 5001
  [lan]
  address = \"192.168.1.20\"
  [internet]
  address = \"example.org\"
  key = \"3f9a...\"
  [places.home]
  type = \"lan\"
  address = \"192.168.1.20\"
  key-file = \"home.key\"",
    },
    Section {
        heading: "Exit status",
        text: "\
0    success; also when the reader of a pipe stops early
1    a command failed
2    no connection, or bad usage
130  interrupted by Ctrl-C",
    },
];

/// Returns the sections as the end of the help.
pub fn after_help() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(section.heading);
        text.push_str(":\n");
        for line in section.text().lines() {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
    }
    text.truncate(text.trim_end().len());
    text
}
