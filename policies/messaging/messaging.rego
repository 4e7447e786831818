# METADATA
# scope: package
# title: Recipients
# description: |
#   What leaves for a listed recipient is fine at ordinary impact; any other recipient is shown
#   to a person first. A recipient taken from untrusted data is the business of the package
#   provenance, which denies it unless it is listed.
#   Not protected from: harmful words to a listed recipient.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.messaging

import data.wardline.lib

_recipients := lib.targets("recipient")

# METADATA
# title: Sending to listed recipients
allow contains "messaging.listed_recipients" if {
	input.action.properties.effect == "send"
	lib.ordinary_impact
	count(_recipients) > 0
}

# METADATA
# title: Drafts that reach nobody
allow contains "messaging.draft" if {
	input.action.properties.effect == "write"
	input.action.properties.impact == "low"
	count(_recipients) > 0
}

# METADATA
# title: A recipient nobody listed is shown to a person
require_approval contains {
	"code": "messaging.unlisted_recipient",
	"agent": "This recipient is not on the list, so a person has to approve the call.",
	"operator": concat("", ["argument ", target.argument, " is not in tables.messaging"]),
	"nearest": null,
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	lib.reaches_out
	some target in _recipients
	not lib.recipient_listed(target)
}
