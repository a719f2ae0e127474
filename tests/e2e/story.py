"""The story that the pictures of the console tell, and that its tests are told on: a few teams, their models, and three weeks.

All of it is made over REST, step by step; only when each step happened, and how much was asked meanwhile, is written afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.e2e import story_models as made
from tests.e2e.story_models import Fitted
from tests.e2e.story_times import Demand, Times, spread, write_traffic
from tests.running import RunningService, dumped, running

#: What is no model, for a refusal that people can read.
HARMLESS_AND_REFUSED = b"cos\nsystem\n(S'true'\ntR."


@dataclass
class Story:
    """A running service with everything in it, and the keys of those who use it."""

    service: RunningService
    keys: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    times: Times = field(default_factory=Times)

    def ask(self, who: str, method: str, path: str, body: Any = None, *, status: int | None = None) -> Any:
        """Send one request as somebody, and return what came."""
        with self.service.client(self.keys[who]) as client:
            answer = client.request(method, path, json=body)
        assert answer.status_code == status or (status is None and answer.is_success), answer.text
        return answer.json() if answer.content else None

    def publish(self, who: str, model: str, fitted: Fitted, **manifest: Any) -> dict[str, Any]:
        """Publish a version as somebody."""
        example = manifest.pop("input_example", fitted.example)
        told = {"metrics": fitted.metrics, "parameters": fitted.parameters, "input_example": example, **manifest}
        return self.service.publish(model, dumped(fitted.estimator), told, key=self.keys[who])

    def point(self, who: str, model: str, alias: str, version: int, reason: str) -> None:
        """Point an alias as somebody, for a reason."""
        self.ask(who, "PUT", f"/models/{model}/aliases/{alias}", {"version": version, "reason": reason})

    def make_key(self, name: str, scopes: list[str], **grants: Any) -> None:
        """Make a key, as the admin."""
        found = self.ask("admin", "POST", "/keys", {"name": name, "scopes": scopes, "limits": ["6000/minute"], **grants})
        self.keys[name], self.ids[name] = found["key"], found["id"]


@contextmanager
def told(instance: Path, port: int | None = None) -> Iterator[Story]:
    """Run a service in which the story has happened."""
    times = Times()
    with running(instance, port, measured=False, web_processes="1", log_level="warning", memory_budget_bytes=str(256 << 20)) as service:
        story = Story(service, {"admin": service.admin_key}, times=times)
        times.begin(days=24)
        _keys(story)
        _churn(story)
        _others(story)
        service.stop()
        spread(instance / "modelyard.db", story.times)
        write_traffic(instance / "modelyard.db", _demands(story), story.times.now)
        service.start()
        _today(story)
        yield story


def _keys(story: Story) -> None:
    ago = story.times.ago
    with ago(days=23):
        story.make_key("ada (data science)", ["read", "predict", "publish"])
        story.make_key("ben (data science)", ["read", "predict", "publish"])
        story.make_key("on-call", ["read", "predict", "publish"])
    with ago(days=22, hours=3):
        story.make_key("web shop", ["predict"], models=["churn", "fraud-score", "recommend-*"], limits=["3000/minute"])
        story.make_key("call centre", ["read", "predict"], models=["churn", "support-tickets"])
        story.make_key("property portal", ["predict"], models=["house-prices"], limits=["600/minute", "500000/day"])
    with ago(days=15):
        story.make_key(
            "nightly training",
            ["read", "publish"],
            models=["churn", "demand-*"],
            expires_at=(story.times.now + timedelta(days=75)).isoformat(),
        )
        story.make_key("old notebook", ["read", "predict", "publish"])
        story.make_key("dashboards", ["read"])
    with ago(days=6):
        story.ask("admin", "DELETE", f"/keys/{story.ids['old notebook']}")


def _churn(story: Story) -> None:
    ada, ben, night = "ada (data science)", "ben (data science)", "nightly training"
    ago = story.times.ago
    source = {"repository": "retention/churn", "data": "customers 2026-09"}
    with ago(days=21, hours=4):
        story.publish(
            ada, "churn", made.churn(1), description="A first, strongly regularised baseline.", source={**source, "commit": "9f1c2ab"}
        )
        story.ask(ada, "PATCH", "/models/churn", {
            "description": "Which customers are about to leave, asked by the shop when they log in and by the call centre.",
            "tags": {"team": "retention", "tier": "1"},
        })  # fmt: skip
        story.point(ada, "churn", "production", 1, "First version, agreed in the weekly review.")
    with ago(days=16, hours=2):
        story.publish(ada, "churn", made.churn(2), description="Less regularisation, same columns.", source={**source, "commit": "4d07e91"})
        story.point(ada, "churn", "staging", 2, "To be watched for two days before it goes live.")
    with ago(days=13, hours=22):
        story.point(ada, "churn", "production", 2, "AUC up on September's customers; staging saw nothing odd.")
    with ago(days=9, hours=5):
        story.publish(ben, "churn", made.churn(3), description="A small forest, for comparison.", source={**source, "commit": "c55d0aa"})
        story.point(ben, "churn", "staging", 3, "A forest beside the linear model.")
    with ago(days=7, hours=3):
        story.point(ben, "churn", "production", 3, "Trying the forest on live traffic.")
    with ago(days=6, hours=21):
        story.ask(
            "on-call",
            "POST",
            "/models/churn/aliases/production/rollback",
            {"reason": "Call centre reports far too many warnings. Back to the linear model."},
        )
    with ago(days=3, hours=6):
        story.publish(
            night,
            "churn",
            made.churn(4),
            description="Boosted trees, trained on October.",
            source={"repository": "retention/churn", "data": "customers 2026-10", "commit": "e8812f0", "run": "nightly 1184"},
            tags={"trained": "nightly"},
        )
        story.point(night, "churn", "staging", 4, "Nightly training passed its checks.")
    with ago(days=2, hours=1):
        story.point(ada, "churn", "production", 4, "Better on every metric, and a week of staging without surprises.")
    with ago(hours=5):
        story.publish(
            night,
            "churn",
            made.churn(5),
            description="Boosted trees, slower learning rate.",
            source={"repository": "retention/churn", "data": "customers 2026-11", "commit": "17be3c4", "run": "nightly 1187"},
            tags={"trained": "nightly"},
        )
        story.point(night, "churn", "staging", 5, "Nightly training passed its checks.")


def _others(story: Story) -> None:
    ada, ben = "ada (data science)", "ben (data science)"
    ago = story.times.ago
    with ago(days=20):
        story.publish(ben, "iris", made.iris(1), description="Four measurements, three species.")
        story.publish(ben, "iris", made.iris(2), description="A forest, for the course.")
        story.ask(
            ben,
            "PATCH",
            "/models/iris",
            {"description": "The species of an iris, for the onboarding course.", "tags": {"team": "data science", "purpose": "course"}},
        )
        story.point(ben, "iris", "production", 1, "For the course.")
    with ago(days=12, hours=7):
        for step in (1, 2):
            story.publish(ada, "house-prices", made.house_prices(step), source={"repository": "property/prices", "commit": f"b0{step}7d2e"})
        story.ask(
            ada,
            "PATCH",
            "/models/house-prices",
            {"description": "What a house will be sold for, in euros.", "tags": {"team": "property", "tier": "2"}},
        )
        story.point(ada, "house-prices", "production", 2, "Ridge is steadier on small villages.")
    with ago(days=4, hours=4):
        story.publish(
            ada,
            "house-prices",
            made.house_prices(3),
            description="Gradient boosting, served compiled.",
            runtime="fast",
            source={"repository": "property/prices", "commit": "b0a11c9"},
        )
        story.point(ada, "house-prices", "production", 3, "Mean error more than halved; compiled, it answers as fast as ridge.")
    with ago(days=11):
        story.publish(ben, "support-tickets", made.tickets(), description="Routes a ticket by its first line.")
        story.ask(ben, "PATCH", "/models/support-tickets", {"description": "Which desk a ticket belongs to.", "tags": {"team": "support"}})
        story.point(ben, "support-tickets", "production", 1, "The desks agreed to try it.")
    small = (
        ("demand-berlin", 5, 21, "Tomorrow's parcels at the Berlin depot.", "logistics"), ("demand-hamburg", 5, 22, "Tomorrow's parcels at the Hamburg depot.", "logistics"),
        ("recommend-basket", 8, 23, "Whether a basket wants a suggestion.", "shop"), ("fraud-score", 9, 24, "How odd a payment looks.", "payments"),
    )  # fmt: skip
    with ago(days=10):
        for name, columns, seed, description, team in small:
            story.publish(ada, name, made.scores(columns, seed))
            story.ask(ada, "PATCH", f"/models/{name}", {"description": description, "tags": {"team": team}})
            story.point(ada, name, "production", 1, "First version.")
    with ago(days=8):
        story.publish(ben, "fraud-score", made.scores(9, 25), description="Saw the refund column, which is only known afterwards.")
        story.ask(ben, "DELETE", "/models/fraud-score/2")
    with ago(days=1, hours=3), story.service.client(story.keys[ben]) as client:
        refused = client.post(
            "/models/iris/versions",
            files={"artifact": ("model.pkl", HARMLESS_AND_REFUSED), "manifest": (None, json.dumps({}), "application/json")},
        )
        assert refused.status_code in {415, 422}, refused.text


def _demands(story: Story) -> list[Demand]:
    shop, centre, portal = (story.ids[name] for name in ("web shop", "call centre", "property portal"))
    ada = story.ids["ada (data science)"]
    day = timedelta(days=1)
    return [
        Demand("churn", 2, shop, 820, 0.0011, since=6.85 * day, until=2.04 * day, refusals=0.002),
        Demand("churn", 3, shop, 820, 0.0034, since=7.1 * day, until=6.85 * day, errors=0.02),
        Demand("churn", 4, shop, 910, 0.0019, since=2.04 * day, refusals=0.004),
        Demand("churn", 4, centre, 120, 0.0021, since=2.04 * day, hits=0.1),
        Demand("churn", 2, centre, 110, 0.0013, until=2.04 * day, hits=0.1),
        Demand("churn", 5, ada, 14, 0.0022, since=timedelta(hours=5), hits=0.05),
        Demand("house-prices", 3, portal, 260, 0.0007, since=4.15 * day, hits=0.55, refusals=0.03),
        Demand("house-prices", 2, portal, 240, 0.0010, until=4.15 * day, hits=0.5),
        Demand("recommend-basket", 1, shop, 400, 0.0009, hits=0.2, errors=0.001),
        Demand("support-tickets", 1, centre, 35, 0.0027, hits=0.02, errors=0.01),
        Demand("fraud-score", 1, shop, 180, 0.0008, hits=0.0, errors=0.0005),
        Demand("iris", 1, story.ids["ben (data science)"], 1.5, 0.0006, hits=0.1),
        Demand("demand-berlin", 1, ada, 3, 0.0010, hits=0.6),
        Demand("demand-hamburg", 1, ada, 2, 0.0010, hits=0.6),
    ]


def _today(story: Story) -> None:
    """Load what is asked all day, and ask it a little, wrongly too."""
    ask = story.ask
    ask("ada (data science)", "PUT", "/models/churn/@production/pin")
    for model in ("churn", "house-prices", "support-tickets", "iris", "fraud-score"):
        ask("on-call", "POST", f"/models/{model}/@production/load")
    some = made.churn(4).example
    for row in some:
        ask("call centre", "POST", "/models/churn", {"instances": [row]})
    ask("call centre", "POST", "/models/churn", {"instances": [{**some[0], "tenure_months": "two years"}]}, status=422)
    ask("property portal", "POST", "/models/house-prices", {"instances": made.house_prices(3).example})
    ask("call centre", "POST", "/models/support-tickets", {"data": ["where is my refund"]})
    ask("ben (data science)", "POST", "/models/iris", {"data": made.iris(1).example})
    ask("ada (data science)", "POST", "/models/fraud-score", {"data": made.scores(9, 24).example})
