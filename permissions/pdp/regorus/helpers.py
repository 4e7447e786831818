"""The module of Rego that translated policies call for what depends on the value it meets."""

HELPERS = """package __opa

length(x) := __opa_count(x) if {
	is_string(x)
} else := count(x)

minus(a, b) := __opa_minus(a, b) if {
	is_number(a)
} else := a - b

whole(x, keys) := x if {
	is_object(x)
	object.keys(x) == keys
}

holds(x, xs) := x in xs

holds_at(key, x, xs) := (key, x in xs)

joined(a, b) := a | b

_holds_sets(x) if {
	some member in x
	not is_string(member)
	not is_number(member)
	walk(member, [_, value])
	is_set(value)
}

ordered(x) := __opa_sort(x) if {
	_holds_sets(x)
} else := sort(x)

largest(x) := max(__opa_largest(x)) if {
	_holds_sets(x)
} else := max(x)

smallest(x) := min(__opa_smallest(x)) if {
	_holds_sets(x)
} else := min(x)
"""
"""What depends on the value it meets. Sets of arrays and objects have no Python form, so that
Python is asked only where the engine's own builtin does otherwise."""
