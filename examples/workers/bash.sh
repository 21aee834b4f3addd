#!/usr/bin/env bash
# dropin: bash.greet [WHO] -- A greeting.
# dropin: bash.add A B -- The sum of two integers.
#
# A script without a protocol: the host runs it once for each call, with the command's name and its
# arguments. Its output is the reply, and its last line on standard error is the error if it fails.

command=$1
shift
case $command in
bash.greet)
    echo "hello, ${1:-world}"
    ;;
bash.add)
    for number in "$1" "$2"; do
        # At most 18 digits, so that the sum has 64 bits; a leading zero would mean octal.
        if [[ ! $number =~ ^(0|-?[1-9][0-9]{0,17})$ ]]; then
            echo "value is not an integer or out of range" >&2
            exit 1
        fi
    done
    echo $(($1 + $2))
    ;;
esac
