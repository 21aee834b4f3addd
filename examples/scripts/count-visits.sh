#!/bin/sh
# Counts one visit of each page that is named on standard input, a name a line, and prints the
# five pages with most visits:
#
#     printf '/\n/about\n/\n' | examples/scripts/count-visits.sh
#
# CLIENT names the client where it is not in PATH; DROPIN_PORT is the host's port. A name must have
# no double quote and no backslash.
set -eu
client=${CLIENT:-client}
names=$(mktemp)
trap 'rm -f "$names"' EXIT

# One session runs all commands, a line each.
sed 's/.*/incr "visits:&"/' | $client s --quiet >/dev/null

$client s --raw keys 'visits:*' >"$names"
# The replies come in the order of the commands.
sed 's/.*/get "&"/' "$names" | $client s --raw | paste - "$names" | sort -k1,1nr -k2 | head -n 5
