#!/usr/bin/env perl
# A worker in Perl, with modules of its core only.
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use Time::HiRes;

my $hello = {
    dropin   => 1,
    name     => 'perl',
    version  => '1.0',
    features => ['state'],
    commands => [
        { name => 'perl.greet', usage => '[WHO]', help => 'A greeting.' },
        { name => 'perl.add', usage => 'A B', help => 'The sum of two integers.' },
        { name => 'perl.count', usage => '', help => 'How often it was called.', writes => \1 },
        { name => 'perl.slow', usage => 'SECONDS', help => 'Takes its time; can be cancelled.' },
    ],
};

my $json  = JSON::PP->new->utf8;
my $input = IO::Select->new(\*STDIN);
my ($count, $rest, $ended) = (0, '', 0);
my (@waiting, %cancelled);    # The requests that came, and the calls to cancel.

# Standard output belongs to the protocol; what is printed by mistake goes into the host's log.
open my $output, '>&', \*STDOUT or die "cannot copy standard output: $!";
open STDOUT, '>&', \*STDERR or die "cannot redirect standard output: $!";
$output->autoflush(1);

sub send_message { print {$output} $json->encode($_[0]), "\n" }

# Reads what is there, and sorts it. A running call does this too, and so learns that it is
# cancelled.
sub read_input {
    my $length = sysread STDIN, $rest, 65536, length $rest;
    $ended = !$length;
    $rest .= "\n" if $ended;
    while ($rest =~ s/^(.*)\n//) {
        my $message = eval { $json->decode($1) };
        next if ref $message ne 'HASH';
        if    (exists $message->{id})     { push @waiting, $message }
        elsif (exists $message->{cancel}) { $cancelled{ $message->{cancel} } = 1 }
        elsif (exists $message->{dropin}) { send_message($hello) }
    }
}

# Waits. Returns true as soon as the call is cancelled.
sub wait_for {
    my ($id, $seconds) = @_;
    my $end = Time::HiRes::time() + $seconds;
    while (!$cancelled{$id}) {
        my $left = $end - Time::HiRes::time();
        return 0 if $left <= 0;
        if    ($ended)                  { select undef, undef, undef, $left }
        elsif ($input->can_read($left)) { read_input() }
    }
    return 1;
}

sub text {
    return $_[0] if !ref $_[0];
    die "argument is not valid UTF-8\n";
}

sub integer {
    # At most 18 digits, so that the sum has 64 bits.
    return 0 + $_[0] if text($_[0]) =~ /^-?[0-9]{1,18}\z/;
    die "value is not an integer or out of range\n";
}

sub float {
    return 0 + $_[0] if text($_[0]) =~ /^[0-9]+(?:\.[0-9]+)?\z/;
    die "value is not a valid float\n";
}

my %commands = (
    'perl.greet' => sub { 'hello, ' . text($_[1] // 'world') },
    'perl.add'   => sub { integer($_[1]) + integer($_[2]) },
    'perl.count' => sub { ++$count },
    'perl.slow'  => sub {
        my ($id, $seconds) = ($_[0], float($_[1]));
        for my $step (1 .. 10) {
            die { error => 'the command was cancelled', kind => 'CANCELLED' }
                if wait_for($id, $seconds / 10);
            send_message({ id => $id, progress => [$step, 10] });
        }
        return 'done';
    },
);

sub answer {
    my ($request) = @_;
    return $count if exists $request->{save};
    if (exists $request->{restore}) {
        my $state = $request->{restore};
        die "the state is no integer\n" if ref $state || ($state // '') !~ /^[0-9]+\z/;
        $count = 0 + $state;
        return undef;
    }
    die "unknown request\n" if !exists $request->{call};
    my $command = $commands{ $request->{call} } or die "unknown command '$request->{call}'\n";
    return $command->($request->{id}, @{ $request->{args} // [] });
}

while (!$ended || @waiting) {
    my $request = shift @waiting;
    if (!$request) { read_input(); next }
    my $id = $request->{id};
    my $reply = eval { { ok => answer($request) } } // $@;
    if (!ref $reply) {
        chomp $reply;
        $reply = { error => $reply };
    }
    send_message({ id => $id, %$reply });
    delete $cancelled{$id};
}
