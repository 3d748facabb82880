"""A short form of `python -m tests.faults.config.edits`, and each planted bug."""

from __future__ import annotations

import pytest

from tests.faults.config.edits.bugs import BUGS
from tests.faults.config.edits.run import edit_under_faults
from zkdiscovery.testing import ZookeeperEnsemble

READERS, EDITS = 20, 30
MANY = 2000  # edits, within which a planted bug is found


@pytest.mark.timeout(300)
def test_nobody_sees_a_mix_or_goes_back(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    outcome = edit_under_faults(ensemble, ensemble_namespace, readers=READERS, edits=EDITS)
    assert outcome.wrong == []
    assert outcome.seen >= READERS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(ensemble: ZookeeperEnsemble, ensemble_namespace: str, bug: str) -> None:
    outcome = edit_under_faults(
        ensemble, ensemble_namespace, readers=READERS, edits=MANY, bug=bug, enough=lambda outcome: bool(outcome.wrong)
    )
    assert outcome.wrong
