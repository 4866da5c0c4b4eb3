"""What a broken ledger or vault says names nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import audit, vault

ADDRESS = "mei@example.org"


@pytest.mark.requirement("PRV-1")
def test_an_error_of_the_vault_or_the_ledger_tells_no_address(tmp_path: Path) -> None:
    home = CrmHome(tmp_path).ensure()
    row = {"token": None, "kind": "email", "clear_value": ADDRESS, "mask": "m***", "key_id": "k1"}
    with pytest.raises(sa.exc.DBAPIError) as found, open_vault(home).begin() as connection:
        connection.execute(sa.insert(vault), [row])
    assert ADDRESS not in str(found.value)
    broken = {"at": None, "actor": "li", "action": "x", "detail": ADDRESS}
    with pytest.raises(sa.exc.DBAPIError) as found, open_ledger(home).begin() as connection:
        connection.execute(sa.insert(audit), [broken])
    assert ADDRESS not in str(found.value)
