# METADATA
# scope: package
# title: The fixture of the AuthZEN certification scenario
# description: Rules 1 to 8 of it, over tools that stand for actions on records.
package wardline.main

_archived if input.resource.properties.args.status == "archived"

_admin if "admin" in input.subject.properties.roles

# Who has a role although a question does not say so.
_admin if input.subject.id == "bob"

_fits if {
	input.resource.id == "read_record"
	input.subject.id in {"alice", "bob"}
}

_fits if {
	input.resource.id == "write_record"
	input.subject.id == "alice"
	not _archived
}

_fits if {
	input.resource.id == "write_record"
	_archived
	_admin
}

_fits if {
	input.resource.id == "delete_record"
	input.subject.id == "alice"
	input.resource.properties.args.soft == true
}

# METADATA
# entrypoint: true
default response := {
	"decision": false,
	"context": {
		"reasons": [{"code": "fixture.no", "agent": "No.", "operator": "", "nearest": null}],
		"obligations": [],
		"access_request": null,
		"rules": [],
	},
}

response := {
	"decision": true,
	"context": {
		"reasons": [],
		"obligations": [],
		"access_request": null,
		"rules": ["fixture.yes"],
	},
} if {
	_fits
}
