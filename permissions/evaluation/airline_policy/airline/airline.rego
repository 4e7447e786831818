# METADATA
# scope: package
# title: An airline's rules about bookings
# description: |
#   What the agent of an airline may write into its database, told from facts: users,
#   reservations and flights that trusted reads of this run returned. What is not known, or may
#   have changed since it was read, is shown to a person.
#   Not protected from: what only the talk with the customer holds (a reason, a complaint, a
#   yes); a person who is asked has to know it.
# related_resources:
#   - ref: docs/reference/evaluation.md
package wardline.policies.airline

import data.wardline.lib

_tool := input.resource.id

_args := input.resource.properties.args

_writes := {
	"book_reservation",
	"cancel_reservation",
	"update_reservation_flights",
	"update_reservation_baggages",
	"update_reservation_passengers",
	"send_certificate",
}

_changes := _writes - {"book_reservation", "send_certificate"}

# Records, as they were read and not touched since.

_user(id) := fact.value if {
	fact := input.context.facts.user[id]
	fact.stale == false
}

_flight(leg) := fact.value if {
	fact := input.context.facts.flight[concat("@", [leg.flight_number, leg.date])]
	fact.stale == false
}

_reservation := fact.value if {
	_tool in _changes
	fact := input.context.facts.reservation[_args.reservation_id]
	fact.stale == false
}

_customer := _user(_args.user_id) if {
	_tool in {"book_reservation", "send_certificate"}
} else := _user(_reservation.user_id)

_known_legs(legs) if count([1 | some leg in legs; _flight(leg)]) == count(legs)

_new_legs := [leg | some leg in _args.flights]

_old_legs := _reservation.flights

# METADATA
# title: What is not known is shown to a person
require_approval contains {
	"code": "airline.unknown",
	"agent": "The records this depends on were not read, or changed since. Read them again.",
	"operator": concat("", ["facts are missing for ", _tool]),
	"nearest": null,
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_tool in _writes
	not _facts_known
}

_facts_known if {
	_tool == "book_reservation"
	_customer
	_known_legs(_new_legs)
}

_facts_known if {
	_tool in {"update_reservation_baggages", "update_reservation_passengers"}
	_customer
}

_facts_known if {
	_tool == "cancel_reservation"
	_known_legs(_old_legs)
}

_facts_known if {
	_tool == "update_reservation_flights"
	_customer
	_known_legs(_old_legs)
	_known_legs(_new_legs)
}

_facts_known if {
	_tool == "send_certificate"
	_customer
}

# METADATA
# title: The airline's rules
deny contains {
	"code": concat("", ["airline.", rule]),
	"agent": text,
	"operator": concat("", ["rule ", rule, " of the airline"]),
	"nearest": null,
} if {
	some [rule, text] in _broken
}

# Booking.

_broken contains ["passengers", "A reservation has at most five passengers."] if {
	_tool == "book_reservation"
	count(_args.passengers) > 5
}

_limits := {"certificate": 1, "credit_card": 1, "gift_card": 3}

_broken contains ["payments", "At most one certificate, one credit card and three gift cards pay."] if {
	_tool == "book_reservation"
	some source, most in _limits
	count([1 | some each in _args.payment_methods; _customer.payment_methods[each.payment_id].source == source]) > most
}

_broken contains ["payment_unknown", "Payments are made with methods of the customer's profile."] if {
	_tool == "book_reservation"
	some each in _args.payment_methods
	id := each.payment_id
	not _in_profile(id)
}

_broken contains ["payment_short", "The payment method holds less than this."] if {
	_tool == "book_reservation"
	some each in _args.payment_methods
	each.amount > _customer.payment_methods[each.payment_id].amount
}

_broken contains ["flight_unavailable", "Only flights that are available can be booked."] if {
	_tool == "book_reservation"
	some leg in _new_legs
	_flight(leg).status != "available"
}

_in_profile(id) if _customer.payment_methods[id]

# Bags.

_free := {
	"regular": {"basic_economy": 0, "economy": 1, "business": 2},
	"silver": {"basic_economy": 1, "economy": 2, "business": 3},
	"gold": {"basic_economy": 2, "economy": 3, "business": 4},
}

_allowance := _free[_customer.membership][_args.cabin] * count(_args.passengers) if {
	_tool == "book_reservation"
} else := _free[_customer.membership][_reservation.cabin] * count(_reservation.passengers)

_broken contains ["bags", "The bags to be paid for are those beyond the free ones."] if {
	_tool in {"book_reservation", "update_reservation_baggages"}
	_args.nonfree_baggages != max([0, _args.total_baggages - _allowance])
}

_broken contains ["bags_removed", "Checked bags can be added, and not removed."] if {
	_tool == "update_reservation_baggages"
	_args.total_baggages < _reservation.total_baggages
}

# Changing flights, cabin and passengers.

_numbers(legs) := {concat("@", [leg.flight_number, leg.date]) | some leg in legs}

_flights_change if {
	_tool == "update_reservation_flights"
	_numbers(_new_legs) != _numbers(_old_legs)
}

_broken contains ["basic_economy", "Flights of basic economy cannot be changed."] if {
	_flights_change
	_reservation.cabin == "basic_economy"
}

_broken contains ["route", "Origin, destination and kind of trip stay as they are."] if {
	_flights_change
	not _same_route
}

_same_route if {
	_reservation.flight_type == "one_way"
	_flight(_new_legs[0]).origin == _reservation.origin
	_flight(_new_legs[count(_new_legs) - 1]).destination == _reservation.destination
}

_same_route if {
	_reservation.flight_type == "round_trip"
	_flight(_new_legs[0]).origin == _reservation.origin
	_flight(_new_legs[count(_new_legs) - 1]).destination == _reservation.origin
	some leg in _new_legs
	_flight(leg).destination == _reservation.destination
}

_broken contains ["flight_unavailable", "Only flights that are available can be booked."] if {
	_flights_change
	some leg in _new_legs
	number := concat("@", [leg.flight_number, leg.date])
	kept := _numbers(_old_legs)
	not number in kept
	_flight(leg).status != "available"
}

_broken contains ["cabin_flown", "The cabin cannot be changed once a flight has been flown."] if {
	_tool == "update_reservation_flights"
	_args.cabin != _reservation.cabin
	_flown
}

_broken contains ["payment_unknown", "Payments are made with methods of the customer's profile."] if {
	_tool in {"update_reservation_flights", "update_reservation_baggages"}
	id := _args.payment_id
	not _in_profile(id)
}

_broken contains ["payment_kind", "Changes are paid by a gift card or a credit card."] if {
	_tool == "update_reservation_flights"
	_customer.payment_methods[_args.payment_id].source == "certificate"
}

_broken contains ["passenger_count", "The number of passengers cannot be changed."] if {
	_tool == "update_reservation_passengers"
	count(_args.passengers) != count(_reservation.passengers)
}

# Cancelling.

_flown if {
	some leg in _old_legs
	_flight(leg).status in {"landed", "flying"}
}

_broken contains ["cancel_flown", "A trip of which a part was flown cannot be cancelled."] if {
	_tool == "cancel_reservation"
	_flown
}

_broken contains ["cancel", "It may be cancelled within a day, when the airline cancelled, in business, or insured."] if {
	_tool == "cancel_reservation"
	is_string(_reservation.reservation_id)
	not _cancellable
}

_cancellable if _reservation.cabin == "business"

_cancellable if _reservation.insurance == "yes"

_cancellable if {
	some leg in _old_legs
	_flight(leg).status == "cancelled"
}

_cancellable if {
	created := time.parse_rfc3339_ns(concat("", [_reservation.created_at, "-05:00"])) / 1000
	input.context.time <= created + 86400000000
}

# Compensation.

_broken contains ["compensation", "A regular member without insurance or business gets no compensation."] if {
	_tool == "send_certificate"
	_customer.membership == "regular"
	count(_own) == count(_customer.reservations)
	count([1 | some each in _own; _better(each)]) == 0
}

_own := [fact.value |
	some id in _customer.reservations
	fact := input.context.facts.reservation[id]
]

_better(reservation) if reservation.insurance == "yes"

_better(reservation) if reservation.cabin == "business"

# METADATA
# title: Compensation is shown to a person
# description: Which complaint it answers stands in the talk alone.
require_approval contains {
	"code": "airline.compensation",
	"agent": "A certificate answers a complaint, so a person has to approve.",
	"operator": "whether the customer complained is in no record",
	"nearest": null,
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_tool == "send_certificate"
}
