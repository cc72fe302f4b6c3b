"""A school's first day, a family, and a policy that changes, played on a scratch database."""

import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.panel import Panel

from consent_service.app import create_app
from consent_service.cli.commands import app, console, run
from consent_service.service import first_client_key_file, running
from consent_service.settings import Settings

_TARO = "sis:S-1001"
_HANA = "sis:S-1002"
_EMAIL = "marketing.own_company.email"


@app.command()
def demo() -> None:
    """Play a school's first day: enrol, consent, check, withdraw, and why; then a family, and a policy that changes."""
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
            await _family(school)
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


async def _family(school: httpx.AsyncClient) -> None:
    console.print(Panel("A family", style="bold"))
    _scene("Hana is twelve. Her mother shows the family register; her father is only listed.")
    hana = await _post(school, "/v1/subjects", {"identifiers": [_HANA], "birth_date": _years_ago(12)})
    parents = {}
    for name, more in (("mother", {"verified_by": "front office"}), ("father", {})):
        await _post(school, "/v1/subjects", {"identifiers": [f"person:{name}"]})
        body = {"guardian": f"person:{name}", "ward": _HANA, "relation": name, **more}
        parents[name] = (await _post(school, "/v1/guardianships", body))["id"]
    _scene("Hana herself says yes to the newsletter, and so does her father.")
    await _hana_says("grant", {"role": "subject"}, school)
    await _hana_says("grant", _by("father"), school)
    _scene("Her mother says yes.")
    await _hana_says("grant", _by("mother"), school)
    await _check(school, _EMAIL, who=_HANA)
    _scene("Her father shows the register as well, and says no: they do not agree.")
    await _post(school, f"/v1/guardianships/{parents['father']}/verify", {"verified_by": "front office"})
    await _hana_says("refuse", _by("father"), school)
    await _check(school, _EMAIL, who=_HANA)
    _scene("He says yes after all. Then it turns out that Hana is sixteen already: she speaks for herself.")
    await _hana_says("grant", _by("father"), school)
    await _check(school, _EMAIL, who=_HANA)
    await _send(school, "PATCH", f"/v1/subjects/{hana['subject']}", {"birth_date": _years_ago(16)})
    await _check(school, _EMAIL, who=_HANA)
    await _hana_says("grant", {"role": "subject"}, school)
    await _check(school, _EMAIL, who=_HANA)


def _years_ago(years: int) -> str:
    today = datetime.now(UTC).date()
    return today.replace(year=today.year - years, day=min(today.day, 28)).isoformat()


def _by(name: str) -> dict[str, str]:
    return {"role": "guardian", "subject": f"person:{name}"}


async def _hana_says(action: str, by: dict[str, str], school: httpx.AsyncClient) -> None:
    statements = [{"purpose": _EMAIL, "action": action}]
    body = {"subject": _HANA, "statements": statements, "by": by, "method": "in_person", "policy_version": "2026-11-01"}
    response = await school.post("/v1/consents", json=body)
    told = response.json()
    became = "recorded" if response.is_success else f"[yellow]refused: {told['detail']}[/] [dim]({told['code']})[/]"
    console.print(f"  {by.get('subject', 'Hana')}: {action} {_EMAIL}: {became}", highlight=False)


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


async def _check(school: httpx.AsyncClient, purpose: str, language: str = "en", who: str = _TARO) -> None:
    answer = await _post(school, "/v1/check", {"subject": who, "purpose": purpose}, {"Accept-Language": language})
    word = "[bold green]yes[/]" if answer["permitted"] else "[bold red]no[/]"
    console.print(f"  may I use {'her' if who == _HANA else 'his'} data for {purpose}? {word}", highlight=False)
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
    return await _send(school, "POST", path, body, headers)


async def _send(
    school: httpx.AsyncClient, method: str, path: str, body: object, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    response = await school.request(method, path, json=body, headers=headers)
    response.raise_for_status()
    return dict(json.loads(response.content))
