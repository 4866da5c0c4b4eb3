"""Whatever breaks between plan and receipt: nobody gets a step twice, nobody against their will.

A provider in a process of its own writes down what it accepted; its log is the judge. Each round a
copy of one small world is sent by a process that is killed, or breaks, somewhere. Then it is run
again until nothing changes, and log and ledger are compared.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
import sqlalchemy as sa

from crm_pipeline.lib import failpoints
from crm_pipeline.lib.consent import post_opt_outs
from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import claims, vault
from crm_pipeline.lib.outreach.adapters import WecomProvider, open_adapter
from crm_pipeline.lib.outreach.adapters.file import FileDelivery
from crm_pipeline.lib.outreach.adapters.http import Patience
from crm_pipeline.lib.outreach.dispatch import Dispatcher, QuietHours
from crm_pipeline.lib.outreach.message import Message
from crm_pipeline.lib.outreach.receipts import settle_receipts
from crm_pipeline.lib.outreach.reconcile import reconcile
from crm_pipeline.lib.outreach.wecom_tasks import WecomDispatcher, poll_wecom_tasks
from tests.unit.crm_pipeline.outreach.batch_support import KEY, NOW, People
from tests.unit.crm_pipeline.outreach.delivery_servers import (
    HttpProvider,
    repeated,
    running_apart,
)

PACKAGE = Path(__file__).resolve().parents[2] / "crm_pipeline" / "lib"
SWEPT = ("outreach/dispatch.py", "outreach/wecom_tasks.py", "outreach/claims.py",
         "outreach/receipts.py", "outreach/adapters/file.py")  # fmt: skip
# Swept by their own tests: test_batch_life.py, test_outreach_ticks.py, test_audience_export.py.
BEFORE_ANY_CLAIM = ("outreach/plan.py", "outreach/preview.py", "outreach/tick_run.py",
                    "outreach/audience_export.py")  # fmt: skip
SHANGHAI = ZoneInfo("Asia/Shanghai")
QUIET = QuietHours(dt.time(22), dt.time(8), lambda _: SHANGHAI)
HOUR = dt.timedelta(hours=1)
NO_CONSENT = ("2", "7")  # withdrew after the batch was planned
LEAVES = "3"  # answers the first step with an opt-out
WECOM = ("5", "6")
PEOPLE = 7
# What a provider may do at a call; most calls are accepted.
WORDS = ("accept", "accept", "accept", "accept", "drop_after", "drop_before", "status_after:500",
         "status:500", "status:429", "status:422", "garbage_after")  # fmt: skip
KINDS = ("sent", "delivered", "opened", "failed")
RUNS_UNTIL_QUIET = 6
# What a kill leaves behind is the same in memory as on a disk, and there much faster.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

pytestmark = [pytest.mark.requirement("OUT-4", "OUT-7"), pytest.mark.bad_input("F25")]


def named_points(files: Iterable[Path] = [PACKAGE / name for name in SWEPT]) -> list[str]:
    """Every failpoint between plan and receipt, as the source names them."""
    found: set[str] = set()
    for path in files:
        found.update(re.findall(r'failpoint\(\s*"(\w+)"', path.read_text(encoding="utf-8")))
    return sorted(found)


@dataclass(frozen=True)
class World:
    """A planned batch on disk, the place its copy is sent from, and the provider it is sent to.

    Every round is at one place, so that a child inherits engines that know their statements.
    """

    root: Path
    live: Path
    ledger: sa.Engine
    vault: sa.Engine
    first: list[Message]
    second: list[Message]
    tasks: list[Message]
    filed: list[Message]
    web: HttpProvider

    @property
    def planned(self) -> list[Message]:
        return [*self.first, *self.second, *self.tasks, *self.filed]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("provider")
    web = HttpProvider(folder)
    web.wecom.is_confirmed = True  # staff who confirm at once
    with running_apart(web), ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))) / "home"
        people = People(root, people=PEOPLE)
        people.batch()
        for person in WECOM:
            people.say([person], "granted", 3, contact_kind="wecom",
                       contact_value=f"wmfriend{person}", consent_channel="wecom")  # fmt: skip
        with people.vault.connect() as connection:
            tokens = {row.clear_value: row.token for row in connection.execute(sa.select(vault))}
        tasks = [
            people.message(person, step="task", consent_channel="wecom", guide_id="li",
                           contact_token=tokens[f"wmfriend{person}"])
            for person in WECOM
        ]  # fmt: skip
        people.say(["4"], "granted", 2, contact_value="other4@example.org")
        with people.vault.connect() as connection:
            tokens = {row.clear_value: row.token for row in connection.execute(sa.select(vault))}
        fallback = people.message("4", contact_token=tokens["other4@example.org"])
        first = [*people.messages(), fallback]
        second = people.messages(step="second")
        filed = people.messages(step="filed")
        people.say(NO_CONSENT, "withdrawn", 9)
        people.ledger.dispose()
        people.vault.dispose()
        live = root.parent / "live"
        shutil.copytree(root, live)
        home = CrmHome(live)
        yield World(root, live, open_ledger(home), open_vault(home), first, second, tasks,
                    filed, web)  # fmt: skip


class Round:
    """One copy of the world, and what the provider accepted of it."""

    def __init__(self, world: World, number: int, seed: int = 0) -> None:
        self.world, self.seed = world, seed
        self.home = world.live
        self._close()
        shutil.rmtree(self.home)
        shutil.copytree(world.root, self.home)
        self.path = f"/in/{number}"
        self.random = random.Random(seed)

    def _close(self) -> None:
        """A child must not share a connection."""
        self.world.ledger.dispose()
        self.world.vault.dispose()

    def provide(self, *words: str) -> None:
        self.world.web.script.set(*words)

    def accepted(self) -> list[dict[str, Any]]:
        """What came to this round's own address."""
        return [line for line in self.world.web.log.read() if line["path"] == self.path]

    def filed(self) -> list[str]:
        """Message ids in this round's files, named and not named yet.

        Not of a file whose writer died within it: nobody takes it, and ``recover`` sweeps it away.
        """
        files = (self.home / "outbox" / "b1").glob("*.jsonl")
        return [json.loads(line)["message_id"] for path in files
                if not path.name.startswith(".tmp-")
                for line in path.read_text(encoding="utf-8").splitlines()]  # fmt: skip

    def asked_of_staff(self) -> list[str]:
        """Contacts in this round's WeCom tasks, which have the round as their text."""
        text = f"text of {self.path}"
        return [line["contact"] for line in self.world.web.log.read() if line["path"] == text]

    def run(
        self, now: dt.datetime, fail: str | None = None, kill_after: float | None = None,
        prepare: Callable[[sa.Engine], None] | None = None,
    ) -> int:  # fmt: skip
        """Sends in a child; returns its exit code, below zero the signal that ended it."""
        self._close()
        child = os.fork()
        if child == 0:
            self._be_the_child(now, fail, prepare)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _be_the_child(
        self, now: dt.datetime, fail: str | None, prepare: Callable[[sa.Engine], None] | None
    ) -> None:
        code = 1
        try:
            failpoints._passes.clear()
            if fail:
                os.environ["CRM_FAIL"] = fail
            self._work(now, prepare)
            code = 0
        except failpoints.InjectedFailureError:
            code = 2
        except LedgerError:
            code = 3
        except BaseException:  # noqa: BLE001 - the parent must learn of it
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _work(self, now: dt.datetime, prepare: Callable[[sa.Engine], None] | None) -> None:
        """A dispatcher's night: first step, tasks, receipts, second step, tasks' results."""
        home = CrmHome(self.home)
        ledger, addresses = self.world.ledger, self.world.vault
        if prepare is not None:
            prepare(ledger)
        patience = Patience(1.0, 0.3, max_attempts=2, sleep=lambda _: None)
        hook = self.world.web.url("webhook", self.path, secret_env="S")
        wecom = self.world.web.url("wecom", "/", corp_id="corp", secret_env="W")
        environment = {"CRM_DELIVERY_EMAIL": hook, "S": "hook secret",
                       "CRM_DELIVERY_WECOM": wecom, "W": "corp secret"}  # fmt: skip
        adapter = open_adapter("email", environment, patience=patience)
        provider = open_adapter("wecom", environment, patience=patience)
        assert not isinstance(adapter, WecomProvider)
        assert isinstance(provider, WecomProvider)
        mails = Dispatcher(home, ledger, addresses, adapter, QUIET, lambda: now)
        tasks = WecomDispatcher(home, ledger, addresses, provider, QUIET, SHANGHAI, lambda: now)
        mails.dispatch("b1", self.world.first)
        folder = self.home / "outbox" / "b1"
        FileDelivery(
            home, ledger, addresses, folder, "email", "jsonl", QUIET, lambda: now
        ).dispatch("b1", self.world.filed)
        text = f"text of {self.path}"
        tasks.dispatch("b1", [dataclasses.replace(one, body=text) for one in self.world.tasks])
        self._take_receipts(ledger)
        mails.dispatch("b1", self.world.second)
        poll_wecom_tasks(ledger, addresses, provider, now=now)
        reconcile(ledger, now=now)

    def _take_receipts(self, ledger: sa.Engine) -> None:
        """Receipts of what was accepted so far: doubled, out of order, some of nobody's."""
        chance = random.Random(self.seed)
        leaver = {one.message_id for one in self.world.first
                  if one.customer_id == self._customer(LEAVES)}  # fmt: skip
        rows = []
        for line in self.accepted():
            is_leaver = line["message_id"] in leaver
            for kind in chance.choices(KINDS, k=2) if not is_leaver else ["delivered"]:
                row = {
                    "channel": "email", "account_channel": "shop", "message_id": line["message_id"],
                    "source_customer_id": LEAVES if is_leaver else None, "receipt_kind": kind,
                    "reply_text": "ＴＤ" if is_leaver else None, "journey": None, "step": None,
                }  # fmt: skip
                rows += [row, row]
        rows.append({"channel": "email", "message_id": "0" * 32, "receipt_kind": "failed"})
        chance.shuffle(rows)
        text = ("channel", "account_channel", "source_customer_id", "message_id", "receipt_kind",
                "journey", "step", "reply_text")  # fmt: skip
        table = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in text]))
        ids = [f"r-{row['message_id']}-{row['receipt_kind']}" for row in rows]
        times = pa.array([NOW] * len(rows), pa.timestamp("us"))
        table = table.append_column("record_id", pa.array(ids, pa.string()))
        table = table.append_column("occurred_at", times).append_column("known_at", times)
        post_opt_outs(ledger, table, key=KEY, feed="receipts", file_sha256="f")
        settle_receipts(ledger, table)

    def _customer(self, person: str) -> str:
        return self.world.first[int(person) - 1].customer_id

    def rerun_until_quiet(self) -> None:
        """Again, later each time, until neither the ledger nor the provider sees anything new."""
        self.provide("accept")
        before: object = None
        for number in range(1, RUNS_UNTIL_QUIET):
            assert self.run(NOW + number * HOUR) == 0, f"seed {self.seed}"
            after = (self.states(), len(self.accepted()), self.asked_of_staff(), self.filed())
            if after == before:
                return
            before = after
        raise AssertionError(f"seed {self.seed}: still changing")

    def states(self) -> dict[str, str]:
        with self.world.ledger.connect() as connection:
            rows = connection.execute(sa.select(claims.c.claim_id, claims.c.state)).all()
        self._close()
        return {row.claim_id: row.state for row in rows}

    def check(self) -> None:
        """The provider's log and the ledger tell the same, harmless story."""
        said = f"seed {self.seed}, {self.path}"
        accepted, states = self.accepted(), self.states()
        ids = [line["message_id"] for line in accepted]
        steps = [(line["contact"], line["body"]["step"]) for line in accepted]
        assert not repeated(ids), said
        assert len(set(steps)) == len(steps), said
        known = {one.message_id: one for one in self.world.planned}
        refusing = {self._customer(person) for person in NO_CONSENT}
        assert not refusing & {known[one].customer_id for one in ids}, said
        leaver = [
            known[one].step for one in ids if known[one].customer_id == self._customer(LEAVES)
        ]
        # A first step refused for now may follow the second; nothing follows the answer to it.
        assert "first" not in leaver[:-1], f"{said}: wrote to somebody who left"
        asked = self.asked_of_staff()
        assert not repeated(asked), said
        filed = self.filed()
        assert not repeated(filed), said
        assert not refusing & {known[one].customer_id for one in filed}, said
        assert {states[one] for one in filed} <= {"sent"}, said
        assert not {one for one in ids if states[one] == "refused"}, said
        held = Counter(
            (known[one].customer_id, known[one].step)
            for one, state in states.items() if state in ("sent", "uncertain", "claimed")
        )  # fmt: skip
        assert not [key for key, count in held.items() if count > 1], said
        counts = Counter(states.values())
        skipped = len(known) - len(states)
        assert sum(counts.values()) + skipped == len(known), said
        assert set(counts) <= {"sent", "failed", "refused", "uncertain"}, said


@pytest.fixture(scope="module")
def a_round(world: World) -> Callable[..., Round]:
    numbers = itertools.count()

    def make(seed: int = 0) -> Round:
        return Round(world, next(numbers), seed)

    warm = make()
    warm.provide("accept")
    warm._work(NOW, None)
    return make


Rounds = Callable[..., Round]


def test_an_undisturbed_night_reaches_everybody_who_may_be_reached(a_round: Rounds) -> None:
    night = a_round()
    night.provide("accept")
    assert night.run(NOW) == 0
    night.rerun_until_quiet()
    night.check()
    people = PEOPLE - len(NO_CONSENT)
    assert len(night.accepted()) >= people + people - 1  # who left gets no second step


def test_every_named_point_is_passed_so_that_none_is_forgotten(a_round: Rounds) -> None:
    missed = []
    for point in named_points():
        night = a_round()
        night.provide("accept")
        if night.run(NOW, fail=f"{point}:raise") != 2:
            missed.append(point)
    assert missed == []
    elsewhere = named_points(PACKAGE / name for name in BEFORE_ANY_CLAIM)
    everywhere = named_points((PACKAGE / "outreach").rglob("*.py"))
    assert sorted([*named_points(), *elsewhere]) == everywhere
    assert {"claim_inserted", "dispatch_called", "record_after", "receipts_settled",
            "wecom_called"} <= set(named_points())  # fmt: skip


@pytest.mark.parametrize("point", named_points())
def test_killed_at_a_named_point_nothing_goes_twice(a_round: Rounds, point: str) -> None:
    for nth in (1, 4):
        night = a_round(seed=nth)
        night.provide("accept", "drop_after", "accept", "status:422", "accept")
        assert night.run(NOW, fail=f"{point}:kill@{nth}") in (-signal.SIGKILL, 0)
        night.rerun_until_quiet()
        night.check()


@pytest.mark.parametrize("point", named_points())
def test_an_exception_at_a_named_point_sends_nothing_twice(a_round: Rounds, point: str) -> None:
    night = a_round(seed=7)
    night.provide("accept", "status_after:500", "accept")
    assert night.run(NOW, fail=f"{point}:raise@2") in (2, 0)
    night.rerun_until_quiet()
    night.check()


def kill_at_random(a_round: Rounds, count: int) -> None:
    base = int(os.environ.get("SOAK_SEED") or time.time_ns() % 1_000_000)
    length = _length_of_a_night(a_round)
    ended: Counter[int] = Counter()
    for seed in range(base, base + count):
        night = a_round(seed=seed)
        chance = random.Random(seed)
        night.provide(*chance.choices(WORDS, k=20))
        moment = chance.uniform(0, length)
        print(f"seed {seed}: killed after {moment:.3f} s")
        ended[night.run(NOW, kill_after=moment)] += 1
        if chance.random() < 0.5:
            night.run(NOW + HOUR / 2, kill_after=chance.uniform(0, length))
        night.rerun_until_quiet()
        night.check()
    print(f"ended: {dict(ended)}")
    assert ended[-signal.SIGKILL] > count / 3


def _length_of_a_night(a_round: Rounds) -> float:
    night = a_round()
    night.provide("accept")
    begun = time.monotonic()
    assert night.run(NOW) == 0
    return time.monotonic() - begun


def test_killed_at_random_moments_nothing_goes_twice(a_round: Rounds) -> None:
    """Seeds are printed; SOAK_SEED=<seed> begins with one of them."""
    kill_at_random(a_round, 40)


@pytest.mark.soak
def test_killed_at_many_random_moments_nothing_goes_twice(a_round: Rounds) -> None:
    kill_at_random(a_round, int(os.environ.get("SOAK_KILLS", "200")))


@pytest.mark.bad_input("F26")
def test_two_dispatchers_at_once_of_which_one_dies(a_round: Rounds) -> None:
    for seed in range(6):
        night = a_round(seed=seed)
        night.provide("accept", "accept", "drop_after", "accept")
        children = []
        for number in range(3):
            child = os.fork()
            if child == 0:
                fail = "dispatch_called:kill@2" if number == 0 else None
                night._be_the_child(NOW, fail, None)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        night.rerun_until_quiet()
        night.check()


@pytest.mark.bad_input("F32")
def test_without_its_ledger_nothing_is_sent(a_round: Rounds) -> None:
    night = a_round()
    night.provide("accept")
    for path in (night.home / "ledger").glob("ledger.sqlite*"):
        path.write_bytes(b"this is no database" * 100)
    assert night.run(NOW) == 3
    assert night.accepted() == []


@pytest.mark.bad_input("F32")
@pytest.mark.parametrize("transaction", [1, 2, 3, 4, 7, 11, 16, 29])
def test_a_ledger_that_goes_away_at_any_transaction_stops_sending(
    a_round: Rounds, transaction: int
) -> None:
    def break_later(ledger: sa.Engine) -> None:
        count = 0

        @sa.event.listens_for(ledger, "begin")
        def _break(_: sa.Connection) -> None:
            nonlocal count
            count += 1
            if count >= transaction:
                raise sa.exc.OperationalError("begin", {}, OSError("gone"))

    night = a_round()
    night.provide("accept")
    assert night.run(NOW, prepare=break_later) == 3
    assert len(night.accepted()) <= transaction / 2
    night.rerun_until_quiet()
    night.check()


@pytest.mark.bad_input("F19")
def test_clocks_that_jump_send_nothing_twice(a_round: Rounds) -> None:
    for seed in range(4):
        night = a_round(seed=seed)
        chance = random.Random(seed)
        night.provide(*chance.choices(WORDS, k=20))
        for _ in range(4):
            night.run(NOW + dt.timedelta(hours=chance.randrange(-200, 200)))
        night.rerun_until_quiet()
        night.check()


@pytest.mark.bad_input("F24")
@pytest.mark.parametrize("word", ["drop_after", "garbage_after", "status_after:500"])
def test_a_provider_that_always_accepts_and_drops_gets_each_message_once(
    a_round: Rounds, word: str
) -> None:
    night = a_round()
    night.provide(word)
    night.run(NOW)
    night.provide(word)
    night.run(NOW + HOUR)
    night.rerun_until_quiet()
    night.check()
    assert json.dumps(night.accepted()).count('"step": "first"') >= PEOPLE - len(NO_CONSENT) - 2
