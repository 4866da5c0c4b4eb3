"""Two first commands at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.settings import Keys, resolve

STARTERS = 8


def test_first_commands_at_once_all_use_the_same_random_keys(home: CrmHome) -> None:
    together = Barrier(STARTERS)

    def start(_: int) -> Keys:
        together.wait()
        return resolve(home, env={"CRM_CURRENCY": "GBP"}).keys

    with ThreadPoolExecutor(STARTERS) as pool:
        keys = set(pool.map(start, range(STARTERS)))
    assert len(keys) == 1
