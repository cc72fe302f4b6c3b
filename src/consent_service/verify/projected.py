"""The small tables of the projection (clients, policy versions, keys) and the ledger's own single rows."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from consent_service.verify import fold
from consent_service.verify.entries import Body
from consent_service.verify.keys import Keys
from consent_service.verify.report import Report
from consent_service.verify.secrets import Secrets
from consent_service.verify.source import TABLES, Source, rows


class Others:
    """Folds the entries that are about no subject."""

    def __init__(self, report: Report, keys: Keys) -> None:
        self.clients: dict[str, dict[str, object]] = {}
        self.policies: dict[str, dict[str, object]] = {}
        self.keys = keys
        self._report = report

    def add(self, index: int, body: Body) -> None:
        """Fold one entry in."""
        try:
            wrong = self._folded(index, body)
        except (KeyError, TypeError, ValueError):
            wrong = "its bytes are not those of an entry"
        if wrong:
            self._report.found("entry", f"entry {index}: {wrong}", index)

    def _folded(self, index: int, body: Body) -> str | None:
        match body["kind"]:
            case "policy":
                self.policies[str(body["version"])] = fold.policy_row(index, body)
            case "client" if body["change"] == "created":
                self.clients[str(body["client"])] = fold.client_row(index, body)
            case "client":
                self.clients[str(body["client"])]["revoked_at"] = body["at"]
            case "key":
                return self.keys.add(index, body)
            case kind:
                return f"its kind is none that this version knows: {kind!r}"
        return None

    def check(self, source: Source, held: Secrets, present: set[str]) -> None:
        """Compare with the rows that are there."""
        self._table(source, "policy_version", self.policies, _policy_message if held.seals else None, held, present)
        self._table(source, "client", self.clients, _client_message if held.seals else None, held, present)
        keys = {kid: dict(zip(TABLES["signing_key"], key.row(), strict=True)) for kid, key in self.keys.by_kid.items()}
        self._table(source, "signing_key", keys, None, held, present)

    def _table(
        self,
        source: Source,
        table: str,
        expected: Mapping[str, Mapping[str, object]],
        message: Callable[[Mapping[str, object]], str] | None,
        held: Secrets,
        present: set[str],
    ) -> None:
        if table not in present:
            return
        left = dict(expected)
        for cells in rows(source, table):
            row = {name: told(cell) for name, cell in zip(TABLES[table], cells, strict=True)}
            seal, name = row.pop("seal", None), str(cells[0])
            wanted = left.pop(name, None)
            if row != wanted:
                index = wanted["index"] if wanted else None
                self._found(table, name, "is not what the ledger says" if wanted else "is in no entry", index)
            if message is not None and not held.is_sealed(message(row), seal):
                self._found("seal", f"{table} {name}", "has no seal of ours", row["index"])
        for name, wanted in left.items():
            self._found(table, name, "is missing", wanted["index"])

    def _found(self, table: str, name: str, what: str, index: object) -> None:
        sentence = f"{table} {name} {what}" if table != "seal" else f"{name} {what}"
        self._report.found(table, sentence, index if isinstance(index, int) else None)


def told(cell: object) -> object:
    """A cell as the entries' bytes would have it: instants in RFC 3339 with whole milliseconds where they are whole."""
    if not isinstance(cell, datetime):
        return cell
    text = cell.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{text[:23]}Z" if text[23:26] == "000" else text


def _policy_message(row: Mapping[str, object]) -> str:
    return _joined("policy", row, "version", "effective_at", "published_at", "index", "document")


def _client_message(row: Mapping[str, object]) -> str:
    names = [name for name in TABLES["client"] if name not in ("index", "seal")]
    return _joined("client", row, *names, "index")


def _joined(what: str, row: Mapping[str, object], *names: str) -> str:
    return "\0".join([what, *("" if row[name] is None else str(row[name]) for name in names)])


def check_head(source: Source, report: Report, frontier: Sequence[bytes], last_at: str) -> None:
    """The head says the size, the time of the newest entry, and the tree's frontier; and there is only one."""
    heads = [[told(cell) for cell in row] for row in rows(source, "ledger_head")]
    if len(heads) != 1 or heads[0][0] != 1:
        report.found("head", f"there are {len(heads)} heads of the ledger, or one that is not number 1")
        return
    _, size, at, stored = heads[0]
    if size != report.entries:
        what = f"the head says {size} entries, and there are {report.entries}"
        report.found("head", what, min(report.entries, size) if isinstance(size, int) else None)
    if at != (last_at or "1970-01-01T00:00:00.000Z"):
        report.found("head", f"the head's time {at} is not that of the newest entry, {last_at}")
    if stored != b"".join(frontier):
        report.found("head", "the head's frontier is not that of the entries", 0, max(0, report.entries - 1))
