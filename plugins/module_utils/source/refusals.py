# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Why a source is refused. A reason that several readers of sources have in common is worded here."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

NAME_A_BLOG = "Name a folder or an archive that holds the blog"


class SourceError(ValueError):
    """The source cannot become a release; the message names the rule and the remedy."""

    def explain(self, source: str, place: str = "") -> str:
        """Return the message for the user, with the variable and its value.

        :param source: what C(flask_blog_source) names, without credentials.
        :param place: the absolute path of a source on the controller.
        """
        found_at = f" ({place})" if place not in ("", source) else ""
        return f"flask_blog_source: {source!r}{found_at}: {str(self).rstrip('.')}."


class VariableError(SourceError):
    """The source does not fit the value of another variable than C(flask_blog_source)."""

    def __init__(self, variable: str, value: object, rule: str, remedy: str) -> None:
        """Name the variable, its value, the rule that it breaks and the remedy."""
        self.variable, self.value, self.rule, self.remedy = variable, value, rule, remedy
        super().__init__(f"{rule} ({variable}: {value!r})")

    def explain(self, source: str, place: str = "") -> str:
        """Return the message for the user; it names this variable instead of the source."""
        return f"{self.variable}: {self.value!r}: {self.rule}. {self.remedy}."


class LimitError(VariableError):
    """The source is larger than a variable allows."""

    def __init__(self, variable: str, value: str | int, rule: str) -> None:
        """Name the variable, its value and what exceeds it."""
        remedy = "Leave out of the source what a release does not need, or raise the limit if you trust the source"
        super().__init__(variable, value, rule, remedy)


class GitError(SourceError):
    """Git cannot provide the wanted files; the message has Git's own words and the remedy."""


class VersionError(GitError):
    """Git can read the repository, which does not have the wanted version."""

    def __init__(self, version: str, message: str) -> None:
        """Name the value of C(flask_blog_version), and the rule and the remedy."""
        self.version = version
        super().__init__(message)

    def explain(self, source: str, place: str = "") -> str:
        """Return the message for the user; it names C(flask_blog_version) instead of the source."""
        return f"flask_blog_version: {self.version!r}: {str(self).rstrip('.')}."


def shown(path: str) -> str:
    """Return a path for a message: on one line, harmless for a terminal, and only its end if it is long."""
    text = printable(path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")).replace("\n", "\\n")
    return text if len(text) <= 160 else f"…{text[-159:]}"


# -- of any source --


def outside(path: str) -> SourceError:
    """Return the refusal of a path that is absolute or has an empty name, C(.) or C(..)."""
    return SourceError(f"it would write outside its folder: {shown(path)}. Remove that path from it")


def too_long(path: str) -> SourceError:
    """Return the refusal of a name or path that no file system takes."""
    return SourceError(f"{shown(path)} is too long a name for a file system. Shorten it")


def special_file(path: str) -> SourceError:
    """Return the refusal of a device, a FIFO or a socket."""
    return SourceError(f"it holds {shown(path)}, which is neither a file, a folder nor a link. Remove it")


def link_without_path(path: str) -> SourceError:
    """Return the refusal of a link whose target is no path."""
    return SourceError(f"{shown(path)} is a link that leads to no path. Put a copy in its place")


def link_outside(path: str, target: str) -> SourceError:
    """Return the refusal of a link that leaves the source."""
    return SourceError(f"{shown(path)} is a link that leaves the source (to {shown(target)}). Put a copy in its place")


def too_much(size: str) -> LimitError:
    """Return the refusal of a source that unpacks to more than C(flask_blog_source_max_size)."""
    return LimitError("flask_blog_source_max_size", size, "the source unpacks to more")


def absent() -> SourceError:
    """Return the refusal of a path with nothing at it."""
    return SourceError(f"there is no such folder or archive on the controller. {NAME_A_BLOG}")


def no_archive(endings: Iterable[str]) -> SourceError:
    """Return the refusal of a file with another ending than those of archives."""
    return SourceError(f"a file must be an archive ({', '.join(endings)}). {NAME_A_BLOG}")


# -- of what the variables say about it --


def no_app_dir(app_dir: str) -> SourceError:
    """Return the refusal of a source without the app's folder."""
    rule, remedy = "the source has no such folder", "Name the folder that the app lies in"
    return VariableError("flask_blog_app_dir", app_dir, rule, remedy)


def no_requirements(wanted: str, other: tuple[str, str] | None = None) -> SourceError:
    """Return the refusal of a source without requirements.

    :param wanted: what C(flask_blog_requirements) names, or nothing.
    :param other: a file that names requirements for another tool than pip, and the command that exports them.
    """
    if wanted:
        rule, remedy = "the source holds no such file", "Add it, or name another with flask_blog_requirements"
        return VariableError("flask_blog_requirements", wanted, rule, remedy)
    if other:
        return SourceError(
            f"it holds {other[0]}, which pip does not read, and neither requirements.txt nor pyproject.toml. Export the"
            f" requirements: '{other[1]}'"
        )
    return SourceError(
        "it holds neither requirements.txt nor pyproject.toml, in the app's folder or at the top. Add one, or name"
        " another with flask_blog_requirements"
    )


def ignored_requirements(file: str) -> SourceError:
    """Return the refusal of a source whose requirements a .gitignore leaves out."""
    return SourceError(
        f"its {file} is left out by a .gitignore, and the host would lack it. Name it in flask_blog_include"
    )


def not_included(path: str) -> SourceError:
    """Return the refusal of a source without a file or folder that the release is to include."""
    rule, remedy = "the source holds no such file or folder", "Build it first, or leave it out"
    return VariableError("flask_blog_include", path, rule, remedy)


# -- of archives --


def nameless_member() -> SourceError:
    """Return the refusal of an archive with a file that has no name."""
    return SourceError("the archive holds a file without a name. Pack it anew")


def wrong_checksum(found: str, wanted: str) -> SourceError:
    """Return the refusal of an archive with another checksum; both with their algorithm."""
    return SourceError(
        f"its checksum is {found}, and flask_blog_source_checksum wants {wanted}. Fetch the archive again, or correct"
        " the checksum"
    )


def unreadable_archive(reason: str) -> SourceError:
    """Return the refusal of an archive that is damaged, cut off or of another kind than its name says."""
    return SourceError(f"the archive cannot be unpacked: {reason}. {NAME_A_BLOG}")


def changed_archive() -> SourceError:
    """Return the refusal of an archive that was written to while it was read."""
    return SourceError("the archive changed while it was read. Run again once it is complete")


# -- of repositories --


def unreadable_repository(reason: str) -> GitError:
    """Return the refusal of a repository that Git cannot read."""
    return GitError(f"Git cannot read the repository: {reason}")


def damaged_copy(reason: str) -> GitError:
    """Return the refusal of a commit that Git's copy on the host does not hold as it was committed."""
    return GitError(f"{reason}. Remove the copy that the server keeps (/opt/NAME/git), so that it is fetched anew")
