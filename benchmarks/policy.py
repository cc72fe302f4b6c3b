"""The benchmarks' policy: the shipped one with one branch above all leaves, so that one statement decides them all."""

from dataclasses import replace
from datetime import date

from consent_service.core.policy import Policy, Purpose, Text, Wording
from consent_service.core.policy_file import from_document, to_document
from consent_service.policies import shipped

BRANCH = "all"
VERSION = "benchmark-1"
LEAF = f"{BRANCH}.billing"


def one_branch(effective_from: date) -> Policy:
    """The shipped purposes below one branch; those that have no leaves stay beside it."""
    policy = shipped()
    branch = Purpose(BRANCH, Wording(1, Text("All uses", "すべての利用")), purposes=_with_leaves(policy))
    others = tuple(purpose for purpose in policy.purposes if not purpose.leaves)
    made = replace(policy, version=VERSION, effective_from=effective_from, source=None, purposes=(branch, *others))
    return from_document(to_document(made), name=VERSION)  # which gives each leaf its code below the branch


def _with_leaves(policy: Policy) -> tuple[Purpose, ...]:
    return tuple(purpose for purpose in policy.purposes if purpose.leaves)
