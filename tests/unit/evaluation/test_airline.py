"""A policy with facts: what an airline allows passes, and what it forbids does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from permissions.cli.eval import app

LEGS = [
    {"flight_number": "A1", "date": "2024-05-20", "status": "available"},
    {"flight_number": "A2", "date": "2024-05-21", "status": "available"},
    {"flight_number": "A0", "date": "2024-05-10", "status": "landed"},
    {"flight_number": "A3", "date": "2024-05-20", "status": "cancelled"},
]
USER = {
    "kind": "user",
    "id": "ann",
    "membership": "silver",
    "payment_methods": {
        "card": {"source": "credit_card"},
        "gift": {"source": "gift_card", "amount": 100},
        "paper": {"source": "certificate", "amount": 50},
    },
    "reservations": ["OLD", "NEW"],
}


def reservation(name: str, *flights: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "reservation",
        "reservation_id": name,
        "user_id": "ann",
        "origin": "JFK",
        "destination": "SEA",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": [leg(each) for each in flights],
        "passengers": [{"first_name": "Ann"}],
        "created_at": "2024-05-01T10:00:00",
        "total_baggages": 1,
        "nonfree_baggages": 0,
        "insurance": "no",
    } | more


def leg(number: str) -> dict[str, str]:
    found = next(each for each in LEGS if each["flight_number"] == number)
    return {"flight_number": number, "date": found["date"]}


STATE = [
    USER,
    *({"kind": "leg", "origin": "JFK", "destination": "SEA", **each} for each in LEGS),
    reservation("OLD", "A1"),
    reservation("NEW", "A1", created_at="2024-05-15T10:00:00"),
    reservation("FLOWN", "A0", insurance="yes"),
    reservation("GONE", "A3"),
    reservation("CHEAP", "A1", cabin="basic_economy"),
]


def book(**more: Any) -> dict[str, Any]:
    return {
        "user_id": "ann",
        "origin": "JFK",
        "destination": "SEA",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": [leg("A1")],
        "passengers": [{"first_name": "Ann"}],
        "payment_methods": [{"payment_id": "card", "amount": 100}],
        "total_baggages": 2,
        "nonfree_baggages": 0,
        "insurance": "no",
    } | more


def change(name: str, number: str, **more: Any) -> dict[str, Any]:
    flights = [leg(number)]
    common = {"reservation_id": name, "cabin": "economy", "payment_id": "card"}
    return {**common, "flights": flights, **more}


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "book": ("book_reservation", book(), "ran"),
    "six": ("book_reservation", book(passengers=[{}] * 6), "airline.passengers"),
    "bags": ("book_reservation", book(total_baggages=3), "airline.bags"),
    "unknown card": (
        "book_reservation",
        book(payment_methods=[{"payment_id": "x", "amount": 1}]),
        "airline.payment_unknown",
    ),
    "empty gift card": (
        "book_reservation",
        book(payment_methods=[{"payment_id": "gift", "amount": 101}]),
        "airline.payment_short",
    ),
    "landed": ("book_reservation", book(flights=[leg("A0")]), "airline.flight_unavailable"),
    "cancel soon": ("cancel_reservation", {"reservation_id": "NEW"}, "ran"),
    "cancel cancelled": ("cancel_reservation", {"reservation_id": "GONE"}, "ran"),
    "cancel late": ("cancel_reservation", {"reservation_id": "OLD"}, "airline.cancel"),
    "cancel flown": ("cancel_reservation", {"reservation_id": "FLOWN"}, "airline.cancel_flown"),
    "cancel unknown": ("cancel_reservation", {"reservation_id": "NONE"}, "airline.unknown"),
    "change": ("update_reservation_flights", change("OLD", "A2"), "ran"),
    "change cheap": (
        "update_reservation_flights",
        change("CHEAP", "A2", cabin="basic_economy"),
        "airline.basic_economy",
    ),
    "upgrade cheap": (
        "update_reservation_flights",
        change("CHEAP", "A1", cabin="business"),
        "ran",
    ),
    "upgrade flown": (
        "update_reservation_flights",
        change("FLOWN", "A0", cabin="business"),
        "airline.cabin_flown",
    ),
    "pay by certificate": (
        "update_reservation_flights",
        change("OLD", "A2", payment_id="paper"),
        "airline.payment_kind",
    ),
    "more passengers": (
        "update_reservation_passengers",
        {"reservation_id": "OLD", "passengers": [{}, {}]},
        "airline.passenger_count",
    ),
    "certificate": (
        "send_certificate",
        {"user_id": "ann", "amount": 50},
        "airline.compensation",
    ),
}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("airline")
    tasks = [
        {"kind": "task", "id": name, "actions": [{"tool": tool, "args": args}]}
        for name, (tool, args, _) in CASES.items()
    ]
    for name, rows in {"x_airline_state": STATE, "x_airline_gt": tasks}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = CliRunner().invoke(app, ["airline", "--data", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    refused = json.loads(done.output)["expected"]["x_airline_gt"]["refused"]
    return {each["task"]: each["ends"][0] for each in refused}


@pytest.mark.parametrize("name", CASES)
def test_a_write_passes_or_is_stopped_by_its_rule(name: str, ends: dict[str, Any]) -> None:
    expected = CASES[name][2]

    if expected == "ran":
        assert name not in ends
    else:
        assert expected in ends[name]["codes"]


def test_a_folder_without_an_airline_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["airline", "--data", str(tmp_path)])

    assert done.exit_code == 2
    assert "airline_state" in done.output
