# Keep apt busy as a first boot does: cloud-init's update, then its installation, and unattended-upgrades later on.
# Each holds its locks (fcntl(2), as apt and dpkg do) until the run has met them, which is late on a busy computer.
use strict;
use warnings;
use Fcntl;

my @held;

sub take {
    my $lock = pack('s s x![q] q q i x![q]', F_WRLCK, 0, 0, 0, 0);
    for my $path (@_) {
        open(my $file, '>>', $path) or die "$path: $!";
        fcntl($file, F_SETLKW, $lock) or die "$path: $!";
        push @held, [$path, $file];
    }
}

sub release {
    my ($path) = @_;
    @held = grep { $_->[0] ne $path } @held;
}

sub wait_for_apt_get {
    my ($command) = @_;
    for (1 .. 60_000) {
        for my $file (glob '/proc/[0-9]*/cmdline') {
            open(my $handle, '<', $file) or next;
            my @words = split /\0/, <$handle> // '';
            return if @words && $words[0] =~ /apt-get$/ && grep { $_ eq $command } @words;
        }
        select(undef, undef, undef, 0.01);
    }
    die "nobody has run apt-get $command";
}

my @archives = ('/var/lib/dpkg/lock-frontend', '/var/cache/apt/archives/lock');
take('/var/lib/apt/lists/lock', @archives);
wait_for_apt_get('update');
sleep 6;    # the run waits five seconds between two attempts
release('/var/lib/apt/lists/lock');
wait_for_apt_get('install');
sleep 6;
release($_) for @archives;
# Queues behind the installation of Python, and has the locks before the next one can take them.
sleep 1 until -e '/usr/bin/python3';
take('/var/lib/dpkg/lock-frontend', '/var/lib/apt/lists/lock');
sleep 30;
