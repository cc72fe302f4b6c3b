"""A school's first day and a policy that changes, played on a scratch database."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.panel import Panel

from consent_service.app import create_app, first_client_key_file, running
from consent_service.cli.commands import app, console, run
from consent_service.settings import Settings

_TARO = "sis:S-1001"
_EMAIL = "marketing.own_company.email"


@app.command()
def demo() -> None:
    """Play a school's first day: enrol, consent, check, withdraw, check again, and why; then the policy changes."""
    with tempfile.TemporaryDirectory() as folder:
        run(_play(Settings(data_dir=Path(folder), database_url=None, keys_dir=None)))


async def _play(settings: Settings) -> None:
    async with running(settings) as service:
        application = create_app(settings, service)
        key = first_client_key_file(settings).read_text().strip()
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(application),
                base_url="http://school",
                headers={"Authorization": f"Bearer {key}"},
            ) as school,
        ):
            await _first_day(school)
            await _policy_changes(school)


async def _first_day(school: httpx.AsyncClient) -> None:
    console.print(Panel("A school's first day", style="bold"))
    _scene("Taro enrols.")
    await _post(school, "/v1/subjects", {"identifiers": [_TARO], "birth_date": "2006-04-02", "language": "ja"})
    _scene("Nobody has asked him anything yet. The mailer wants to send him a newsletter.")
    await _check(school, _EMAIL)
    _scene("He hands in a form: billing yes, marketing yes, but no telephone calls.")
    await _say(school, [("billing", "grant"), ("marketing", "grant"), ("marketing.own_company.telephone", "refuse")])
    await _check(school, _EMAIL)
    await _check(school, "billing")
    _scene("May all of marketing be used? One of its leaves says no, so the branch does.")
    await _check(school, "marketing")
    _scene("The newsletter is too much. He takes his yes back.")
    await _say(school, [(_EMAIL, "withdraw")])
    await _check(school, _EMAIL)
    _scene("A paper form turns up, signed before that. It is recorded, and changes nothing.")
    await _say(school, [(_EMAIL, "grant")], made_at="2026-01-05T09:00:00+09:00")
    await _check(school, _EMAIL)
    await _check(school, _EMAIL, language="ja")


async def _policy_changes(school: httpx.AsyncClient) -> None:
    console.print(Panel("A year later the policy changes", style="bold"))
    body = _reworded_billing(await _get(school, "/v1/policy"))
    _scene("Billing is reworded, and means something else now. What would publishing that do?")
    told = await _post(school, "/v1/policy/versions?dry_run=true", body)
    for leaf, lapsing in told["lapses"].items():
        console.print(f"  reworded: {leaf}; {lapsing} yes would lapse", highlight=False)
    _scene("It is published, with just that number confirmed.")
    await _post(school, "/v1/policy/versions", {**body, "confirm_lapses": told["confirm_lapses"]})
    await _check(school, "billing")


def _reworded_billing(published: dict[str, Any]) -> dict[str, Any]:
    policy = published["policy"]
    for purpose in policy["purposes"]:
        if purpose["code"] == "billing":
            purpose["wording"] |= {"en": "For billing, also by others", "ja": "他社を通じたものを含む請求のため"}
    return {"policy": {**policy, "version": "2027-11-01"}, "material": ["billing"]}


def _scene(text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


async def _say(school: httpx.AsyncClient, said: Sequence[tuple[str, str]], **more: str) -> None:
    body = {
        "subject": _TARO,
        "statements": [{"purpose": purpose, "action": action} for purpose, action in said],
        "by": {"role": "staff", "staff": "front office"},
        "method": "paper",
        "policy_version": "2026-11-01",
        **more,
    }
    answer = await _post(school, "/v1/consents", body)
    for entry in answer["entries"]:
        became = "" if entry["applied"] else f"  [yellow]not applied: {entry['not_applied_because']}[/]"
        console.print(f"  entry {entry['index']}: {entry['action']} {entry['purpose']}{became}", highlight=False)


async def _check(school: httpx.AsyncClient, purpose: str, language: str = "en") -> None:
    answer = await _post(school, "/v1/check", {"subject": _TARO, "purpose": purpose}, {"Accept-Language": language})
    word = "[bold green]yes[/]" if answer["permitted"] else "[bold red]no[/]"
    console.print(f"  may I use his data for {purpose}? {word}", highlight=False)
    for reason in answer["reasons"]:
        if answer["permitted"] or reason["code"] != "consent_granted":
            console.print(f"    {reason['message']} [dim]({reason['code']}, {reason['purpose']})[/]", highlight=False)


async def _get(school: httpx.AsyncClient, path: str) -> dict[str, Any]:
    response = await school.get(path)
    response.raise_for_status()
    return dict(json.loads(response.content))


async def _post(
    school: httpx.AsyncClient, path: str, body: object, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    response = await school.post(path, json=body, headers=headers)
    response.raise_for_status()
    return dict(json.loads(response.content))
