"""Posts for ``flask seed``: something to look at, about the very thing that is being looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

from . import pictures, posts
from .models import Post, db


@dataclass(frozen=True)
class Demo:
    title: str
    date: tuple[int, int, int] | None  # None: a draft
    tags: str
    body: str
    picture_alt: str = ""


DEMOS = (
    Demo(
        "The homepage loads, so it works. Does it?",
        (2025, 3, 3),
        "Flask, Gunicorn",
        """\
A blog that answers on your laptop has shown that its code is right. It has not shown that anybody will be able to
read it on Tuesday, after the provider has restarted the machine.

The first deployment of mine ran in a terminal: `flask run`, a window left open, and a note to do it properly at the
weekend. It lasted for three days. Then the connection dropped, the shell went away, and the blog went with it.

## What the development server is for

It reloads when a file changes and shows a debugger when a page fails. Both are a joy while writing and a danger in
public. It makes no promise about many visitors at once, either.

```sh
gunicorn --bind 127.0.0.1:8000 --workers 2 --threads 4 app:app
```

Two workers with four threads each are plenty for a personal blog. More would not make it faster; on a machine with
one gigabyte of memory they would only make it easier to knock over.

## A better question

Instead of *does the homepage load*, ask:

1. Does it still load after a reboot that nobody watched?
2. Does the login page send me back to where I was going?
3. Does the feed contain addresses that work on somebody else's computer?

Each of these has its own way of failing, and the homepage looks perfectly fine in all of them.
""",
    ),
    Demo(
        "Who is asking? A short story about one header",
        (2025, 6, 23),
        "Nginx, Flask, Security",
        """\
Put a proxy in front of an application and the application loses sight of its visitors. Every request now comes from
`127.0.0.1`, over plain HTTP, for a host that nobody outside has ever heard of.

So the proxy passes on what it saw:

| Header | Says | Without it |
|---|---|---|
| `X-Forwarded-For` | who asked | every log line shows the proxy |
| `X-Forwarded-Proto` | over HTTP or HTTPS | links in the feed begin with `http://` |
| `Host` | for which site | links lead to the wrong place |

The application must be told to listen, because a header is only a claim. Anybody can send one:

```sh
curl -H 'X-Forwarded-For: 203.0.113.7' https://blog.example/admin/login
```

## Count your proxies

`ProxyFix` takes a number for each header: how many proxies stand between the open network and you, all of them
yours. With one Nginx the number is **one**. With two, the visitor gets to write the line in your log.

> Trust exactly as many hops as you run, and have the outermost one overwrite what it was sent.

That second half matters as much as the first. A proxy that *appends* keeps the visitor's claim in the list, and then
everything depends on reading the list from the right end.
""",
        picture_alt="Concentric arches over a warm horizon, a small light in the innermost one",
    ),
    Demo(
        "Let the machine start it",
        (2025, 4, 8),
        "systemd, Gunicorn",
        """\
There is one program on a Debian machine whose whole purpose is to start other programs, to notice when they die, and
to remember what they said. It is running already. Use it.

```ini
[Service]
User=flask-blog
WorkingDirectory=/var/www/flask-blog
ExecStart=/var/www/flask-blog/venv/bin/gunicorn app:app
Restart=always
```

A dozen lines replace a screen session, a cron job that checks on it, and a page of notes on what to type after a
reboot.

## When it does not start

Read before you change anything:

```sh
systemctl status flask-blog
journalctl -u flask-blog -n 100 --no-pager
```

In my experience the answer is nearly always in the last ten lines, and nearly always one of these four:

- the working directory is not the one you think it is,
- the virtual environment was made for another Python,
- a secret is set in your shell but not in the service,
- the service may not write where it wants to write.

The last one hides best. Pages are *read* without trouble for weeks, until the evening you press **Save**.
""",
    ),
    Demo(
        "One file, and how not to lose it",
        (2025, 5, 12),
        "SQLite, Backups",
        """\
All of this blog is in one SQLite file. There is no server to patch, no password to rotate, no port to close, and it
answers in microseconds, because asking it means calling a function.

Two settings make it comfortable with visitors and an editor at the same time:

```sql
PRAGMA journal_mode = WAL;
PRAGMA busy_timeout = 5000;
```

The first lets people read while you write. The second says to wait a moment rather than to fail.

## Copying is not a backup

With a write-ahead log, the newest pages live in a second file for a while. Copy the first one alone and you have a
database from some time ago, or a damaged one. SQLite has a command that does it right while the blog is running:

```sh
sqlite3 database.db ".backup '/var/backups/flask-blog/today.db'"
```

And then the step that most of us leave out: open the copy, and look. A backup that nobody has restored is a hope, not
a backup.[^1]

[^1]: The uploads folder belongs in it as well. Posts without their pictures are a sad sight.
""",
    ),
    Demo(
        "What HTTPS changes besides the padlock",
        (2025, 6, 2),
        "Nginx, Security",
        """\
Getting a certificate takes a minute these days. What it touches in the application takes a little longer to see.

**Cookies.** A login cookie with the `Secure` flag is never sent over plain HTTP. That is what you want with TLS, and
it is why nobody can log in if you set the flag without it.

**Links.** The application builds absolute links for the feed, for the sitemap and for the address it calls canonical.
If it believes it is being asked over HTTP, all of them say so, and search engines will believe it too.

**Redirects.** A redirect to `http://` on a site that sends visitors back to `https://` costs a round trip at best. At
worst it goes round until the browser gives up.

All three come down to the same small fact: does the application know *how it was asked*? A look at the feed tells:

```sh
curl -s https://blog.example/feed.xml | grep -c 'http://blog'
```

The right answer is `0`.
""",
    ),
    Demo(
        "Things to look at once a year",
        None,
        "Backups, Security",
        """\
A draft, seen only by those who are logged in.

- Restore a backup on another machine, and read a post there.
- Reboot the server on purpose.
- Look at who may log in to it.
- Renew what has become old: the system, the packages, the theme.
""",
    ),
)


def add_posts() -> int:
    """Add all demo posts and return how many there are."""
    for demo in DEMOS:
        when = datetime(*demo.date, 9, 30, tzinfo=UTC) if demo.date else None
        post = Post(title=demo.title, slug=posts.free_slug(demo.title), draft=True)
        if demo.picture_alt:
            picture = pictures.store(draw_arches())
            post.picture, post.picture_width, post.picture_height = picture.name, picture.width, picture.height
            post.picture_alt = demo.picture_alt
        posts.write_body(post, demo.body)
        post.tags = posts.tags_from(demo.tags)
        if when:
            post.publish(when)
            post.created_at = post.updated_at = when
        db.session.add(post)
        db.session.flush()
    db.session.commit()
    return len(DEMOS)


def draw_arches(width: int = 1600, height: int = 900) -> bytes:
    """A PNG of arches within arches at dusk: one proxy behind another, and somebody at home."""
    from PIL import Image, ImageDraw, ImageFilter

    sky = [(11, 46, 56), (22, 92, 92), (120, 157, 132), (240, 179, 91)]
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for y in range(height):
        place = y / (height - 1) * (len(sky) - 1)
        low = min(int(place), len(sky) - 2)
        share = place - low
        draw.line(
            [(0, y), (width, y)],
            fill=tuple(round(a + (b - a) * share) for a, b in zip(sky[low], sky[low + 1], strict=True)),
        )
    scale = 2  # drawn at double size and scaled down, for smooth edges
    for step in range(5):
        shade = (16 + 9 * step, 58 + 14 * step, 62 + 10 * step)
        half = round(width * (0.46 - 0.082 * step)) * scale
        thickness = round(height * 0.052) * scale
        top = round(height * (0.10 + 0.135 * step)) * scale
        centre = width // 2 * scale
        mask = Image.new("L", (width * scale, height * scale), 0)
        pen = ImageDraw.Draw(mask)
        for inset, fill in ((0, 215), (thickness, 0)):
            left, right = centre - half + inset, centre + half - inset
            pen.ellipse([left, top + inset, right, top + inset + 2 * (right - left) // 2], fill=fill)
            pen.rectangle([left, top + inset + (right - left) // 2, right, height * scale], fill=fill)
        image.paste(shade, mask=mask.resize((width, height), Image.Resampling.LANCZOS))
    glow = Image.new("L", (width, height), 0)
    centre, level, radius = width // 2, round(height * 0.9), round(height * 0.028)
    ImageDraw.Draw(glow).ellipse(
        [centre - 4 * radius, level - 4 * radius, centre + 4 * radius, level + 4 * radius], 150
    )
    image.paste((255, 226, 163), mask=glow.filter(ImageFilter.GaussianBlur(radius * 1.6)))
    ImageDraw.Draw(image).ellipse(
        [centre - radius, level - radius, centre + radius, level + radius], fill=(255, 240, 205)
    )
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
