"""The lists of CDNs' networks are read where these publish them, and a list that cannot be right replaces none."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import proxies
from loaded import load_file

TOOL = Path(__file__).parents[2] / "docs" / "tools" / "proxy_networks.py"
TODAY = datetime.date(2026, 11, 27)

#: The beginning of what each provider publishes.
FASTLY = {"addresses": ["23.235.32.0/20", "43.249.72.0/22"], "ipv6_addresses": ["2a04:4e40::/32"]}
AMAZON = {
    "syncToken": "1787411825",
    "createDate": "2026-08-22-15-17-05",
    "prefixes": [
        {"ip_prefix": "3.4.12.4/32", "region": "eu-west-1", "service": "AMAZON", "network_border_group": "eu-west-1"},
        {"ip_prefix": "130.176.88.0/21", "region": "GLOBAL", "service": "CLOUDFRONT_ORIGIN_FACING"},
        {"ip_prefix": "18.160.0.0/15", "region": "GLOBAL", "service": "CLOUDFRONT"},
    ],
    "ipv6_prefixes": [
        {"ipv6_prefix": "2600:9000:1000::/36", "region": "GLOBAL", "service": "CLOUDFRONT_ORIGIN_FACING"},
        {"ipv6_prefix": "2600:1f14::/35", "region": "us-west-2", "service": "EC2"},
    ],
}
PUBLISHED = {
    "https://www.cloudflare.com/ips-v4": "173.245.48.0/20\n103.21.244.0/22\n",
    "https://www.cloudflare.com/ips-v6": "2400:cb00::/32",
    "https://api.fastly.com/public-ip-list": json.dumps(FASTLY),
    "https://ip-ranges.amazonaws.com/ip-ranges.json": json.dumps(AMAZON),
}
NETWORKS = {
    "cloudflare": ["103.21.244.0/22", "173.245.48.0/20", "2400:cb00::/32"],
    "fastly": ["23.235.32.0/20", "43.249.72.0/22", "2a04:4e40::/32"],
    "cloudfront": ["130.176.88.0/21", "2600:9000:1000::/36"],
}


@pytest.fixture
def tool() -> Any:
    return load_file(TOOL)


def refresh(tool: Any, name: str, folder: Path, published: Mapping[str, str] = PUBLISHED) -> str:
    return str(tool.refresh(name, folder, TODAY, published.__getitem__))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_list_becomes_a_set_that_the_role_reads(tool: Any, tmp_path: Path, name: str) -> None:
    added = " ".join(f"+{network}" for network in NETWORKS[name])
    assert refresh(tool, name, tmp_path) == f"{name}: {len(NETWORKS[name])} networks {added}"
    found = proxies.network_set(name, tmp_path)
    assert (list(found.networks), found.date, found.sources) == (NETWORKS[name], TODAY, tool.CDNS[name].sources)
    assert proxies.known(tmp_path) == (name,)


def test_all_sets_of_the_role_can_be_refreshed_from_where_their_files_say(tool: Any) -> None:
    assert set(tool.CDNS) == set(proxies.known()) == set(NETWORKS)
    for name, cdn in tool.CDNS.items():
        assert proxies.network_set(name).sources == cdn.sources
        assert tool.checked(proxies.network_set(name).networks, []) == list(proxies.network_set(name).networks)


def test_what_has_changed_is_told(tool: Any, tmp_path: Path) -> None:
    refresh(tool, "fastly", tmp_path)
    changed = json.dumps({**FASTLY, "addresses": ["23.235.32.0/20", "192.0.2.0/24"]})
    told = refresh(tool, "fastly", tmp_path, {**PUBLISHED, "https://api.fastly.com/public-ip-list": changed})
    assert told == "fastly: 3 networks +192.0.2.0/24 -43.249.72.0/22"
    assert refresh(tool, "cloudfront", tmp_path).count("+") == 2
    assert refresh(tool, "cloudfront", tmp_path) == "cloudfront: 2 networks"


@pytest.mark.parametrize(
    "published",
    [
        "<html>Sorry</html>",
        "{}",
        "[]",
        json.dumps({"addresses": [], "ipv6_addresses": []}),
        json.dumps({"addresses": ["23.235.32.0/20"], "ipv6_addresses": []}),
        json.dumps({**FASTLY, "addresses": ["0.0.0.0/0"]}),
        json.dumps({**FASTLY, "addresses": ["16.0.0.0/4", "23.235.32.0/20"]}),
        json.dumps({**FASTLY, "ipv6_addresses": ["2000::/3"]}),
        json.dumps({**FASTLY, "addresses": ["23.235.32.7/20"]}),
        json.dumps({**FASTLY, "addresses": [None]}),
    ],
)
def test_a_list_that_cannot_be_right_replaces_none(tool: Any, tmp_path: Path, published: str) -> None:
    refresh(tool, "fastly", tmp_path)
    before = (tmp_path / "fastly.yml").read_text()
    with pytest.raises(ValueError, match=r"."):
        refresh(tool, "fastly", tmp_path, {"https://api.fastly.com/public-ip-list": published})
    assert (tmp_path / "fastly.yml").read_text() == before
    assert yaml.safe_load(before)["networks"] == NETWORKS["fastly"]
