# METADATA
# scope: package
# title: Working hours
# description: |
#   When effects may happen: on your working days, between two times of day, in your own time zone with
#   its summer time, and not on the days you close. Outside of them an effect is denied or shown to a
#   person, as you set it; reading goes on.
#   Not protected from: work that an agent prepares at night and does in the morning.
# related_resources:
#   - ref: docs/reference/library/hours.md
# custom:
#   denies: "effects outside of working hours (when `outside` is \"deny\")"
#   asks: "effects outside of working hours (when `outside` is \"ask\", as shipped)"
#   needs: "nothing: the time is in every question"
package wardline.layers.hours

import data.wardline.lib

_table := data.wardline.tables.hours

_moment := [input.context.time * 1000, _table.zone]

_outside if {
	input.action.name == "tools/call"
	input.action.properties.effect in _table.effects
	not _open
}

_open if {
	time.weekday(_moment) in _table.days
	[hour, minute, _] := time.clock(_moment)
	now := (hour * 60) + minute
	now >= _minutes(_table.begin)
	now < _minutes(_table.end)
	not _closed
}

_closed if _date in _table.closed

_date := concat("-", [format_int(year, 10), _two(month), _two(day)]) if {
	[year, month, day] := time.date(_moment)
}

_two(number) := format_int(number, 10) if number >= 10

_two(number) := concat("", ["0", format_int(number, 10)]) if number < 10

_minutes(text) := (to_number(hours) * 60) + to_number(minutes) if {
	[hours, minutes] := [_plain(part) | some part in split(text, ":")]
}

_plain(digits) := "0" if digits == "00"

_plain(digits) := trim_left(digits, "0") if digits != "00"

_said := concat("", [_table.begin, " to ", _table.end, " ", _table.zone, " on ", concat(", ", _table.days)])

# METADATA
# title: Effects only in working hours
deny contains {
	"code": "hours.closed",
	"agent": concat("", ["This is done in working hours only: ", _said, ". Come back then."]),
	"operator": "outside of tables.hours",
	"nearest": null,
	"values": {"time": input.context.time, "effect": input.action.properties.effect},
} if {
	_table.outside == "deny"
	_outside
}

# METADATA
# title: Effects at other times are seen by a person
require_approval contains {
	"code": "hours.closed",
	"agent": concat("", ["Outside of working hours (", _said, ") a person has to approve."]),
	"operator": "outside of tables.hours",
	"nearest": null,
	"values": {"time": input.context.time, "effect": input.action.properties.effect},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_table.outside == "ask"
	_outside
}
