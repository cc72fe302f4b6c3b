"""What the docs page says around the operations: the guide for the office, and the groups in the order of its work."""

from enum import StrEnum

TITLE = "Consent service"

PUBLIC = ("too_many_requests", "internal", "unavailable", "ledger_rolled_back")
"""The problems that every operation that asks the database can have."""

KEYED = ("unauthenticated", "scope_missing", *PUBLIC, "overloaded")
"""The problems that every operation with a key can have."""

READING = (*KEYED, "validation_failed")
"""Those of the operations that refuse what they do not know; AuthZEN's ignore it."""

ASKING = (*READING, "malformed_json", "body_too_large", "unsupported_media_type")
"""Those that every operation with a body can have as well."""

WRITING = (*ASKING, "idempotency_key_reused")
"""Those that every writing operation with a body can have as well."""


class Tag(StrEnum):
    """The groups of operations, in the order of the office's work."""

    PEOPLE = "1 · People"
    CONSENTS = "2 · Consents"
    CHECKS = "3 · Checks"
    POLICY = "4 · Policy"
    CLIENTS = "5 · Clients and keys"
    LEDGER = "6 · Ledger"
    SERVICE = "7 · Service"
    AUTHZEN = "8 · AuthZEN"


TAGS = [
    {"name": Tag.PEOPLE, "description": "Find a person, or record a new one."},
    {"name": Tag.CONSENTS, "description": "Enter what a person said, and see what stands."},
    {"name": Tag.CHECKS, "description": "See whether data may be used, and why not."},
    {"name": Tag.POLICY, "description": "The privacy policy and its purposes. Reading needs no key, publishing does."},
    {"name": Tag.CLIENTS, "description": "The systems that may ask, and their keys."},
    {"name": Tag.LEDGER, "description": "For auditors: that nothing was changed, and how to see it for yourself."},
    {"name": Tag.SERVICE, "description": "For those who run the service."},
    {"name": Tag.AUTHZEN, "description": "The same answers in the words of OpenID AuthZEN Authorization API 1.0."},
]

GUIDE = """
The school's systems ask here before they use anybody's data: **may I use this person's data for this purpose, now,
and why?**

## For the office

First press **Authorize** (right below) and paste your key; it begins with `csk_`. Then open an operation, press
**Try it out**, change the example, press **Execute**.

| I want to … | do this |
|---|---|
| **look a person up** | *1 · People* → **Find a person**: enter e.g. `person:1001`. You get the person's `sub_…`; paste it into *See what a person has agreed to*. |
| **record a paper form** | *2 · Consents* → **Record what a person said**: `grant`, `refuse` or `withdraw` for each purpose, `"method": "paper"`, your name in `staff`, the date on the form in `made_at`. |
| **see why an answer was no** | *3 · Checks* → **See whether data may be used**: every reason is listed with a sentence. |
| **see who asked about a person** | *3 · Checks* → **See who asked about a person**: every check and its answer, the newest first. |
| **give a person a receipt** | *2 · Consents* → **Get the receipt of a statement**: the index that recording it told, `format` `html`. Press **Download**, open the file, print it. |
| **see what to ask a person** | *2 · Consents* → **See what a person may be asked for now**: never asked, expired, or the words changed; nobody is asked again soon after a no. |
| **see what there is to do** | *1 · People* → **See what the office has to do**: how many birth dates, proofs and answers are missing; with `kind`, whose. |
| **make one of two records of a person** | *1 · People* → **Make one of two records of the same person**: it cannot be undone, and a yes of only one of the two lapses; see then what to ask. |
| **take a yes back for somebody** | the same as a paper form, with `withdraw`. It holds from that moment, everywhere. |

A purpose such as `marketing` stands for all of its leaves (`marketing.own_company.email`, …). The list is under
*4 · Policy*.

## For programmers

**Anything but HTTP 200 with `permitted: true` is a no**: a time-out, a 503, a problem, all of them. Errors are
`application/problem+json` (RFC 9457); branch on `code`. Each operation names the scope that your key needs.
"""
