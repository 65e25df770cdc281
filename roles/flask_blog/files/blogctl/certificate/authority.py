"""Ask an authority for a certificate: Debian's certbot, in a unit of its own, which never sees the site's key."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..host.run_as_app import Properties, started
from ..host.systemd import stop_transient
from ..host.units import certbot_unit
from ..shared import cage
from ..site import Site

CERTBOT = "/usr/bin/certbot"
#: In the site's directory for its authority: certbot's settings, its accounts, and what the two exchange.
SETTINGS, ACCOUNTS, EXCHANGE = "cli.ini", "config", "exchange"
#: Beside them, for challenges by DNS.
CREDENTIALS = "dns-credentials"
#: In the directory of what is exchanged.
REQUEST, ISSUED = "request.pem", "fullchain.pem"
#: Seconds that certbot may take, without those that it waits for DNS, and that it has to end after that.
TIMEOUT, STOP_TIMEOUT = 300, 10
PROPAGATION = re.compile(r"-propagation-seconds = ([0-9]{1,4})$", re.MULTILINE)

#: What certbot prints for each name that the authority could not reach.
FAILED_NAME = re.compile(
    r"^ *(?:Domain|Identifier): *(\S+) *(?:\n *Type: *(\S+) *)?(?:\n *Detail: *(.*))?$", re.MULTILINE
)
#: What the plugins for DNS say of a name whose domain they cannot write to, which the authority never hears of.
NO_ZONE = re.compile(
    r"Unable to (?:determine|find) [\w ]+ for (?:_acme-challenge\.)?([\w.-]*\w)(?: using|\.?$)", re.MULTILINE
)
#: And for a refusal of the authority.
REFUSAL = re.compile("urn:ietf:params:acme:error:|Error finalizing order|too many|rateLimited")
#: The authority does not know the account any more. The last one is certbot 2.1's, which fails over that message.
NO_ACCOUNT = re.compile(r"accountDoesNotExist|Account \S+ not found|AttributeError: can't set attribute")
#: The authority does not know the number of a request any more, such as after its restart. That is no refusal: the
#: client is to ask again (RFC 8555, 6.5), which certbot does only once.
STALE = re.compile(r"badNonce|invalid anti-replay nonce")
#: Lines of certbot that help nobody here.
NOISE = re.compile(
    r"^(Saving debug log|Ask for help|See the logfile|Some challenges have failed|- - -|\s*$|Account registered"
    r"|Requesting a certificate|Hint:)"
)
#: Options of certbot in its messages, and the variables that they are here.
ACCOUNT = "--eab-kid and --eab-hmac-key", "flask_blog_acme_eab_key_id and flask_blog_acme_eab_hmac_key"
#: Secrets in certbot's settings, and in the file of credentials of a provider of DNS.
SECRET = re.compile(
    r'^\W*(?:eab-hmac-key|\w+(?:_secret|_token|_access_key)|private_key"?) ?[=:] "?(.+?)(?:",?)?$', re.MULTILINE
)
#: Characters of a message.
MESSAGE_LIMIT = 2000


@dataclass(frozen=True)
class Answer:
    """How an authority answered: C(problem) is empty if it has issued the certificate."""

    problem: str = ""
    #: names that it could not validate, each with the reason
    names: dict[str, str] = field(default_factory=dict)
    #: whether the authority itself has refused the request, which counts against its limits
    refused: bool = False


def exchange(site: Site) -> Path:
    """Return the directory that certbot shares with this program: the request in it, and the certificate out of it."""
    return site.path("acme") / EXCHANGE


def ask(site: Site) -> Answer:
    """Let certbot send the request in P(exchange), and leave the certificate there.

    The site's lock is not held: an authority that hangs must not keep a deployment waiting.
    """
    answer, output = _certbot(site)
    if STALE.search(output):
        answer, output = _certbot(site)
    if NO_ACCOUNT.search(output):
        # Such as an authority for tests that was made anew.
        shutil.rmtree(site.path("acme") / ACCOUNTS / "accounts", ignore_errors=True)
        answer, _ = _certbot(site)
        if answer.problem and not answer.names:  # an authority has limits on new accounts, too
            answer = replace(answer, refused=True)
    return answer


def _certbot(site: Site) -> tuple[Answer, str]:
    folder, unit = exchange(site), certbot_unit(site)
    for name in (ISSUED, "cert.pem", "chain.pem"):
        (folder / name).unlink(missing_ok=True)
    cage.prepare()
    webroot = ["--webroot", "--webroot-path", str(site.settings["challenges"])]
    command = [
        *(CERTBOT, "certonly", "--config", str(site.path("acme") / SETTINGS), "--csr", str(folder / REQUEST)),
        *([] if site.settings.get("acme_dns") else webroot),  # the settings name the plugin for DNS
        *("--fullchain-path", str(folder / ISSUED)),
        *("--cert-path", str(folder / "cert.pem"), "--chain-path", str(folder / "chain.pem")),
        *("--config-dir", str(site.path("acme") / ACCOUNTS), "--work-dir", "/tmp/work", "--logs-dir", "/tmp/logs"),
    ]
    began, timeout = time.monotonic(), _timeout(site)
    description = f"Certificate of {site.name}"
    with started(site, unit, description, _properties(site), _environment(site), command) as (process, output):
        output.hidden = _secrets(site)
        for _ in output.lines(timeout + 2 * STOP_TIMEOUT):
            pass
        if process.poll() is None and time.monotonic() - began > timeout:
            stop_transient(unit)
        status = process.wait()
    text = output.text()
    if status == 0 and (folder / ISSUED).is_file():
        return Answer(), text
    if time.monotonic() - began > timeout:
        return Answer(f"the authority did not answer within {timeout} s"), text
    return _failure(text, status), text


def _timeout(site: Site) -> int:
    """Return the seconds that certbot may take."""
    found = PROPAGATION.search(settings_of(site))
    return TIMEOUT + (int(found[1]) if found else 0)


def _failure(text: str, status: int) -> Answer:
    names = {
        name.rstrip(".").lower(): " ".join(part for part in (kind, detail.strip()) if part)[:500]
        for name, kind, detail in FAILED_NAME.findall(text)
    }
    names |= {
        name.lower(): "the provider has no domain of it, or not for these credentials" for name in NO_ZONE.findall(text)
    }
    lines = [line.strip() for line in text.replace(*ACCOUNT).splitlines() if not NOISE.match(line)]
    said = " ".join(lines)[-MESSAGE_LIMIT:].rstrip(".") or f"certbot wrote nothing and ended with status {status}"
    refused = FAILED_NAME.search(text) or (REFUSAL.search(text) and not STALE.search(text))
    return Answer(said, names, bool(refused))


def _properties(site: Site) -> Properties:
    secret = ("certificates", "environment", "rehearsal_environment", "proxy_key", "site_key", "site_json")
    writable = [site.path("acme") / ACCOUNTS, exchange(site)]
    if not site.settings.get("acme_dns"):
        writable.append(Path(site.settings["challenges"]))
    bundle = site.settings["acme_ca_bundle"]
    return {
        **cage.HARDENING,
        **cage.file_system(
            readable=[f"-{bundle}"] if bundle else [],
            writable={str(path): str(path) for path in writable},
            hidden=[*(f"-{site.settings[key]}" for key in secret), "-/etc/shadow", "-/etc/ssh"],
            network=True,
        ),
        "SystemCallFilter": "@system-service",
        "SystemCallErrorNumber": "EPERM",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "RuntimeMaxSec": str(_timeout(site)),
        "TimeoutStopSec": str(STOP_TIMEOUT),
        "MemoryMax": "512M",
        "TasksMax": "64",
        "Nice": "10",
        "UMask": "0022",
    }


def _environment(site: Site) -> list[str]:
    bundle = site.settings["acme_ca_bundle"]
    found = ["LC_ALL=C.UTF-8", "HOME=/tmp", *site.settings.get("acme_environment", [])]
    return [*found, *([f"REQUESTS_CA_BUNDLE={bundle}"] if bundle else [])]


def _secrets(site: Site) -> list[str]:
    """Return what no output may show; of a long key, each line that a program may print."""
    found = SECRET.findall(settings_of(site) + settings_of(site, CREDENTIALS))
    return [line for text in found for line in text.split("\\n") if line]


def settings_of(site: Site, name: str = SETTINGS) -> str:
    """Return the settings that the role has written for certbot; an empty text if they cannot be read."""
    try:
        return (site.path("acme") / name).read_text(encoding="utf-8")
    except OSError:
        return ""
