"""Families: a child, guardians and what they say, in words that a table can print."""

from collections.abc import Collection
from dataclasses import dataclass, field

from tests.publishing import edited, leaf, node, previewed, publish, published, reworded, without
from tests.school import Json, School

CHILD = "sis:child"
BORN = {"minor": "2012-06-15", "of age": "2005-06-15", "no birth date": None}
LEAVES = {"any_refusal_wins": "billing", "all": "important_notices", "latest": "inquiry_response"}
GOING_ON = ("important_notices",)
"""The leaves whose use the policy lets go on after somebody has left, if a test says nothing else."""

VERSION = "2026-11-02"


async def prepare(school: School, *, going_on: Collection[str] = GOING_ON, **policy: Json) -> None:
    """Publish a policy that has a leaf for each way of hearing several guardians."""
    document = edited(VERSION) | policy
    for rule, code in LEAVES.items():
        node(document, code)["guardians"] = rule
        node(document, code)["survives_membership"] = code in going_on
    response = await publish(school, document, material=[], editorial=[])
    assert response.status_code == 201, response.text


_AGES: dict[str, Json] = {
    "keeps": {"handover": "keep"},
    "gives 5 days": {"handover_grace_days": 5},
    "says 18": {"minor_rules": [{"from": "2026-11-01", "under_age": 18}]},
    "says 14": {"minor_rules": [{"from": "2026-11-01", "under_age": 14}]},
}
"""What the policy says of coming of age: what becomes of a guardian's yes, and who is a minor."""


@dataclass
class Family:
    """A child on the way through what happens."""

    school: School
    leaf: str
    sub: str = ""
    shown: str = VERSION
    versions: int = 0
    guardianships: dict[str, str] = field(default_factory=dict)

    async def born(self, age: str) -> None:
        """Record the child."""
        self.sub = await self.school.enrol(CHILD, birth_date=BORN[age])

    async def happens(self, what: str) -> None:
        """Let one thing happen, such as "mother verified" or "child no"; a yes that is refused names the problem.

        A yes is to the newest wording, but one "on the old form".
        """
        told, _, refused = what.partition(" → ")
        who, _, rest = told.partition(" ")
        word, _, how = rest.partition(" ")
        self.school.clock.advance(seconds=1)
        if who == "policy":
            await self._changes(rest)
        elif word in ("yes", "no"):
            await self._says(who, word, refused, VERSION if how == "on the old form" else self.shown)
        elif who == "child":
            await self._grows(rest)
        else:
            await self._guards(who, rest)

    async def _changes(self, how: str) -> None:
        """The policy `changes materially`, `asks nobody` any more, `drops the purpose` and so on."""
        current = (await self.school.get(f"/v1/policy/versions/{self.shown}")).json()["policy"]
        self.versions += 1
        document = edited(f"2026-12-{self.versions}", current)
        said = {"material": [], "editorial": [self.leaf]}
        match how:
            case "changes materially":
                reworded(document, self.leaf)
                said = {"material": [self.leaf], "editorial": []}
            case "changes materially in December":
                reworded(document, self.leaf)
                document["effective_from"] = "2026-12-01"
                said = {"material": [self.leaf], "editorial": []}
            case "is put better":
                reworded(document, self.leaf)
            case "asks nobody":
                node(document, self.leaf)["basis"] = "notice"
            case "drops the purpose":
                without(document, self.leaf)
                said["editorial"] = []
            case "has the purpose again":
                document["purposes"].append(leaf(self.leaf))
                said["editorial"] = []
            case _:
                document |= _AGES[how]
                said["editorial"] = []
        lapses = (await previewed(self.school, document, **said))["confirm_lapses"]
        await published(self.school, document, confirm_lapses=lapses, **said)
        self.shown = document["version"]

    async def _says(self, who: str, word: str, refused: str, shown: str) -> None:
        by = {"role": "subject"} if who == "child" else {"role": "guardian", "subject": f"person:{who}"}
        if who != "child" and who not in self.guardianships:
            await self._known(who)
        said = (self.leaf, {"yes": "grant", "no": "refuse"}[word])
        response = await self.school.say(CHILD, said, by=by, policy_version=shown)
        assert response.status_code == (422 if refused else 201), response.text
        assert not refused or response.json()["code"] == refused

    async def _grows(self, how: str) -> None:
        """`is 16`, `is 15 after all`, `is 20 after all`, `leaves`, or so many `+ days`."""
        if how == "is 16":
            self.school.clock.now = self.school.clock.now.replace(
                year=2028, month=6, day=14, hour=15, minute=0, second=0
            )
        elif how.startswith("+"):
            self.school.clock.advance(days=int(how.split()[1]))
        else:
            change = {
                "leaves": {"membership": {"status": "ended"}},
                "is 15 after all": {"birth_date": "2011-06-15"},
                "is 20 after all": {"birth_date": "2006-06-15"},
            }[how]
            response = await self.school.send("PATCH", f"/v1/subjects/{self.sub}", change)
            assert response.is_success, response.text

    async def _guards(self, who: str, how: str) -> None:
        steps: dict[str, tuple[str, Json]] = {
            "verified later": ("verify", {"verified_by": "office"}),
            "found unverified": ("verify", {"verified_by": "office", "verified": False}),
            "ended": ("end", {}),
            "blocked": ("block", {"reference": "court"}),
            "unblocked": ("unblock", {}),
        }
        if how in steps:
            path, body = steps[how]
            response = await self.school.post(f"/v1/guardianships/{self.guardianships[who]}/{path}", body)
        else:
            await self._known(who)
            more: dict[str, Json] = {
                "verified": {"verified_by": "office"},
                "listed": {},
                "verified until December": {"verified_by": "office", "until": "2026-12-01"},
                "verified from December": {"verified_by": "office", "from": "2026-12-01"},
            }
            body = {"guardian": f"person:{who}", "ward": CHILD, "relation": who, **more[how]}
            response = await self.school.post("/v1/guardianships", body)
            self.guardianships[who] = response.json().get("id", "")
        assert response.is_success, response.text

    async def _known(self, who: str) -> None:
        found = await self.school.post("/v1/subjects/lookup", {"subject": f"person:{who}"})
        if found.status_code == 404:
            await self.school.enrol(f"person:{who}")
