# Keep apt busy as a first boot does: cloud-init's update, then its installation, and unattended-upgrades later on.
# Each holds its locks (fcntl(2), as apt and dpkg do) for some seconds.
use strict;
use warnings;
use Fcntl;

sub hold {
    my ($seconds, @paths) = @_;
    my $lock = pack('s s x![q] q q i x![q]', F_WRLCK, 0, 0, 0, 0);
    my @held;
    for my $path (@paths) {
        open(my $file, '>>', $path) or die "$path: $!";
        fcntl($file, F_SETLKW, $lock) or die "$path: $!";
        push @held, $file;
    }
    sleep $seconds;
}

hold(18, '/var/lib/apt/lists/lock');
hold(15, '/var/lib/dpkg/lock-frontend', '/var/cache/apt/archives/lock');
# Queues behind the installation of Python, and has the locks before the next one can take them. The run gets there
# late on a busy computer.
sleep 1 until -e '/usr/bin/python3';
hold(30, '/var/lib/dpkg/lock-frontend', '/var/lib/apt/lists/lock');
