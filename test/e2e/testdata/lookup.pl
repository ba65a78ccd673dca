# As lookup.c: each NAME is looked up, from each HOST:PORT a page fetched. The
# first argument says by which function: getaddrinfo, which IO::Socket::IP uses,
# or gethostbyname, which IO::Socket::INET uses.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::IP;
use Socket qw(:addrinfo inet_ntoa);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my %herrno = (1 => 'HOST_NOT_FOUND', 2 => 'TRY_AGAIN', 3 => 'NO_RECOVERY', 4 => 'NO_DATA');

sub find {
    my ($how, $name) = @_;
    if ($how eq 'getaddrinfo') {
        my ($failure, @found) = getaddrinfo($name, '', { socktype => SOCK_STREAM });
        return $failure == EAI_NONAME ? 'EAI_NONAME' : "$failure" if $failure;
        return join ',', map { (getnameinfo($_->{addr}, NI_NUMERICHOST, NIx_NOSERV))[1] } @found;
    }
    my (undef, undef, undef, undef, @found) = gethostbyname($name);
    return @found ? join(',', map { inet_ntoa($_) } @found) : $herrno{$?} // $?;
}

sub fetch {
    my ($how, $address) = @_;
    my $class = $how eq 'getaddrinfo' ? 'IO::Socket::IP' : 'IO::Socket::INET';
    my $conn = $class->new(PeerAddr => $address) or die "$address: $@";
    print $conn "GET / HTTP/1.0\r\nHost: $address\r\n\r\n";
    $conn->shutdown(1); # HCM tells of the server's end after ours
    local $/;
    my (undef, $body) = split /\r\n\r\n/, <$conn>, 2;
    return $body;
}

my ($how, @names) = @ARGV;
for my $name (@names) {
    my $began = clock_gettime(CLOCK_MONOTONIC);
    my $saw = $name =~ /:/ ? fetch($how, $name) : find($how, $name) . "\n";
    printf '%s %d %s', $name, (clock_gettime(CLOCK_MONOTONIC) - $began) * 1e6, $saw;
}
