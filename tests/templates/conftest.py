"""Render the role's managed files through Ansible's own templar and the action plugins' own code, without a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.module_utils import nginx
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role as role_files
from nginx_config import SITE, VARIANTS, Config, parse
from role_variables import role_variables


@dataclass
class Rendered:
    """What the role would put on a host: the managed objects, and the variables that they came from."""

    objects: list[dict[str, Any]]
    variables: dict[str, Any]

    def text(self, path: str) -> str:
        """The text of the managed file with this path, or that its links lead to."""
        links = {item["path"]: item["target"] for item in self.objects if item["kind"] == "link"}
        real = nginx.resolved(path, links)
        (found,) = [item["content"] for item in self.objects if item["path"] == real and item["kind"] == "file"]
        return str(found)

    def has(self, path: str) -> bool:
        """Whether there is an object with this path."""
        return any(item["path"] == path for item in self.objects)


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def render() -> Render:
    """Render everything for some variables of a user, given without their prefix; the same ones only once."""
    role = Path(__file__).parents[2] / "roles" / "flask_blog"
    done: dict[str, Rendered] = {}

    def render_with(platform: str = "Debian_13", **chosen: Any) -> Rendered:
        key = repr((platform, chosen))
        if key not in done:
            done[key] = render_anew(platform, **chosen)
        return done[key]

    def render_anew(platform: str, **chosen: Any) -> Rendered:
        loader = DataLoader()
        variables: dict[str, Any] = {"inventory_hostname": "blog.test", "role_path": str(role)}
        variables |= role_variables(loader, role)
        variables |= {"flask_blog_source": "/home/ada/blog"}
        variables |= {f"flask_blog_{name}": value for name, value in chosen.items()}
        templar = Templar(loader=loader, variables=variables)
        action = SimpleNamespace(_loader=loader, _templar=templar)
        objects = templar.template(variables["__flask_blog_objects"])
        asked_for = ("__flask_blog_site", "__flask_blog_units", "__flask_blog_ports", "__flask_blog_tls_packages")
        resolved = {name: templar.template(variables[name]) for name in asked_for}
        objects = registry.for_platform(role_files.rendered(action, variables, objects), platform)
        return Rendered(objects, {**variables, **resolved})

    return render_with


@pytest.fixture
def config(render: Any) -> Config:
    """The parsed configuration of the site for one of the variants."""
    return lambda variant: parse(render(**VARIANTS[variant]).text(SITE))
