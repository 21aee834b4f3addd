# Redis.pm: perl.pl PORT
use strict;
use warnings FATAL => 'all';
use Redis;

my $client = Redis->new(server => "127.0.0.1:$ARGV[0]");
sub same {
    my ($got, $expected) = @_;
    $got eq $expected or die "$got is not $expected";
}

same($client->ping, 'PONG');
my $every_byte = join('', map { chr } 0 .. 255) . "\r\n\$1\r\n";
same($client->echo($every_byte), $every_byte);
same($client->set(text => $every_byte), 'OK');
same($client->get('text'), $every_byte);
defined $client->get('none') and die 'a value that was never set';
same($client->incr('count'), 1);
same($client->incrby('count', 41), 42);
my @sums;
$client->incr('count', sub { push @sums, $_[0] }) for 1 .. 100;
$client->wait_all_responses;
same("@sums", "@{[43 .. 142]}");
same($client->info->{loading}, 0);
eval { $client->nonsense; 1 } and die 'an unknown command was answered';
$@ =~ /unknown command 'NONSENSE'/ or die $@;
$client->quit;
print "$Redis::VERSION\n";
