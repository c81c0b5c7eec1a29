"""Eight writers at once, killed at random: no entry is lost, doubled or moved, and every proof holds."""

import pytest

from tallystick.components.core.receipts.log import Log
from tallystick.components.core.storage import open_store
from tests.support.log_crashes import check_nothing_lost_doubled_or_moved, write_with_crashes


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_eight_writers_killed_at_random_on_a_folder(tmp_path):
    uri = str(tmp_path / "store")
    crashes = write_with_crashes(uri, tmp_path / "state", writers=8, each=1250, pause_s=0.35, environment={})
    assert crashes.kills >= 10
    check_nothing_lost_doubled_or_moved(uri, writers=8, each=1250)
    assert Log(open_store(uri)).size() == 10_000
