# METADATA
# scope: package
# title: The small policy of the benchmark
# description: See tests/bench/work.py for it in words.
package wardline.main

_tools := {
	"analyst": {"http_get", "read_file"},
	"operator": {"delete_file", "deploy", "http_get", "read_file"},
}

_hosts := {"api.internal", "packages.example"}

# METADATA
# entrypoint: true
default response := {
	"decision": false,
	"context": {
		"reasons": [{"code": "bench.denied", "agent": "No.", "operator": "", "nearest": null}],
		"obligations": [],
		"access_request": null,
		"rules": [],
	},
}

response := {
	"decision": false,
	"context": {
		"reasons": [{"code": "bench.needs_person", "agent": "Ask.", "operator": "", "nearest": null}],
		"obligations": [],
		"access_request": {
			"approvers": ["operations"],
			"quorum": 1,
			"expires_in_seconds": 900,
			"separation_of_duties": true,
		},
		"rules": [],
	},
} if {
	_fits
	_high_impact
} else := {
	"decision": true,
	"context": {"reasons": [], "obligations": [], "access_request": null, "rules": []},
} if {
	_fits
}

_high_impact if input.resource.id in {"delete_file", "deploy"}

_fits if {
	some role in input.subject.properties.roles
	input.resource.id in _tools[role]
	_path_fits
	_host_fits
}

_path_fits if input.resource.properties.args.path == null

_path_fits if {
	path := input.resource.properties.args.path
	is_string(path)
	startswith(path, "/workspace/")
}

_host_fits if input.resource.properties.args.host == null

_host_fits if {
	host := input.resource.properties.args.host
	host in _hosts
}
