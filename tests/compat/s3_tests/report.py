"""What a comparison says, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.compat.s3_tests.comparison import APART, TARGET, Result, Verdict, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAMES = {"ssec": "SSE-C", "acl": "ACL grants", "policy": "bucket policy", "rest": "all the rest"}


def table(
    run: str, at_store: Mapping[str, Result], through: Mapping[str, Result], verdict: Verdict
) -> str:
    """Return the figures of a run, and everything that has to be looked at."""
    asked = len(verdict.both) + sum(all_of_it - ours for ours, all_of_it in verdict.counts.values())
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(verdict.kinds.items()))
    lines = [
        f"{run}: {len(at_store)} tests at the store, {len(through)} of them through hyok",
        f"  {'':16}{'store':>8}{'hyok':>8}{'share':>9}",
    ]
    for family, name in NAMES.items():
        ours, all_of_it = verdict.counts.get(family, (0, 0))
        share = ours / all_of_it if all_of_it else 1.0
        lines.append(f"  {name:16}{all_of_it:8}{ours:8}{share:9.1%}")
    lines += [
        f"  {'together':16}{asked:8}{len(verdict.both):8}",
        f"  outside {', '.join(NAMES[name] for name in APART)}: "
        f"{verdict.share(apart=False):.1%} (wanted: {TARGET:.0%}); inside: "
        f"{verdict.share(apart=True):.1%}",
        f"  less what asks for other than Amazon S3 does: {verdict.share_like_amazon:.1%}",
        f"  accepted deviations: {len(verdict.listed)} ({kinds})",
    ]
    for title, found in (
        ("pass at the store, fail through hyok, not listed", map(failure, verdict.unlisted)),
        (
            "listed, but fail in another way",
            (f"{failure(result)}  (listed: {one.answer})" for one, result in verdict.otherwise),
        ),
        ("listed, but deviate no more", (one.test for one in verdict.stale)),
        ("passed at the store, never ended through hyok", verdict.missing),
    ):
        lines += _block(title, found)
    return "\n".join(lines) + "\n"


def _block(title: str, found: Iterable[str]) -> list[str]:
    rows = [f"    {row}" for row in found]
    return [f"  {title}: {len(rows)}", *rows] if rows else []


def failure(result: Result) -> str:
    """Return one line on how a test failed: the last refused call, and what was expected."""
    refused = [call for call in result.calls if ": " in call]
    said = [line[1:].strip() for line in shown(result).splitlines() if line.startswith("E ")]
    last = result.calls[-1] if result.calls else ""
    return f"{result.test}  [{refused[-1] if refused else last}]  {said[0][:160] if said else ''}"
