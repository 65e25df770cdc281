# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Names that no blog can have on any host: those of the system, and those derived from another blog's name."""

from __future__ import annotations

import re

from ansible_collections.flaskblog.hosting.plugins.module_utils.names import SUFFIXES

#: Accounts and groups of a Debian system and its usual services; a blog's account would take one over.
ACCOUNTS = (
    "_apt adm audio backup bin bind cdrom clamav crontab daemon debian-exim debian-tor dialout dip disk dnsmasq"
    " docker fax floppy ftp games gnats haproxy irc kmem kvm list lp lxd mail man memcache messagebus mongodb"
    " mysql netdev news nobody nogroup ntp ntpsec openldap operator plugdev polkitd postfix postgres prometheus"
    " proxy rabbitmq redis root sasl shadow src sshd ssl-cert staff statd sudo sync sys syslog tape tomcat tor tty"
    " unbound users utmp uucp uuidd varnish video voice wheel www-data"
)

#: Units of such a system, and directories in /etc, /opt, /run, /usr, /var/cache and /var/lib.
SERVICES = (
    "acpid alsa alternatives anacron apache2 apparmor apt apt-daily at atd autofs avahi avahi-daemon bash"
    " bluetooth ca-certificates caddy certbot chrony chronyd cloud-init collectd console-setup containerd cron"
    " cryptsetup cups dbus dbus-broker debconf default dhcp dhcpcd display-manager dovecot dpkg emergency exim4"
    " fail2ban flask-blog-hosting fwupd getty git gpg gpm grub hostname hosts ifupdown initramfs-tools iscsi ld"
    " ldconfig letsencrypt libvirt libvirtd lock logcheck logind logrotate lvm lvm2 mariadb mdadm modprobe multi-user"
    " multipath network networkd networking networkmanager nfs nfs-common nfs-server nftables nginx nscd"
    " nslcd openssh openssl openvpn pam passwd perl php php-fpm plymouth policykit polkit polkit-1 private procps"
    " profile python python3 rc rc-local rescue resolvconf resolved rpcbind rspamd rsync rsyslog rsyslogd run"
    " screen sendmail skel smartmontools smbd snapd snmpd squid ssh ssl sssd sudoers supervisor sysctl sysstat"
    " systemd thermald timesyncd tmpfiles tzdata ucf udev udisks2 ufw unattended-upgrades upower usbutils user"
    " uwsgi valkey vim vsftpd wireguard wpa-supplicant x11 xdg xinetd zsh"
)

SYSTEM = frozenset(f"{ACCOUNTS} {SERVICES}".split())

#: The account of a site with a long name that builds environments: C(build-) and part of a hash.
BUILD_ACCOUNT = re.compile(r"build-[0-9a-f]{16}")


def is_of_the_system(name: str) -> bool:
    """Return whether a service, an account, a group or a system directory usually has this name."""
    return name in SYSTEM or name.startswith("systemd-")


def derived_suffix(name: str) -> str | None:
    """Return the part of a name that would make it another blog's unit or account; None if there is none."""
    if BUILD_ACCOUNT.fullmatch(name):
        return "build-"
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    return "-run-" if "-run-" in name else None
