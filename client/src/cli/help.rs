//! What `client --help` and the manual page say beyond the options.

use crate::program;

/// Headings, and the lines under them, with the programs' names as they were built.
const SECTIONS: [(&str, &str); 7] = [
    (
        "Examples",
        "\
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
    ),
    (
        "At a prompt",
        "\
Tab completes, Ctrl-R searches the history, Ctrl-C cancels what runs,
COMMAND | PROGRAM pipes the reply. Long replies go through PAGER, else less;
NO_COLOR leaves colours out; DROPIN_HISTORY names the history's file, and none
is kept when it is empty.",
    ),
    (
        "Address and port",
        "\
The address comes from --address, else DROPIN_LAN_ADDRESS (l) or
DROPIN_INTERNET_ADDRESS (i), else DROPIN_ADDRESS, else the settings file,
else it is asked for at a terminal. Type s is this machine, unless
--address or the settings file says otherwise. The port comes from --port,
else DROPIN_PORT, else the settings file. A named place has its address, and
its port where it was given one, from the settings file; only options change
them. DROPIN_CONFIG names a settings file as --config does.",
    ),
    (
        "Keys and fingerprints",
        "\
The key comes from --key or --key-file, else DROPIN_KEY, else the settings
file; for a named place the settings file comes before DROPIN_KEY. At first
sight the host's fingerprint is asked about at a terminal, and told elsewhere;
it is kept in known_hosts beside the settings file, and a changed one is
refused.",
    ),
    (
        "Output",
        "\
Replies go to standard output, errors and notices to standard error; with
--json errors are on standard output too, as {\"error\":{\"kind\",\"message\"}}.
Bytes that are no UTF-8 are {\"base64\":\"..\"} in JSON. In CSV a list is one
row, a map is a header and a row, a list of maps is a header and rows.",
    ),
    (
        "Settings file",
        "\
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
    ),
    (
        "Exit status",
        "\
0    it worked; also when the reader of a pipe wants no more
1    a command failed
2    no connection, or bad usage
130  interrupted by Ctrl-C",
    ),
];

/// Headings, and the lines under them.
pub fn sections() -> Vec<(&'static str, String)> {
    SECTIONS.into_iter().map(|(heading, lines)| (heading, program::spelled(lines))).collect()
}

/// The sections as the end of the help.
pub fn after_help() -> String {
    let mut text = String::new();
    for (heading, lines) in sections() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(heading);
        text.push_str(":\n");
        for line in lines.lines() {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
    }
    text.truncate(text.trim_end().len());
    text
}
