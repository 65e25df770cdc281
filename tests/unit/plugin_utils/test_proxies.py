"""The networks of trusted proxies: named by a user, or of a CDN by its name."""

from __future__ import annotations

import ipaddress
from datetime import date, timedelta

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.flaskblog.hosting.plugins.filter.trusted_networks import trusted_networks
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import proxies

NAMES = ["cloudflare", "cloudfront", "fastly"]


def test_the_role_knows_these_cdns() -> None:
    assert list(proxies.known()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_set_has_networks_of_both_ip_versions_none_of_them_large_or_private(name: str) -> None:
    found = [ipaddress.ip_network(network) for network in proxies.network_set(name).networks]
    assert {network.version for network in found} == {4, 6}
    assert len(found) == len(set(found)) > 20
    for network in found:
        assert network.is_global
        assert network.prefixlen >= (12 if network.version == 4 else 28)


@pytest.mark.parametrize("name", NAMES)
def test_a_set_says_where_it_is_from(name: str) -> None:
    found = proxies.network_set(name)
    assert all(source.startswith("https://") for source in found.sources)
    assert date(2026, 6, 1) < found.date <= date.today()


def test_a_name_stands_for_the_networks_of_its_cdn() -> None:
    found = trusted_networks(["192.0.2.0/24", "fastly", "2001:DB8::/32"])
    assert found[0] == "192.0.2.0/24"
    assert found[-1] == "2001:db8::/32"
    assert found[1:-1] == list(proxies.network_set("fastly").networks)


def test_a_network_that_stands_twice_is_told_to_nginx_once() -> None:
    (first, *_) = proxies.network_set("fastly").networks
    assert trusted_networks(["10.0.0.1", "10.0.0.1/32", "fastly", first, "fastly"]) == [
        "10.0.0.1/32",
        *proxies.network_set("fastly").networks,
    ]


def test_an_unknown_name_is_ansibles_error() -> None:
    with pytest.raises(AnsibleFilterError, match="akamai"):
        trusted_networks(["akamai"])


def test_a_run_warns_of_a_list_in_use_that_is_older_than_180_days() -> None:
    day = proxies.network_set("fastly").date + timedelta(days=180)
    assert list(proxies.warnings(["fastly", "192.0.2.0/24"], day)) == []
    (warning,) = proxies.warnings(["fastly", "192.0.2.0/24", "fastly"], day + timedelta(days=1))
    assert warning.startswith(
        f"flask_blog_trusted_proxies: 'fastly': the list of its networks is of {day - timedelta(days=180)}, 181"
    )
    assert "https://api.fastly.com/public-ip-list" in warning
    assert list(proxies.warnings(["192.0.2.0/24"], day + timedelta(days=999))) == [], "a set that is not in use"
