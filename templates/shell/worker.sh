#!/bin/sh
# dropin: {{project-name}}.hello [WHO] -- A greeting.
# dropin: {{project-name}}.mean NUMBER.. -- The mean of the numbers.
#
# The host runs this once for each call, in the plugin's own folder, with the command's name and its
# arguments. The output is the reply. If it fails, its last line on standard error is the error. The
# host checks the number of arguments: `[WHO]` may be left out, `NUMBER..` is one or more.
set -eu

command=$1
shift
case $command in
{{project-name}}.hello)
    who=${1-you}
    if [ -z "$who" ]; then
        echo "WHO must not be empty" >&2
        exit 1
    fi
    echo "hello, $who"
    ;;
{{project-name}}.mean)
    awk -- 'BEGIN {
        for (i = 1; i < ARGC; i++) {
            if (ARGV[i] !~ /^-?[0-9]+([.][0-9]+)?$/) exit 1
            sum += ARGV[i]
        }
        print sum / (ARGC - 1)
    }' "$@" || {
        echo "value is not a valid float" >&2
        exit 1
    }
    ;;
esac
