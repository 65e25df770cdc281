"""Uploaded pictures: checked, made small, stripped of metadata, and stored under the hash of their content."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from flask import current_app

MAX_SIDE = 1600  # pixels; what a wide screen shows of a column of text, twice over
MAX_PIXELS = 25_000_000  # about 100 MB once decoded; the host is small
MAX_FRAMES = 300

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif"}
_SAVE = {
    "PNG": {"optimize": True},
    "JPEG": {"quality": 85, "optimize": True, "progressive": True},
    "WEBP": {"quality": 85},
    "GIF": {"optimize": True},
}


class PictureError(ValueError):
    """Why a file is not accepted, in words for the person who chose it."""


@dataclass(frozen=True)
class Picture:
    name: str
    width: int
    height: int


def folder() -> Path:
    return Path(current_app.static_folder or "") / "uploads"


def store(data: bytes) -> Picture:
    """Check, re-encode and keep a picture; raise PictureError when it cannot be used."""
    content, suffix, width, height = _reencode(data)
    name = hashlib.sha256(content).hexdigest()[:20] + suffix
    target = folder() / name
    if not target.exists():
        # Created by open(), so that the umask of the process decides who may read it; renamed, so that nobody is
        # ever served half a file.
        temporary = target.with_name(f".{name}.{secrets.token_hex(4)}")
        try:
            with open(temporary, "xb") as file:
                file.write(content)
            temporary.replace(target)
        except OSError as exc:
            temporary.unlink(missing_ok=True)
            current_app.logger.error("cannot store a picture in %s: %s", folder(), exc)
            raise PictureError("The picture could not be stored on the server; its log says why.") from exc
    return Picture(name, width, height)


def stored() -> list[str]:
    """The names of the stored pictures, newest first."""
    files = [path for path in folder().iterdir() if path.suffix in _SUFFIXES.values() and not path.name.startswith(".")]
    return [path.name for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)]


def _reencode(data: bytes) -> tuple[bytes, str, int, int]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data), formats=list(_SUFFIXES)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(
                    f"The picture has {image.width} × {image.height} pixels; "
                    f"make it smaller than {MAX_PIXELS // 1_000_000} million in all."
                )
            image.verify()
        # verify() reads the file to its end and leaves the image unusable, hence the second time.
        with Image.open(BytesIO(data), formats=list(_SUFFIXES)) as image:
            kind = image.format or ""
            if getattr(image, "is_animated", False):
                return _reencode_animation(image, kind)
            image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # lets a large JPEG be decoded at a fraction of its size
            upright = ImageOps.exif_transpose(image)
            if kind == "JPEG" and upright.mode not in {"RGB", "L"}:
                upright = upright.convert("RGB")
            if upright.mode == "P" and max(upright.size) > MAX_SIDE:
                upright = upright.convert("RGBA")  # a palette cannot be scaled smoothly
            upright.thumbnail((MAX_SIDE, MAX_SIDE))
            # Only pixels go on: no EXIF (where a phone writes its position), no comments. The colour profile stays.
            profile = image.info.get("icc_profile")
            upright.info = {key: value for key, value in upright.info.items() if key == "transparency"}
            out = BytesIO()
            upright.save(out, kind, icc_profile=profile, **_SAVE[kind])
            return out.getvalue(), _SUFFIXES[kind], upright.width, upright.height
    except PictureError:
        raise
    except UnidentifiedImageError as exc:
        raise PictureError("This is not a PNG, JPEG, WebP or GIF picture.") from exc
    except Exception as exc:  # Pillow's decoders raise many kinds of errors for damaged files
        current_app.logger.info("refused a picture: %s", exc)
        raise PictureError("The picture is damaged and cannot be read.") from exc


def _reencode_animation(image: object, kind: str) -> tuple[bytes, str, int, int]:
    from PIL import Image

    assert isinstance(image, Image.Image)
    frames = getattr(image, "n_frames", 1)
    if max(image.size) > MAX_SIDE or frames > MAX_FRAMES:
        raise PictureError(
            f"The animation has {frames} frames of {image.width} × {image.height} pixels; "
            f"at most {MAX_FRAMES} of {MAX_SIDE} × {MAX_SIDE} are accepted."
        )
    out = BytesIO()
    image.save(out, kind, save_all=True, **_SAVE[kind])
    return out.getvalue(), _SUFFIXES[kind], image.width, image.height
